"""One training run, from a prepared recipe to a published model.

The engine yields a step; everything else is the lines after it: track, score, keep the best, save, stop. A run that is
killed at any moment goes on from its newest verified checkpoint as if it had never stopped.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from bert_cli.data.store import SplitStore
from bert_cli.errors import Interrupted, ModelError, Preempted
from bert_cli.metrics import Scorer, larger_is_better
from bert_cli.objectives.base import Trainee
from bert_cli.run import predictions, signals
from bert_cli.run.build import Built
from bert_cli.run.prepare import Prepared
from bert_cli.run.publish import publish_best
from bert_cli.run.rundir import RunDir
from bert_cli.run.state import Best, Result, TrainState
from bert_cli.runtime import Runtime
from bert_cli.track import Tracker
from bert_cli.train import checkpoint
from bert_cli.train.engine import StepRecord, train
from bert_cli.train.evaluate import score
from bert_cli.train.optim import load_state_tensors, state_tensors


class Fit:
    """One run at work; `run` is the only thing to call."""

    def __init__(self, prepared: Prepared, *, run: RunDir, runtime: Runtime, tracker: Tracker, scorer: Scorer) -> None:
        self.prepared = prepared
        self.recipe = prepared.recipe
        self.out = run
        self.runtime = runtime
        self.tracker = tracker
        self.scorer = scorer
        self.metric = self.recipe.eval.metric or prepared.task.primary
        self.state = TrainState(data=dict(prepared.store.facts["fingerprints"]))

    def run(self, built: Built, *, resume_from: Any = None) -> Result:
        """Train to the end of the plan, or until patience or a signal ends it; publish the best model."""
        trainee, optimizer = self.runtime.prepare(Trainee(built.model, built.objective), built.optimizer)
        trainee.train()
        if resume_from is not None:
            self._restore(built, optimizer, resume_from)
        scoring = _every(self.recipe.eval.every, built)
        saving = _every(self.recipe.run.save_every, built)
        with signals.watched() as signal:
            for record in train(
                trainee,
                optimizer,
                objective=built.objective,
                store=self.prepared.store.splits["train"],
                plan=built.plan,
                schedule=built.schedule,
                runtime=self.runtime,
                max_grad_norm=self.recipe.train.max_grad_norm,
                start=built.plan.total_steps if self.state.stopped else self.state.step,
            ):
                self._count(record)
                last = record.step == built.plan.total_steps
                improved = self._score(built, record) if last or record.step % scoring == 0 else False
                patience = self.recipe.eval.patience
                if patience is not None and self.state.since_best >= patience:
                    self.state.stopped = f"no better {self.metric} in {patience} scorings"
                if improved or last or self.state.stopped or signal.received or record.step % saving == 0:
                    self._save(built, optimizer)
                if self.state.stopped:
                    break
                if signal.received and not last:
                    raise self._asked_to_stop(signal.received)
        self._finish(built)
        return Result(self.out, self.state, self.metric)

    def _count(self, record: StepRecord) -> None:
        self.state.step = record.step
        self.state.examples += record.examples
        self.state.tokens += record.tokens
        self.state.seconds += record.seconds
        self.tracker.step(record)

    def _score(self, built: Built, record: StepRecord) -> bool:
        """Score every validation split; whether the first one is better than ever."""
        wanted = self.recipe.eval.threshold
        threshold = None if wanted == "auto" else float(wanted)
        scores: dict[str, dict[str, float]] = {}
        raw = {}
        for name, split in _validation(self.prepared.store.splits):
            scored = score(
                built.model, built.scoring, split, runtime=self.runtime, max_tokens=self.recipe.eval.batch_tokens
            )
            scores[name], threshold = built.scoring.measure(
                scored.scores, scored.losses, targets=split.targets, scorer=self.scorer, threshold=threshold
            )
            raw[name] = scored.scores
        value = self.scorer.selecting(self.metric, next(iter(scores.values())))
        improved = self.state.best is None or _better(self.metric, value, self.state.best.value)
        for name, values in scores.items():
            self.tracker.scores(record.step, record.epoch, name, values, best=improved)
        if not improved:
            self.state.since_best += 1
            return False
        assert threshold is not None
        self.state.best, self.state.since_best = Best(record.step, value, threshold, scores), 0
        if self.prepared.task.objective != "fill-mask":
            for name, kept in raw.items():
                predictions.write(
                    self.out.predictions / f"{name}.jsonl",
                    self.prepared.store.splits[name],
                    kept,
                    objective=self.prepared.task.objective,
                    labels=self.prepared.labels,
                    threshold=threshold,
                )
        return True

    def _save(self, built: Built, optimizer: Any) -> None:
        tensors = {
            "model": {name: tensor.detach().cpu().contiguous() for name, tensor in _weights(built.model).items()},
            "optimizer": state_tensors(optimizer, built.parameter_names),
        }
        self.state.window = self.tracker.window
        folder = self.out.checkpoints
        checkpoint.save(folder, f"step-{self.state.step:08d}", checkpoint.Checkpoint(tensors, asdict(self.state)))
        best = [] if self.state.best is None else [f"step-{self.state.best.step:08d}"]
        checkpoint.prune(folder, keep=self.recipe.run.keep, protect=best)

    def _restore(self, built: Built, optimizer: Any, folder: Any) -> None:
        loaded = checkpoint.load(folder)
        _load_weights(built.model, loaded.tensors["model"], where=str(folder))
        try:
            load_state_tensors(optimizer, built.parameter_names, loaded.tensors["optimizer"])
        except KeyError as error:
            raise ModelError(
                "C003",
                "the optimizer's state does not fit the model",
                where=str(folder),
                found=f"{error}",
                help="start afresh with --overwrite",
            ) from error
        self.state = TrainState.from_json(loaded.state)
        self.tracker.restore(self.state.window)
        checkpoint.forget_after(self.out.checkpoints, self.state.step)

    def _asked_to_stop(self, name: str) -> Interrupted | Preempted:
        kind = Interrupted if name == "SIGINT" else Preempted
        return kind(
            "S001",
            f"stopped by {name} after step {self.state.step}; a checkpoint was saved",
            where=str(self.out.path),
            help="the same command with --resume auto goes on from there",
        )

    def _finish(self, built: Built) -> None:
        best = self.state.best
        assert best is not None, "the last step is always scored"
        kept = checkpoint.load(self.out.checkpoints / f"step-{best.step:08d}")
        _load_weights(built.model, kept.tensors["model"], where=str(self.out.checkpoints))
        publish_best(self.prepared, built, run=self.out, best=best, state=self.state, runtime=self.runtime)


def _every(epochs: float, built: Built) -> int:
    return max(1, round(epochs * built.plan.steps_per_epoch))


def _validation(splits: dict[str, SplitStore]) -> list[tuple[str, SplitStore]]:
    """The validation splits, the selecting one first."""
    names = sorted(name for name in splits if name.startswith("validation"))
    return [(name, splits[name]) for name in names]


def _better(metric: str, value: float, best: float) -> bool:
    if math.isnan(value):
        return False
    if math.isnan(best):
        return True
    return value > best if larger_is_better(metric) else value < best


def _weights(model: Any) -> dict[str, Any]:
    """Parameters and saved buffers, each shared tensor once."""
    seen: set[int] = set()
    found = {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen or tensor.numel() == 0:
            seen.add(tensor.data_ptr())
            found[name] = tensor
    return found


def _load_weights(model: Any, tensors: dict[str, Any], *, where: str) -> None:
    expected = set(_weights(model))
    if set(tensors) != expected:
        odd = sorted(expected ^ set(tensors))
        raise ModelError(
            "C002",
            "the checkpoint holds other weights than the model",
            where=where,
            found=f"{len(odd)} names differ, as {odd[0]}",
            help="start afresh with --overwrite",
        )
    model.load_state_dict(tensors, strict=False)
