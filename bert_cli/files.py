"""Files that are whole or not there, and their digests.

`publish` writes text beside its place and renames it, so a reader never sees half of it.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def digest(file: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Force a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def publish(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step, forced to disk."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        draft.write_text(text, encoding="utf-8")
        sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def drafted(final: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `final` in one rename when the block ends without an error."""
    draft = final.with_name(f".tmp-{final.name}-{uuid.uuid4().hex[:8]}")
    draft.mkdir(parents=True)
    try:
        yield draft
        for file in draft.iterdir():
            sync(file)
        if final.exists():
            old = final.with_name(f".del-{final.name}-{uuid.uuid4().hex[:8]}")
            final.rename(old)
            draft.rename(final)
            shutil.rmtree(old, ignore_errors=True)
        else:
            draft.rename(final)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def finite(value: Any) -> Any:
    """The same value for JSON, which has no nan and no infinity: these become null, at any depth."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def rounded(value: float) -> float:
    """A score as it is written: seven significant digits, all that fp32 holds."""
    return float(f"{value:.7g}")
