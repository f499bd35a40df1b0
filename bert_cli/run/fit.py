"""One training run, from a prepared recipe to a published model.

The engine yields a step; everything else is the lines after it: track, score, keep the best, save, stop. A run that is
killed at any moment goes on from its newest verified checkpoint as if it had never stopped. Every rank takes the same
lines; what is written, measured or decided is rank 0's, and the others wait for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bert_cli.data.batch import Batch
from bert_cli.data.plan import Plan
from bert_cli.data.split import Split
from bert_cli.errors import Interrupted, ModelError, Preempted
from bert_cli.families import family_of
from bert_cli.families.base import Answers, Prepared
from bert_cli.metrics import Scorer, larger_is_better
from bert_cli.objectives.base import Trainee
from bert_cli.recipe.amount import Amount
from bert_cli.run import predictions, signals
from bert_cli.run.build import Built
from bert_cli.run.disk import make_room
from bert_cli.run.publish import publish_best
from bert_cli.run.rundir import RunDir
from bert_cli.run.state import Best, Result, TrainState
from bert_cli.runtime import Runtime
from bert_cli.track import Tracker
from bert_cli.train import checkpoint
from bert_cli.train.due import Due
from bert_cli.train.engine import StepRecord, train
from bert_cli.train.evaluate import Scored, score
from bert_cli.train.optim import load_state_tensors, state_tensors


@dataclass(frozen=True)
class Desk:
    """What only rank 0 has: where records go, and the metrics that decide which step is best."""

    tracker: Tracker
    scorer: Scorer


class Fit:
    """One run at work, as one rank of it; `run` is the only thing to call.

    Args:
        desk: rank 0's; None on the other ranks.
    """

    def __init__(self, prepared: Prepared, *, run: RunDir, runtime: Runtime, desk: Desk | None = None) -> None:
        self.prepared = prepared
        self.recipe = prepared.recipe
        self.out = run
        self.runtime = runtime
        self.ranks = runtime.ranks
        self.desk = desk
        self.metric = self.recipe.eval.metric or prepared.task.primary
        self.state = TrainState(data=prepared.identity)

    def run(self, built: Built, *, resume_from: Path | None = None, resumes: bool = False) -> Result:
        """Train to the end of the plan, or until patience or a signal ends it; publish the best model.

        Args:
            resume_from: the checkpoint to go on from, on rank 0.
            resumes: whether there is one, on every rank.
        """
        trainee, optimizer = self.runtime.prepare(
            Trainee(built.model, built.objective), built.optimizer, sample=lambda: self._sample(built)
        )
        trainee.train()
        if resumes:
            self._restore(built, optimizer, resume_from)
        scoring = Due(Amount.parse(self.recipe.eval.every), built.plan)
        saving = Due(Amount.parse(self.recipe.run.save_every), built.plan)
        with signals.watched() as signal:
            for record in self._steps(built, trainee, optimizer, asking=signal.flags):
                before = self.state.mark
                self._count(record)
                now = self.state.mark
                scored = record.last or scoring.between(before, now)
                improved = self._score(built, record) if scored else False
                patience = self.recipe.eval.patience
                if patience is not None and self.state.since_best >= patience:
                    self.state.stopped = f"no better {self.metric} in {patience} scoring{'' if patience == 1 else 's'}"
                # Alone, a signal counts from when it comes; several ranks stop where all of them know of it.
                asked = signals.agreed(record.asked) if self.ranks.world_size > 1 else signal.received
                if improved or record.last or self.state.stopped or asked or saving.between(before, now):
                    self._save(built, optimizer)
                if self.state.stopped:
                    break
                if asked and not record.last:
                    raise self._asked_to_stop(asked)
        self._finish(built)
        return Result(self.out, self.state, self.metric)

    def _steps(
        self, built: Built, trainee: Any, optimizer: Any, *, asking: Callable[[], Mapping[str, float]]
    ) -> Iterator[StepRecord]:
        """The steps that are left; none where the run has been stopped for good."""
        if self.state.stopped:
            return iter(())
        return train(
            trainee,
            optimizer,
            objective=built.objective,
            store=self.prepared.store.splits["train"],
            plan=self._plan(built),
            schedule=built.schedule,
            runtime=self.runtime,
            max_grad_norm=self.recipe.train.max_grad_norm,
            start=self.state.step,
            spent=self.state.seconds,
            asking=asking,
        )

    def _sample(self, built: Built) -> Batch:
        """Any micro-batch."""
        rows, epochs = built.plan.draw(0)
        store = self.prepared.store.splits["train"]
        return built.objective.collate(store, rows[:1], epochs=epochs[:1], progress=0.0)

    def _plan(self, built: Built) -> Plan:
        """The plan, with micro-batches of the size that this run began with, has found to need or is now told."""
        wanted, kept = self.recipe.train.micro_batch_tokens, self.state.micro_batch_tokens
        if kept is None or wanted != "auto":
            kept = min(kept or built.plan.micro_batch_tokens, built.plan.micro_batch_tokens)
        self.state.micro_batch_tokens = kept
        return replace(built.plan, micro_batch_tokens=self.state.micro_batch_tokens)

    def _count(self, record: StepRecord) -> None:
        if record.micro_batch_tokens != self.state.micro_batch_tokens:
            self.state.micro_batch_tokens = record.micro_batch_tokens
            if self.desk is not None:
                self.desk.tracker.note(
                    f"memory ran out at step {record.step}, which was made again: at most {record.micro_batch_tokens} "
                    "tokens at once from here on, the same batches"
                )
        self.state.step = record.step
        self.state.examples += record.examples
        self.state.tokens += record.tokens
        self.state.seconds += record.seconds
        if self.desk is not None:
            self.desk.tracker.step(record)

    def _score(self, built: Built, record: StepRecord) -> bool:
        """Score every validation split; whether the first one is better than ever."""
        scored = {
            name: score(
                built.model, built.scoring, split, runtime=self.runtime, max_tokens=self.recipe.eval.batch_tokens
            )
            for name, split in _validation(self.prepared.store.splits)
        }
        improved = self._judge(built, record, scored, self.desk) if self.desk is not None else False
        if self.ranks.world_size > 1:
            improved, state = self.ranks.share([improved, asdict(self.state)])
            self.state = TrainState.from_json(state)
        return improved

    def _judge(self, built: Built, record: StepRecord, scored: dict[str, Scored], desk: Desk) -> bool:
        """Measure what was scored, and keep what the best model so far said."""
        wanted = self.recipe.eval.threshold
        threshold = None if wanted == "auto" else float(wanted)
        family = family_of(self.prepared.task.objective)
        answers: dict[str, Answers] = {}
        for name, split in _validation(self.prepared.store.splits):
            answers[name] = family.answers(split, scored[name], self.prepared, threshold=threshold, scorer=desk.scorer)
            threshold = answers[name].threshold
        scores = {name: answer.scores for name, answer in answers.items()}
        value = desk.scorer.selecting(self.metric, next(iter(scores.values())))
        improved = self.state.best is None or _better(self.metric, value, self.state.best.value)
        for name, values in scores.items():
            desk.tracker.scores(record.step, record.epoch, name, values, best=improved)
        if not improved:
            self.state.since_best += 1
            return False
        assert threshold is not None
        self.state.best, self.state.since_best = Best(record.step, value, threshold, scores), 0
        if not self.prepared.task.pretrains:
            for name, answer in answers.items():
                predictions.write(self.out.predictions / f"{name}.jsonl", answer)
        return True

    def _save(self, built: Built, optimizer: Any) -> None:
        if self.desk is not None:
            tensors = {
                "model": {name: tensor.detach().cpu().contiguous() for name, tensor in _weights(built.model).items()},
                "optimizer": state_tensors(optimizer, built.parameter_names),
            }
            self.state.window = self.desk.tracker.window
            folder = self.out.checkpoints
            coming = sum(tensor.nbytes for each in tensors.values() for tensor in each.values())
            make_room(self.recipe, self.out, coming=coming)
            checkpoint.save(folder, f"step-{self.state.step:08d}", checkpoint.Checkpoint(tensors, asdict(self.state)))
            best = [] if self.state.best is None else [f"step-{self.state.best.step:08d}"]
            checkpoint.prune(folder, keep=self.recipe.run.keep, protect=best)
        # However long that took, no collective of the next step waits for it.
        self.ranks.share(None)

    def _restore(self, built: Built, optimizer: Any, folder: Path | None) -> None:
        """The checkpoint's weights, moments and state on every rank; rank 0 alone reads it."""
        loaded = None if folder is None else checkpoint.load(folder)
        where = str(folder or self.out.checkpoints)
        weights = self.ranks.share_tensors(None if loaded is None else loaded.tensors["model"])
        moments = self.ranks.share_tensors(None if loaded is None else loaded.tensors["optimizer"])
        _load_weights(built.model, weights, where=where)
        try:
            load_state_tensors(optimizer, built.parameter_names, moments)
        except KeyError as error:
            raise ModelError(
                "C003",
                "the optimizer's state does not fit the model",
                where=where,
                found=f"{error}",
                help="start afresh with --overwrite",
            ) from error
        self.state = TrainState.from_json(self.ranks.share(None if loaded is None else loaded.state))
        if self.desk is not None:
            self.desk.tracker.restore(self.state.window)
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
        if self.desk is not None:
            kept = checkpoint.load(self.out.checkpoints / f"step-{best.step:08d}")
            _load_weights(built.model, kept.tensors["model"], where=str(self.out.checkpoints))
            coming = sum(tensor.nbytes for tensor in kept.tensors["model"].values())
            make_room(self.recipe, self.out, coming=coming)
            publish_best(self.prepared, built, run=self.out, best=best, state=self.state, runtime=self.runtime)
        # All leave together: the ranks' connections end where nobody needs them any more.
        self.ranks.share(None)


def _validation(splits: Mapping[str, Split]) -> list[tuple[str, Split]]:
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
