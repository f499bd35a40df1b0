"""Where a corpus is, and its documents: a text file, a folder or a pattern of them, or a data set on the hub.

Documents come as a stream, in the order of the file names, so memory holds one of them at a time. A document is its
lines of text, stripped; blank ones are gone. Looking for a corpus costs a folder listing.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

from bert_cli.data.documents import FORMATS, Document, Gauge, corpus_format, file_documents, record_documents
from bert_cli.data.hub import HubSplit, is_offline, load
from bert_cli.data.stream import Record
from bert_cli.errors import DataError, UsageError, listing
from bert_cli.files import digest
from bert_cli.recipe.schema import DataSection

_HUB_PREFIX = "hub:"
_ENDINGS = ", ".join(f"*.{kind}" for kind in FORMATS) + "; text and JSON lines also as .gz or .zst"


@dataclass(frozen=True)
class Reading:
    """How files become documents.

    Attributes:
        documents: of plain text: `auto` (blank lines stand between documents) or `files` (each is one document).
        column: holds the text in JSON lines, parquet and hub data sets.
        encoding: of text files.
    """

    documents: Literal["auto", "files"] = "auto"
    column: str = "text"
    encoding: str = "utf-8"

    @classmethod
    def of(cls, data: DataSection) -> Reading:
        """What a recipe says."""
        return cls(documents=data.documents, column=data.columns.get("text", "text"), encoding=data.encoding)


class Part(Protocol):
    """Documents that have a common source.

    Attributes:
        name: what messages call it.
        fingerprint: changes with its documents.
    """

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...

    def documents(self, reading: Reading) -> Iterator[Document]:
        """Its documents, none of them empty; there may be none."""
        ...


@dataclass(frozen=True)
class CorpusPart:
    """One file of a corpus (`path`), or one split on the hub (`hub`)."""

    path: Path | None = None
    hub: HubSplit | None = None
    root: Path | None = None

    @property
    def name(self) -> str:
        """What messages call it: the file's path below the folder that all share, or `OWNER/NAME:CONFIG:SPLIT`."""
        if self.path is not None:
            return self.path.name if self.root is None else self.path.relative_to(self.root).as_posix()
        assert self.hub is not None
        return ":".join(filter(None, [self.hub.path, self.hub.config, self.hub.split]))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the file's bytes, or `REPO@COMMIT:CONFIG:SPLIT`."""
        if self.path is not None:
            return digest(self.path)
        assert self.hub is not None
        return self.hub.fingerprint()

    @property
    def size(self) -> int:
        """Bytes on disk; 1 for a split on the hub, which is the only part of its corpus."""
        return self.path.stat().st_size if self.path is not None else 1

    def documents(self, reading: Reading, gauge: Gauge | None = None) -> Iterator[Document]:
        """Its documents, none of them empty; there may be none.

        Args:
            gauge: is told with each document how much has been read.

        Raises:
            DataError: text that cannot be read (D004–D009, D082), bad JSON or parquet (D014–D018), a row without its
                text (D086, D087).
        """
        if self.path is None:
            assert self.hub is not None
            records = self.hub.records() if gauge is None else _gauged(self.hub, gauge)
            return record_documents(records, self.name, column=reading.column)
        return file_documents(
            self.path,
            name=self.name,
            column=reading.column,
            encoding=reading.encoding,
            whole=reading.documents == "files",
            gauge=gauge,
        )


def _gauged(split: HubSplit, gauge: Gauge) -> Iterator[Record]:
    """The rows of a split on the hub, telling how many of them have been read."""
    gauge.of = len(load(split.path, split.config, revision=split.revision, offline=split.offline)[split.split])
    for record in split.records():
        gauge.read = record.line
        yield record


def find_corpus(source: str, *, offline: bool = False) -> list[CorpusPart]:
    """The parts of a corpus, in the order of their names.

    Args:
        source: a file, a folder (its files of known formats), a pattern such as `wiki/*.txt.gz`, or
            `hub:OWNER/NAME[:CONFIG]` (its training split).
        offline: never ask the network for a hub data set.

    Raises:
        DataError: nothing there (D080), no corpus file in the folder (D081), a table or archive (D088).
        UsageError: a malformed name of a hub data set (U062).
        HubError: see `HubSplit.records`.
    """
    if source.startswith(_HUB_PREFIX):
        return [CorpusPart(hub=_hub_split(source, offline=offline))]
    path = Path(source).expanduser()
    if path.is_dir():
        return [CorpusPart(file) for file in _folder(path)]
    if path.is_file():
        files = [path]
    elif glob.has_magic(source):
        files = sorted(file for file in map(Path, glob.glob(str(path), recursive=True)) if file.is_file())
    else:
        files = []
    if not files:
        raise DataError(
            "D080",
            f"there is no corpus at '{source}'",
            key="data.source",
            allowed="a text file, a folder or a pattern of them, or hub:OWNER/NAME",
            help="check the path; a pattern stands in quotes, as 'wiki/*.txt'",
        )
    for file in files:
        _refuse_table(file)
    shared = Path(os.path.commonpath([file.parent for file in files]))
    return [CorpusPart(file, root=shared) for file in files]


def read_documents(
    parts: Sequence[Part], reading: Reading | None = None, *, limit: int | None = None
) -> Iterator[Document]:
    """The documents of all parts, at most `limit`.

    Raises:
        DataError: there are none (D083), or see `CorpusPart.documents`.
    """
    count = 0
    for part in parts:
        for document in part.documents(reading or Reading()):
            if count == limit:
                return
            count += 1
            yield document
    if not count:
        raise empty_corpus(parts)


def empty_corpus(parts: Sequence[Part]) -> DataError:
    """The error of a corpus without a document."""
    return DataError(
        "D083",
        "this corpus is empty",
        where=listing((part.name for part in parts), 4),
        key="data.source",
        found="no line of text",
        allowed="at least one document",
        help="name a file with text in it",
    )


def _folder(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.iterdir() if file.is_file() and corpus_format(file.name) in FORMATS)
    if not files:
        raise DataError(
            "D081",
            "this folder holds no text files",
            where=str(folder),
            key="data.source",
            found=listing(sorted(entry.name for entry in folder.iterdir()), 8) or "nothing",
            allowed=_ENDINGS,
            help="put plain text there, blank lines between documents",
        )
    return files


def _refuse_table(file: Path) -> None:
    if corpus_format(file.name) is None:
        raise DataError(
            "D088",
            f"a corpus is not read from a file such as {file.name}",
            where=str(file),
            key="data.source",
            found=file.suffix,
            allowed=_ENDINGS,
            help="write one JSON object a line, with the text under the key 'text'",
        )


def _hub_split(source: str, *, offline: bool) -> HubSplit:
    path, _, config = source.removeprefix(_HUB_PREFIX).partition(":")
    if not path or path.count("/") > 1 or any(not part or part.startswith(".") for part in path.split("/")):
        raise UsageError(
            "U062",
            "a data set on the hub is named hub:OWNER/NAME or hub:OWNER/NAME:CONFIG",
            key="data.source",
            found=source,
            allowed="hub:OWNER/NAME[:CONFIG]",
            help="data.source=hub:wikimedia/wikipedia:20231101.en",
        )
    offline = offline or is_offline()
    splits = list(load(path, config or None, offline=offline))
    split = splits[0] if len(splits) == 1 else "train"
    return HubSplit(path, config or None, split, offline=offline)
