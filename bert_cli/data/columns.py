"""Which column plays which role, and the cells of each role of one split.

A role has exactly one column, the same in every split, and every text is the string that the file holds.
Rows are read once into plain lists; a role that a task may do without is simply absent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from bert_cli.data.source import Source
from bert_cli.errors import DataError, UsageError, closest, listing, raise_all
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks.base import Row, Task

TEXT_ROLES = ("text", "text_pair")


@dataclass(frozen=True)
class Columns:
    """Cells of one split by role, the column behind each role, the line of each row, and all columns there are."""

    origin: str
    names: dict[str, str]
    cells: dict[str, list[object]]
    lines: list[int]
    header: tuple[str, ...] = ()


def read_columns(task: Task, data: DataSection, source: Source, *, may_lack: Collection[str] = ()) -> Columns:
    """The roles of `task` in one split; a role that one row has, every row must have.

    Args:
        may_lack: roles that may be absent even where `data.columns` names them, beside those that the task may do
            without.

    Raises:
        UsageError: `data.columns` names a role that the task lacks (U063).
        DataError: columns are missing (D040), a text is not a string (D042), the task leaves all rows out (D006) or
            cannot read one (D148), and what reading raises.
    """
    check_roles(task, data)
    names: dict[str, str] | None = None
    header: tuple[str, ...] = ()
    known: set[tuple[str, ...]] = set()
    cells: dict[str, list[object]] = {}
    lines: list[int] = []
    for record in source.records(data, columns={*data.columns.values(), *chain.from_iterable(task.columns.values())}):
        values = record.values
        if names is None:
            header = tuple(values)
            absent = (task.optional - set(data.columns)).union(may_lack)
            names = find_roles(task, data, header, may_lack=absent, where=source.header(record.line))
            cells = {role: [] for role in names}
            known = {header}
        elif (found := tuple(values)) not in known:
            known.add(found)
            lost = {role: (column,) for role, column in names.items() if column not in values}
            refuse_missing(lost, found, where=source.header(record.line))
            # A role that the first row lacks would be read of no row.
            more = find_roles(task, data, found, may_lack=frozenset(task.columns), where="")
            late = {role: (column,) for role, column in more.items() if role not in names}
            refuse_missing(late, header, where=source.header(lines[0]))
        for role, column in names.items():
            cells[role].append(values[column])
        lines.append(record.line)
    columns = Columns(source.origin, names or {}, cells, lines, header)
    _check_texts(columns)
    if task.prepare is not None:
        columns = _prepared(task, columns)
        _check_texts(columns)
    return columns


def check_agreement(first: Columns, other: Columns, *, may_differ: Collection[str] = ("label",)) -> None:
    """Refuse splits whose roles lie in different columns.

    Args:
        may_differ: roles that may be absent from one of them.

    Raises:
        DataError: they differ (D041); both files are named.
    """
    for role in dict.fromkeys([*first.names, *other.names]):
        here, there = first.names.get(role), other.names.get(role)
        if here == there or (role in may_differ and (here is None or there is None)):
            continue
        raise DataError(
            "D041",
            f"{first.origin} and {other.origin} have different columns for '{role}'",
            where=other.origin,
            key=f"data.columns.{role}",
            found=f"{first.origin}: {here or 'none'}; {other.origin}: {there or 'none'}",
            allowed="the same column in every split",
            help=f"rename the column in one of the files, or name it: data.columns.{role}=COLUMN",
        )


def check_roles(task: Task, data: DataSection) -> None:
    """Refuse a `data.columns` that names a role which the task lacks (U063)."""
    for role, column in data.columns.items():
        if role not in task.columns:
            meant = closest(role, task.columns) or next(iter(task.columns), "text")
            raise UsageError(
                "U063",
                f"the task '{task.name}' has no role '{role}'",
                key=f"data.columns.{role}",
                found=role,
                allowed=list(task.columns),
                help=f"data.columns.{meant}={column}",
            )


def find_roles(
    task: Task, data: DataSection, found: Sequence[str], *, may_lack: frozenset[str], where: str
) -> dict[str, str]:
    """The column of each role among those found.

    Raises:
        DataError: there is none for a role that must be there (D040), all of them at once.
    """
    names: dict[str, str] = {}
    missing: dict[str, Sequence[str]] = {}
    for role, aliases in task.columns.items():
        chosen = data.columns.get(role)
        wanted = (chosen,) if chosen is not None else tuple(aliases)
        column = next((name for name in wanted if name in found), None)
        if column is not None:
            names[role] = column
        elif role not in may_lack:
            missing[role] = wanted
    refuse_missing(missing, found, where=where)
    return names


def check_chosen(data: DataSection, tables: Mapping[str, Columns]) -> None:
    """Refuse a column that `data.columns` names and no split has (D040); negative texts are the training split's."""
    found = {role for table in tables.values() for role in table.names} | (set() if "train" in tables else {"negative"})
    first = next(iter(tables.values()))
    lost = {role: (name,) for role, name in data.columns.items() if role not in found}
    refuse_missing(lost, first.header, where=first.origin)


def refuse_missing(missing: Mapping[str, Sequence[str]], found: Sequence[str], *, where: str) -> None:
    """Raise D040 for each role of `missing`, all at once; its values are the names that were looked for."""
    errors = []
    for role, wanted in missing.items():
        meant = next(filter(None, (closest(name, found) for name in wanted)), None)
        # The nearest column is named here, because an error by itself compares one name only.
        hint = f" (did you mean '{meant}'?)" if meant else ""
        errors.append(
            DataError(
                "D040",
                f"there is no column for '{role}'",
                where=where,
                key=f"data.columns.{role}",
                found=wanted[0] if len(wanted) == 1 else f"none of {listing(wanted, 8)}",
                allowed=list(found) if len(wanted) == 1 else f"{listing(found)}{hint}",
                help=f"data.columns.{role}={meant or 'COLUMN'}",
            )
        )
    raise_all(errors)


def _check_texts(columns: Columns) -> None:
    for role in TEXT_ROLES:
        for line, cell in zip(columns.lines, columns.cells.get(role, ()), strict=False):
            if not isinstance(cell, str):
                raise DataError(
                    "D042",
                    f"the {role} of this row is {'null' if cell is None else f'a {type(cell).__name__}'}, not a string",
                    where=f"{columns.origin}:{line}",
                    key=f"data.columns.{role}",
                    found="null" if cell is None else repr(cell),
                    allowed="a string (it may be empty)",
                    help="write the value in quotes, or delete the row",
                )


def _prepared(task: Task, columns: Columns) -> Columns:
    """The rows as the task changes them, without those that it leaves out."""
    roles = list(columns.cells)
    rows, lines = [], []
    for line, cells in zip(columns.lines, zip(*columns.cells.values(), strict=True), strict=True):
        row = prepared_row(task, dict(zip(roles, cells, strict=True)), where=f"{columns.origin}:{line}")
        if row is not None:
            rows.append(row)
            lines.append(line)
    if not rows:
        raise DataError(
            "D006",
            f"{columns.origin} has no rows that the task '{task.name}' reads",
            where=columns.origin,
            found=f"{len(columns.lines)}, all of which it leaves out",
            allowed="at least one row",
            help="give another file, or more of its rows: data.limit",
        )
    return replace(columns, cells={role: [row[role] for row in rows] for role in rows[0]}, lines=lines)


def prepared_row(task: Task, row: Row, *, where: str) -> Row | None:
    """A row as its task changes it, None where that leaves it out; an error of the task gets its file and line."""
    if task.prepare is None:
        return row
    try:
        return task.prepare(row)
    except DataError as error:
        error.where = where
        raise
