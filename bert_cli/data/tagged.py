"""Sentences whose words have tags, whatever files they came from.

A sentence is a text, the places of its words in it, the class of each word, and the entities that are gold as
characters of the text. Passages that no tags can say (they cut a word, or overlap another) are gold all the same: a
tagger is taught what comes nearest, and misses them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bert_cli.inspect.contents import Contents
from bert_cli.metrics.entities import entity_types, find_entities

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class TaggedRows:
    """Sentences of one split, n of them.

    Attributes:
        lines: where each begins in `origin`; empty where nobody asks. Shape: `[n]`.
        texts: n strings.
        words: begin and end of each word, in characters of its text. n arrays of shape `[words, 2]`.
        tags: class ids of the words, n arrays of shape `[words]`; None without labels.
        spans: gold entities, begin, end (in characters) and type. n arrays of shape `[entities, 3]`; None without
            labels, and where tags are plain.
        tokenised: whether the data say what the words are.
        held_out: share of `origin` that these rows are, where they were held out of it for validation.
    """

    name: str
    origin: str
    lines: npt.NDArray[np.int64]
    texts: list[str]
    words: list[Ints]
    tags: list[Ints] | None = None
    spans: list[Ints] | None = None
    tokenised: bool = True
    held_out: float | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def empty_texts(self) -> int:
        """How many sentences have no word."""
        return sum(not len(words) for words in self.words)

    def take(
        self, rows: npt.NDArray[np.int64], *, name: str | None = None, held_out: float | None = None
    ) -> TaggedRows:
        """The given rows as a split of their own."""
        return replace(
            self,
            name=name or self.name,
            held_out=held_out,
            lines=self.lines[rows],
            texts=[self.texts[row] for row in rows],
            words=[self.words[row] for row in rows],
            tags=None if self.tags is None else [self.tags[row] for row in rows],
            spans=None if self.spans is None else [self.spans[row] for row in rows],
        )

    def contents(self, labels: tuple[str, ...] | None) -> Contents:
        """The sentences as strings; `labels` are the classes of words."""
        parts = {"text": self.texts}
        if self.tags is None or labels is None:
            return Contents(self.name, self.origin, self.lines, parts, held_out=self.held_out)
        golds = [" ".join(labels[tag] for tag in tags) for tags in self.tags]
        names, unit = labels, "words"
        counts = Counter(tag for tags in self.tags for tag in tags.tolist())
        if self.spans is not None:
            names, unit = entity_types(labels), "entities"
            counts = Counter(kind for spans in self.spans for kind in spans[:, 2].tolist())
        classes = {name: counts[place] for place, name in enumerate(names)}
        return Contents(
            self.name,
            self.origin,
            self.lines,
            parts,
            golds,
            classes,
            unit,
            held_out=self.held_out,
        )


def gold_spans(tags: Sequence[Ints], words: Sequence[Ints], classes: Sequence[str]) -> list[Ints]:
    """The entities that tags mark, as characters of the texts: `TaggedRows.spans`."""
    lengths = np.fromiter(map(len, tags), dtype=np.int64, count=len(tags))
    flat = np.concatenate([*tags, np.empty(0, dtype=np.int32)]).astype(np.int64)
    places = np.concatenate([*words, np.empty((0, 2), dtype=np.int32)])
    found = find_entities(flat, lengths, classes)
    start = (np.cumsum(lengths) - lengths)[found.sequence]
    rows = np.stack([places[start + found.first, 0], places[start + found.end - 1, 1], found.kind], axis=1)
    return np.split(rows.astype(np.int32), np.searchsorted(found.sequence, np.arange(1, len(tags))))
