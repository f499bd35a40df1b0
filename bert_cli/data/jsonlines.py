"""JSON: one object a line, one object over several lines, or one list of objects, each a record with JSON's own values.

Stricter than Python's own parser: NaN and Infinity, doubled keys and half surrogate pairs are refused, each with file,
line and column. JSON lines are streamed; a list or an object over several lines is one value and is read whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain

from bert_cli.data.stream import Record
from bert_cli.errors import DataError, listing

_SPACE = " \t\r\n"


class _Refused(ValueError):
    """Text that Python's parser takes although it is not JSON, with the text to look for."""

    def __init__(self, reason: str, fragment: str) -> None:
        super().__init__(reason)
        self.fragment = fragment


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        doubled = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"the key '{doubled}' occurs twice in one object", json.dumps(doubled, ensure_ascii=False))
    return value


def _constant(name: str) -> object:
    raise _Refused(f"{name} is not a JSON value", name)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def iter_jsonl(lines: Iterator[str], name: str) -> Iterator[Record]:
    """One record per line; blank lines are skipped.

    Raises:
        DataError: a line that is not JSON (D014), not an object (D015), or holds half a surrogate pair (D016).
    """
    for number, line in enumerate(lines, 1):
        if not line.strip(_SPACE):
            continue
        try:
            value = _DECODER.decode(line)
        except (ValueError, RecursionError) as error:
            raise _not_json(line.rstrip(_SPACE), error, name, number) from None
        yield _record(value, line, name, number)


def iter_json(lines: Iterator[str], name: str) -> Iterator[Record]:
    """A list of objects, one object over several lines, or JSON lines under the suffix `.json`.

    Errors as in `iter_jsonl`.
    """
    head: list[str] = []
    for line in lines:
        head.append(line)
        if line.strip(_SPACE):
            break
    first = head[-1].strip(_SPACE) if head else ""
    if first.startswith("["):
        yield from _iter_list("".join(chain(head, lines)), name)
    elif first.startswith("{") and not first.endswith("}"):
        text = "".join(chain(head, lines))
        try:
            value = _DECODER.decode(text)
        except (ValueError, RecursionError) as error:
            raise _not_json(text, error, name, 1) from None
        yield _record(value, text, name, len(head))
    else:
        yield from iter_jsonl(chain(head, lines), name)


def _iter_list(text: str, name: str) -> Iterator[Record]:
    position, line, counted = text.index("[") + 1, 1, 0
    first = True
    try:
        while True:
            position = _skip(text, position)
            if text[position : position + 1] == "]":
                break
            if not first:
                position = _skip(text, _expect(text, position, ","))
            first = False
            line += text.count("\n", counted, position)
            counted = position
            value, end = _DECODER.raw_decode(text, position)
            yield _record(value, text[position:end], name, line)
            position = end
        tail = _skip(text, position + 1)
        if tail != len(text):
            raise json.JSONDecodeError("Extra data after the list", text, tail)
    except (ValueError, RecursionError) as error:
        raise _not_json(text, error, name, 1, start=position) from None


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position


def _expect(text: str, position: int, character: str) -> int:
    if text[position : position + 1] != character:
        raise json.JSONDecodeError(f"Expecting '{character}' or ']'", text, position)
    return position + 1


def _record(value: object, text: str, name: str, line: int) -> Record:
    if not isinstance(value, dict):
        raise DataError(
            "D015",
            'a row of JSON must be an object, as {"text": "…"}',
            where=f"{name}:{line}",
            found=text.strip(_SPACE)[:80],
            allowed="an object with one value per column",
            help="write each row as an object; a .json file is a list of objects or one object a line",
        )
    # Surrogates can only come from escapes, because the lines were decoded strictly.
    if "\\u" in text:
        _refuse_surrogates(value, f"{name}:{line}")
    return Record(line, value)


def _refuse_surrogates(value: object, where: str) -> None:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            "D016",
            "a character is written as half a surrogate pair, which no text may hold",
            where=where,
            found=f"\\u{ord(text[error.start]):04x}",
            allowed="pairs, as \\ud83d\\ude00",
            help="write the file again with whole characters (json.dumps does)",
        ) from None


def _not_json(text: str, error: Exception, name: str, number: int, *, start: int = 0) -> DataError:
    """What is wrong, and where: in the record that begins at `start`."""
    position, reason = start, str(error)
    if isinstance(error, json.JSONDecodeError):
        position, reason = error.pos, error.msg
    elif isinstance(error, _Refused):
        position = max(text.find(error.fragment, start), start)
    elif isinstance(error, RecursionError):
        reason = "nested too deeply"
    line = number + text.count("\n", 0, position)
    begin = text.rfind("\n", 0, position) + 1
    fragment = text[max(begin, position - 30) : position + 30].splitlines() or ["the line ends"]
    return DataError(
        "D014",
        f"not valid JSON: {reason}",
        where=f"{name}:{line}:{position - begin + 1}",
        found=listing(fragment[:1]) or "the line ends",
        allowed="one JSON object a line, or a list of objects",
        help=f"mend line {line}; json.dumps writes each row soundly",
    )
