"""One file of a corpus as a stream of documents: plain text, JSON lines or parquet; gzip and Zstandard included.

Text is decoded strictly: a byte that is no text is refused with file and line, and a binary file is called one. Memory
holds one document, of parquet a batch of rows.
"""

from __future__ import annotations

import codecs
import gzip
import io
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

from bert_cli.data.jsonlines import iter_jsonl
from bert_cli.data.stream import Record, raw_lines, text_lines, unreadable
from bert_cli.errors import DataError, closest, listing

Document = list[str]
"""The lines of a document: none is blank, none has white space around it."""

FORMATS = ("txt", "jsonl", "ndjson", "parquet")
_NO_CORPUS = frozenset({"csv", "tsv", "json", "zip", "tar", "tgz", "bz2", "xz", "7z", "arrow", "npy", "pdf", "html"})
_COMPRESSED = (".gz", ".zst")
_ROWS_PER_BATCH = 128
_HEAD = 8192
"""Bytes at the start of a file that are searched for signs of a binary one before any of it is taken as text."""


@dataclass
class Gauge:
    """How much of a source has been read while its documents come: bytes on disk, of tables rows."""

    read: int = 0
    of: int = 1

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.read / max(self.of, 1)


def corpus_format(file_name: str) -> str | None:
    """One of `FORMATS`; `plain` for a name that says nothing; None for formats that no corpus is read from."""
    name = file_name.lower()
    plain = name
    for ending in _COMPRESSED:
        plain = plain.removesuffix(ending)
    suffix = plain.rpartition(".")[2] if "." in plain.lstrip(".") else ""
    if suffix in _NO_CORPUS or (suffix == "parquet" and plain != name):
        return None
    return suffix if suffix in FORMATS else "plain"


def file_documents(
    path: Path, *, name: str, column: str, encoding: str, whole: bool, gauge: Gauge | None = None
) -> Iterator[Document]:
    """The documents of one file.

    Args:
        name: what messages call the file.
        column: holds the text in JSON lines and parquet.
        encoding: of text and JSON lines.
        whole: a plain text file is one document; otherwise blank lines stand between documents.
        gauge: is told with each document how much of the file has been read.

    Raises:
        DataError: see `CorpusPart.documents`.
    """
    kind, gauge = corpus_format(path.name), gauge or Gauge()
    if kind == "parquet":
        yield from record_documents(_parquet_texts(path, name, column, gauge), name, column=column, parquet=True)
        return
    with ExitStack() as stack:
        stream = _opened(path, name, stack)
        lines = _lines(_decompressed(stream, path, name, stack), name, encoding)
        if kind in ("jsonl", "ndjson"):
            documents = record_documents(iter_jsonl(lines, name), name, column=column)
        else:
            documents = _text_documents(lines, whole=whole)
        gauge.of = path.stat().st_size
        for document in documents:
            gauge.read = stream.tell()
            yield document


def record_documents(records: Iterable[Record], name: str, *, column: str, parquet: bool = False) -> Iterator[Document]:
    """The documents in the text column of records; null and empty cells are none.

    Raises:
        DataError: a record has no such column (D086), or something else than text in it (D087).
    """
    for record in records:
        if column not in record.values:
            raise _no_column(column, list(record.values), where=f"{name}:{record.line}")
        text = record.values[column]
        if text is None:
            continue
        if not isinstance(text, str):
            raise DataError(
                "D087",
                f"the column '{column}' holds something else than text",
                where=f"{name}{' row ' if parquet else ':'}{record.line}",
                key="data.columns.text",
                found=repr(text)[:80],
                allowed="text, or null for no document",
                help="data.columns.text=COLUMN names another column",
            )
        if document := [line for line in map(str.strip, text.splitlines()) if line]:
            yield document


def _text_documents(lines: Iterable[str], *, whole: bool) -> Iterator[Document]:
    document: Document = []
    for line in map(str.strip, lines):
        if line:
            document.append(line)
        elif document and not whole:
            yield document
            document = []
    if document:
        yield document


def _opened(path: Path, name: str, stack: ExitStack) -> BinaryIO:
    try:
        return stack.enter_context(path.open("rb"))
    except OSError as error:
        raise unreadable(name, error) from None


def _decompressed(stream: BinaryIO, path: Path, name: str, stack: ExitStack) -> Iterator[bytes]:
    """The lines of bytes of a file; its suffix says how it was compressed."""
    if path.name.lower().endswith(".zst"):
        return _zstandard_lines(stream, name, stack)
    if path.name.lower().endswith(".gz"):
        stream = cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=stream, mode="rb")))
    return raw_lines(stream, name)


def _zstandard_lines(stream: BinaryIO, name: str, stack: ExitStack) -> Iterator[bytes]:
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

    try:
        yield from stack.enter_context(io.BufferedReader(pa.input_stream(stream, compression="zstd")))
    except OSError as error:
        raise DataError(
            "D009",
            f"{name} is damaged or not Zstandard: {error}",
            where=name,
            help=f"copy it again and check it with: zstd -t {name}",
        ) from None


def _lines(raw: Iterator[bytes], name: str, encoding: str) -> Iterator[str]:
    """Lines of text; a file of no bytes has none."""
    first = next(raw, None)
    if first is None:
        return iter(())
    raw = chain((first,), raw)
    wide = encoding.lower().replace("_", "-").startswith(("utf-16", "utf16", "utf-32", "utf32"))
    checked = raw if wide or first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else _no_binary(raw, name)
    return text_lines(cast(BinaryIO, checked), name, encoding=encoding)


def _no_binary(lines: Iterable[bytes], name: str) -> Iterator[bytes]:
    """The same lines; none is passed on before the head of the file is seen to hold no NUL byte."""
    held: list[bytes] | None = []
    size = 0
    for number, line in enumerate(lines, 1):
        if b"\0" in line:
            raise DataError(
                "D082",
                "this file is binary, not text",
                where=f"{name}:{number}",
                key="data.source",
                found=f"a NUL byte in line {number}",
                allowed="plain text, JSON lines or parquet, named by the suffix",
                help="give the text itself; compressed text ends in .gz or .zst",
            )
        if held is None:
            yield line
            continue
        held.append(line)
        size += len(line)
        if size >= _HEAD:
            yield from held
            held = None
    yield from held or ()


def _parquet_texts(path: Path, name: str, column: str, gauge: Gauge) -> Iterator[Record]:
    """The text column alone, so that memory does not hold the others."""
    import pyarrow as pa
    import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

    try:
        with pq.ParquetFile(str(path)) as file:
            if column not in file.schema_arrow.names:
                raise _no_column(column, list(file.schema_arrow.names), where=name)
            row, gauge.of = 0, file.metadata.num_rows
            for batch in file.iter_batches(batch_size=_ROWS_PER_BATCH, columns=[column]):
                for text in _cells(batch.column(0), pa):
                    gauge.read = row = row + 1
                    yield Record(row, {column: text})
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(
            "D018",
            f"{name} is not a sound parquet file: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=name,
            help="write or copy the file again",
        ) from None


def _cells(column: Any, pa: Any) -> list[object]:
    """Values of a column of text; of any other type only what the type is called, because reading it can run code."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        found: list[object] = column.to_pylist()
        return found
    return [column.type] * len(column)


def _no_column(column: str, there: list[str], *, where: str) -> DataError:
    return DataError(
        "D086",
        f"there is no column '{column}' with the text of a document",
        where=where,
        key="data.columns.text",
        found=listing(there) or "an empty object",
        allowed="the name of the column that holds the text",
        help=f"data.columns.text={closest(column, there) or 'COLUMN'} names it",
    )
