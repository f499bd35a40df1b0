"""How results reach the terminal: plain tables and JSON on stdout, everything else on stderr.

Control characters in users' texts are escaped before they are shown. Costs nothing to import.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

from bert_cli.errors import printable
from bert_cli.files import finite


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def print_table(rows: Sequence[Sequence[object]], header: Sequence[str] | None = None, *, indent: str = "") -> None:
    """Rows in aligned columns on stdout; numbers are right-aligned, wide (CJK) characters count as two."""
    cells = [[printable(cell) for cell in row] for row in ([header] if header else []) + list(rows)]
    if not cells:
        return
    columns = len(cells[0])
    widths = [max(_width(row[i]) for row in cells) for i in range(columns)]
    numeric = [all(isinstance(row[i], (int, float)) for row in rows) for i in range(columns)]
    for row in cells:
        parts = []
        for i, cell in enumerate(row):
            gap = " " * (widths[i] - _width(cell))
            parts.append(gap + cell if numeric[i] else cell + gap)
        sys.stdout.write((indent + "  ".join(parts)).rstrip() + "\n")


def print_json(value: Any) -> None:
    """One JSON document on stdout; numbers that are not finite become null."""
    sys.stdout.write(json.dumps(finite(value), ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def say(text: str) -> None:
    """One line of result on stdout."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """One line of log on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
