"""From a budget to the steps of each phase: so many epochs, steps, tokens, or so much time.

Phases are shares of all steps, so a budget in tokens or epochs is found by trying numbers of steps. An epoch of an
order is drawn once; a try then costs one sum over a part of its lengths, whatever the number of phases.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from bert_cli.data.order import Order
from bert_cli.data.plan import Phase, walks
from bert_cli.errors import UsageError
from bert_cli.recipe.amount import Amount

NEAR = 1e-9
"""By how much passes over the data may fall short of a budget in epochs: the rounding of fractions."""


@dataclass(frozen=True)
class Stage:
    """A phase whose steps are not counted yet.

    Attributes:
        share: of all steps; those of all stages add up to 1.
    """

    order: Order
    batch_size: int
    share: float = 1.0


def merged(lengths: Mapping[int, float], batch_sizes: Mapping[int, float]) -> list[tuple[int, int, float]]:
    """Length, batch size and share of the steps for each stretch in which neither changes.

    Args:
        lengths, batch_sizes: value -> share of the steps, in the order of the run; each adds up to 1.
    """
    found, done = [], 0.0
    for edge in sorted({*_edges(lengths), *_edges(batch_sizes)}):
        if edge - done > NEAR:
            middle = (done + edge) / 2
            found.append((_at(lengths, middle), _at(batch_sizes, middle), edge - done))
            done = edge
    return found


def _edges(shares: Mapping[int, float]) -> list[float]:
    """Where each value ends, as a share of the run; the last at 1."""
    total = sum(shares.values())
    return [*(edge / total for edge in itertools.accumulate(list(shares.values())[:-1])), 1.0]


def _at(shares: Mapping[int, float], place: float) -> int:
    """The value at a place of the run, from 0 to 1."""
    return next(value for value, edge in zip(shares, _edges(shares), strict=True) if place < edge)


def phases(stages: Sequence[Stage], lengths: np.ndarray, amount: Amount) -> tuple[Phase, ...]:
    """The phases of a run of this size; a stage that is too short for a step is left out.

    One stage of so many epochs ends at the step that is nearest to their end, at least one. Several, and tokens, end
    with the first step that reaches the amount: epochs are rows seen ÷ rows of the stage's order, added over stages,
    and tokens are those of the rows, the special ones included. Time leaves the number of steps open.

    Args:
        lengths: tokens of all rows that the orders give. Shape: `[N]`.
    """
    if amount.unit == "seconds":
        (stage,) = stages
        return (Phase(stage.order, stage.batch_size, None),)
    if amount.unit == "steps":
        return dealt(stages, round(amount.value))
    if amount.unit == "epochs":
        per_step = sum(stage.share * stage.batch_size / stage.order.n for stage in stages)
        if len(stages) == 1:
            steps_per_epoch = -(-stages[0].order.n // stages[0].batch_size)
            return dealt(stages, max(1, round(amount.value * steps_per_epoch)))
        return dealt(stages, first_reaching(lambda n: _passes(dealt(stages, n)), amount.value - NEAR, per_step))
    count = _counter(lengths, orders=len({stage.order for stage in stages}))
    per_step = sum(
        stage.share * stage.batch_size * count(stage.order, stage.order.n) / stage.order.n for stage in stages
    )
    return dealt(stages, first_reaching(lambda n: _tokens(dealt(stages, n), count), amount.value, per_step))


def dealt(stages: Sequence[Stage], steps: int) -> tuple[Phase, ...]:
    """So many steps dealt to the stages by their shares, each stage's end rounded to a step."""
    total = sum(stage.share for stage in stages)
    ends = [round(done / total * steps) for done in itertools.accumulate(stage.share for stage in stages)]
    counts = [end - start for start, end in itertools.pairwise([0, *ends])]
    return tuple(
        Phase(stage.order, stage.batch_size, count) for stage, count in zip(stages, counts, strict=True) if count
    )


def first_reaching(total: Callable[[int], float], amount: float, per_step: float) -> int:
    """The least number of steps, at least one, whose total reaches the amount.

    Where the total does not grow with every step (as when one more step shortens a phase of long rows by one), the
    number found reaches the amount and one step less does not.

    Args:
        per_step: about how much a step adds; a good guess saves tries.
    """
    high, low, reach = max(1, round(amount / per_step)), 0, 1
    while total(high) < amount:
        low, high, reach = high, high + reach, 2 * reach
    reach = 1
    while high - reach > low and total(high - reach) >= amount:
        high, reach = high - reach, 2 * reach
    low = max(low, high - reach)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if total(middle) >= amount else (middle, high)
    return high


def _passes(found: Sequence[Phase]) -> float:
    return sum((walk.end(walk.phase.steps or 0) - walk.begin) / walk.phase.order.n for walk in walks(found))


def _tokens(found: Sequence[Phase], count: Callable[[Order, int], int]) -> int:
    """Of all steps: phases with one order go on in it, so that only its last end counts."""
    ends = {walk.phase.order: walk.end(walk.phase.steps or 0) for walk in walks(found)}
    return sum(count(order, rows) for order, rows in ends.items())


def _counter(lengths: np.ndarray, *, orders: int) -> Callable[[Order, int], int]:
    """`Order.tokens` for many numbers of rows of so many orders: each epoch is drawn once, its lengths are kept."""

    @cache
    def whole(order: Order, epochs: int) -> int:
        return order.tokens(lengths, epochs * order.n)

    # Tries lie on both sides of the answer, and so perhaps of the end of an epoch.
    @lru_cache(maxsize=2 * orders)
    def drawn(order: Order, epoch: int) -> np.ndarray:
        found: np.ndarray = lengths[order.rows(epoch, 0, order.n)[0]]
        return found

    def count(order: Order, rows: int) -> int:
        epoch, rest = divmod(rows, order.n)
        return whole(order, epoch) + (int(drawn(order, epoch)[:rest].sum(dtype=np.int64)) if rest else 0)

    return count


def check_timed(amount: Amount, *, stages: int, warmup: float) -> None:
    """Refuse what needs a number of steps in a run that time ends.

    Args:
        stages: stretches of different length or batch size.
        warmup: a share of the run below 1, else steps.

    Raises:
        UsageError: phases are shares of steps (U095), or the warm-up is given in steps (U096).
    """
    if amount.unit != "seconds":
        return
    if stages > 1:
        raise UsageError(
            "U095",
            "a run that time ends has no number of steps to divide into phases",
            key="train.budget",
            found=f"{amount}, {stages} phases by data.lengths and train.batch_sizes",
            allowed="time with one length and one batch size",
            help="a budget in steps, tokens or epochs, as train.budget='5000 steps'",
        )
    if warmup >= 1:
        raise UsageError(
            "U096",
            "a run that time ends needs its warm-up as a share",
            key="train.warmup",
            found=f"{warmup:g} steps, train.budget {amount}",
            allowed="a share below 1",
            help="train.warmup=0.1",
        )
