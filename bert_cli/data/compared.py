"""Texts and what each is compared with: single texts, pairs with or without a score, triplets.

Which of these a file holds is told by its columns; every row is checked before anything is trained, with file and line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt

from bert_cli.data.collection import Collection
from bert_cli.data.columns import Columns, read_columns
from bert_cli.data.labels import LabelSet
from bert_cli.data.queries import Queries, check_some, left_out
from bert_cli.data.source import Source
from bert_cli.data.targets import read_scores
from bert_cli.errors import DataError
from bert_cli.inspect.contents import Contents, written
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks.base import Task

PARTLY = frozenset({"label", "negative"})
"""Roles that one split may have and another not."""


@dataclass(frozen=True, eq=False)
class Compared:
    """Rows of one split.

    Attributes:
        texts: of each row a text, its partner where there is one, and texts that are unlike it.
        targets: how similar each pair is, or 1 for pairs that mean the same and 0 for others; None where unknown.
        lines: where each row begins in `origin`. Shape: `[n]` int64.
        learns: the loss that they are learnt by; None where they are scored.
        asked: they are only answered, since nobody knows how similar they are.
    """

    name: str
    texts: list[tuple[str, ...]]
    targets: npt.NDArray[np.float32] | None
    lines: npt.NDArray[np.int64]
    origin: str
    held_out: float | None = None
    learns: str | None = None
    asked: bool = False

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def empty_texts(self) -> int:
        """How many rows have an empty first text."""
        return sum(not texts[0].strip() for texts in self.texts)

    @property
    def single(self) -> bool:
        """Whether rows are texts without a partner."""
        return bool(self.texts) and len(self.texts[0]) == 1

    @property
    def labelled(self) -> bool:
        """Whether targets only say which pairs mean the same."""
        return self.targets is not None and bool(np.isin(self.targets, (0, 1)).all())

    def take(self, rows: np.ndarray, *, name: str | None = None, held_out: float | None = None) -> Compared:
        """The given rows as a split of their own."""
        return replace(
            self,
            name=name or self.name,
            texts=[self.texts[int(row)] for row in rows],
            targets=None if self.targets is None else self.targets[rows],
            lines=self.lines[rows],
            held_out=held_out,
        )

    def contents(self, labels: tuple[str, ...] | None) -> Contents:
        """Texts, partners and scores."""
        parts = {"text": [texts[0] for texts in self.texts]}
        if not self.single:
            parts["text_pair"] = [texts[1] for texts in self.texts]
        golds = None if self.targets is None else written(self.targets)
        return Contents(
            self.name, self.origin, self.lines, parts, golds, numeric=golds is not None, held_out=self.held_out
        )

    def queries(self, *, given: bool) -> tuple[Queries, str | None]:
        """The rows as queries: a text is to find its partners among those of all rows, or of its own rows.

        Returns:
            The queries, each text once, and what to tell about those without a partner.

        Raises:
            DataError: no text has a partner that means the same (D157).
        """
        places: dict[str, int] = {}
        ids: list[str] = []
        grades: dict[str, dict[int, int]] = {}
        first: dict[str, int] = {}
        targets = np.ones(len(self)) if self.targets is None else self.targets
        for texts, line, target in zip(self.texts, self.lines.tolist(), targets.tolist(), strict=True):
            own = grades.setdefault(texts[0], {})
            first.setdefault(texts[0], line)
            for number, text in enumerate(texts[1:]):
                if text not in places:
                    places[text] = len(ids)
                    ids.append(str(line) if number == 0 else f"{line}.{number}")
                grade = int(target) if number == 0 else 0
                own[places[text]] = max(grade, own.get(places[text], 0))
        known = [text for text, own in grades.items() if max(own.values()) > 0]
        check_some(known, self.origin)
        lines = np.array([first[text] for text in known], dtype=np.int64)
        rows = Queries(
            self.name,
            [str(line) for line in lines.tolist()],
            known,
            [grades[text] for text in known],
            lines,
            Collection(ids, list(places), self.origin),
            self.origin,
            given=given,
            mutual=True,
            held_out=self.held_out,
        )
        return rows, left_out(len(grades) - len(known), self.origin)


def read_compared(task: Task, data: DataSection, source: Source, *, name: str) -> tuple[Compared, Columns]:
    """The rows of one split, and the columns that they were read from.

    Raises:
        UsageError, DataError: see `read_columns` and `read_scores`; a cell of negative texts that holds none (D158).
    """
    columns = read_columns(task, data, source, may_lack=PARTLY)
    cells = columns.cells
    partners = cast("list[str] | None", cells.get("text_pair"))
    unlike = [_texts(cell, line, columns) for cell, line in zip(cells.get("negative", ()), columns.lines, strict=False)]
    texts = [
        (text, *(() if partners is None else (partners[row],)), *(unlike[row] if unlike else ()))
        for row, text in enumerate(cast(list[str], cells["text"]))
    ]
    if unlike and partners is None:
        raise DataError(
            "D158",
            "there are texts that are unlike, and none that is like the first",
            where=source.header(columns.lines[0]),
            key="data.columns.text_pair",
            found=", ".join(columns.header),
            allowed="a column for text_pair beside that for negative",
            help="data.columns.text_pair=COLUMN",
        )
    lines = np.asarray(columns.lines, dtype=np.int64)
    return Compared(name, texts, _targets(task, columns), lines, columns.origin), columns


def _targets(task: Task, columns: Columns) -> npt.NDArray[np.float32] | None:
    if "label" not in columns.cells or "text_pair" not in columns.cells:
        return None
    if task.labels is not None:
        known = LabelSet(task.labels, task.label_aliases)
        ids = [known.resolve(cell) for cell in columns.cells["label"]]
        named = [cell if place is None else place for cell, place in zip(columns.cells["label"], ids, strict=True)]
        columns = replace(columns, cells={**columns.cells, "label": named})
    return read_scores(columns, task)


def _texts(cell: object, line: int, columns: Columns) -> Sequence[str]:
    """The texts of a cell: one, or a list of them; an empty cell has none."""
    found = [] if cell in (None, "") else [cell] if isinstance(cell, str) else cell
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise DataError(
            "D158",
            "this cell is to hold a text that is unlike the first, or a list of such texts",
            where=f"{columns.origin}:{line}",
            key="data.columns.negative",
            found=repr(cell),
            allowed="a string, a list of strings, or nothing",
            help="correct the row, or leave the cell empty",
        )
    return found
