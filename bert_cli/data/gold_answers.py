"""The gold answers of one question: their texts, and the characters of the context that are learnt.

An answer is learnt only from where it really stands. A wrong `answer_start` is moved where the text occurs exactly once
in the context; where it occurs never or more often, the answer still counts for scores and nothing is learnt from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bert_cli.errors import DataError

UNKNOWN = (-1, -1)
NO_ANSWER = (0, 0)

_FORMS = '{"text": ["…"], "answer_start": [0]}, or [{"text": "…", "answer_start": 0}]; [] where there is no answer'
_TEXTS = ("text", "texts")
_STARTS = ("answer_start", "start", "answer_starts", "starts")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Gold:
    """What is known about the answer to a question.

    Attributes:
        texts: of every gold answer; none: the context has no answer.
        span: characters of the answer that is learnt, from and to; `NO_ANSWER`, or `UNKNOWN` where none has a place.
        wrong: answers that do not stand at their `answer_start`.
        moved: those of them that occur once elsewhere.
    """

    texts: tuple[str, ...]
    span: tuple[int, int]
    wrong: int = 0
    moved: int = 0


def read_gold(answers: object, context: str, *, impossible: object = None, where: str, key: str) -> Gold | None:
    """The gold answers in a cell, or None where the cell is null.

    Args:
        answers: as SQuAD writes them (a list of objects), as columns (an object of lists), or plain texts.
        impossible: what `is_impossible` says, None where nobody does.
        key: the recipe key of the column.

    Raises:
        DataError: a cell of another form (D121), an answer without a character (D122), or answers that contradict
            `is_impossible` (D123).
    """
    if answers is None:
        return None
    found = _answers(answers, where=where, key=key)
    _check_impossible(found, impossible, where)
    if not found:
        return Gold((), NO_ANSWER)
    places = [_place(context, text, start) for text, start in found]
    texts, starts = zip(*found, strict=True)
    wrong = [i for i, start in enumerate(starts) if start is not None and start != places[i]]
    moved = sum(places[i] is not None for i in wrong)
    held = [i for i, start in enumerate(starts) if start is not None and start == places[i]]
    at = next((i for i in held or range(len(places)) if places[i] is not None), None)
    start = None if at is None else places[at]
    if at is None or start is None:
        return Gold(texts, UNKNOWN, len(wrong), moved)
    return Gold(texts, trimmed(context, start, start + len(texts[at])), len(wrong), moved)


def trimmed(context: str, start: int, end: int) -> tuple[int, int]:
    """The same characters without space around them."""
    text = context[start:end]
    return start + len(text) - len(text.lstrip()), end - (len(text) - len(text.rstrip()))


def _place(context: str, text: str, start: int | None) -> int | None:
    """Where an answer stands: at its start, else where it occurs once; None where that is not known."""
    if start is not None and start >= 0 and context.startswith(text, start):
        return start
    first = context.find(text)
    return first if first >= 0 and context.find(text, first + 1) < 0 else None


def _answers(cell: object, *, where: str, key: str) -> list[tuple[str, int | None]]:
    """Text and start (None where it is not given) of each answer in a cell."""
    if isinstance(cell, str):
        pairs: list[tuple[object, object]] = [(cell, None)] if cell else []
    elif isinstance(cell, Mapping):
        pairs = _columns(cell, where=where, key=key)
    elif isinstance(cell, list):
        pairs = [
            (_named(each, _TEXTS), _named(each, _STARTS)) if isinstance(each, Mapping) else (each, None)
            for each in cell
        ]
    else:
        raise _form(cell, where, key)
    return [_checked(text, start, where=where, key=key) for text, start in pairs]


def _columns(cell: Mapping[str, object], *, where: str, key: str) -> list[tuple[object, object]]:
    texts, starts = _named(cell, _TEXTS), _named(cell, _STARTS)
    if not isinstance(texts, list):
        texts, starts = [texts], [starts]
    if starts is None:
        starts = [None] * len(texts)
    if not isinstance(starts, list) or len(starts) != len(texts):
        raise _form(cell, where, key)
    return list(zip(texts, starts, strict=True))


def _named(cell: Mapping[str, object], names: tuple[str, ...]) -> object:
    return next((cell[name] for name in names if name in cell), None)


def _checked(text: object, start: object, *, where: str, key: str) -> tuple[str, int | None]:
    if isinstance(start, float) and start.is_integer():
        start = int(start)
    if not isinstance(text, str) or not (start is None or type(start) is int):
        raise _form({"text": text, "answer_start": start}, where, key)
    if not text.strip():
        raise DataError(
            "D122",
            "an answer has no characters",
            where=where,
            key=key,
            found=repr(text),
            allowed="a piece of the context; [] where the context has no answer",
            help="take the empty answer out",
        )
    return text, start


def _check_impossible(found: list[tuple[str, int | None]], impossible: object, where: str) -> None:
    says = _FLAGS.get(str(impossible).casefold())
    if impossible is None or says is (not found):
        return
    raise DataError(
        "D123",
        "is_impossible and the answers contradict each other" if says is not None else "is_impossible is no yes or no",
        where=where,
        found=f"is_impossible: {impossible}, {len(found)} answers",
        allowed="true and no answers, or false and one or more",
        help="correct one of them, or leave is_impossible out",
    )


def _form(cell: object, where: str, key: str) -> DataError:
    return DataError(
        "D121",
        "the answers of this question cannot be read",
        where=where,
        key=key,
        found=repr(cell),
        allowed=_FORMS,
        help="write text and start of each answer; starts count characters of the context from 0",
    )
