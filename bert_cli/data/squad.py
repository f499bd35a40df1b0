"""SQuAD's nested JSON as one record for each question; rows that are flat already pass as they are.

A file is an object with `data`, a list of articles or a list of paragraphs: whatever level a record stands on, its keys
say so. What an article or a paragraph holds beside its lists is handed down to its questions, ids aside. Costs a small
dictionary for each question; contexts are shared.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass

from bert_cli.data.stream import Record
from bert_cli.errors import DataError

LEVELS = ("data", "paragraphs", "qas")
"""Keys of the lists that nest, outermost first."""

_LAYOUT = '{"data": [{"paragraphs": [{"context": "…", "qas": [{"id": "…", "question": "…", "answers": […]}]}]}]}'


@dataclass(frozen=True, slots=True)
class Asked:
    """One question as the file has it.

    Attributes:
        line: where it begins; in nested files its number, counted from 1.
        where: the same for messages: `train.jsonl:7`, or `train.json: data[3].paragraphs[2].qas[0]`.
        header: where its columns are named.
    """

    line: int
    where: str
    header: str
    values: dict[str, object]


def asked(records: Iterable[Record], *, origin: str, header: Callable[[int], str] | None = None) -> Generator[Asked]:
    """Every question of the records.

    Args:
        origin: what to call the source.
        header: from a line to the place where its columns are named; default: the row itself.

    Raises:
        DataError: a list of the layout holds something else than objects (D120).
    """
    number = 0
    for record in records:
        place = f"{origin}:{record.line}"
        if _list_in(record.values) is None:
            yield Asked(record.line, place, header(record.line) if header else place, record.values)
            continue
        file = origin if record.line == 1 else place
        for path, values in _below(record.values, {}, "", file):
            number += 1
            where = f"{file}: {path}"
            yield Asked(number, where, where, values)


def _list_in(values: dict[str, object]) -> str | None:
    """The key of the list that nests further; a column of that name which holds no list is a column."""
    return next((level for level in LEVELS if isinstance(values.get(level), list)), None)


def _below(
    values: dict[str, object], above: dict[str, object], path: str, file: str
) -> Iterator[tuple[str, dict[str, object]]]:
    """Path and values of each question under an object, with what it inherits."""
    level = _list_in(values)
    if level is None:
        yield path, {**above, **values}
        return
    passed = {**above, **{name: value for name, value in values.items() if name not in (level, "id")}}
    inner = values[level]
    assert isinstance(inner, list)
    for place, each in enumerate(inner):
        at = f"{path}.{level}[{place}]".removeprefix(".")
        if not isinstance(each, dict):
            raise DataError(
                "D120",
                f"'{level}' must hold objects only",
                where=f"{file}: {at}",
                found="null" if each is None else repr(each),
                allowed=_LAYOUT,
                help="write the file as SQuAD does, or one flat question a line (id, question, context, answers)",
            )
        yield from _below(each, passed, at, file)
