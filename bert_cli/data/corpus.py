"""Raw text as documents.

A text file holds documents with blank lines between them, one sentence or paragraph a line; a folder holds such files.
Memory holds the whole text once.
"""

from __future__ import annotations

import gzip
from pathlib import Path

from bert_cli.errors import DataError


def corpus_files(source: Path) -> list[Path]:
    """The text files of a corpus, in the order of their names.

    Raises:
        DataError: nothing there (D080), or no text file in the folder (D081).
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise DataError(
            "D080",
            f"there is no corpus at '{source}'",
            key="data.source",
            allowed="a text file or a folder of them",
            help="--data FILE",
        )
    files = sorted(file for pattern in ("*.txt", "*.txt.gz") for file in source.glob(pattern))
    if not files:
        raise DataError(
            "D081",
            "this folder holds no text files",
            where=str(source),
            key="data.source",
            found=", ".join(sorted(entry.name for entry in source.iterdir())[:8]) or "nothing",
            allowed="*.txt, *.txt.gz",
            help="put plain text there, blank lines between documents",
        )
    return files


def read_documents(file: Path, *, encoding: str = "utf-8") -> list[str]:
    """The documents of one file, lines joined by a space.

    Raises:
        DataError: not text in this encoding (D082), or empty (D083).
    """
    raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    try:
        text = raw.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            "D082",
            f"this file is not {encoding} text",
            where=f"{file}:{raw[: error.start].count(10) + 1}",
            key="data.encoding",
            found=f"byte 0x{raw[error.start]:02x} at offset {error.start}",
            help="name the encoding, as data.encoding=latin-1",
        ) from error
    documents: list[str] = []
    lines: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.strip():
            lines.append(line.strip())
        elif lines:
            documents.append(" ".join(lines))
            lines = []
    if not documents:
        raise DataError(
            "D083", "this corpus is empty", where=str(file), key="data.source", help="--data FILE with text in it"
        )
    return documents
