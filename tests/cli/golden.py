"""What every message of the table of bad input says, in one file: a change of words is seen by whoever reviews it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

FILE = Path(__file__).parents[1] / "golden" / "messages.txt"
HEAD = "# What each mistake of tests/cli/test_bad_input.py is told with. Written by `make golden`.\n"
WRITES = os.environ.get("BERTCTL_GOLDEN") == "write"
"""Whether the file is to be written anew."""

_SECTION = re.compile(r"^=== (.+)\n", re.MULTILINE)


def sections() -> dict[str, str]:
    """Name of each case -> what is said."""
    if not FILE.is_file():
        return {}
    _, *parts = _SECTION.split(FILE.read_text(encoding="utf-8"))
    return {name: text.strip("\n") for name, text in zip(parts[::2], parts[1::2], strict=True)}


def write(name: str, said: str, order: Sequence[str]) -> None:
    """Replace one section; those that are not in `order` go."""
    known = {**sections(), name: said}
    FILE.parent.mkdir(exist_ok=True)
    text = "".join(f"\n=== {each}\n{known[each]}\n" for each in order if each in known)
    FILE.write_text(HEAD + text, encoding="utf-8")


def normal(text: str, places: Mapping[str, Path]) -> str:
    """`text` without what differs from machine to machine: places, versions, scores, and what other libraries say."""
    for name, place in sorted(places.items(), key=lambda item: -len(str(item[1]))):
        text = text.replace(str(place), f"<{name}>")
    text = re.sub(r"nothing in /\S+", "nothing in <cache>", text)
    text = re.sub(r"(\w+Error): .*", r"\1: <reason>", text)
    text = re.sub(r"\b\d+\.\d+\.\d+(\+\w+)?\b", "<version>", text)
    return re.sub(r"\b\d+\.\d{4,}\b", "<score>", text)
