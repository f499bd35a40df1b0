"""The verb `eval` as a function: a finished model on a labelled split.

For a run it repeats the score recorded for `best/` exactly: same data, same batches, same precision, same threshold.
Class names are matched by name; where they differ from the data's the evaluation is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_cli.errors import ModelError, QualityGateError, UsageError
from bert_cli.metrics import Predictions, larger_is_better, report
from bert_cli.models.heads import head_labels, unnamed
from bert_cli.models.locate import Located, locate
from bert_cli.recipe.load import load_recipe
from bert_cli.recipe.scalars import flow
from bert_cli.recipe.schema import Recipe
from bert_cli.run import predictions
from bert_cli.run.build import build_model, build_objective
from bert_cli.run.corpus import prepare_corpus
from bert_cli.run.find import require_task
from bert_cli.run.finetune import make_scorer
from bert_cli.run.prepare import Prepared, prepare_sequence
from bert_cli.run.publish import FACTS, ModelFacts
from bert_cli.run.rundir import RunDir
from bert_cli.runtime import Runtime
from bert_cli.train.evaluate import score

Note = Callable[[str], None]


@dataclass(frozen=True)
class Evaluation:
    """Scores of one split.

    Attributes:
        report: per-class scores and confusion matrix, or residuals; empty for fill-mask.
        predictions: the file written, or None.
    """

    model: str
    task: str
    split: str
    origin: str
    n: int
    scores: dict[str, float]
    report: dict[str, Any]
    labels: tuple[str, ...] | None
    threshold: float | None
    precision: str
    predictions: Path | None

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        values = {**vars(self), "labels": list(self.labels) if self.labels else None}
        values["predictions"] = None if self.predictions is None else str(self.predictions)
        return values


def run_of(target: str) -> RunDir | None:
    """The run folder that `target` names, itself or by its `best/`; None for any other model."""
    path = Path(target).expanduser()
    for folder in (path, path.parent if path.name == "best" else None):
        if folder is not None and (folder / "recipe.yaml").is_file():
            return RunDir(folder)
    return None


def evaluate(
    target: str,
    *,
    task: str | None = None,
    data: str | None = None,
    split: str = "validation",
    labels: tuple[str, ...] | None = None,
    precision: str | None = None,
    overrides: tuple[str, ...] = (),
    revision: str | None = None,
    allow_bin: bool = False,
    offline: bool = False,
    write_to: Path | None = None,
    note: Note = lambda _: None,
) -> Evaluation:
    """Score a run's best model, or any model, on one split.

    Args:
        target: run folder, model folder or hub id.
        task, data: override what the run was trained on.
        labels: names for the outputs of a model that has only LABEL_0, LABEL_1 …
        precision: default: the one the model was selected at.
        revision: branch, tag or commit of a hub model.
        write_to: where predictions go; default: the run's folder, or here for a bare model.

    Raises:
        ModelError: the model has no head for the task (L041), or a head whose outputs have no names (L042).
    """
    run = run_of(target)
    located = locate(target, revision=revision, offline=offline, allow_bin=allow_bin)
    facts = ModelFacts.read(located.folder)
    recipe = _recipe(run, facts, located, task=task, data=data, precision=precision, overrides=overrides)
    if require_task(recipe).objective == "fill-mask":
        prepared = prepare_corpus(recipe, offline=offline, note=note)
    else:
        file_split = split if data is not None else "train"
        prepared = _prepare(
            recipe, located, split=split, labels=labels, file_split=file_split, offline=offline, note=note
        )
    if split not in prepared.store.splits:
        raise UsageError(
            "U050",
            f"there is no split '{split}'",
            key="--split",
            found=split,
            allowed=sorted(prepared.store.splits),
            help="--split validation",
        )
    onednn = facts.onednn if facts is not None and precision is None else None
    runtime = Runtime(device=recipe.dist.device, precision=recipe.train.precision, onednn=onednn)
    model = build_model(prepared, trained=True).to(runtime.device)
    objective = build_objective(prepared, model)
    store = prepared.store.splits[split]
    scored = score(model, objective, store, runtime=runtime, max_tokens=recipe.eval.batch_tokens)
    scorer = make_scorer(prepared)
    wanted = recipe.eval.threshold
    threshold = float(wanted) if wanted != "auto" else facts.threshold if facts else 0.5
    scores, threshold = objective.measure(
        scored.scores, scored.losses, targets=store.targets, scorer=scorer, threshold=threshold
    )
    details: dict[str, Any] = {}
    path = None
    if prepared.task.objective != "fill-mask":
        assert store.targets is not None
        details = report(
            Predictions(prepared.task.objective, scored.scores, threshold), store.targets, prepared.labels or ()
        )
        path = write_to or _predictions_path(run, prepared, split=split)
        predictions.write(
            path, store, scored.scores, objective=prepared.task.objective, labels=prepared.labels, threshold=threshold
        )
    return Evaluation(
        target,
        prepared.task.name,
        split,
        store.facts["origin"],
        len(store),
        scores,
        details,
        prepared.labels,
        threshold if prepared.task.objective == "multi-label-classification" else None,
        runtime.precision.name,
        path,
    )


def _recipe(
    run: RunDir | None,
    facts: ModelFacts | None,
    located: Located,
    *,
    task: str | None,
    data: str | None,
    precision: str | None,
    overrides: tuple[str, ...],
) -> Recipe:
    flags: dict[str, object] = {"model.name": str(located.folder), "data.source": data}
    own: list[str] = []
    if run is None and facts is not None:
        task = task or facts.task
        own += [f"data.columns.{role}={flow(column)}" for role, column in facts.columns.items() if data is None]
    if run is not None and task is not None:
        # Columns and label names of the training data say nothing about another task's.
        own += ["data.columns=", "data.labels=auto"]
    if data is not None:
        own.append("data.validation=auto")
    if facts is not None:
        own += [f"data.max_length={facts.max_length}", f"eval.batch_tokens={facts.batch_tokens}"]
        own.append(f"train.precision={facts.precision}")
    flags |= {"task": task, "train.precision": precision}
    path = str(run.recipe) if run is not None else None
    recipe = load_recipe(path, task=None if path else task, overrides=[*own, *overrides], flags=flags).recipe
    head = {"tokenizer": None, "reset_head": False}
    return recipe.model_copy(update={"model": recipe.model.model_copy(update=head)})


def _prepare(
    recipe: Recipe,
    located: Located,
    *,
    split: str,
    labels: tuple[str, ...] | None,
    file_split: str,
    offline: bool,
    note: Note,
) -> Prepared:
    task = require_task(recipe)
    head = head_labels(located.config, "ForSequenceClassification")
    if head is None:
        raise ModelError(
            "L041",
            "this model has no trained head for texts",
            where=str(located.folder),
            found=", ".join(located.config.get("architectures") or ["no architectures"]),
            allowed="a model of `bertctl finetune`, or any …ForSequenceClassification",
            help=f"bertctl finetune --task {task.name} --model {located.name}",
        )
    if labels is not None and len(labels) != len(head):
        raise UsageError(
            "U051",
            "one name for each output is needed",
            key="--labels",
            found=f"{len(labels)} names",
            allowed=f"{len(head)}: {', '.join(head[:8])}",
            help="--labels NAME,NAME",
        )
    if labels is None and task.objective != "text-regression" and unnamed(head) and not _ours(located):
        names = ",".join(task.labels[:8]) if task.labels else "NAME,NAME"
        raise ModelError(
            "L042",
            "the model does not say what its outputs mean",
            where=str(located.folder / "config.json"),
            key="--labels",
            found=", ".join(head[:8]),
            allowed="a name for each output, in their order",
            help=f"--labels {names} if that is their order",
        )
    order = None if task.objective == "text-regression" else labels or head
    return prepare_sequence(
        recipe,
        offline=offline,
        note=note,
        splits=(split,),
        model_labels=order,
        file_split=file_split,
    )


def _ours(located: Located) -> bool:
    """Whether bertctl wrote the model, which then means its labels as they are."""
    return (located.folder / FACTS).is_file()


def _predictions_path(run: RunDir | None, prepared: Prepared, *, split: str) -> Path:
    name = f"{split}.jsonl"
    if run is None:
        return Path(f"predictions-{prepared.task.name}-{name}")
    elsewhere = prepared.recipe.data.source != load_recipe(str(run.recipe)).recipe.data.source
    return run.predictions / (
        f"{prepared.task.name}-{Path(str(prepared.recipe.data.source)).name}-{name}" if elsewhere else name
    )


def read_gates(texts: Sequence[str]) -> list[tuple[str, float]]:
    """Gates `METRIC=NUMBER` as names with limits.

    Raises:
        UsageError: a gate that cannot be read (U052).
    """
    gates = []
    for text in texts:
        name, _, number = text.partition("=")
        try:
            limit = float(number)
        except ValueError:
            limit = math.nan
        if not name or math.isnan(limit):
            raise UsageError(
                "U052",
                "a gate is METRIC=NUMBER",
                key="--fail-under",
                found=text,
                allowed="METRIC=NUMBER",
                help="--fail-under accuracy=0.9",
            )
        gates.append((name, limit))
    return gates


def check_gates(scores: dict[str, float], gates: Sequence[tuple[str, float]]) -> None:
    """Refuse scores beyond the gates.

    Raises:
        UsageError: a gate names no score (U053).
        QualityGateError: a gate is missed (Q001).
    """
    for name, limit in gates:
        if name not in scores:
            raise UsageError(
                "U053",
                f"there is no score '{name}' here",
                key="--fail-under",
                found=name,
                allowed=list(scores),
                help="--fail-under accuracy=0.9",
            )
        value = scores[name]
        larger = larger_is_better(name)
        if not (value >= limit if larger else value <= limit):
            raise QualityGateError(
                "Q001",
                f"{name} is {value:.6g}",
                key="--fail-under",
                found=f"{value:.6g}",
                allowed=f"{'at least' if larger else 'at most'} {limit:g}",
                help="train longer or on more data, or lower the gate",
            )
