"""Questions about contexts: the rows of extractive question answering.

A context that many questions share is one string. Rows without answers, as `predict` reads them, need nothing but the
two texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bert_cli.data.cells import cell, has_cell, text_cell
from bert_cli.data.gold_answers import UNKNOWN
from bert_cli.data.squad import asked
from bert_cli.data.stream import Record
from bert_cli.errors import DataError
from bert_cli.inspect.contents import Contents

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Questions:
    """Questions of one split, each with its context.

    Attributes:
        ids: of each question, unique where they were read with answers; None where the data have none.
        golds: texts of all gold answers of each question, none where the context has no answer; None without answers.
        spans: characters of the answer that is learnt, from and to; (0, 0) where there is none, (-1, -1) where it has
            no known place. Shape: `[n, 2]` int64.
        lines: `[n]` int64, where each row begins in `origin`; in nested files the question's number.
    """

    name: str
    origin: str
    ids: list[str] | None
    questions: list[str]
    contexts: list[str]
    golds: list[tuple[str, ...]] | None
    spans: Ints
    lines: Ints
    held_out: float | None = None

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def empty_texts(self) -> int:
        """Questions without a word."""
        return sum(not question.strip() for question in self.questions)

    @property
    def learnable(self) -> Ints:
        """Rows that can be learnt from: those with a question whose answer has a place, or is known to be absent."""
        asked = np.fromiter((bool(question.strip()) for question in self.questions), dtype=bool, count=len(self))
        return np.flatnonzero(asked & (self.spans[:, 0] >= 0))

    @property
    def context_numbers(self) -> Ints:
        """A number for each context, the same where it is the same text. Shape: `[n]` int64."""
        numbers: dict[str, int] = {}
        found = (numbers.setdefault(context, len(numbers)) for context in self.contexts)
        return np.fromiter(found, dtype=np.int64, count=len(self))

    def take(self, rows: Ints, *, name: str | None = None, held_out: float | None = None) -> Questions:
        """The given rows as a split of their own; `held_out`: share of its origin, where it was held out of it."""
        return replace(
            self,
            name=name or self.name,
            held_out=held_out,
            ids=None if self.ids is None else [self.ids[row] for row in rows],
            questions=[self.questions[row] for row in rows],
            contexts=[self.contexts[row] for row in rows],
            golds=None if self.golds is None else [self.golds[row] for row in rows],
            spans=self.spans[rows],
            lines=self.lines[rows] if len(self.lines) else self.lines,
        )

    def contents(self, labels: tuple[str, ...] | None) -> Contents:
        """The questions as strings; classes are whether there is an answer, where some have none."""
        golds, classes = None, None
        if self.golds is not None:
            golds = [" | ".join(sorted(set(texts))) or "(no answer)" for texts in self.golds]
            without = sum(not texts for texts in self.golds)
            classes = {"answerable": len(self) - without, "unanswerable": without} if without else None
        parts = {"question": self.questions, "context": self.contexts}
        return Contents(self.name, self.origin, self.lines, parts, golds, classes, held_out=self.held_out)


def given_questions(
    records: Iterable[Record], names: Mapping[str, Sequence[str]], *, origin: str, columns: Mapping[str, str]
) -> Questions:
    """Questions without answers; a record of SQuAD's nested layout holds many.

    Args:
        names: role -> columns that may hold it, most usual first.
        columns: role -> column, where the user says it.

    Raises:
        DataError: what `asked` and `text_cell` raise, or an empty context (D124).
    """
    rows = list(asked(records, origin=origin))
    found = [Record(row.line, row.values) for row in rows]
    questions, contexts = (
        [text_cell(record, role, names[role], origin=origin, columns=columns) for record in found]
        for role in ("question", "context")
    )
    for row, context in zip(rows, contexts, strict=True):
        check_context(context, row.where)
    ids = None
    if all(has_cell(record, "id", names["id"], columns=columns) for record in found):
        ids = [str(cell(record, "id", names["id"], origin=origin, columns=columns)) for record in found]
    # No line: a reader of predictions knows the order of what it sent.
    lines = np.empty(0, dtype=np.int64)
    return Questions("", origin, ids, questions, contexts, None, np.full((len(found), 2), UNKNOWN), lines)


def check_context(context: str, where: str) -> None:
    """Refuse a context without a character (D124)."""
    if not context.strip():
        raise DataError(
            "D124",
            "there is nothing to read: the context is empty",
            where=where,
            key="data.columns.context",
            found=repr(context),
            allowed="a text that may hold the answer",
            help="delete the row, or name the column of the texts: data.columns.context=COLUMN",
        )
