"""Single cells of a record without a table around it, as `predict` reads them.

A role is looked for under the names that a model knows, or under the one that the user gives; what is not there, or not
text, is refused with its line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bert_cli.data.columns import TEXT_ROLES, prepared_row
from bert_cli.data.stream import Record
from bert_cli.errors import DataError, closest, listing
from bert_cli.tasks.base import Row, Task


def text_cell(
    record: Record, role: str, names: Sequence[str], *, origin: str, columns: Mapping[str, str] | None = None
) -> str:
    """The text of a role.

    Args:
        names: columns that may hold it, most usual first.
        columns: role -> column, where the user says it.

    Raises:
        DataError: no such column (D096), or no string in it (D095).
    """
    value = cell(record, role, names, origin=origin, columns=columns)
    if not isinstance(value, str):
        raise DataError(
            "D095",
            f"the {role} of this row must be text",
            where=f"{origin}:{record.line}",
            found=value,
            allowed="a string",
            help="quote the value",
        )
    return value


def cell(
    record: Record, role: str, names: Sequence[str], *, origin: str, columns: Mapping[str, str] | None = None
) -> object:
    """The value of a role, whatever it is; arguments and errors as in `text_cell`, but D095."""
    asked = columns.get(role) if columns else None
    name = next((name for name in ([asked] if asked else names) if name in record.values), None)
    if name is None:
        where = f"{origin}:{record.line}"
        if asked:
            raise _no_such_column(role, asked, list(record.values), where)
        raise _no_column(role, names, list(record.values), where)
    return record.values[name]


def texts_of(record: Record, task: Task, *, origin: str, columns: Mapping[str, str] | None = None) -> dict[str, str]:
    """The texts of a row without a label (`text`, `text_pair`), as the task prepares them.

    Args:
        columns: role -> column, where the user says it.

    Raises:
        DataError: as `text_cell`, and what the task's `prepare` raises (D148).
    """
    row: Row = {
        role: (text_cell if role in TEXT_ROLES else cell)(record, role, names, origin=origin, columns=columns)
        for role, names in task.columns.items()
        if role != "label"
    }
    prepared = prepared_row(task, row, where=f"{origin}:{record.line}")
    assert prepared is not None, "rows are left out for their labels, and this one has none"
    return {role: str(prepared[role]) for role in TEXT_ROLES if role in prepared}


def has_cell(record: Record, role: str, names: Sequence[str], *, columns: Mapping[str, str] | None = None) -> bool:
    """Whether the record has a column for a role that may be absent; one that the user names may not."""
    return bool(columns and role in columns) or any(name in record.values for name in names)


def _key(role: str) -> str:
    return f"--{role.replace('_', '-')}" if role in ("text", "text_pair") else "--column"


def _flag(role: str, column: str) -> str:
    return f"{_key(role)} {column}" if role in ("text", "text_pair") else f"{_key(role)} {role}={column}"


def _no_such_column(role: str, asked: str, there: list[str], where: str) -> DataError:
    meant = closest(asked, there)
    return DataError(
        "D096",
        f"there is no column '{asked}'",
        where=where,
        key=_key(role),
        found=asked,
        allowed=there,
        help=_flag(role, meant) if meant else f"{_flag(role, 'COLUMN')}, one of these",
    )


def _no_column(role: str, names: Sequence[str], there: list[str], where: str) -> DataError:
    return DataError(
        "D096",
        f"there is no column for {role}",
        where=where,
        key=_key(role),
        found=listing(there),
        allowed=f"a column {listing(dict.fromkeys(names), 6)}",
        help=f"{_flag(role, 'COLUMN')} names it",
    )
