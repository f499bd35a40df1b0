"""The choices of one row, however the data write them: a list, a list with names, or a column for each choice.

Every choice is the string that the data hold, and every row may have another number of them, from two on; whatever does
not fit is refused. Choices may bring names of their own (`A`, `1`), by which labels mean them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bert_cli.errors import DataError, listing

_FORMS = 'a list of strings, {"text": […], "label": […]}, or a column for each choice (choice1, choice2 …)'


@dataclass(frozen=True)
class Choices:
    """Choices of one row.

    Attributes:
        names: what labels call them, where the data say so.
    """

    texts: tuple[str, ...]
    names: tuple[str, ...] | None = None


def columns_of(name: str, found: Collection[str]) -> tuple[str, ...]:
    """The columns that a name of `choices` stands for; none where they are not there.

    Args:
        name: a column (`choices`), several with commas between, or `ending*` for `ending0`, `ending1`, `ending_a` …
        found: the columns of a row.
    """
    if "," in name:
        parts = tuple(part.strip() for part in name.split(","))
        return parts if all(part in found for part in parts) else ()
    if not name.endswith("*"):
        return (name,) if name in found else ()
    counted = re.compile(re.escape(name[:-1]) + r"[_ -]?(\d{1,3}|[a-hA-H])")
    matches = [(match[1], column) for column in found if (match := counted.fullmatch(column))]
    ordered = sorted(matches, key=lambda item: (not item[0].isdecimal(), item[0].zfill(3).casefold()))
    return tuple(column for _, column in ordered) if len(ordered) > 1 else ()


def read_choices(cells: Sequence[tuple[str, object]], *, where: str) -> Choices:
    """The choices in the cells of their columns.

    Args:
        cells: column and value: of the one that holds all of them, or of a column for each, whose names are theirs.
        where: file and line.

    Raises:
        DataError: fewer than two (D140), one that is no string (D142), no list of them (D144), one that is missing
            between others (D145).
    """
    found = _several(cells, where) if len(cells) > 1 else _listed(cells[0][1], where)
    for place, text in enumerate(found.texts, 1):
        if not isinstance(text, str):
            raise DataError(
                "D142",
                f"choice {place} of this row is {'null' if text is None else f'a {type(text).__name__}'}, not a string",
                where=where,
                key="data.columns.choices",
                found="null" if text is None else repr(text),
                allowed="a string",
                help="write the value in quotes, or delete the row",
            )
    if len(found.texts) < 2:
        raise DataError(
            "D140",
            f"this row has {len(found.texts) or 'no'} choice{'' if len(found.texts) == 1 else 's'}",
            where=where,
            key="data.columns.choices",
            found=listing(map(repr, found.texts)) or "nothing",
            allowed="two or more",
            help="add the other choices, or delete the row",
        )
    return found


def _several(cells: Sequence[tuple[str, object]], where: str) -> Choices:
    """Of columns of their own, the last ones of which may be empty."""
    kept = list(cells)
    while kept and kept[-1][1] in (None, ""):
        del kept[-1]
    for place, (_, cell) in enumerate(kept, 1):
        if cell in (None, ""):
            raise DataError(
                "D145",
                f"choice {place} of this row is missing, but one behind it is there",
                where=where,
                key="data.columns.choices",
                found=f"values in {listing(name for name, value in cells if value not in (None, ''))}",
                allowed="empty columns only behind the last choice",
                help="move the later choices forward, and the label with them",
            )
    return Choices(tuple(cell for _, cell in kept), tuple(name for name, _ in kept))  # type: ignore[misc]


def _listed(cell: object, where: str) -> Choices:
    """Of one cell; CSV and TSV, which have no lists, write one as JSON."""
    if isinstance(cell, str) and cell.lstrip().startswith(("[", "{")):
        try:
            cell = json.loads(cell)
        except ValueError:
            raise _no_list(cell, where) from None
    if isinstance(cell, dict) and "choices" in cell:
        cell = cell["choices"]
    if isinstance(cell, dict) and isinstance(cell.get("text"), list):
        names = cell.get("label")
        if names is not None and (not isinstance(names, list) or len(names) != len(cell["text"])):
            raise _no_list(cell, where)
        return Choices(tuple(cell["text"]), _names(names))
    if not isinstance(cell, list):
        raise _no_list(cell, where)
    if cell and all(isinstance(item, dict) and "text" in item for item in cell):
        names = [item.get("label") for item in cell]
        return Choices(tuple(item["text"] for item in cell), _names(None if None in names else names))
    return Choices(tuple(cell))


def _names(names: list[object] | None) -> tuple[str, ...] | None:
    return tuple(str(name).strip() for name in names) if names else None


def _no_list(cell: object, where: str) -> DataError:
    return DataError(
        "D144",
        "the choices of this row are no list of texts",
        where=where,
        key="data.columns.choices",
        found="null" if cell is None else repr(cell),
        allowed=_FORMS,
        help="write them as one of these, or name their columns: data.columns.choices=choice1,choice2",
    )
