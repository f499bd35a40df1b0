"""How results reach the terminal: plain tables and JSON on stdout, everything else on stderr.

Control characters in users' texts are escaped before they are shown. Tables keep to the width of a terminal; in a file
or a pipe each row is one line. Costs nothing to import.
"""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

from bert_cli.errors import printable, printable_json, printable_lines
from bert_cli.files import finite

MIN_ROOM = 20
"""A column that goes on below itself is never narrower than this, in characters."""


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def print_table(rows: Sequence[Sequence[object]], header: Sequence[str] | None = None, *, indent: str = "") -> None:
    """Rows in aligned columns on stdout; numbers are right-aligned, wide (CJK) characters count as two.

    On a terminal, the last column goes on below itself where it would pass the right edge.
    """
    cells = [[printable(cell) for cell in row] for row in ([header] if header else []) + list(rows)]
    if not cells:
        return
    columns = len(cells[0])
    widths = [max(_width(row[i]) for row in cells) for i in range(columns)]
    numeric = [all(isinstance(row[i], (int, float)) for row in rows) for i in range(columns)]
    before = len(indent) + sum(widths[:-1]) + 2 * (columns - 1)
    room = max(MIN_ROOM, shutil.get_terminal_size().columns - before) if sys.stdout.isatty() else sys.maxsize
    for row in cells:
        last, *more = _wrapped(row[-1], room)
        aligned = map(_aligned, [*row[:-1], last], widths, numeric)
        for line in (indent + "  ".join(aligned), *(" " * before + line for line in more)):
            sys.stdout.write(line.rstrip() + "\n")


def _aligned(cell: str, width: int, right: bool) -> str:
    gap = " " * (width - _width(cell))
    return gap + cell if right else cell + gap


def _wrapped(text: str, room: int) -> list[str]:
    """The lines of a text, broken at spaces so that each fits into `room` columns where its words do."""
    first, *rest = text.split(" ")
    lines = [first]
    for word in rest:
        longer = f"{lines[-1]} {word}"
        if _width(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def print_json(value: Any) -> None:
    """One JSON document on stdout; numbers that are not finite become null."""
    text = json.dumps(finite(value), ensure_ascii=False, indent=2, allow_nan=False)
    sys.stdout.write(printable_json(text) + "\n")


def say(text: str) -> None:
    """Lines of result on stdout."""
    sys.stdout.write(printable_lines(text) + "\n")


def note(text: str) -> None:
    """Lines of log on stderr."""
    sys.stderr.write(printable_lines(text) + "\n")
    sys.stderr.flush()
