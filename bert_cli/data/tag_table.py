"""One split of tagged sentences as its file has it: tokens with tags, or texts with marked passages.

Cells are checked here for their form, with file and line; what a tag means is settled later, when all splits are known.
CSV and TSV hold tokens, and tags, as one string each, with spaces between them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from bert_cli.data.columns import Columns, check_agreement, read_columns
from bert_cli.data.conll import CONLL
from bert_cli.data.read import Record, format_of
from bert_cli.data.segment import join, segment
from bert_cli.data.source import Source
from bert_cli.data.spans import WRAPPED, Span, read_spans, unwrapped
from bert_cli.data.tag_names import TagNames
from bert_cli.errors import DataError, listing
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks.base import Task

TOKENS, TAGS, TEXT, SPANS = "tokens", "tags", "text", "spans"


@dataclass(frozen=True, eq=False)
class TagTable:
    """Sentences as their file has them, n of them.

    Attributes:
        columns: the column of each role that was read.
        by_line: whether each word has a line of its own.
        tags: of each word, as strings; None without labels, or where passages are marked.
        spans: marked passages of each text; None without labels, or where words have tags.
    """

    origin: str
    columns: dict[str, str]
    lines: list[int]
    texts: list[str]
    words: list[npt.NDArray[np.int32]]
    tags: list[list[str]] | None
    spans: list[list[Span]] | None
    tokenised: bool
    by_line: bool

    def where(self, row: int, word: int) -> str:
        """File and line of a word of a sentence."""
        return f"{self.origin}:{self.lines[row] + (word if self.by_line else 0)}"

    @property
    def labelled(self) -> bool:
        """Whether it says what is marked."""
        return self.tags is not None or self.spans is not None


@dataclass(frozen=True)
class _Unwrapping(Source):
    """A source whose rows may be tasks as Label Studio exports them."""

    def records(self, data: DataSection, *, columns: Collection[str] | None = None) -> Iterator[Record]:
        wanted = None if columns is None else {*columns, *WRAPPED}
        return map(unwrapped, super().records(data, columns=wanted))


def read_table(task: Task, data: DataSection, source: Source, *, names: TagNames, need_labels: bool) -> TagTable:
    """One split.

    Args:
        names: what ids mean.
        need_labels: whether a split without tags and passages is of no use.

    Raises:
        DataError: neither tokens with tags nor a text with spans (D100), not one tag a token (D101), a sentence without
            tokens (D107), a token that is no string (D108), rows without labels (D114), and what `read_columns`,
            `read_spans` and `TagNames` raise.
    """
    columns = read_columns(task, data, _Unwrapping(**vars(source)), may_lack=(TAGS, SPANS))
    kind = format_of(source.path.name) if source.path is not None else None
    suffix = kind[1].removesuffix(".gz") if kind else ""
    by_line = suffix in CONLL and suffix != "conllu"
    form = _form(columns, data, where=source.header(columns.lines[0]), need_labels=need_labels)
    if TOKENS in form:
        return _tokenised(columns, form, names, by_line=by_line, need_labels=need_labels)
    return _marked(columns, form, need_labels=need_labels)


def check_same_columns(first: TagTable, other: TagTable) -> None:
    """Refuse splits in which a role that both have lies in different columns (D041)."""
    one, two = (Columns(table.origin, table.columns, {}, []) for table in (first, other))
    check_agreement(one, two, may_differ=(TOKENS, TAGS, TEXT, SPANS))


def _form(columns: Columns, data: DataSection, *, where: str, need_labels: bool) -> tuple[str, ...]:
    """The roles that are used: tokens with tags before a text with passages, and either without labels."""
    there = columns.names
    for form in ((TOKENS, TAGS), (TEXT, SPANS)):
        if all(role in there for role in form):
            return form
    unlabelled = next((role for role in (TOKENS, TEXT) if role in there), None)
    if unlabelled is not None and not need_labels:
        return (unlabelled,)
    asked = listing(f"{role}={name}" for role, name in data.columns.items())
    lacking = {None: TOKENS, TOKENS: TAGS, TEXT: SPANS}[unlabelled]
    raise DataError(
        "D100",
        "there are neither tokens with tags nor a text with spans",
        where=where,
        key=f"data.columns.{lacking}",
        found=listing(columns.header) + (f" (asked for: {asked})" if asked else ""),
        allowed="columns for tokens and tags, or for text and spans",
        help=f"data.columns.{lacking}=COLUMN",
    )


def _tokenised(columns: Columns, form: Sequence[str], names: TagNames, *, by_line: bool, need_labels: bool) -> TagTable:
    texts, words = [], []
    for cell, line in zip(columns.cells[TOKENS], columns.lines, strict=True):
        tokens = token_list(cell, where=f"{columns.origin}:{line}", column=columns.names[TOKENS])
        if not tokens and need_labels:
            raise _no_tokens(f"{columns.origin}:{line}")
        text, places = join(tokens)
        texts.append(text)
        words.append(places)
    table = _table(columns, form, texts, words, tokenised=True, by_line=by_line)
    cells = _labels(columns, TAGS, form, need_labels=need_labels)
    if cells is None:
        return table
    return replace(table, tags=[_tags(cell, table, row, names) for row, cell in enumerate(cells)])


def _marked(columns: Columns, form: Sequence[str], *, need_labels: bool) -> TagTable:
    texts = [str(cell) for cell in columns.cells[TEXT]]
    table = _table(columns, form, texts, [segment(text) for text in texts], tokenised=False, by_line=False)
    cells = _labels(columns, SPANS, form, need_labels=need_labels)
    if cells is None:
        return table
    rows = zip(cells, texts, columns.lines, strict=True)
    return replace(table, spans=[read_spans(cell, text, where=f"{table.origin}:{line}") for cell, text, line in rows])


def _table(
    columns: Columns,
    form: Sequence[str],
    texts: list[str],
    words: list[npt.NDArray[np.int32]],
    *,
    tokenised: bool,
    by_line: bool,
) -> TagTable:
    return TagTable(
        origin=columns.origin,
        columns={role: columns.names[role] for role in form},
        lines=columns.lines,
        texts=texts,
        words=words,
        tags=None,
        spans=None,
        tokenised=tokenised,
        by_line=by_line,
    )


def token_list(cell: object, *, where: str, column: str) -> list[str]:
    """The tokens of a sentence: a list of strings, or one string with spaces between them.

    Raises:
        DataError: something else (D108).
    """
    if isinstance(cell, str):
        return cell.split()
    if isinstance(cell, list):
        wrong = next((place for place, token in enumerate(cell) if not isinstance(token, str)), None)
        if wrong is None:
            return cell
        found = f"token {wrong + 1}: {_shown(cell[wrong])}"
    else:
        found = _shown(cell)
    raise DataError(
        "D108",
        "tokens must be a list of strings",
        where=where,
        key="data.columns.tokens",
        found=found,
        allowed='["a", "list", "of", "strings"], or one string with spaces between the tokens',
        help=f"write every token in '{column}' in quotes",
    )


def _shown(value: object) -> str:
    return "null" if value is None else repr(value)


def _tags(cell: object, table: TagTable, row: int, names: TagNames) -> list[str]:
    """The tags of a sentence, one for each word."""
    where, wanted = f"{table.origin}:{table.lines[row]}", len(table.words[row])
    tags = cell.split() if isinstance(cell, str) else cell
    if not isinstance(tags, list):
        raise DataError(
            "D109",
            "tags must be a list with one for each token",
            where=where,
            key="data.columns.tags",
            found=_shown(tags),
            allowed='["O", "B-PER"], ids, or one string with spaces between the tags',
            help="write a list, or name another column: data.columns.tags=COLUMN",
        )
    if len(tags) != wanted:
        raise DataError(
            "D101",
            f"this sentence has {wanted} tokens and {len(tags)} tags",
            where=where,
            key="data.columns.tags",
            found=f"{len(tags)} tags",
            allowed=f"{wanted}, one for each token",
            help="correct the row; a token may hold no space where tokens are one string",
        )
    return names.read(tags, where=partial(table.where, row))


def _labels(columns: Columns, role: str, form: Sequence[str], *, need_labels: bool) -> list[object] | None:
    """The cells of a role that says what is marked; None where none of them does.

    Raises:
        DataError: some rows have none (D114), or no row where labels are needed.
    """
    cells = columns.cells.get(role) if role in form else None
    if cells is None:
        return None
    absent = [line for cell, line in zip(cells, columns.lines, strict=True) if cell is None]
    if absent and (need_labels or len(absent) < len(cells)):
        raise DataError(
            "D114",
            f"{len(absent)} {'row has' if len(absent) == 1 else 'rows have'} no {role}",
            where=f"{columns.origin}:{absent[0]}",
            key=f"data.columns.{role}",
            found=f"null on {'line' if len(absent) == 1 else 'lines'} {listing(absent, 5)}",
            allowed=f"{role} in every row; an empty list where nothing is marked",
            help="write [] where nothing is marked, or delete the row"
            if role == SPANS
            else "tag these rows, or delete them",
        )
    return None if absent else cells


def _no_tokens(where: str) -> DataError:
    return DataError(
        "D107",
        "a sentence without tokens",
        where=where,
        key="data.columns.tokens",
        found="no token",
        allowed="one token or more",
        help="delete the row",
    )
