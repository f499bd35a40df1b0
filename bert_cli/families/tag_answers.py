"""What a tagger said about sentences: one class for each word, and the entities or tags that follow from them.

The windows of a sentence are put together here; each of its words was scored in one of them. Gold is the whole of it:
words that the tokenizer does not see are outside of entities, or tagged wrongly where tags are plain, and entities that
no tags can say are missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bert_cli.files import rounded
from bert_cli.metrics import Predictions
from bert_cli.metrics.entities import (
    NO_TAG,
    OUTSIDE,
    Chunks,
    count_entities,
    entity_scores,
    entity_types,
    find_entities,
    word_accuracy,
)
from bert_cli.metrics.names import SINGLE
from bert_cli.metrics.scores import Counts
from bert_cli.metrics.tag_report import entity_report, tag_report
from bert_cli.train.evaluate import Scored

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TagAnswers:
    """Predictions of a split.

    Attributes:
        split: rows as `encode_tagged` makes them.
        labels: class names in the order of the model's outputs.
        plain: whether tags are classes of their own.
        losses: of the split, None where nothing is known to compare with.
        threshold: none is used.
    """

    split: Any
    scored: Scored
    labels: Sequence[str]
    plain: bool
    losses: Mapping[str, float] | None
    threshold: float = 0.5

    @property
    def n(self) -> int:
        """Sentences."""
        return len(self._firsts)

    @cached_property
    def _firsts(self) -> Ints:
        """The first row of each sentence. Shape: `[n]`."""
        return np.flatnonzero(np.diff(self.split.column("example"), prepend=-1))

    @cached_property
    def _lengths(self) -> Ints:
        """Words of each sentence. Shape: `[n]`."""
        return np.array([len(self.split.values("words", int(row))) // 2 for row in self._firsts], dtype=np.int64)

    @cached_property
    def _starts(self) -> Ints:
        """How many words stand before each sentence, and in all. Shape: `[n + 1]`."""
        return np.concatenate([[0], np.cumsum(self._lengths)])

    def _flat(self, name: str) -> Ints:
        """A column of lists of numbers of all sentences, one after another."""
        return np.concatenate([self.split.values(name, int(row)) for row in self._firsts]).astype(np.int64)

    @cached_property
    def _words(self) -> Ints:
        """Begin and end of every word, in characters of its text. Shape: `[words, 2]`."""
        return self._flat("words").reshape(-1, 2)

    @cached_property
    def _places(self) -> Ints:
        """Which word each line of scores is of. Shape: `[K]`."""
        rows = len(self.scored.ends)
        words = np.concatenate([self.split.values("word", row) for row in range(rows)])
        starts = self._starts[self.split.column("example")]
        places: Ints = np.repeat(starts, np.diff(self.scored.ends, prepend=0)) + words
        return places

    @cached_property
    def predicted(self) -> Ints:
        """Class id of every word, `NO_TAG` for one that the model did not see. Shape: `[words]`.

        Raises:
            NonFiniteError: a probability is nan (M005).
        """
        found = np.full(self._starts[-1], NO_TAG, dtype=np.int64)
        found[self._places] = Predictions(SINGLE, self.scored.scores).labels
        outside = self.labels.index(OUTSIDE) if not self.plain and OUTSIDE in self.labels else NO_TAG
        return np.where(found == NO_TAG, outside, found)

    @cached_property
    def _chances(self) -> npt.NDArray[np.float64]:
        """Probability of the class of every word, 0 for one that the model did not see. Shape: `[words]`."""
        chances = np.zeros(self._starts[-1])
        chances[self._places] = self.scored.scores.max(axis=1)
        return chances

    @cached_property
    def _entities(self) -> Chunks:
        return find_entities(self.predicted, self._lengths, self.labels)

    @cached_property
    def _spans(self) -> Ints:
        """Sentence, begin and end in characters, and type of each predicted entity. Shape: `[entities, 4]`."""
        found = self._entities
        start = self._starts[found.sequence]
        begin, end = self._words[start + found.first, 0], self._words[start + found.end - 1, 1]
        return np.stack([found.sequence, begin, end, found.kind], axis=1)

    @cached_property
    def _gold_spans(self) -> Ints:
        """The same of gold entities."""
        counts = [len(self.split.values("spans", int(row))) // 3 for row in self._firsts]
        sentence = np.repeat(np.arange(self.n), counts)
        return np.concatenate([sentence[:, None], self._flat("spans").reshape(-1, 3)], axis=1)

    def _counts(self, *, strict: bool = False) -> Counts:
        spans = self._spans[self._entities.strict] if strict else self._spans
        return count_entities(self._gold_spans, spans, len(entity_types(self.labels)))

    @cached_property
    def scores(self) -> dict[str, float]:
        """Loss, accuracy of words and the metrics of entities; nothing where no gold is known."""
        if self.losses is None:
            return {}
        entities = {} if self.plain else entity_scores(self._counts(), self._counts(strict=True))
        return {**self.losses, **entities, "accuracy": word_accuracy(self._flat("gold"), self.predicted)}

    def report(self) -> dict[str, Any]:
        """Scores of each type of entity, or of each tag; see `bert_cli.metrics.tag_report`."""
        found: dict[str, Any] = {"n": self.n, "words": int(self._starts[-1]), "accuracy": self.scores["accuracy"]}
        if self.plain:
            return {**found, **tag_report(self._flat("gold"), self.predicted, self.labels)}
        return {**found, **entity_report(self._counts(), entity_types(self.labels))}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Text, gold where it is known, and `entities` with their characters, or `tags` where they are plain.

        What was read as tokens has its `tokens` again, and the tag of each.
        """
        ends = np.searchsorted(self._spans[:, 0], np.arange(self.n), side="right") if not self.plain else None
        for sentence, row in enumerate(self._firsts.tolist()):
            line, text = self.split.value("line", row), self.split.value("text", row)
            words = slice(int(self._starts[sentence]), int(self._starts[sentence + 1]))
            record: dict[str, Any] = {} if line is None else {"line": line}
            record["text"] = text
            if self.split.value("tokenised", row):
                record["tokens"] = [text[begin:end] for begin, end in self._words[words].tolist()]
            if self.losses is not None:
                record["gold"] = self._gold(row, text)
            if ends is None:
                yield record | {"tags": self._tags(words, text)}
                continue
            if "tokens" in record:
                record["tags"] = [self.labels[tag] for tag in self.predicted[words].tolist()]
            first = int(ends[sentence - 1]) if sentence else 0
            yield record | {"entities": [self._entity(place, text) for place in range(first, int(ends[sentence]))]}

    def files(self) -> Mapping[str, Any]:
        """None: the rows say everything."""
        return {}

    def _gold(self, row: int, text: str) -> list[Any]:
        """Gold entities of a sentence, or its tags."""
        if self.plain:
            return [self.labels[tag] for tag in self.split.values("gold", row).tolist()]
        types = entity_types(self.labels)
        spans = self.split.values("spans", row).reshape(-1, 3).tolist()
        return [_marked(text, begin, end, types[kind]) for begin, end, kind in spans]

    def _tags(self, words: slice, text: str) -> list[dict[str, Any]]:
        tags = zip(self._words[words].tolist(), self.predicted[words], self._chances[words], strict=True)
        return [
            _marked(text, begin, end, None if tag == NO_TAG else self.labels[tag]) | {"score": rounded(chance)}
            for (begin, end), tag, chance in tags
        ]

    def _entity(self, place: int, text: str) -> dict[str, Any]:
        """One predicted entity; its score is the mean probability of its words' tags."""
        sentence, begin, end, kind = self._spans[place].tolist()
        start, found = self._starts[sentence], self._entities
        chance = self._chances[start + found.first[place] : start + found.end[place]].mean()
        return _marked(text, begin, end, entity_types(self.labels)[kind]) | {"score": rounded(chance)}


def _marked(text: str, begin: int, end: int, label: str | None) -> dict[str, Any]:
    return {"start": begin, "end": end, "label": label, "text": text[begin:end]}
