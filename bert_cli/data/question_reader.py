"""Reads the questions of one file with their gold answers, and tells what is doubtful about them.

Every answer is looked up in its context before anything is trained. One that stands elsewhere than the file says is
moved, or its question is not trained on, and the user hears how many; other mistakes are refused with their place.
130,000 questions take about two seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from bert_cli.data.columns import check_roles, find_roles, refuse_missing
from bert_cli.data.gold_answers import UNKNOWN, Gold, read_gold
from bert_cli.data.questions import Questions, check_context
from bert_cli.data.squad import Asked
from bert_cli.errors import DataError
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks.base import Task

OPTIONAL = frozenset({"answers", "is_impossible", "id"})
"""Roles that rows may lack; whether answers are needed is the split's business."""


@dataclass(frozen=True)
class Found:
    """Questions of one file, the column of each role, and what is to be said about their answers."""

    rows: Questions
    columns: dict[str, str]
    doubts: tuple[str, ...]


def read_questions(name: str, given: Iterable[Asked], *, task: Task, data: DataSection, origin: str) -> Found:
    """Check and collect questions.

    Args:
        name: of the split.

    Raises:
        UsageError: `data.columns` names a role that the task lacks (U063).
        DataError: no column for question or context (D040), a cell that is no text (D042), an empty context (D124), an
            id of another kind (D125) or twice (D126), answers in some rows only (D127), and what `read_gold` raises.
    """
    check_roles(task, data)
    reader = _Reader(name, origin, task, data)
    for each in given:
        reader.add(each)
    return reader.found()


