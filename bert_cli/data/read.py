"""Reads one file, or standard input, as records: CSV, TSV, JSON, parquet, CoNLL or plain text, gzip included.

Every value is what the file says (cells of CSV and TSV are strings, always), every record knows its line, and whatever
does not fit is refused with file and line. Text formats are streamed; the first record costs nothing but its own line.
"""

from __future__ import annotations

import gzip
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

from bert_cli.data.columnar import iter_parquet
from bert_cli.data.conll import CONLL, iter_conll
from bert_cli.data.delimited import iter_delimited
from bert_cli.data.jsonlines import iter_json, iter_jsonl
from bert_cli.data.stream import Record, no_rows, text_lines, unreadable
from bert_cli.errors import DataError

__all__ = ["FORMATS", "Record", "format_of", "iter_records"]

FORMATS = ("csv", "tsv", "jsonl", "ndjson", "json", "parquet", "txt", *CONLL)
_COMPRESSED = ".gz"


def format_of(file_name: str) -> tuple[str, str] | None:
    """Stem and format that a file name says (`train.jsonl.gz`: `train`, `jsonl.gz`); None where no format is known."""
    plain = file_name.lower().removesuffix(_COMPRESSED)
    stem, dot, suffix = plain.rpartition(".")
    if not dot or not stem or suffix not in FORMATS:
        return None
    return file_name[: len(stem)], file_name[len(stem) + 1 :].lower()


def iter_records(
    path: Path | BinaryIO,
    *,
    format: str | None = None,
    name: str | None = None,
    quoting: str = "minimal",
    encoding: str = "utf-8",
    columns: Collection[str] | None = None,
) -> Iterator[Record]:
    """Records of one file or one open binary stream.

    Args:
        path: the file, or a stream such as standard input (which stays open).
        format: one of `FORMATS`, with `.gz` behind it where compressed; default: what the file's suffix says.
        name: what messages call the source; default: the file's name.
        quoting: of CSV and TSV: `minimal` (RFC 4180) or `none` (quote characters are text).
        encoding: of text formats; a byte order mark of UTF-8 is accepted silently.
        columns: of parquet files those that are needed; see `iter_parquet`.

    Raises:
        DataError: D001–D019 and D115, with `FILE:LINE`; a source without any record is one of them (D006).
    """
    label = name or (path.name if isinstance(path, Path) else "<stdin>")
    if isinstance(path, Path):
        _check_file(path, label)
    kind = _resolve(path, format, label)
    return _iterate(path, kind, label, quoting=quoting, encoding=encoding, columns=columns)


def _resolve(path: Path | BinaryIO, format: str | None, label: str) -> str:
    found = format.lower().lstrip(".") if format else None
    if found is None and isinstance(path, Path):
        known = format_of(path.name)
        found = known[1] if known else path.suffix
    if found is None or found.removesuffix(_COMPRESSED) not in FORMATS:
        raise DataError(
            "D001",
            f"the format of {label} is not known" if found else f"the format of {label} must be given",
            where=label,
            found=found or None,
            allowed=[f".{known}" for known in FORMATS] + [f".{known}.gz" for known in FORMATS],
            help="rename the file so that its suffix names its format, as train.csv"
            if isinstance(path, Path)
            else "name the format, as jsonl",
        )
    return found


def _check_file(path: Path, label: str) -> None:
    if path.is_dir():
        raise DataError(
            "D003", f"{label} is a folder, a file is needed", where=str(path), help=f"ls {path} shows what it holds"
        )
    if not path.exists():
        siblings = sorted(other.name for other in path.parent.iterdir()) if path.parent.is_dir() else []
        raise DataError(
            "D002",
            f"there is no file {path}",
            where=str(path),
            found=path.name,
            allowed=siblings or None,
            help=f"ls {path.parent}" if siblings else "check the path",
        )


def _iterate(
    path: Path | BinaryIO, kind: str, label: str, *, quoting: str, encoding: str, columns: Collection[str] | None
) -> Iterator[Record]:
    base = kind.removesuffix(_COMPRESSED)
    count = 0
    with ExitStack() as stack:
        if isinstance(path, Path) and kind == "parquet":
            records = iter_parquet(path, label, columns=columns)
        else:
            stream = path
            if isinstance(stream, Path):
                try:
                    stream = stack.enter_context(stream.open("rb"))
                except OSError as error:
                    raise unreadable(label, error) from None
            if kind != base:
                stream = cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=stream, mode="rb")))
            records = _parse(stream, base, label, quoting=quoting, encoding=encoding)
        for record in records:
            count += 1
            yield record
    if not count:
        raise no_rows(label, "a header only, or blank lines")


def _parse(stream: BinaryIO, base: str, label: str, *, quoting: str, encoding: str) -> Iterator[Record]:
    if base == "parquet":
        return iter_parquet(stream, label)
    lines = text_lines(stream, label, encoding=encoding)
    if base in ("csv", "tsv"):
        return iter_delimited(lines, label, delimiter="," if base == "csv" else "\t", quoting=quoting)
    if base in CONLL:
        return iter_conll(lines, label, universal=base == "conllu")
    if base == "txt":
        return (Record(number, {"text": _without_end(line)}) for number, line in enumerate(lines, 1))
    return iter_json(lines, label) if base == "json" else iter_jsonl(lines, label)


def _without_end(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")
