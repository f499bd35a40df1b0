"""From label cells to the array that an objective learns: class ids, multi-hot rows or scores.

Which classes there are is settled once, by the model, the recipe, the task or the training split, in this order. Every
cell is then checked against them, with file and line; the price is one look at each cell.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from bert_cli.data.columns import Columns
from bert_cli.data.labels import (
    LabelSet,
    class_ids,
    doubtful_classes,
    encode_classes,
    encode_multi_hot,
    infer_labels,
    is_missing,
    scalar_label,
    whole_number,
)
from bert_cli.errors import DataError
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks.base import Task

Targets = npt.NDArray[np.int64] | npt.NDArray[np.float32]

# Targets are float32; a larger number would become infinite there.
_LARGEST = float(np.finfo(np.float32).max)
_SCORE = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


class TargetReader:
    """Encodes label cells of one task.

    `learn` comes before `encode`. `names` are the classes that targets count, those of the model where it has some.
    `doubt` is what a user should hear about classes read from the data, or None.
    """

    def __init__(self, task: Task, data: DataSection, model_labels: tuple[str, ...] | None) -> None:
        self.task = task
        self.separator = data.label_separator
        self.has_labels = "label" in task.columns
        self.multi = task.objective == "multi-label-classification"
        self.classes = self.has_labels and (self.multi or task.objective == "text-classification")
        given = data.labels if data.labels != "auto" else task.labels
        self.source_set = LabelSet(given, task.label_aliases) if given else None
        self.model_set = LabelSet(model_labels, task.label_aliases) if model_labels else None
        self.doubt: str | None = None
        self._named: dict[tuple[type, Hashable], Hashable] = {}

    @property
    def needs_training_split(self) -> bool:
        """Whether only the training split can tell the classes."""
        return self.classes and self.source_set is None and self.model_set is None

    @property
    def names(self) -> tuple[str, ...] | None:
        """Class names in the order of their ids."""
        known = self.model_set or self.source_set
        return known.names if self.classes and known else None

    def learn(self, tables: Mapping[str, Columns]) -> None:
        """Settle the classes from the training split where nothing else names them.

        Raises:
            DataError: no labelled training split was read (D048), each of many rows is a class of its own (D049), and
                what `infer_labels` raises.
        """
        if not self.needs_training_split or not any("label" in table.cells for table in tables.values()):
            return
        table = tables.get("train")
        if table is None or "label" not in table.cells:
            raise DataError(
                "D048",
                "the classes are not known: there is no labelled training split, and neither task nor model names them",
                key="data.labels",
                allowed="class names in the order of their ids",
                help="data.labels=[negative,positive]",
            )
        cells, lines = table.cells["label"], table.lines
        if self.multi:
            rows = self._lists(table)
            if all(map(_marked, rows)):
                return
            flat = [(value, line) for row, line in zip(rows, lines, strict=True) for value in row]
            cells, lines = [value for value, _ in flat], [line for _, line in flat]
        if not all(whole_number(cell) == -1 for cell in cells):
            self.source_set = infer_labels(cells, lines, origin=table.origin)
            self.doubt = doubtful_classes(
                self.source_set,
                len(table.lines),
                origin=table.origin,
                column=table.names.get("label", "label"),
                columns=table.header,
            )

    def encode(self, split: str, table: Columns) -> tuple[Targets | None, str | None]:
        """Targets of one split, or None with the reason why there are none."""
        if not self.has_labels:
            return None, None
        if "label" not in table.cells:
            return None, f"split '{split}' has no labels (no column for them)"
        if self.classes:
            targets = self._encode_classes(table)
        else:
            targets = read_scores(table, self.task) if self.task.objective == "text-regression" else None
        return targets, None if targets is not None else f"split '{split}' has no labels (all are -1)"

    def _encode_classes(self, table: Columns) -> Targets | None:
        labels = self.model_set or self.source_set
        cells, lines, origin = table.cells["label"], table.lines, table.origin
        if labels is None:
            return None
        if self.multi:
            rows = self._lists(table)
            if self._translates and not all(map(_marked, rows)):
                rows = [
                    self._in_model_names(row, [line] * len(row), origin) for row, line in zip(rows, lines, strict=True)
                ]
            return encode_multi_hot(rows, lines, labels, origin=origin)
        if self._translates and not all(whole_number(cell) == -1 for cell in cells):
            cells = self._in_model_names(cells, lines, origin)
        return encode_classes(cells, lines, labels, origin=origin)

    @property
    def _translates(self) -> bool:
        """Whether ids in the data may mean other classes than the same ids of the model."""
        return (
            self.model_set is not None and self.source_set is not None and self.model_set.names != self.source_set.names
        )

    def _in_model_names(self, cells: Sequence[object], lines: Sequence[int], origin: str) -> list[object]:
        """The cells, ids and names that the model lacks replaced by the class names that the data mean."""
        named: list[object] = []
        for cell, line in zip(cells, lines, strict=True):
            raw = scalar_label(cell, where=f"{origin}:{line}")
            key = (type(raw), raw)
            if key not in self._named:
                self._named[key] = self._in_model_name(raw, line, origin)
            named.append(self._named[key])
        return named

    def _in_model_name(self, cell: Hashable, line: int, origin: str) -> Hashable:
        assert self.source_set is not None and self.model_set is not None
        if is_missing(cell) or (whole_number(cell) is None and self.model_set.resolve(cell) is not None):
            return cell
        name = self.source_set.names[class_ids([cell], [line], self.source_set, origin=origin)[0]]
        if self.model_set.resolve(name) is None:
            raise DataError(
                "D038",
                f"the model has no class '{name}'",
                where=f"{origin}:{line}",
                key="data.labels",
                found=name,
                allowed=self.model_set.names,
                help="score data with the model's classes, or train a new head: model.reset_head=true",
            )
        return name

    def _lists(self, table: Columns) -> list[Sequence[object]]:
        rows: list[Sequence[object]] = []
        for cell, line in zip(table.cells["label"], table.lines, strict=True):
            if isinstance(cell, str):
                parts = [part.strip() for part in cell.split(self.separator)] if cell.strip() else []
                if not all(parts):
                    raise self._empty_label(cell, where=f"{table.origin}:{line}")
                rows.append(parts)
            elif isinstance(cell, list):
                rows.append(cell)
            elif whole_number(cell) == -1:
                rows.append([cell])
            else:
                raise DataError(
                    "D039",
                    "the labels of a row must be a list, or a string that is split",
                    where=f"{table.origin}:{line}",
                    key="data.columns.label",
                    found="null" if cell is None else repr(cell),
                    allowed=f"a list of names or ids (it may be empty), or a string with '{self.separator}' between",
                    help="write [] where no label applies",
                )
        return rows

    def _empty_label(self, cell: str, *, where: str) -> DataError:
        return DataError(
            "D050",
            "a label between separators is empty",
            where=where,
            key="data.columns.label",
            found=repr(cell),
            allowed=f"labels with one '{self.separator}' between two of them",
            help="take out the separator that has no label beside it",
        )


def read_scores(table: Columns, task: Task) -> npt.NDArray[np.float32] | None:
    """The label cells as scores; None where each of them says that there is none (-1). Shape: `[n]`.

    Raises:
        DataError: a cell that is no finite number (D045), or lies outside the task's range (D046).
    """
    cells = table.cells["label"]
    low, high = task.score_range or (-math.inf, math.inf)
    minus_one_is_a_score = task.score_range is not None and low <= -1 <= high
    if not minus_one_is_a_score and all(whole_number(cell) == -1 for cell in cells):
        return None
    scores = np.empty(len(cells), dtype=np.float32)
    for row, (cell, line) in enumerate(zip(cells, table.lines, strict=True)):
        score = _number(cell)
        if score is None:
            raise DataError(
                "D045",
                "a score must be a finite number",
                where=f"{table.origin}:{line}",
                key="data.columns.label",
                found="no score" if is_missing(cell) else repr(cell),
                allowed="a finite number",
                help="correct the row, or learn classes: --task text-classification",
            )
        if not low <= score <= high:
            raise DataError(
                "D046",
                f"the score {score:g} lies outside the range of task '{task.name}'",
                where=f"{table.origin}:{line}",
                key="data.columns.label",
                found=cell,
                allowed=f"{low:g} to {high:g}",
                help=f"correct the row, or use --task {task.objective}, which has no range",
            )
        scores[row] = score
    return scores


def _number(cell: object) -> float | None:
    """The finite number that a cell writes; Python's underscores, `nan` and booleans are none."""
    if isinstance(cell, str):
        cell = float(cell) if _SCORE.fullmatch(cell) else None
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    return float(cell) if -_LARGEST <= cell <= _LARGEST else None


def _marked(row: Sequence[object]) -> bool:
    return len(row) == 1 and whole_number(row[0]) == -1
