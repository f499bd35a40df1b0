"""The verb `eval` as a function: a finished model on a labelled split.

For a run it repeats the score recorded for `best/` exactly: same data, same batches, same precision, same threshold.
Class names are matched by name; where they differ from the data's the evaluation is refused. Whatever can be refused
without data is refused before they are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from bert_cli.errors import UsageError
from bert_cli.families import family_of
from bert_cli.families.base import Answers, Prepared
from bert_cli.metrics.scorer import reported
from bert_cli.models.locate import Access
from bert_cli.recipe.load import load_recipe
from bert_cli.recipe.scalars import flow
from bert_cli.recipe.schema import Recipe
from bert_cli.run import predictions
from bert_cli.run.asked import WITH_THRESHOLD, batch_tokens, check_length, check_threshold, room_of
from bert_cli.run.audit import Cut, cut_of
from bert_cli.run.build import build_model, build_objective
from bert_cli.run.corpus import prepare_corpus
from bert_cli.run.find import require_task
from bert_cli.run.finetune import make_scorer
from bert_cli.run.gates import Gate, check_names
from bert_cli.run.places import with_source
from bert_cli.run.prepare import prepare_rows
from bert_cli.run.rows import check_same_rows, check_unchanged, find_rows, trained_on
from bert_cli.run.rundir import default_out
from bert_cli.run.subject import Subject, find_subject, output_names, trained_head
from bert_cli.runtime import Runtime
from bert_cli.tasks import find_task
from bert_cli.train.evaluate import score

Note = Callable[[str], None]


@dataclass(frozen=True)
class Evaluation:
    """Scores of one split.

    Attributes:
        origin: the file or hub split that was read.
        held_out: share of `origin` that the rows are, where they were held out of it for validation.
        n: rows scored.
        cut: what of their texts was longer than `max_length` tokens.
        report: per-class scores and confusion matrix, or residuals; empty for pretraining.
        predictions: the file written, or None.
    """

    model: str
    task: str
    split: str
    origin: str
    held_out: float | None
    n: int
    cut: Cut
    max_length: int
    scores: dict[str, float]
    report: dict[str, Any]
    labels: tuple[str, ...] | None
    threshold: float | None
    precision: str
    predictions: Path | None

    @property
    def of_blocks(self) -> bool:
        """Whether blocks of raw text were scored, which are not cut."""
        return find_task(self.task).pretrains

    @property
    def rows(self) -> str:
        """What was scored, in words."""
        place = self.origin if self.held_out is None else f"{100 * self.held_out:.3g} % held out of {self.origin}"
        unit = "block" if self.of_blocks else "row"
        return f"{self.split}: {place}, {self.n} {unit}{'' if self.n == 1 else 's'}"

    def as_dict(self) -> dict[str, Any]:
        """The same for machines; `truncated` of `texts` were cut, and `lost` is the share of tokens that this cost."""
        values = {**vars(self), "labels": list(self.labels) if self.labels else None}
        cut = values.pop("cut")
        values |= {"truncated": cut.rows, "texts": cut.examples, "lost": cut.tokens}
        values["predictions"] = None if self.predictions is None else str(self.predictions)
        return values


def evaluate(
    target: str,
    *,
    task: str | None = None,
    data: str | None = None,
    split: str = "validation",
    labels: tuple[str, ...] | None = None,
    flags: Mapping[str, object] | None = None,
    batch_size: int | None = None,
    overrides: tuple[str, ...] = (),
    gates: Sequence[Gate] = (),
    write_to: Path | None = None,
    note: Note = lambda _: None,
    **access: Unpack[Access],
) -> Evaluation:
    """Score a run's best model, or any model, on one split.

    Args:
        target: run folder, model folder or hub id.
        task, data: override what the run was trained on.
        labels: names for the outputs of a model that has only LABEL_0, LABEL_1 …
        flags: recipe key -> value, None where it is not given; default: what the model was selected with.
        batch_size: texts of full length in one forward pass; default: the run's own batches.
        gates: whose scores must be there; `check_gates` compares them.
        write_to: where predictions go; default: the run's folder, or here for a bare model.
        access: see `locate`.

    Raises:
        ModelError: the model has no head for the task (L041, L044), or one whose outputs have no names (L042).
        UsageError: something is asked for that the model or task does not have (U051, U053–U057, U091, R032).
        DataError: no such split (D043), or data that are not the run's any more (D091).
    """
    subject = find_subject(target, **access)
    flags, offline = flags or {}, access.get("offline", False)
    new_data = data is not None or any(text.startswith("data.source=") for text in overrides)
    recipe = _recipe(subject, {"data.source": data, **flags}, task=task, overrides=overrides, new_data=new_data)
    recipe = _with_batches(recipe, batch_size)
    names = _check_asked(subject, recipe, labels=labels, gates=gates)
    if write_to is not None and require_task(recipe).pretrains:
        raise UsageError(
            "U091",
            "hidden tokens are scored together, and no text has a prediction of its own",
            key="--predictions",
            found=str(write_to),
            allowed="tasks with labels or scores, and minimal pairs",
            help="leave --predictions out",
        )
    _check_rows(subject, recipe, split, new_data=new_data, offline=offline, note=note)
    prepared = _prepare(recipe, split, names=names, new_data=new_data, offline=offline, note=note)
    onednn = subject.facts.onednn if subject.facts is not None and flags.get("train.precision") is None else None
    runtime = Runtime(device=recipe.dist.device, precision=recipe.train.precision, onednn=onednn)
    answers = _ask(subject, prepared, split, runtime=runtime)
    path = None
    if not prepared.task.pretrains:
        path = write_to or _predictions_path(subject, prepared, split)
        predictions.write(path, answers)
    return _evaluation(target, prepared, split, answers, precision=runtime.precision.name, path=path)


def _recipe(
    subject: Subject, flags: Mapping[str, object], *, task: str | None, overrides: tuple[str, ...], new_data: bool
) -> Recipe:
    """What the model was trained with, then `overrides`, then `flags`; what says nothing about new data is left out."""
    facts, recorded = subject.facts, subject.recorded
    if task is None and recorded is None and facts is not None:
        task = facts.task
    own = ["dist.device=auto", "dist.processes=1"]
    if recorded is None and facts is not None and flags["data.source"] is None:
        own += [f"data.columns.{role}={flow(column)}" for role, column in facts.columns.items()]
    if recorded is not None and task not in (None, recorded.task):
        # Columns and label names of the training data say nothing about another task's.
        own += ["data.columns=", "data.labels=auto"]
    if new_data:
        own += ["data.validation=auto", "data.limit=", "data.mix="]
    # Phases are of training; what is scored has one length.
    own.append("data.lengths=")
    if facts is not None:
        if recorded is None:
            own += _overrides(facts.reading)
        own += [f"data.max_length={facts.max_length}", f"eval.batch_tokens={facts.batch_tokens}"]
        own.append(f"train.precision={facts.precision}")
    flags = {**flags, "task": task, "model.name": str(subject.located.folder)}
    path = str(subject.run.recipe) if subject.run is not None else None
    recipe = load_recipe(path, task=None if path else task, overrides=[*own, *overrides], flags=flags).recipe
    head = {"tokenizer": None, "reset_head": False}
    return recipe.model_copy(update={"model": recipe.model.model_copy(update=head)})


def _overrides(reading: Mapping[str, Any]) -> list[str]:
    """What travels with a published model as `key=value`; its class names are those of its head."""
    return [
        f"{section}.{key}={flow(value)}"
        for section, values in reading.items()
        for key, value in values.items()
        if (section, key) != ("data", "labels")
    ]


def _with_batches(recipe: Recipe, batch_size: int | None) -> Recipe:
    tokens = batch_tokens(batch_size, recipe.data.max_length, default=recipe.eval.batch_tokens)
    return recipe.model_copy(update={"eval": recipe.eval.model_copy(update={"batch_tokens": tokens})})


def _check_asked(
    subject: Subject, recipe: Recipe, *, labels: tuple[str, ...] | None, gates: Sequence[Gate]
) -> tuple[str, ...] | None:
    """Refuse what the model cannot do; the names of its outputs in their order, None where they have none."""
    task = require_task(recipe)
    head = None if task.pretrains else trained_head(subject, task)
    names = output_names(subject, task, head, labels)
    check_threshold(task.objective, None if recipe.eval.threshold == "auto" else recipe.eval.threshold)
    metrics = [*task.metrics, *recipe.eval.metrics, *filter(None, [recipe.eval.metric])]
    check_names(gates, reported(metrics, task.objective), objective=task.objective, more=recipe.eval.metrics)
    check_length(room_of(subject.located, family_of(task.objective).head.auto_class), recipe.data.max_length)
    return names


def _check_rows(subject: Subject, recipe: Recipe, split: str, *, new_data: bool, offline: bool, note: Note) -> None:
    """Refuse a split that is not there, and rows of a run that are not those of its recorded score."""
    rows = find_rows(recipe, split, file_split=split if new_data else "train", offline=offline)
    run, recorded = subject.run, subject.recorded
    if run is None or recorded is None:
        return
    # All that is learnt from a corpus is learnt from the same documents.
    both_pretrain = require_task(recipe).pretrains and require_task(recorded).pretrains
    if recipe.task != recorded.task and not both_pretrain:
        return
    if not new_data:
        check_unchanged(run, rows, recipe, split)
    check_same_rows(run, rows, recipe, recorded)
    if doubt := trained_on(run, rows):
        note(doubt)


def _prepare(
    recipe: Recipe, split: str, *, names: tuple[str, ...] | None, new_data: bool, offline: bool, note: Note
) -> Prepared:
    if require_task(recipe).pretrains:
        return prepare_corpus(recipe, offline=offline, note=note, whole=split if new_data else None)
    file_split = split if new_data else "train"
    return prepare_rows(recipe, offline=offline, note=note, splits=(split,), model_labels=names, file_split=file_split)


def _ask(subject: Subject, prepared: Prepared, split: str, *, runtime: Runtime) -> Answers:
    """Run the model over the split and compare with its targets, at the threshold it was selected at."""
    store, section = prepared.store.splits[split], prepared.recipe.eval
    scorer = make_scorer(prepared)
    trained = family_of(prepared.task.objective).head.suffix is not None
    model = build_model(prepared, trained=trained).to(runtime.device)
    objective = build_objective(prepared, model)
    scored = score(model, objective, store, runtime=runtime, max_tokens=section.batch_tokens)
    own = subject.facts.threshold if subject.facts is not None else 0.5
    return family_of(prepared.task.objective).answers(
        store,
        scored,
        prepared,
        threshold=own if section.threshold == "auto" else section.threshold,
        scorer=scorer,
    )


def _evaluation(
    target: str, prepared: Prepared, split: str, answers: Answers, *, precision: str, path: Path | None
) -> Evaluation:
    store, task = prepared.store.splits[split], prepared.task
    return Evaluation(
        model=target,
        task=task.name,
        split=split,
        origin=store.facts["origin"],
        held_out=store.facts["held_out"],
        n=answers.n,
        cut=cut_of(store),
        max_length=prepared.recipe.data.max_length,
        scores=answers.scores,
        report=answers.report(),
        labels=prepared.labels,
        threshold=answers.threshold if task.objective in WITH_THRESHOLD else None,
        precision=precision,
        predictions=path,
    )


def _predictions_path(subject: Subject, prepared: Prepared, split: str) -> Path:
    """In the run's folder, where the predictions behind its recorded score keep their name."""
    recipe, recorded = prepared.recipe, subject.recorded
    name = f"{split}.jsonl"
    if subject.run is None or recorded is None:
        return Path(f"predictions-{default_out(prepared.task.name, str(subject.located.folder)).name}-{name}")
    if recipe.data.limit != recorded.data.limit:
        name = f"{split}-all.jsonl" if recipe.data.limit is None else f"{split}-first-{recipe.data.limit}.jsonl"
    if (recipe.task, recipe.data.source) != (recorded.task, recorded.data.source):
        # Two files of one name are two files.
        place = hashlib.sha256(str(with_source(recipe).data.source).encode()).hexdigest()[:6]
        name = f"{prepared.task.name}-{Path(str(recipe.data.source)).name}-{place}-{name}"
    return subject.run.predictions / "-".join([*_asked_otherwise(subject, recipe), name])


def _asked_otherwise(subject: Subject, recipe: Recipe) -> list[str]:
    """What makes predictions on the same data differ from those behind the recorded score, for a file's name."""
    facts, recorded = subject.facts, subject.recorded
    assert facts is not None and recorded is not None, "a run has published both"
    pairs = {
        "length": (recipe.data.max_length, facts.max_length),
        "batch-tokens": (recipe.eval.batch_tokens, facts.batch_tokens),
        "precision": (recipe.train.precision, facts.precision),
        "threshold": (recipe.eval.threshold, recorded.eval.threshold),
    }
    return [f"{name}-{asked}" for name, (asked, known) in pairs.items() if asked != known]
