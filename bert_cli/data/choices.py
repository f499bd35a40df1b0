"""Splits of questions with choices: what a multiple-choice objective is given, whatever files the data came from.

Each choice is read behind the question, and both behind the context where there is one. A question or a context may be
absent, but not both. Every label is checked against the choices of its row before anything is trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bert_cli.data.choice_cells import Choices, read_choices
from bert_cli.data.choice_labels import ChoiceLabels, unlabelled
from bert_cli.data.choice_table import TEXTS, choice_cells_of, read_table, table_of, texts_of
from bert_cli.data.columns import Columns, check_agreement, prepared_row
from bert_cli.data.source import Source
from bert_cli.data.splits import load_splits
from bert_cli.data.stream import Record
from bert_cli.errors import DataError
from bert_cli.inspect.contents import Contents
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks.base import Task


@dataclass(frozen=True, eq=False)
class ChoiceRows:
    """Questions of one split, n of them.

    Attributes:
        contexts, questions: as in the file; empty strings where there are none.
        choices: of each question, as in the file.
        heads: what is read before the separator: the context, or the question where there is no context.
        tails: what is read behind it, one for each choice.
        cells: labels as in the file, or None where there is no column for them.
        targets: the place of the right choice, `[n]` int64; None without labels.
        lines: where each row begins in `origin`. Shape: `[n]` int64.
        held_out: share of `origin` that these rows are, where they were held out of it for validation.
    """

    name: str
    contexts: list[str]
    questions: list[str]
    choices: list[Choices]
    heads: list[str]
    tails: list[tuple[str, ...]]
    cells: list[object] | None
    lines: npt.NDArray[np.int64]
    origin: str
    targets: npt.NDArray[np.int64] | None = None
    held_out: float | None = None

    def __len__(self) -> int:
        return len(self.choices)

    @property
    def empty_texts(self) -> int:
        """How many rows have neither context nor question."""
        return sum(not text for text in self.heads)

    def take(self, rows: np.ndarray, *, name: str | None = None, held_out: float | None = None) -> ChoiceRows:
        """The given rows as a split of their own; `held_out`: share of its origin, where it was held out of it."""
        return replace(
            self,
            name=name or self.name,
            held_out=held_out,
            contexts=[self.contexts[row] for row in rows],
            questions=[self.questions[row] for row in rows],
            choices=[self.choices[row] for row in rows],
            heads=[self.heads[row] for row in rows],
            tails=[self.tails[row] for row in rows],
            cells=None if self.cells is None else [self.cells[row] for row in rows],
            targets=None if self.targets is None else self.targets[rows],
            lines=self.lines[rows],
        )

    def contents(self, labels: tuple[str, ...] | None) -> Contents:
        """The questions as strings; classes are the places of right choices."""
        parts = {
            "context": self.contexts,
            "question": self.questions,
            "choices": ["\n".join(choices.texts) for choices in self.choices],
        }
        golds, classes = None, None
        if self.targets is not None:
            golds = [choices.texts[place] for choices, place in zip(self.choices, self.targets, strict=True)]
            most = max(len(choices.texts) for choices in self.choices)
            counts = np.bincount(self.targets, minlength=most).tolist()
            classes = {f"choice {place}": count for place, count in enumerate(counts)}
        parts = {role: texts for role, texts in parts.items() if any(texts)}
        return Contents(self.name, self.origin, self.lines, parts, golds, classes, held_out=self.held_out)


@dataclass(frozen=True, eq=False)
class LoadedChoices:
    """Splits by name, the column of each role, and doubts about the data as sentences."""

    splits: dict[str, ChoiceRows]
    columns: dict[str, str]
    doubts: tuple[str, ...]


def load_choices(
    task: Task,
    data: DataSection,
    *,
    sources: Mapping[str, Source],
    splits: tuple[str, ...] | None = None,
    require_labels: tuple[str, ...] = ("train", "validation"),
    seed: int,
) -> LoadedChoices:
    """Read and check the splits asked for; arguments as of `load_examples`.

    Raises:
        DataError: D040, D041, D043, D044, D047 as of `load_examples`; choices that are none (D140, D142, D144, D145), a
            label that means none of them (D141) or is missing (D143), neither question nor context (D146), or one that
            is no string (D147); a row that the task cannot read (D148).
        UsageError: an unknown role in `data.columns` (U063).
    """
    tables: list[Columns] = []
    labels = ChoiceLabels(data.labels if data.labels != "auto" else task.labels)

    def read(name: str, source: Source) -> ChoiceRows:
        table = read_table(task, data, source, require_label=name in require_labels)
        tables.append(table)
        check_agreement(tables[0], table)
        rows = rows_of(table, task, name=name)
        if rows.cells is not None and labels.first is None:
            labels.learn(rows.cells, rows.choices, rows.lines, rows.origin)
        return rows

    # All of the training split tells what labels mean, so that they mean the same whatever else is read.
    loaded = load_splits(data, sources, splits, seed=seed, read=read, also_train=True)
    found = {name: _with_targets(rows, labels, required=name in require_labels) for name, rows in loaded.items()}
    return LoadedChoices(found, tables[0].names if tables else {}, (labels.doubt,) if labels.doubt else ())


def given_choices(
    records: Sequence[Record], task: Task, *, origin: str, columns: Mapping[str, str] | None = None
) -> ChoiceRows:
    """Rows without labels, as `predict` reads them.

    Args:
        columns: role -> column, where the user says it.

    Raises:
        DataError: as of `load_choices`.
    """
    unasked = replace(task, columns={role: names for role, names in task.columns.items() if role != "label"})
    data = DataSection(columns=dict(columns or {}))
    try:
        return rows_of(table_of(unasked, data, records, origin=origin), unasked, name="")
    except DataError as error:
        # There is no recipe whose keys could be set.
        if error.key is not None and error.key.startswith("data.columns."):
            error.key = "--column"
        error.help = (error.help or "").replace("data.columns.", "--column ")
        raise


def rows_of(table: Columns, task: Task, *, name: str) -> ChoiceRows:
    """The rows of a table as they are read."""
    places = [f"{table.origin}:{line}" for line in table.lines]
    contexts, questions = (texts_of(table, role, places) for role in TEXTS)
    choices = [read_choices(cells, where=where) for cells, where in zip(choice_cells_of(table), places, strict=True)]
    read = [
        _read_as(task, context, question, own.texts, where)
        for context, question, own, where in zip(contexts, questions, choices, places, strict=True)
    ]
    return ChoiceRows(
        name=name,
        contexts=contexts,
        questions=questions,
        choices=choices,
        heads=[head for head, _ in read],
        tails=[tails for _, tails in read],
        cells=table.cells.get("label"),
        lines=np.asarray(table.lines, dtype=np.int64),
        origin=table.origin,
    )


def _read_as(
    task: Task, context: str, question: str, choices: tuple[str, ...], where: str
) -> tuple[str, tuple[str, ...]]:
    """What the model reads of a row, before and behind the separator."""
    row = prepared_row(task, {"context": context, "question": question, "choices": choices}, where=where)
    assert row is not None, "no task of choices leaves rows out"
    context, question, choices = row["context"], row["question"], row["choices"]  # type: ignore[assignment]
    if not context:
        return question, choices
    return context, tuple(f"{question} {choice}".strip() if question else choice for choice in choices)


def _with_targets(rows: ChoiceRows, labels: ChoiceLabels, *, required: bool) -> ChoiceRows:
    if rows.cells is None or unlabelled(rows.cells):
        if required:
            raise DataError(
                "D044",
                f"split '{rows.name}' has no labels ({'no column for them' if rows.cells is None else 'all are -1'})",
                where=rows.origin,
                key="data.columns.label",
                found=f"{len(rows)} rows without a label",
                allowed="a label in every row",
                help="use a split with labels; bertctl predict needs none",
            )
        return rows
    return replace(rows, targets=labels.read(rows.cells, rows.choices, rows.lines, rows.origin))
