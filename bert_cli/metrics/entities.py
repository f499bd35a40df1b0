"""Entities in sequences of tags, and how many of them were found: precision, recall and F1 of whole entities.

An entity counts as found when begin, end and type are right. Tags of a model need not make sense; they are read as
conlleval and seqeval's default mode do (an inside tag after nothing of its type begins an entity), and `strict` marks
the entities that seqeval's strict mode finds too (Nakayama 2018, github.com/chakki-works/seqeval). A whole split is
read in one pass over arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bert_cli.metrics.scores import Counts, averaged

Ints = npt.NDArray[np.int64]

OUTSIDE = "O"
NO_TAG = -1
"""The class of a word that got no prediction."""

# The Begin, Inside, End and Single of BIOES, with the other letters that mean the same (BILOU, BMEWO).
_LETTERS = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S", "W": "S"}
_CODES = {"O": 0, "B": 1, "I": 2, "E": 3, "S": 4}
_O, _B, _I, _E, _S = range(5)

KINDS = ("precision", "recall", "f1")


def tag_parts(tag: str) -> tuple[str, str] | None:
    """Letter (one of `OBIES`) and type of a tag: `B-PER` is `("B", "PER")`; None where it is no tag of entities."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    letter, dash, kind = tag.partition("-")
    return (_LETTERS[letter], kind) if dash and kind and letter in _LETTERS else None


def marks_entities(classes: Sequence[str]) -> bool:
    """Whether class names are tags of entities, all of them."""
    parts = [tag_parts(name) for name in classes]
    return None not in parts and any(part and part[1] for part in parts)


def entity_types(classes: Sequence[str]) -> tuple[str, ...]:
    """The types of entities that class names speak of, in the order in which they come first."""
    parts = filter(None, map(tag_parts, classes))
    return tuple(dict.fromkeys(kind for _, kind in parts if kind))


@dataclass(frozen=True)
class Chunks:
    """Entities of many sequences, in their order. All arrays have one value for each entity.

    Attributes:
        sequence: which sequence; first, end: its words from `first` to before `end`, counted in that sequence.
        kind: place of its type in `entity_types(classes)`.
        strict: whether it begins with a tag that says so, as seqeval's strict mode for BIO asks.
    """

    sequence: Ints
    first: Ints
    end: Ints
    kind: Ints
    strict: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.kind)


def find_entities(tags: Ints, lengths: Ints, classes: Sequence[str]) -> Chunks:
    """The entities that tags mark.

    Args:
        tags: class ids of all sequences one after another, `NO_TAG` counting as outside. Shape: `[words]`.
        lengths: words of each sequence. Shape: `[sequences]`.
        classes: names of the classes, all tags of entities.
    """
    types = {kind: place for place, kind in enumerate(entity_types(classes))}
    parts = [tag_parts(name) for name in classes]
    assert None not in parts, "classes are tags of entities"
    # The last entry is that of NO_TAG.
    codes = np.array([*(_CODES[part[0]] for part in parts if part), _O])
    kinds = np.array([*(types.get(part[1], -1) for part in parts if part), -1])
    # Behind each sequence stands an outside tag, so that no entity goes on into the next.
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    places = np.arange(len(tags)) + sequence
    code = np.zeros(len(tags) + len(lengths) + 1, dtype=np.int64)
    kind = np.full(len(code), -1)
    code[places + 1], kind[places + 1] = codes[tags], kinds[tags]
    before, now = code[:-1], code[1:]
    other = kind[:-1] != kind[1:]
    begins = (now != _O) & (np.isin(now, (_B, _S)) | np.isin(before, (_O, _E, _S)) | other)
    ends = (before != _O) & (np.isin(before, (_E, _S)) | np.isin(now, (_O, _B, _S)) | other)
    first, end = np.flatnonzero(begins), np.flatnonzero(ends)
    of = np.repeat(np.arange(len(lengths)), lengths + 1)[first]
    start = np.cumsum(lengths) - lengths + np.arange(len(lengths))
    return Chunks(of, first - start[of], end - start[of], kind[first + 1], np.isin(code[first + 1], (_B, _S)))


def count_entities(gold: Ints, predicted: Ints, n_types: int) -> Counts:
    """Entities of each type that were found, invented and missed; one given twice counts once.

    Args:
        gold, predicted: sequence, begin, end and type of each entity. Shape: `[entities, 4]`.
    """
    gold, predicted = (np.unique(each.reshape(-1, 4), axis=0) for each in (gold, predicted))
    both, times = np.unique(np.concatenate([gold, predicted]), axis=0, return_counts=True)
    found, wanted, answered = (
        np.bincount(each[:, 3], minlength=n_types).astype(np.int64) for each in (both[times == 2], gold, predicted)
    )
    return Counts(found, answered - found, wanted - found, (answered + wanted) > 0)


def entity_scores(counts: Counts, strict: Counts) -> dict[str, float]:
    """The metrics of entities by name, over all types together; 0 ÷ 0 is 0 as in seqeval."""
    scores = {f"entity_{kind}": averaged(counts, kind, "micro") for kind in KINDS}
    return {**scores, "entity_f1_strict": averaged(strict, "f1", "micro")}


def word_accuracy(gold: Ints, predicted: Ints) -> float:
    """Share of words with the right tag; nan without words. Shapes: `[words]`."""
    return float((gold == predicted).mean()) if len(gold) else float("nan")
