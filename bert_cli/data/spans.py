"""Marked passages of a text, in the forms in which annotation tools write them.

Read are `[start, end, label]` (Doccano, spaCy), objects with start, end and label under their usual names (Doccano,
Label Studio's JSON-MIN, Prodigy), and `{label: {passage: [[start, end]]}}` (CLUENER). Ends are exclusive and count code
points; where the passage itself is given, ends that are inclusive and places that count UTF-16 units are understood
from it, and any others are refused with file and line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bert_cli.data.stream import Record
from bert_cli.errors import DataError

_START = ("start", "start_offset", "start_char", "begin", "from")
_END = ("end", "end_offset", "end_char", "stop", "to")
_LABEL = ("label", "labels", "type", "tag", "slot", "entity_type", "entity_group", "entity")
_PASSAGE = ("text", "surface", "value", "word", "mention")
_FORMS = '[start, end, "LABEL"], or {"start": …, "end": …, "label": …}'


@dataclass(frozen=True, order=True)
class Span:
    """Characters from `start` to before `end`, with the name of their type."""

    start: int
    end: int
    label: str


WRAPPED = ("data", "annotations")
"""Columns of a task as Label Studio exports it."""


def unwrapped(record: Record) -> Record:
    """A task as Label Studio exports it, as a row with `text` and `spans`; any other record as it is.

    Only the first annotation of a task that was not cancelled is read, and of it only labelled passages.
    """
    data, annotations = map(record.values.get, WRAPPED)
    if not isinstance(data, Mapping) or not isinstance(annotations, list):
        return record
    texts = [value for value in data.values() if isinstance(value, str)]
    text = data.get("text", texts[0] if len(texts) == 1 else None)
    done = [each for each in annotations if isinstance(each, Mapping) and not each.get("was_cancelled")]
    results = done[0].get("result") if done else []
    values = [
        result["value"]
        for result in (results if isinstance(results, list) else [])
        if isinstance(result, Mapping) and isinstance(result.get("value"), Mapping) and "labels" in result["value"]
    ]
    return Record(record.line, {"text": text, "spans": values})


def read_spans(cell: object, text: str, *, where: str) -> list[Span]:
    """The passages that a cell marks in `text`, in the order of the cell, spaces at their ends left out.

    Raises:
        DataError: not a list of passages (D110), a place beyond the text (D111), a passage that stands elsewhere
            (D112), or one without a visible character (D119).
    """
    if not isinstance(cell, list | Mapping):
        raise _malformed(cell, where)
    entries = _nested(cell, where) if isinstance(cell, Mapping) else [_entry(each, where) for each in cell]
    return [span for entry in entries for span in _placed(*entry, text=text, where=where)]


def _nested(cell: Mapping[Any, Any], where: str) -> Iterator[tuple[int, int, list[str], str | None]]:
    """Entries of `{label: {passage: [[start, end]]}}`."""
    for label, passages in cell.items():
        if not isinstance(passages, Mapping):
            raise _malformed({label: passages}, where)
        for passage, places in passages.items():
            for place in places if isinstance(places, list) else [places]:
                if not (isinstance(place, list) and len(place) == 2 and all(map(_is_place, place))):
                    raise _malformed({passage: places}, where)
                yield place[0], place[1], [str(label)], str(passage)


def _entry(value: object, where: str) -> tuple[int, int, list[str], str | None]:
    """Start, end, labels and the passage itself (where it is given) of one list or object."""
    passage = None
    if isinstance(value, list) and len(value) == 3:
        start, end, label = value
    elif isinstance(value, Mapping):
        start, end, label, passage = (_first(value, names) for names in (_START, _END, _LABEL, _PASSAGE))
    else:
        raise _malformed(value, where)
    labels = label if isinstance(label, list) else [label]
    if not (_is_place(start) and _is_place(end) and labels and all(isinstance(name, str) and name for name in labels)):
        raise _malformed(value, where)
    return start, end, labels, passage if isinstance(passage, str) else None


def _first(value: Mapping[Any, Any], names: tuple[str, ...]) -> Any:
    return next((value[name] for name in names if name in value), None)


def _is_place(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _placed(start: int, end: int, labels: list[str], passage: str | None, *, text: str, where: str) -> list[Span]:
    """The entry as spans of code points, one for each of its labels."""
    if passage is not None and not _marks(text, start, end, passage):
        start, end = _understood(start, end, passage, text=text, where=where)
    if not 0 <= start <= end <= len(text):
        raise DataError(
            "D111",
            "a span goes beyond its text",
            where=where,
            found=f"{start} to {end}",
            allowed=f"0 to {len(text)}, the length of the text in characters",
            help="count characters from 0, ends exclusive",
        )
    marked = text[start:end]
    if not marked.strip():
        raise no_character(start, end, marked, where=where)
    start += len(marked) - len(marked.lstrip())
    return [Span(start, start + len(marked.strip()), label) for label in labels]


def no_character(start: int, end: int, marked: str, *, where: str) -> DataError:
    """What to say about a span of spaces and control characters."""
    return DataError(
        "D119",
        "a span marks no visible character",
        where=where,
        found=f"{start} to {end}: {marked!r}",
        allowed="one character or more; ends are exclusive",
        help="add 1 to the ends where they are inclusive, or delete the span",
    )


def _marks(text: str, start: int, end: int, passage: str) -> bool:
    return 0 <= start <= end <= len(text) and text[start:end] == passage


def _understood(start: int, end: int, passage: str, *, text: str, where: str) -> tuple[int, int]:
    """Places that were counted otherwise: inclusive ends, or UTF-16 units as in JavaScript."""
    if _marks(text, start, end + 1, passage):
        return start, end + 1
    units = text.encode("utf-16-le")
    if start >= 0 and units[2 * start : 2 * end] == passage.encode("utf-16-le"):
        before, marked = units[: 2 * start], units[2 * start : 2 * end]
        first = len(before.decode("utf-16-le"))
        return first, first + len(marked.decode("utf-16-le"))
    near = text.find(passage)
    raise DataError(
        "D112",
        f"the span {start} to {end} does not mark the passage that it names",
        where=where,
        found=repr(text[max(start, 0) : max(end, 0)]),
        allowed=repr(passage),
        help=f"it stands at {near} to {near + len(passage)}" if near >= 0 else "correct the span, or delete it",
    )


def _malformed(value: object, where: str) -> DataError:
    return DataError(
        "D110",
        "this is no span of a text",
        where=where,
        found="null" if value is None else repr(value),
        allowed=_FORMS,
        help="write each span in one of these forms, [] where there is none",
    )
