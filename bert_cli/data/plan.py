"""Which examples make up which step: a pure function of lengths, phases, seed and step.

An order of rows is cut into global batches, so batches are random and the same on every machine. A phase has its own
order or batch size; one that has the order of an earlier phase goes on where that one stopped. A batch is dealt to the
ranks by tokens, then split for memory, and for models that compute padding into micro-batches of similar length; no
split changes the gradient but for dropout. A step costs far below a millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from bert_cli.data.order import Drawn, Order, Shuffled
from bert_cli.grouping import micro_batches, shares, token_batches


@dataclass(frozen=True)
class PlannedStep:
    """One optimizer step of one rank.

    Attributes:
        micro_batches: the row numbers of each forward pass; together, and over all ranks, they are the batch.
        epochs: how often each of these rows has come before, parallel to `micro_batches`.
        idle: the batch has no row for this rank. It computes one of another rank's, which counts for nothing, so that
            no rank waits for it.
    """

    step: int
    micro_batches: tuple[np.ndarray, ...]
    epochs: tuple[np.ndarray, ...]
    idle: bool = False


@dataclass(frozen=True)
class Phase:
    """A stretch of the run with one order and one batch size.

    Attributes:
        batch_size: examples per optimizer step; the last batch of an epoch may be smaller.
        steps: how many; None where only time ends the run.
    """

    order: Order
    batch_size: int
    steps: int | None


@dataclass(frozen=True)
class Walk:
    """How a phase goes through its order.

    Attributes:
        begin: rows of the order that earlier phases have taken.
    """

    phase: Phase
    begin: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch that begins with a whole batch."""
        return -(-self.phase.order.n // self.phase.batch_size)

    def span(self, step: int) -> tuple[int, int, int]:
        """Epoch, first row and end of a step of the phase (counted from 0), in the order."""
        n, size = self.phase.order.n, self.phase.batch_size
        epoch, start = divmod(self.begin, n)
        rest = -(-(n - start) // size)
        if step < rest:
            start += step * size
        else:
            more, index = divmod(step - rest, self.steps_per_epoch)
            epoch, start = epoch + 1 + more, index * size
        return epoch, start, min(start + size, n)

    def end(self, steps: int) -> int:
        """Rows of the order that have been taken after `steps` steps of the phase, earlier phases included."""
        if not steps:
            return self.begin
        epoch, _, stop = self.span(steps - 1)
        return epoch * self.phase.order.n + stop


def walks(phases: Sequence[Phase]) -> list[Walk]:
    """The phases with the places where they begin."""
    taken: dict[Order, int] = {}
    found = []
    for phase in phases:
        walk = Walk(phase, taken.get(phase.order, 0))
        taken[phase.order] = walk.end(phase.steps or 0)
        found.append(walk)
    return found


@dataclass(frozen=True, eq=False)
class Plan:
    """All steps of a run.

    Attributes:
        lengths: tokens of each example. Shape: `[N]`.
        phases: one after the other; a run that time ends has one only.
        seed: decides dropout; the orders have their own.
        micro_batch_tokens: most computed tokens in one micro-batch; one example may exceed it alone. A row of several
            sequences counts as long as they are together.
        seconds: time in training steps after which the run ends, instead of after its steps. Scoring and saving do
            not count.
        unpadded: the model computes real tokens only, so that a batch is split for memory alone.
        rank, world_size: whose share of each batch this is; it changes no batch.
    """

    lengths: np.ndarray
    phases: tuple[Phase, ...]
    seed: int
    micro_batch_tokens: int
    seconds: float | None = None
    unpadded: bool = False
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        timed = self.seconds is not None
        assert all((phase.steps is None) == timed for phase in self.phases) and (len(self.phases) == 1 or not timed)

    @classmethod
    def simple(
        cls, lengths: np.ndarray, batch_size: int, steps: int, seed: int, micro_batch_tokens: int, **more: Any
    ) -> Self:
        """One phase over all rows, a fresh permutation each epoch."""
        phase = Phase(Shuffled(len(lengths), seed), batch_size, steps)
        return cls(lengths, (phase,), seed, micro_batch_tokens, **more)

    @property
    def total_steps(self) -> int | None:
        """Where the run ends; None where time ends it."""
        return None if self.seconds is not None else sum(phase.steps or 0 for phase in self.phases)

    def over(self, step: int, seconds: float) -> bool:
        """Whether the run ends after `step` steps that took `seconds`."""
        return step >= (self.total_steps or 0) if self.seconds is None else seconds >= self.seconds

    def progress(self, step: int, seconds: float) -> float:
        """Share of the run that is done after `step` steps that took `seconds`; from 0 to 1."""
        done = step / max(1, self.total_steps or 0) if self.seconds is None else seconds / self.seconds
        return min(1.0, done)

    def passes(self, step: int) -> float:
        """Passes over the data after `step` steps: rows seen ÷ rows there are, added over phases."""
        done = 0.0
        for walk, steps in self._split(step):
            done += (walk.end(steps) - walk.begin) / walk.phase.order.n
        return done

    def _split(self, step: int) -> list[tuple[Walk, int]]:
        """The phases up to `step`, and the steps made in each of them; the last one has no end."""
        found, last = [], self.phases[-1]
        for walk in walks(self.phases):
            steps = step if walk.phase is last else min(step, walk.phase.steps or 0)
            found.append((walk, steps))
            step -= steps
            if not step:
                break
        return found

    def draw(self, step: int) -> Drawn:
        """The examples of a step (counted from 0), in random order, and how often each has come before."""
        walk, steps = self._split(step + 1)[-1]
        return walk.phase.order.rows(*walk.span(steps - 1))

    def rows(self, step: int) -> np.ndarray:
        """The examples of a step (counted from 0). Shape: `[B]`."""
        return self.draw(step)[0]

    def step(self, step: int) -> PlannedStep:
        """The micro-batches of a step (counted from 0)."""
        rows, epochs = self.draw(step)
        if self.world_size > 1:
            share = shares(self.lengths[rows], self.world_size)[self.rank]
            if not len(share):
                shortest = [self.lengths[rows].argmin()]
                return PlannedStep(step, (rows[shortest],), (epochs[shortest],), idle=True)
            rows, epochs = rows[share], epochs[share]
        cut = token_batches if self.unpadded else micro_batches
        parts = cut(self.lengths[rows], self.micro_batch_tokens)
        return PlannedStep(step, tuple(rows[part] for part in parts), tuple(epochs[part] for part in parts))
