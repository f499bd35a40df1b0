"""What a model said about each example, as JSON lines.

One object a line, in the split's order: what was read, gold, and the answer. Written beside its place and
renamed, so a reader never sees half a file; a pipe or a device is written to as it is.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bert_cli.families.base import Answers
from bert_cli.files import sync


def write(path: Path, answers: Answers) -> None:
    """All answers of a split as one file, and beside it what official scorers read."""
    with place_for(path) as file:
        for record in answers.rows():
            file.write(line(record))
    for suffix, value in answers.files().items():
        with place_for(path.with_suffix(suffix)) as file:
            json.dump(value, file, ensure_ascii=False)


def line(record: Mapping[str, Any]) -> str:
    """One prediction as JSON, with the end of the line."""
    return json.dumps(record, ensure_ascii=False) + "\n"


@contextmanager
def place_for(path: Path) -> Iterator[IO[str]]:
    """A text file that takes its place, forced to disk, only when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8") as file:
            yield file
        return
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with draft.open("w", encoding="utf-8") as file:
            yield file
        sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