class _Reader:
    """Rows as they come, and what is told about them at the end."""

    def __init__(self, name: str, origin: str, task: Task, data: DataSection) -> None:
        self.name, self.origin = name, origin
        self.data = data
        self.task = replace(task, optional=task.optional | OPTIONAL)
        self.columns: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.questions: list[str] = []
        self.contexts: list[str] = []
        self.golds: list[Gold | None] = []
        self.impossible = False
        self.lines: list[int] = []
        self.wheres: dict[str, str] = {}
        self._roles: dict[tuple[str, ...], dict[str, str]] = {}
        self._shared: dict[str, str] = {}

    def add(self, row: Asked) -> None:
        """Check one row and keep it."""
        header = tuple(row.values)
        if header not in self._roles:
            self._roles[header] = find_roles(
                self.task, self.data, header, may_lack=self.task.optional, where=row.header
            )
            self.columns = {**self._roles[header], **self.columns}
        roles = self._roles[header]
        question = _text(row, "question", roles["question"])
        context = _text(row, "context", roles["context"])
        check_context(context, row.where)
        if not question.strip():
            self.wheres.setdefault("empty", row.where)
        self._add_id(row, roles.get("id"))
        self.golds.append(self._gold(row, roles, context))
        self.questions.append(question)
        self.contexts.append(self._shared.setdefault(context, context))
        self.lines.append(row.line)

    def _add_id(self, row: Asked, column: str | None) -> None:
        if column is None:
            return
        value = row.values[column]
        if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
            raise DataError(
                "D125",
                "the id of a question must be a string or a whole number",
                where=row.where,
                key="data.columns.id",
                found="null" if value is None else repr(value),
                allowed="a string or a whole number, another for each question",
                help="number the questions, or leave the column of ids out",
            )
        if str(value) in self.ids:
            raise DataError(
                "D126",
                f"two questions have the id '{value}', and predictions are told apart by it",
                where=row.where,
                key="data.columns.id",
                found=f"{value}, also at {self.ids[str(value)]}",
                allowed="another id for each question",
                help="give one of them another id, or leave the column of ids out",
            )
        self.ids[str(value)] = row.where

    def _gold(self, row: Asked, roles: dict[str, str], context: str) -> Gold | None:
        cells = {role: row.values.get(roles.get(role, "")) for role in ("answers", "is_impossible")}
        if cells["answers"] is None:
            self.wheres.setdefault("unanswered", row.where)
            return None
        impossible = cells["is_impossible"]
        self.impossible |= str(impossible).casefold() in ("true", "1")
        gold = read_gold(cells["answers"], context, impossible=impossible, where=row.where, key="data.columns.answers")
        if gold is not None and gold.wrong:
            self.wheres.setdefault("wrong", row.where)
        return gold

    def found(self) -> Found:
        """Everything that was added."""
        self._check_chosen()
        golds = self._texts()
        spans = [UNKNOWN if gold is None or golds is None else gold.span for gold in self.golds]
        rows = Questions(
            name=self.name,
            origin=self.origin,
            ids=self._ids(),
            questions=self.questions,
            contexts=self.contexts,
            golds=golds,
            spans=np.array(spans, dtype=np.int64).reshape(-1, 2),
            lines=np.array(self.lines, dtype=np.int64),
        )
        return Found(rows, self.columns, tuple(f"{self.name}: {doubt}" for doubt in self._doubts(rows)))

    def _check_chosen(self) -> None:
        """Refuse a column that `data.columns` names and no row has; rows without answers need none for them."""
        needless = {"answers"} if "answers" in self.columns else {"answers", "is_impossible"}
        lost = {
            role: (column,)
            for role, column in self.data.columns.items()
            if role not in self.columns and role not in needless
        }
        refuse_missing(lost, list(dict.fromkeys(chain.from_iterable(self._roles))), where=self.origin)

    def _ids(self) -> list[str] | None:
        if not self.ids:
            return None
        if len(self.ids) < len(self.questions):
            raise DataError(
                "D125",
                f"only {len(self.ids)} of {len(self.questions)} questions have an id",
                where=self.origin,
                key="data.columns.id",
                allowed="an id for every question, or for none",
                help="number the questions, or leave the column of ids out",
            )
        return list(self.ids)

    def _texts(self) -> list[tuple[str, ...]] | None:
        """The gold answers of all rows; None where there are none in any, and no row says that this is meant."""
        known = [gold for gold in self.golds if gold is not None]
        if known and len(known) < len(self.golds):
            raise DataError(
                "D127",
                f"{len(self.golds) - len(known)} of {len(self.golds)} questions have no answers at all",
                where=self.wheres["unanswered"],
                key="data.columns.answers",
                found="null, or no such key",
                allowed="answers in every row ([] where the context has none), or in no row",
                help="write [] where there is no answer, or keep unlabelled rows in a file of their own",
            )
        if not known or not (self.impossible or any(gold.texts for gold in known)):
            return None
        return [gold.texts for gold in known]

    def _doubts(self, rows: Questions) -> Iterable[str]:
        if empty := rows.empty_texts:
            yield f"{_questions(empty)} without a word (first: {self.wheres['empty']}): scored, but not learnt from"
        known = [gold for gold in self.golds if gold is not None]
        wrong, moved = sum(gold.wrong for gold in known), sum(gold.moved for gold in known)
        if wrong:
            answers = sum(len(gold.texts) for gold in known)
            yield (
                f"{wrong} of {answers} answers do not stand where answer_start says (first: {self.wheres['wrong']}); "
                f"{moved} of them occur once in their context and are taken from there"
            )
        if lost := sum(gold.span == UNKNOWN for gold in known):
            yield f"{_questions(lost)} whose answers have no certain place: scored, but not learnt from"


def _questions(count: int) -> str:
    return f"{count} question{'' if count == 1 else 's'}"


def _text(row: Asked, role: str, column: str) -> str:
    value = row.values[column]
    if not isinstance(value, str):
        raise DataError(
            "D042",
            f"the {role} of this row is {'null' if value is None else f'a {type(value).__name__}'}, not a string",
            where=row.where,
            key=f"data.columns.{role}",
            found="null" if value is None else repr(value),
            allowed="a string",
            help="write the value in quotes, or delete the row",
        )
    return value


def no_answers(rows: Questions) -> DataError:
    """What to say when questions without answers were to be learnt from or scored."""
    return DataError(
        "D044",
        f"split '{rows.name}' has no answers",
        where=rows.origin,
        key="data.columns.answers",
        found=f"{len(rows)} questions without an answer, none of them marked as impossible",
        allowed="answers; where no context has one, is_impossible: true",
        help="use a split with answers; bertctl predict needs none",
    )
