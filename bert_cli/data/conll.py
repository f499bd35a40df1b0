"""Column files of tagged sentences: one token a line, blank lines between sentences (Tjong Kim Sang & De Meulder 2003).

The first column is the token and the last one its tag; every column is also there under its number from 1. Columns are
separated by tabs where the first token has one behind it, else by any spaces. In CoNLL-U (`universal`) the ten columns
have their names too, the tag is the universal part of speech, and lines of multiword tokens and of empty nodes are left
out, as the syntactic words are what is tagged (universaldependencies.org/format.html).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bert_cli.data.stream import Record
from bert_cli.errors import DataError, listing

CONLL = ("conll", "iob", "iob1", "iob2", "bio", "bioes", "conllu")
"""Suffixes of files in this form."""

_UNIVERSAL = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_DOCUMENT = "-DOCSTART-"
_BOUNDARIES = ("#begin document", "#end document")


def iter_conll(lines: Iterator[str], name: str, *, universal: bool = False) -> Iterator[Record]:
    """One record for each sentence: `tokens`, `tags` (where there is more than one column), and the columns by number.

    Its line is that of its first token.

    Raises:
        DataError: a line has more or fewer columns than those before it (D115).
    """
    sentence: list[list[str]] = []
    first = width = 0
    tabs = False
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip("\r\n")
        if not line.strip():
            if sentence:
                yield _record(first, sentence, universal)
                sentence = []
            continue
        if line.startswith((_DOCUMENT, "#") if universal else (_DOCUMENT, *_BOUNDARIES)):
            continue
        if not width:
            tabs = "\t" in line
        cells = line.split("\t") if tabs else line.split()
        width = width or len(cells)
        if len(cells) != width or not cells[0]:
            raise _ragged(cells, width, f"{name}:{number}", tabs=tabs)
        if universal and not cells[0].isdecimal():
            continue
        first = number if not sentence else first
        sentence.append(cells)
    if sentence:
        yield _record(first, sentence, universal)


def _record(line: int, sentence: Sequence[Sequence[str]], universal: bool) -> Record:
    columns: list[object] = [list(column) for column in zip(*sentence, strict=True)]
    values: dict[str, object] = {str(place): column for place, column in enumerate(columns, 1)}
    named = universal and len(columns) == len(_UNIVERSAL)
    if named:
        values = dict(zip(_UNIVERSAL, columns, strict=True)) | values
    tokens = {"tokens": columns[1] if named else columns[0]}
    tags = {"tags": columns[3] if named else columns[-1]} if len(columns) > 1 else {}
    return Record(line, {**tokens, **tags, **values})


def _ragged(cells: Sequence[str], width: int, where: str, *, tabs: bool) -> DataError:
    between = "tabs" if tabs else "spaces"
    if not cells[0]:
        found, help = "an empty first column", "write the token into it, or delete the line"
    else:
        found = f"{len(cells)}: {listing((cell[:40] for cell in cells), 6)}"
        help = "give every token its columns; a blank line ends a sentence"
    return DataError(
        "D115",
        f"this line has {len(cells)} columns, the first one of the file has {width}"
        if cells[0]
        else "this line has no token",
        where=where,
        found=found,
        allowed=f"{width} columns with {between} between them",
        help=help,
    )
