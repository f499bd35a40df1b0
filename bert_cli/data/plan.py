"""Which examples make up which step: a pure function of lengths, batch size, seed and step.

Every epoch is a fresh permutation cut into global batches, so batches are random and the same on every machine. A batch
is dealt to the ranks by tokens, then split for memory, and for models that compute padding into micro-batches of
similar length; no split changes the gradient. A step costs far below a millisecond.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bert_cli.env import derived_seed
from bert_cli.grouping import micro_batches, shares, token_batches


@dataclass(frozen=True)
class PlannedStep:
    """One optimizer step of one rank.

    Attributes:
        micro_batches: the row numbers of each forward pass; together, and over all ranks, they are the batch.
        idle: the batch has no row for this rank. It computes one of another rank's, which counts for nothing, so that
            no rank waits for it.
    """

    step: int
    epoch: int
    micro_batches: tuple[np.ndarray, ...]
    idle: bool = False


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
        rank, world_size: whose share of each batch this is; it changes no batch.
    """

    lengths: np.ndarray
    batch_size: int
    total_steps: int
    seed: int
    micro_batch_tokens: int
    unpadded: bool = False
    rank: int = 0
    world_size: int = 1

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
        rows, epoch = self.rows(step), step // self.steps_per_epoch
        if self.world_size > 1:
            share = shares(self.lengths[rows], self.world_size)[self.rank]
            if not len(share):
                return PlannedStep(step, epoch, (rows[[self.lengths[rows].argmin()]],), idle=True)
            rows = rows[share]
        cut = token_batches if self.unpadded else micro_batches
        parts = cut(self.lengths[rows], self.micro_batch_tokens)
        return PlannedStep(step, epoch, tuple(rows[part] for part in parts))


@lru_cache(maxsize=2)
def _permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng(derived_seed(seed, "order", epoch)).permutation(n)


def total_steps(n: int, batch_size: int, *, epochs: float, steps: int | None = None) -> int:
    """Optimizer steps of a run over `n` examples, at least one."""
    return steps if steps is not None else max(1, round(epochs * math.ceil(n / batch_size)))
