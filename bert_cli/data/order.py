"""Which rows come when: an endless stream of rows, epoch after epoch, as a pure function of the seed.

In an epoch of one corpus every row comes once. Several corpora are mixed by weight: each gives its share of an epoch
and goes through its own rows in permutations of its own, so none of its rows comes twice before all of them have come
once. Two epochs are kept in memory, at 4 bytes a row (12 where corpora are mixed).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from bert_cli.env import derived_seed

Drawn = tuple[np.ndarray, np.ndarray]
"""Rows, and how often each has come before. Shapes: `[B]` and `[B]` int64."""


class Order(Protocol):
    """A stream of rows; equal orders give equal streams."""

    def __hash__(self) -> int: ...

    @property
    def n(self) -> int:
        """Rows of an epoch."""
        ...

    def rows(self, epoch: int, start: int, stop: int) -> Drawn:
        """Rows `start` to `stop` of an epoch, both within it."""
        ...

    def tokens(self, lengths: np.ndarray, rows: int) -> int:
        """Tokens of the first `rows` rows of the stream, over all epochs; `lengths` `[N]` is that of all rows."""
        ...


@dataclass(frozen=True)
class Shuffled:
    """`n` rows from `first` on, in a fresh permutation each epoch.

    Attributes:
        corpus: tells the permutations of mixed corpora apart; 0 alone.
    """

    n: int
    seed: int
    first: int = 0
    corpus: int = 0

    def rows(self, epoch: int, start: int, stop: int) -> Drawn:
        order = _permutation(self.n, self.seed, self.corpus, epoch)
        rows = order[start:stop].astype(np.int64) + self.first
        return rows, np.full(len(rows), epoch, dtype=np.int64)

    def tokens(self, lengths: np.ndarray, rows: int) -> int:
        epoch, rest = divmod(rows, self.n)
        own = lengths[self.first : self.first + self.n]
        whole = epoch * int(own.sum(dtype=np.int64)) if epoch else 0
        return whole + (_sum(lengths, self.rows(epoch, 0, rest)[0]) if rest else 0)

    def stream(self, start: int, stop: int) -> Drawn:
        """Rows `start` to `stop` of the whole stream, which may lie in several epochs."""
        epochs = range(start // self.n, -(-stop // self.n))
        parts = [self.rows(e, max(start - e * self.n, 0), min(stop - e * self.n, self.n)) for e in epochs]
        return np.concatenate([rows for rows, _ in parts]), np.concatenate([epochs for _, epochs in parts])


@dataclass(frozen=True)
class Mixed:
    """Several corpora by weight; an epoch has as many rows as all of them together.

    Attributes:
        ranges: the rows of each corpus, none empty.
        weights: share of each in the stream, up to a common factor; above 0.
    """

    ranges: tuple[range, ...]
    weights: tuple[float, ...]
    seed: int

    @property
    def n(self) -> int:
        return sum(map(len, self.ranges))

    @property
    def counts(self) -> tuple[int, ...]:
        """Rows that each corpus gives to an epoch: within one of its exact share, at least one."""
        edges = np.rint(np.cumsum([0.0, *self.weights]) / sum(self.weights) * self.n)
        counts = np.diff(edges).astype(np.int64)
        for empty in np.flatnonzero(counts == 0):
            counts[counts.argmax()] -= 1
            counts[empty] = 1
        return tuple(counts.tolist())

    @property
    def corpora(self) -> tuple[Shuffled, ...]:
        """Each corpus as a stream of its own."""
        return tuple(Shuffled(len(r), self.seed, r.start, corpus) for corpus, r in enumerate(self.ranges))

    def rows(self, epoch: int, start: int, stop: int) -> Drawn:
        if len(self.ranges) == 1:
            return self.corpora[0].rows(epoch, start, stop)
        rows, epochs = _mixture(self, epoch)
        return rows[start:stop], epochs[start:stop].astype(np.int64)

    def tokens(self, lengths: np.ndarray, rows: int) -> int:
        epoch, rest = divmod(rows, self.n)
        given = zip(self.corpora, self.counts, strict=True)
        whole = sum(corpus.tokens(lengths, epoch * count) for corpus, count in given) if epoch else 0
        return whole + (_sum(lengths, self.rows(epoch, 0, rest)[0]) if rest else 0)


@lru_cache(maxsize=2)
def _permutation(n: int, seed: int, corpus: int, epoch: int) -> np.ndarray:
    # One corpus is shuffled as if there could be no other.
    which = (corpus,) if corpus else ()
    order = np.random.default_rng(derived_seed(seed, "order", epoch, *which)).permutation(n)
    return order.astype(np.int32) if n < 2**31 else order


@lru_cache(maxsize=2)
def _mixture(order: Mixed, epoch: int) -> Drawn:
    """All rows of an epoch."""
    which = np.repeat(np.arange(len(order.ranges), dtype=np.int16), order.counts)
    np.random.default_rng(derived_seed(order.seed, "mix", epoch)).shuffle(which)
    rows, epochs = np.empty(order.n, dtype=np.int64), np.empty(order.n, dtype=np.int32)
    for i, (corpus, count) in enumerate(zip(order.corpora, order.counts, strict=True)):
        places = which == i
        rows[places], epochs[places] = corpus.stream(epoch * count, (epoch + 1) * count)
    return rows, epochs


def _sum(lengths: np.ndarray, rows: np.ndarray) -> int:
    return int(lengths[rows].sum(dtype=np.int64))
