"""What a recipe's data hold and what is wrong with them: reads every split there is, and trains nothing.

A mistake that would stop training becomes a finding, and the other splits are read all the same. Reading costs what it
costs in training; counting tokens, where the tokenizer is known, as much as tokenising.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bert_cli.data.source import Source, find_sources
from bert_cli.data.splits import validation_place
from bert_cli.errors import BertctlError, DataError, ErrorGroup, UsageError, listing
from bert_cli.families import labelled
from bert_cli.families.base import Labelled, Loaded, Reading, Request, Rows
from bert_cli.inspect.contents import Contents
from bert_cli.inspect.examine import examine
from bert_cli.inspect.facts import facts_of
from bert_cli.inspect.finding import Finding, worst_first
from bert_cli.inspect.lengths import Lengths, Unit, length_findings, lengths_of_text
from bert_cli.inspect.scripts import Scripts, scripts_of
from bert_cli.recipe.schema import Recipe
from bert_cli.run.find import require_task
from bert_cli.run.lengths import token_lengths
from bert_cli.tasks import Task
from bert_cli.tasks.base import MINIMAL_PAIRS


@dataclass(frozen=True, eq=False)
class Looked:
    """One split as it was looked at."""

    contents: Contents
    scripts: Scripts
    lengths: Lengths


@dataclass(frozen=True, eq=False)
class Checked:
    """What was found out about the data of a recipe.

    Attributes:
        splits: those that could be read, `train` first where there is one.
        findings: worst first.
    """

    recipe: Recipe
    task: Task
    columns: dict[str, str]
    splits: tuple[Looked, ...]
    findings: tuple[Finding, ...]

    @property
    def unit(self) -> Unit:
        """What lengths are counted in."""
        return self.splits[0].lengths.unit if self.splits else "characters"

    def facts(self) -> dict[str, dict[str, Any]]:
        """The facts of each split; see `facts_of`."""
        recipe = self.recipe
        return {
            one.contents.name: facts_of(
                one.contents,
                one.scripts,
                one.lengths,
                max_length=recipe.data.max_length,
                batch_size=recipe.train.batch_size,
                seed=recipe.train.seed,
            )
            for one in self.splits
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything for machines."""
        return {
            "task": self.task.name,
            "source": self.recipe.data.source,
            "columns": self.columns,
            "unit": self.unit,
            "max_length": self.recipe.data.max_length,
            "batch_size": self.recipe.train.batch_size,
            "splits": self.facts(),
            "findings": [finding.as_dict() for finding in self.findings],
        }


def check_data(recipe: Recipe, *, tokens: bool = False, judge: bool = True, offline: bool = False) -> Checked:
    """Read the data of a recipe and look at them.

    Args:
        tokens: count lengths in tokens of the recipe's model; else in words or characters.
        judge: look for what is wrong too. Mistakes that stop the reading are found either way.

    Raises:
        UsageError: the task has no labelled rows (U111), or see `find_sources`.
    """
    task = require_task(recipe)
    if task.pretrains or task.objective == MINIMAL_PAIRS:
        raise UsageError(
            "U111",
            f"the task {task.name} has no labelled rows to look at",
            key="task",
            found=task.name,
            allowed="a task that is fine-tuned: bertctl task ls",
            help="bertctl data stats CORPUS counts what raw text holds"
            if task.pretrains
            else f"bertctl eval MODEL --task {task.name} measures a model on it",
        )
    sources = find_sources(task, recipe.data, offline=offline)
    family = labelled(task.objective)
    loaded, findings = _load(family, recipe, task, sources)
    described = {name: rows.contents(loaded.labels) for name, rows in loaded.splits.items()}
    scripts = {name: scripts_of(contents) for name, contents in described.items()}
    lengths: dict[str, Lengths]
    room = None
    if tokens:
        reading = _reading(recipe, task, loaded.labels, offline=offline)
        lengths = {name: token_lengths(family, loaded.splits[name], reading) for name in described}
        room = reading.tokenizer.model_max_length
    else:
        unit: Unit = "characters" if any(found.spaceless for found in scripts.values()) else "words"
        lengths = {name: lengths_of_text(contents, unit) for name, contents in described.items()}
    if judge:
        findings += [Finding("warning", "doubt", doubt) for doubt in loaded.doubts]
        findings += examine(list(described.values()), list(scripts.values()))
        findings += length_findings(
            list(described.values()), list(lengths.values()), max_length=recipe.data.max_length, room=room
        )
    looked = tuple(Looked(contents, scripts[name], lengths[name]) for name, contents in described.items())
    return Checked(recipe, task, loaded.columns, looked, worst_first(findings))


def _load(family: Labelled, recipe: Recipe, task: Task, sources: Mapping[str, Source]) -> tuple[Loaded, list[Finding]]:
    """All splits; where that fails, those that can be read by themselves, and every mistake once."""
    groups = _groups(recipe, sources)
    names = tuple(name for group in groups for name in group)
    needed = tuple(name for name in names if not name.startswith("test"))
    request = Request(recipe, task, sources, names, needed)
    try:
        return family.load(request), []
    except BertctlError as error:
        errors = _data_errors(error)
    splits: dict[str, Rows] = {}
    labels: tuple[str, ...] | None = None
    columns: dict[str, str] = {}
    doubts: dict[str, None] = {}
    for group in groups:
        try:
            loaded = family.load(
                replace(request, splits=group, labelled=tuple(name for name in group if name in needed))
            )
        except BertctlError as error:
            errors += _data_errors(error)
        else:
            splits |= dict(loaded.splits)
            labels, columns = labels or loaded.labels, columns or loaded.columns
            doubts |= dict.fromkeys(loaded.doubts)
    once = {error.render(): error for error in errors}
    return Loaded(splits, labels, columns, tuple(doubts)), [_of_error(error) for error in once.values()]


def _groups(recipe: Recipe, sources: Mapping[str, Source]) -> list[tuple[str, ...]]:
    """The splits there are, those together that are read from one file because one is held out of the other."""
    own = validation_place(recipe.data, sources)
    others = [name for name in sources if name not in ("train", "validation", own)]
    if "train" in sources:
        groups: list[tuple[str, ...]] = [("train",), ("validation",)] if own else [("train", "validation")]
    else:
        groups = [("validation",)] if own else []
    return [*groups, *((name,) for name in others)]


def _data_errors(error: BertctlError) -> list[BertctlError]:
    """The mistakes in the data; anything else ends the command."""
    if error.exit_code != DataError.exit_code:
        raise error
    return list(error.errors) if isinstance(error, ErrorGroup) else [error]


def _of_error(error: BertctlError) -> Finding:
    return Finding(
        "error",
        error.code,
        error.message + ("" if error.allowed is None else f"; allowed: {_listed(error.allowed)}"),
        where=(error.where,) if error.where else (),
        example=None if error.found is None else str(error.found),
        help=error.help,
    )


def _listed(allowed: str | Sequence[str]) -> str:
    return allowed if isinstance(allowed, str) else listing(allowed)


def _reading(recipe: Recipe, task: Task, labels: tuple[str, ...] | None, *, offline: bool) -> Reading:
    from bert_cli.models.build import load_tokenizer
    from bert_cli.models.locate import locate

    name, revision = recipe.model.tokenizer or recipe.model.name, recipe.model.revision
    assert name is not None, "tokens are counted where a tokenizer is named"
    found = locate(name, revision=None if recipe.model.tokenizer else revision, offline=offline, weights=False)
    return Reading(recipe, task, load_tokenizer(found.folder), labels, found.folder)
