"""What a file is before it has columns: bytes turned into lines of text, and the record that every reader yields.

A byte that is not text in the given encoding is refused with its file, line and offset; nothing is replaced or dropped,
NUL included. Files are streamed, so the price in memory is the longest line (UTF-16 and UTF-32 are held whole).
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from bert_cli.errors import DataError, UsageError

# UTF-32 comes first: its little-endian mark begins with that of UTF-16.
_FOREIGN_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Record:
    """One row: where it begins (physical line; row number in binary formats) and its values by column."""

    line: int
    values: dict[str, object]


def text_lines(stream: BinaryIO, name: str, *, encoding: str = "utf-8") -> Iterator[str]:
    """Lines of `stream` with their ends kept; only a line feed ends a line. A UTF-8 byte order mark is skipped.

    Raises:
        DataError: no bytes at all (D005), another encoding's byte order mark (D008), bytes that are no text (D007).
        UsageError: an encoding that Python does not know (U060).
    """
    codec = _codec(encoding)
    lines = raw_lines(stream, name)
    first = next(lines, b"")
    if not first:
        raise DataError(
            "D005",
            f"{name} is empty",
            where=name,
            found="0 bytes",
            allowed="at least one row",
            help="write the data to it again, or give another file",
        )
    if codec.startswith(("utf-16", "utf-32")):
        # A line feed is two or four bytes here, so splitting bytes at line feeds would cut characters.
        yield from _wide_lines(io.BytesIO(b"".join(chain((first,), lines))), name, codec)
        return
    _refuse_foreign_mark(first, name, encoding)
    offset = 0
    if codec.startswith("utf-8") and first.startswith(codecs.BOM_UTF8):
        codec, offset = "utf-8", len(codecs.BOM_UTF8)
        first = first[offset:]
    for number, raw in enumerate(chain((first,) if first else (), lines), 1):
        try:
            text = raw.decode(codec)
        except UnicodeDecodeError as error:
            raise _not_text(
                raw, error.start, where=f"{name}:{number}", offset=offset + error.start, encoding=encoding
            ) from None
        yield text
        offset += len(raw)


def raw_lines(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """Lines of bytes; damage of a compressed file and of the disk becomes a DataError (D009, D004)."""
    try:
        yield from stream
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            "D009",
            f"{name} is damaged or not gzip: {error}",
            where=name,
            help=f"copy it again and check it with: gzip -t {name}",
        ) from None
    except OSError as error:
        raise unreadable(name, error) from None


def read_all(stream: BinaryIO, name: str) -> bytes:
    """Every byte, with the errors of `raw_lines`."""
    return b"".join(raw_lines(stream, name))


def no_rows(name: str, found: str) -> DataError:
    """A source without any row."""
    return DataError(
        "D006",
        f"{name} has no rows",
        where=name,
        found=found,
        allowed="at least one row",
        help="write the rows again, or give another file",
    )


def unreadable(name: str, error: OSError) -> DataError:
    """The operating system refused (permissions, a broken disk)."""
    return DataError(
        "D004", f"{name} cannot be read: {error.strerror or error}", where=name, help=f"check it with: ls -l {name}"
    )


def _codec(encoding: str) -> str:
    try:
        "a".encode(encoding)
        return codecs.lookup(encoding).name
    except (LookupError, ValueError):
        raise UsageError(
            "U060",
            f"there is no text encoding called '{encoding}'",
            key="data.encoding",
            found=encoding,
            allowed=["utf-8", "latin-1", "cp1252", "utf-16", "gb18030", "big5", "shift_jis", "euc-kr"],
        ) from None


def _wide_lines(stream: BinaryIO, name: str, codec: str) -> Iterator[str]:
    number = 0
    lines = iter(io.TextIOWrapper(stream, encoding=codec, newline="\n"))
    while True:
        number += 1
        try:
            line = next(lines, None)
        except UnicodeError as error:
            raise _undecodable(f"{name}:{number}", codec, found=str(error), help="save the file as UTF-8") from None
        if line is None:
            return
        yield line


def _refuse_foreign_mark(first: bytes, name: str, encoding: str) -> None:
    for mark, found in _FOREIGN_MARKS:
        if first.startswith(mark):
            raise DataError(
                "D008",
                f"{name} begins with the byte order mark of {found.upper()}",
                where=f"{name}:1",
                key="data.encoding",
                found=found,
                allowed=encoding,
                help=f"data.encoding={found}",
            )


def _not_text(raw: bytes, start: int, *, where: str, offset: int, encoding: str) -> DataError:
    guess = _guess(raw)
    return _undecodable(
        where,
        encoding,
        found=f"byte 0x{raw[start]:02x} at offset {offset}",
        help=f"it looks like {guess}: data.encoding={guess}, or predict --encoding {guess}",
    )


def _undecodable(where: str, encoding: str, *, found: str, help: str) -> DataError:
    return DataError(
        "D007",
        f"{where.rpartition(':')[0]} is not {encoding.upper()} text",
        where=where,
        key="data.encoding",
        found=found,
        allowed=f"text in {encoding}",
        help=help,
    )


def _guess(raw: bytes) -> str:
    """`gb18030` where high bytes come in pairs, as in Chinese; else `latin-1`, where they stand between letters."""
    try:
        wide = sum(character > "\x7f" for character in raw.decode("gb18030"))
    except UnicodeDecodeError:
        return "latin-1"
    high = sum(byte > 0x7F for byte in raw)
    return "gb18030" if high >= 1.8 * wide else "latin-1"
