"""How tags mark entities: IOB1, BIO and BIOES, told apart, checked, and turned into BIO.

BIO begins every entity with `B-`; IOB1 (Ramshaw & Marcus 1995) only where it follows another one of its type; BIOES
marks the last word (`E-`) and single ones (`S-`) too. The letters of BILOU and BMEWO mean the same. `plain` tags are
classes of their own, as parts of speech. Every tag is looked at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from bert_cli.metrics.entities import OUTSIDE, tag_parts

Scheme = Literal["plain", "iob1", "bio", "bioes"]


class InvalidTags(ValueError):
    """Tags that make no sense in their scheme.

    Attributes:
        place: of the first wrong tag in its sentence.
        reason: what is wrong with it, as the end of a sentence.
    """

    def __init__(self, place: int, reason: str) -> None:
        super().__init__(reason)
        self.place = place
        self.reason = reason


def detect(sentences: Sequence[Sequence[str]]) -> Scheme:
    """The scheme of the tags of a split.

    Where some tags are those of entities, all are taken to be: a tag without a letter among them is a mistake that
    `to_bio` reports. Of BIO and IOB1 the one is taken that the tags obey; where they obey neither, BIO, for the same
    reason.
    """
    tags = {tag for sentence in sentences for tag in sentence}
    parts = {tag: tag_parts(tag) for tag in tags}
    letters = {part[0] for part in parts.values() if part is not None} - {OUTSIDE}
    foreign = [tag for tag, part in parts.items() if part is None]
    if tags != {OUTSIDE} and (not letters or (foreign and OUTSIDE not in tags)):
        return "plain"
    if letters & {"E", "S"}:
        return "bioes"
    read = [[parts[tag] or (OUTSIDE, "") for tag in sentence] for sentence in sentences]
    if all(_obeys_bio(sentence) for sentence in read) or not all(_obeys_iob1(sentence) for sentence in read):
        return "bio"
    return "iob1"


def _neighbours(parts: Sequence[tuple[str, str]]) -> Iterable[tuple[tuple[str, str], tuple[str, str]]]:
    return zip([(OUTSIDE, ""), *parts], parts, strict=False)


def _obeys_bio(parts: Sequence[tuple[str, str]]) -> bool:
    return all(letter != "I" or kind == before[1] for before, (letter, kind) in _neighbours(parts))


def _obeys_iob1(parts: Sequence[tuple[str, str]]) -> bool:
    return all(letter != "B" or kind == before[1] for before, (letter, kind) in _neighbours(parts))


def to_bio(tags: Sequence[str], scheme: Scheme) -> list[tuple[str, str]]:
    """Letter (`O`, `B` or `I`) and type of each tag of one sentence.

    `iob1` is read without judging: whatever does not go on with an entity begins one, so it also mends tags that obey
    no scheme, and reads them as conlleval does.

    Raises:
        InvalidTags: a tag of no entity, or one that cannot stand where it does.
    """
    result: list[tuple[str, str]] = []
    before = (OUTSIDE, "")
    for place, tag in enumerate(tags):
        parts = tag_parts(tag)
        if parts is None:
            raise InvalidTags(place, f"'{tag}' is neither 'O' nor a letter, a hyphen and a type, as 'B-PER'")
        letter, kind = parts
        goes_on = before[0] in ("B", "I") and before[1] == kind and letter in ("I", "E")
        _check(place, tag, parts, before, tags[place - 1] if place else None, scheme=scheme, goes_on=goes_on)
        result.append((OUTSIDE, "") if letter == OUTSIDE else ("I" if goes_on else "B", kind))
        before = parts
    if scheme == "bioes" and before[0] in ("B", "I"):
        raise InvalidTags(len(tags) - 1, f"'{tags[-1]}' ends the sentence, but not its entity")
    return result


def _check(
    place: int,
    tag: str,
    parts: tuple[str, str],
    before: tuple[str, str],
    last: str | None,
    *,
    scheme: Scheme,
    goes_on: bool,
) -> None:
    """Refuse a tag that cannot follow the one before it, `last`."""
    if scheme == "iob1":
        return
    if scheme == "bio" and parts[0] in ("E", "S"):
        raise InvalidTags(place, f"'{tag}' is a tag of BIOES, not of BIO")
    follows = "begins the sentence" if last is None else f"follows '{last}'"
    if parts[0] in ("I", "E") and not goes_on:
        raise InvalidTags(place, f"'{tag}' {follows}, so it is inside of no entity")
    if scheme == "bioes" and before[0] in ("B", "I") and not goes_on:
        raise InvalidTags(place, f"'{tag}' follows '{last}', whose entity has not ended")
