"""Which columns of a row hold its context, its question, its choices and its label, and their cells.

JSON rows may differ in their columns, so roles are looked for in each new set of these; a role that is absent from a
row has no cell there, unless every row must have one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import cast

from bert_cli.data.choice_cells import columns_of
from bert_cli.data.columns import Columns, check_roles, find_roles
from bert_cli.data.source import Source
from bert_cli.data.stream import Record
from bert_cli.errors import DataError, closest, listing
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks.base import Task

TEXTS = ("context", "question")


def read_table(task: Task, data: DataSection, source: Source, *, require_label: bool) -> Columns:
    """The roles of a task of choices in one split; the label may be absent where `require_label` is false.

    Raises:
        UsageError: `data.columns` names a role that the task lacks (U063).
        DataError: columns are missing (D040), neither question nor context (D146), and what reading raises.
    """
    check_roles(task, data)
    absent = frozenset() if require_label else frozenset({"label"})
    # A mistake keeps everything alive that it passes through; the file is closed all the same.
    with closing(record for record in source.records(data)) as records:
        return table_of(task, data, records, origin=source.origin, may_lack=absent, header=source.header)


def table_of(
    task: Task,
    data: DataSection,
    records: Iterable[Record],
    *,
    origin: str,
    may_lack: frozenset[str] = frozenset(),
    header: Callable[[int], str] | None = None,
) -> Columns:
    """Cells by role; those of `choices` are tuples of columns with their values.

    Args:
        may_lack: roles that may be absent, beside those that the task may do without.
        header: where the row of a line has its columns from, for messages; default: the line itself.
    """
    known: dict[tuple[str, ...], dict[str, str]] = {}
    cells: dict[str, list[object]] = {role: [] for role in task.columns}
    names: dict[str, str] = {}
    lines = []
    for record in records:
        columns = tuple(record.values)
        if columns not in known:
            where = header(record.line) if header else f"{origin}:{record.line}"
            known[columns] = _roles(task, data, record.values, may_lack=may_lack, where=where)
            names = {**known[columns], **names}
        roles = known[columns]
        for role in task.columns:
            if role == "choices":
                cells[role].append(tuple((name, record.values[name]) for name in columns_of(roles[role], columns)))
            else:
                cells[role].append(record.values[roles[role]] if role in roles else None)
        lines.append(record.line)
    if "label" not in names:
        cells.pop("label", None)
    return Columns(origin, names, cells, lines, next(iter(known), ()))


def _roles(
    task: Task, data: DataSection, values: Mapping[str, object], *, may_lack: frozenset[str], where: str
) -> dict[str, str]:
    """The column of each role in one row; of `choices`, its name as `columns_of` reads it."""
    may_lack = (task.optional - set(data.columns)) | may_lack | {"choices"}
    names = find_roles(_apart(task, values), data, tuple(values), may_lack=may_lack, where=where)
    chosen = data.columns.get("choices")
    wanted = (chosen,) if chosen is not None else task.columns["choices"]
    found = next((name for name in wanted if columns_of(name, values)), None)
    if found is None and chosen is None and isinstance(values.get(names.get("question", "")), dict):
        # As ARC and CommonsenseQA were published, the choices are a part of the question.
        found = names["question"]
    if found is None:
        meant = next(filter(None, (closest(name, tuple(values)) for name in wanted)), None)
        raise DataError(
            "D040",
            "there is no column for 'choices'",
            where=where,
            key="data.columns.choices",
            found=f"none of {listing(wanted, 8)}" if len(wanted) > 1 else wanted[0],
            allowed=listing(values) + (f" (did you mean '{meant}'?)" if meant else ""),
            help="data.columns.choices=COLUMN, or several with commas between, or ending* for ending0, ending1 …",
        )
    if not any(role in names for role in TEXTS):
        raise DataError(
            "D146",
            "there is neither a question nor a context",
            where=where,
            key="data.columns.question",
            found=listing(values),
            allowed=f"a column {listing(task.columns['question'], 6)}",
            help="data.columns.question=COLUMN",
        )
    return {**names, "choices": found}


def _apart(task: Task, found: Collection[str]) -> Task:
    """The task with names that give context and question columns of their own.

    Some data call the context `question`, and what is asked by another name.
    """
    asked, told = ([name for name in task.columns.get(role, ()) if name in found] for role in ("question", "context"))
    pairs = [(question, context) for question in asked for context in told if question != context]
    if not pairs:
        return task
    question, context = pairs[0]
    return replace(task, columns={**task.columns, "question": (question,), "context": (context,)})


def _text(cell: object, role: str, where: str) -> str:
    """A question or a context; null is none."""
    if isinstance(cell, dict) and isinstance(cell.get("stem"), str):
        cell = cell["stem"]
    if cell is None:
        return ""
    if not isinstance(cell, str):
        raise DataError(
            "D147",
            f"the {role} of this row is a {type(cell).__name__}, not a string",
            where=where,
            key=f"data.columns.{role}",
            found=repr(cell),
            allowed="a string (it may be empty)",
            help="write the value in quotes, or delete the row",
        )
    return cell


def texts_of(table: Columns, role: str, places: Sequence[str]) -> list[str]:
    """Contexts or questions, empty strings where there are none.

    Args:
        places: file and line of each row.

    Raises:
        DataError: one is no string (D147).
    """
    cells = table.cells.get(role)
    if cells is None:
        return [""] * len(places)
    return [_text(cell, role, where) for cell, where in zip(cells, places, strict=True)]


def choice_cells_of(table: Columns) -> list[tuple[tuple[str, object], ...]]:
    """Of each row, the columns that hold its choices, with their values."""
    return cast(list[tuple[tuple[str, object], ...]], table.cells["choices"])
