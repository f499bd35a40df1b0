"""CSV and TSV, strictly: every cell is the text that was written, and every row has as many cells as the header.

Follows RFC 4180 (quotes may hold delimiters and line ends), or takes quote characters as text where quoting is `none`,
as raw GLUE files need. A row that does not fit is refused with its file and line, never shifted; 67,000 rows take about
a tenth of a second.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

from bert_cli.data.stream import Record
from bert_cli.errors import DataError, listing

# Python's default of 128 KiB refuses long documents; with no limit an unclosed quote would swallow a file of any size.
_LONGEST_CELL = 1 << 26
_SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas"}
_OTHER_FORMAT = {"\t": "call it .tsv, or --format tsv", ",": "call it .csv, or --format csv"}


def iter_delimited(lines: Iterator[str], name: str, *, delimiter: str, quoting: str) -> Iterator[Record]:
    """Rows under the header as records of strings.

    Raises:
        DataError: an unnamed (D011) or doubled (D010) column, a ragged row (D012), a stray or unclosed quote (D013),
            another separator than the format's (D017).
    """
    rows = _plain_rows(lines, delimiter) if quoting == "none" else _quoted_rows(lines, name, delimiter)
    top = next(rows, None)
    if top is None:
        return
    header = top[1] or [""]
    check_columns(header, f"{name}:{top[0]}")
    _check_separator(header, f"{name}:{top[0]}", delimiter)
    width = len(header)
    blank = 0
    for line, cells in rows:
        if not cells:
            blank = blank or line
            continue
        if blank:
            raise _ragged([], header, f"{name}:{blank}", delimiter, quoting)
        if len(cells) != width:
            raise _ragged(cells, header, f"{name}:{line}", delimiter, quoting)
        yield Record(line, dict(zip(header, cells, strict=True)))


def check_columns(names: Sequence[str], where: str) -> None:
    """Refuse columns that cannot be told apart or called by a name."""
    for position, name in enumerate(names, 1):
        if not name.strip():
            raise DataError(
                "D011",
                f"column {position} of {len(names)} has no name",
                where=where,
                found=listing(repr(name) for name in names),
                help="name every column in the first line; an index column of pandas goes with to_csv(index=False)",
            )
        if names.index(name) != position - 1:
            raise DataError(
                "D010",
                f"two columns are called '{name}' (columns {names.index(name) + 1} and {position})",
                where=where,
                found=listing(names),
                help="rename or delete one of them",
            )


def _check_separator(header: Sequence[str], where: str, delimiter: str) -> None:
    """Refuse a header that is one name only because its columns are separated by something else."""
    found = next((mark for mark in _SEPARATORS if mark != delimiter and mark in header[0]), None)
    if len(header) > 1 or found is None:
        return
    raise DataError(
        "D017",
        f"the columns of this file are separated by {_SEPARATORS[found]}",
        where=where,
        found=header[0],
        allowed=f"columns separated by {_SEPARATORS[delimiter]}",
        help=_OTHER_FORMAT.get(found, "write the file again with commas between the columns"),
    )


def _plain_rows(lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(lines, 1):
        text = line.removesuffix("\n").removesuffix("\r")
        yield number, text.split(delimiter) if text else []


def _quoted_rows(lines: Iterator[str], name: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line on which each begins.

    Text with bare quotes can look like one long quoted cell that holds whole rows. A file in which a cell has bare
    quotes and in which some record of several lines would also split into complete rows is therefore refused: it was
    not written by RFC 4180.
    """
    taken: list[str] = []

    def feed() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    reader = csv.reader(feed(), delimiter=delimiter, strict=True)
    width = swallowed = bare = 0
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _bad_quotes(f"{name}:{start}", str(error), taken, delimiter) from None
        if cells is None:
            return
        width = width or len(cells)
        if len(taken) > 1:
            whole = width > 1 and all(line.rstrip("\r\n").count(delimiter) == width - 1 for line in taken)
            swallowed = swallowed or (start if whole else 0)
        elif '"' in taken[0] and '""' not in taken[0] and any('"' in cell for cell in cells):
            bare = bare or start
        if swallowed and bare:
            reason = (
                f"quotes stand bare on line {bare}, so those from line {swallowed} on may have swallowed whole rows"
            )
            raise _bad_quotes(f"{name}:{swallowed}", reason, taken if swallowed == start else [], delimiter)
        yield start, cells
        taken.clear()


def _bad_quotes(where: str, reason: str, taken: Sequence[str], delimiter: str) -> DataError:
    kind = "TSV" if delimiter == "\t" else "CSV"
    if "unexpected end of data" in reason or "field limit" in reason:
        reason = "a quote that is opened here is never closed"
    elif "new-line character" in reason:
        reason = "a carriage return stands alone outside quotes"
    elif "expected after" in reason:
        reason = "text goes on after a closing quote"
    return DataError(
        "D013",
        f"quotes do not follow RFC 4180: {reason}",
        where=where,
        key="data.quoting",
        found=taken[0].rstrip("\r\n") if taken else None,
        allowed=f'{kind} in which a cell is quoted as a whole and quotes inside it are doubled ("")',
        help="data.quoting=none where quote characters are plain text; else double the quotes inside quoted text",
    )


def _ragged(cells: Sequence[str], header: Sequence[str], where: str, delimiter: str, quoting: str) -> DataError:
    comma = delimiter == ","
    if not cells:
        found, help = "a blank line between rows", 'delete the line; an empty text is written ""'
    else:
        found = f"{len(cells)} fields: {listing((cell[:40] for cell in cells), 6)}"
        help = "give every row one cell per column"
    if len(cells) > len(header):
        help = (
            "likely an unquoted comma in the text: quote the text"
            if comma
            else "likely a tab inside the text: quote the text"
        )
        if quoting == "none":
            help += ", and set data.quoting=minimal"
    return DataError(
        "D012",
        f"this row has {len(cells)} fields, the header has {len(header)}",
        where=where,
        found=found,
        allowed=f"{len(header)} fields: {listing(header, 6)}",
        help=help,
    )
