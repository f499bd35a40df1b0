"""Entities and their scores as seqeval and conlleval define them, tag by tag and without arrays."""

from __future__ import annotations

from collections.abc import Sequence

Chunk = tuple[str, int, int]
Sentences = Sequence[Sequence[str]]


def split(tag: str) -> tuple[str, str]:
    letter, _, kind = tag.partition("-")
    return letter, kind


def ends(before: str, letter: str, kind_before: str, kind: str) -> bool:
    """Whether an entity ends between two tags (conlleval's endOfChunk)."""
    if before in ("E", "S"):
        return True
    if before in ("B", "I") and letter in ("B", "S", "O"):
        return True
    return before != "O" and kind_before != kind


def starts(before: str, letter: str, kind_before: str, kind: str) -> bool:
    """Whether an entity begins at the second of two tags (conlleval's startOfChunk)."""
    if letter in ("B", "S"):
        return True
    if before in ("E", "S", "O") and letter in ("E", "I"):
        return True
    return letter != "O" and kind_before != kind


def lenient(tags: Sequence[str]) -> set[Chunk]:
    """Type, first and last word of each entity, in the default mode."""
    found, begin = set(), 0
    before, kind_before = "O", ""
    for place, tag in enumerate([*tags, "O"]):
        letter, kind = split(tag)
        if ends(before, letter, kind_before, kind):
            found.add((kind_before, begin, place - 1))
        if starts(before, letter, kind_before, kind):
            begin = place
        before, kind_before = letter, kind
    return found


def strict(tags: Sequence[str]) -> set[Chunk]:
    """The same in strict mode for BIO: from a B to the last I of its type behind it."""
    found = set()
    for place, tag in enumerate(tags):
        letter, kind = split(tag)
        if letter != "B":
            continue
        last = place
        while last + 1 < len(tags) and tags[last + 1] == f"I-{kind}":
            last += 1
        found.add((kind, place, last))
    return found


def scores(gold: Sentences, predicted: Sentences, *, read_strictly: bool = False) -> dict[str, float]:
    """Precision, recall and F1 over all types, 0 ÷ 0 being 0."""
    read = strict if read_strictly else lenient
    wanted = {(i, *chunk) for i, tags in enumerate(gold) for chunk in read(tags)}
    answered = {(i, *chunk) for i, tags in enumerate(predicted) for chunk in read(tags)}
    found = len(wanted & answered)
    precision = found / len(answered) if answered else 0.0
    recall = found / len(wanted) if wanted else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}
