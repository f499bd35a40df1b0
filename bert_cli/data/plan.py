"""Which examples make up which step: a pure function of lengths, batch size, seed and step.

Every epoch is a fresh permutation cut into global batches, so batches are random and the same on every machine. A batch
is then split into micro-batches of similar length, which changes no gradient and removes most padding. A step costs
O(distinct lengths²) integer work, far below a millisecond for usual batches.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bert_cli.env import derived_seed

# A micro-batch costs a fixed time (launches, weight reads, the dense embedding gradient) worth about this many tokens;
# measured with a 6-layer encoder of width 384 on two CPU cores.
OVERHEAD_TOKENS = 160


@dataclass(frozen=True)
class PlannedStep:
    """One optimizer step: `micro_batches` holds the row numbers of each forward pass; together they are the batch."""

    step: int
    epoch: int
    micro_batches: tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """All steps of a run.

    Attributes:
        lengths: tokens of each example. Shape: `[N]`.
        batch_size: examples per optimizer step.
        total_steps: where the run ends.
        seed: decides the order of every epoch.
        micro_batch_tokens: most computed tokens in one micro-batch; one example may exceed it alone.
        unpadded: the model computes real tokens only, so that a batch is split for memory alone.
    """

    lengths: np.ndarray
    batch_size: int
    total_steps: int
    seed: int
    micro_batch_tokens: int
    unpadded: bool = False

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.lengths) / self.batch_size)

    def rows(self, step: int) -> np.ndarray:
        """The examples of a step (counted from 0), in random order; the last batch of an epoch may be smaller."""
        epoch, index = divmod(step, self.steps_per_epoch)
        order = _permutation(len(self.lengths), self.seed, epoch)
        return order[index * self.batch_size : (index + 1) * self.batch_size]

    def step(self, step: int) -> PlannedStep:
        """The micro-batches of a step (counted from 0)."""
        rows = self.rows(step)
        cut = token_batches if self.unpadded else micro_batches
        parts = cut(self.lengths[rows], self.micro_batch_tokens)
        return PlannedStep(step, step // self.steps_per_epoch, tuple(rows[part] for part in parts))


@lru_cache(maxsize=2)
def _permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng(derived_seed(seed, "order", epoch)).permutation(n)


def total_steps(n: int, batch_size: int, *, epochs: float, steps: int | None = None) -> int:
    """Optimizer steps of a run over `n` examples, at least one."""
    return steps if steps is not None else max(1, round(epochs * math.ceil(n / batch_size)))


def micro_batches(lengths: np.ndarray, max_tokens: int, overhead: int = OVERHEAD_TOKENS) -> list[np.ndarray]:
    """Split a batch by length so that padding plus a fixed cost per micro-batch is least.

    Args:
        lengths: tokens of each example of the batch. Shape: `[B]`.
        max_tokens: most tokens, padding included, of one micro-batch.
        overhead: cost of a micro-batch, in tokens.

    Returns:
        Places in `lengths`; every place stands in exactly one part. Longest examples come first, so that memory peaks
        at once and not hours later.
    """
    order = np.argsort(-lengths, kind="stable")
    ordered = lengths[order]
    # A part begins at `start` and is as wide as ordered[start], its longest example. best[i] = least cost of
    # ordered[i:].
    cuts = _cuts(ordered, max_tokens)
    best = [0.0] * len(cuts)
    chosen = [len(cuts) - 1] * len(cuts)
    for i in range(len(cuts) - 2, -1, -1):
        width = int(ordered[cuts[i]])
        best[i] = math.inf
        for j in range(i + 1, len(cuts)):
            tokens = width * (cuts[j] - cuts[i])
            if tokens > max_tokens and j > i + 1:
                break
            if overhead + tokens + best[j] < best[i]:
                best[i], chosen[i] = overhead + tokens + best[j], j
    parts, i = [], 0
    while i < len(cuts) - 1:
        parts.append(order[cuts[i] : cuts[chosen[i]]])
        i = chosen[i]
    return parts


def _cuts(ordered: np.ndarray, max_tokens: int) -> list[int]:
    """Where a part may begin or end: where the length changes, and inside long runs of one length so that parts fit."""
    edges = [0, *(np.flatnonzero(np.diff(ordered)) + 1).tolist(), len(ordered)]
    cuts = set(edges)
    for start, end in itertools.pairwise(edges):
        room = max(1, max_tokens // max(1, int(ordered[start])))
        cuts.update(range(start, end, room))
    return sorted(cuts)


def token_batches(lengths: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Split a batch, in its order, into parts of at most `max_tokens` real tokens (a longer example stands alone)."""
    parts, start, tokens = [], 0, 0
    for place, length in enumerate(lengths.tolist()):
        if place > start and tokens + length > max_tokens:
            parts.append(np.arange(start, place))
            start, tokens = place, 0
        tokens += length
    return [*parts, np.arange(start, len(lengths))]


def sorted_batches(lengths: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """All examples, longest first, in batches of at most `max_tokens` tokens, padding included: for scoring."""
    order = np.argsort(-lengths, kind="stable")
    parts, start = [], 0
    while start < len(order):
        size = max(1, max_tokens // max(1, int(lengths[order[start]])))
        parts.append(order[start : start + size])
        start += size
    return parts
