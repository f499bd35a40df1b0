"""How many steps a budget is, against a walk over all steps; and what a budget in time cannot be combined with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_cli.data.budget import Stage, check_timed, dealt, first_reaching, merged, phases
from bert_cli.data.order import Drawn, Mixed, Order, Shuffled
from bert_cli.data.plan import Phase, Plan
from bert_cli.errors import UsageError
from bert_cli.recipe.amount import Amount

N = 41
LENGTHS = np.random.default_rng(3).integers(2, 60, N).astype(np.int32)
SHORT = Mixed((range(0, 9), range(9, 20)), (1.0, 3.0), 5)
LONG = Shuffled(21, 5, first=20)
SHARES = st.lists(st.floats(0.05, 1), min_size=1, max_size=4).map(lambda parts: [p / sum(parts) for p in parts])


def tokens(found: tuple[Phase, ...]) -> int:
    """Of all steps, one after the other."""
    return sum(walk(found))


def walk(found: tuple[Phase, ...]) -> Iterator[int]:
    """The tokens of each step."""
    plan = Plan(LENGTHS, found, 5, 10**6)
    for step in range(plan.total_steps or 0):
        yield int(LENGTHS[plan.rows(step)].sum())


def passes(found: tuple[Phase, ...]) -> float:
    return Plan(LENGTHS, found, 5, 10**6).passes(steps(found))


def steps(found: tuple[Phase, ...]) -> int:
    return sum(phase.steps or 0 for phase in found)


@settings(deadline=None)
@given(st.sampled_from([SHORT, LONG]), st.integers(1, 25), st.integers(1, 5000))
def test_tokens_are_reached_by_the_least_number_of_steps(order: Order, batch_size: int, budget: int) -> None:
    stage = Stage(order, batch_size)
    (found,) = phases([stage], LENGTHS, Amount(budget, "tokens"))
    so_far = itertools.accumulate(walk((Phase(order, batch_size, budget),)))
    expected = next(n for n, total in enumerate(so_far, start=1) if total >= budget)
    assert (found.order, found.batch_size, found.steps) == (order, batch_size, expected)


@settings(deadline=None)
@given(SHARES, st.lists(st.integers(1, 12), min_size=4, max_size=4), st.integers(1, 3000))
def test_tokens_of_several_phases_are_reached_by_a_step_before_which_they_are_not(
    shares: list[float], sizes: list[int], budget: int
) -> None:
    orders: list[Order] = [SHORT, SHORT, LONG, SHORT]
    stages = [Stage(*stage) for stage in zip(orders, sizes, shares, strict=False)]
    found = phases(stages, LENGTHS, Amount(budget, "tokens"))
    assert tokens(found) >= budget
    assert steps(found) == 1 or tokens(dealt(stages, steps(found) - 1)) < budget


def test_two_phases_of_short_and_long_rows_take_the_least_number_of_steps() -> None:
    stages = [Stage(SHORT, 4, 0.9), Stage(LONG, 2, 0.1)]
    for budget in range(1, 3000, 97):
        expected = next(n for n in itertools.count(1) if tokens(dealt(stages, n)) >= budget)
        assert steps(phases(stages, LENGTHS, Amount(budget, "tokens"))) == expected


@dataclass(frozen=True)
class Watched:
    """An order that tells how many of its rows were drawn."""

    order: Mixed
    drawn: list[int] = field(default_factory=list, compare=False)

    @property
    def n(self) -> int:
        return self.order.n

    def rows(self, epoch: int, start: int, stop: int) -> Drawn:
        self.drawn.append(stop - start)
        return self.order.rows(epoch, start, stop)

    def tokens(self, lengths: np.ndarray, rows: int) -> int:
        return self.order.tokens(lengths, rows)


def test_an_epoch_is_drawn_at_most_once_however_many_numbers_of_steps_are_tried() -> None:
    lengths = np.random.default_rng(3).integers(2, 60, 9_000).astype(np.int32)
    watched = Watched(Mixed((range(0, 2_000), range(2_000, 9_000)), (1.0, 3.0), 5))
    stages = [Stage(watched, size, share) for size, share in ((4, 0.2), (8, 0.3), (16, 0.5))]
    found = phases(stages, lengths, Amount(2_000_000, "tokens"))
    assert [phase.order for phase in found] == [watched] * 3
    assert 0 < sum(watched.drawn) <= 2 * watched.n


@pytest.mark.parametrize(
    ("n", "batch_size", "epochs", "expected"), [(10, 4, 1.0, 3), (10, 4, 2.0, 6), (10, 4, 0.5, 2), (10, 4, 0.01, 1)]
)
def test_epochs_of_one_phase_are_rounded_to_steps(n: int, batch_size: int, epochs: float, expected: int) -> None:
    lengths = np.ones(n, dtype=np.int64)
    (found,) = phases([Stage(Shuffled(n, 1), batch_size)], lengths, Amount(epochs, "epochs"))
    assert found.steps == expected


@given(SHARES, st.sampled_from([0.3, 1.0, 2.0, 4.7]))
def test_epochs_of_several_phases_are_passes_over_the_data(shares: list[float], epochs: float) -> None:
    orders: list[Order] = [SHORT, LONG, LONG, SHORT]
    stages = [Stage(order, 3, share) for order, share in zip(orders, shares, strict=False)]
    found = phases(stages, LENGTHS, Amount(epochs, "epochs"))
    if len(stages) > 1:
        assert passes(found) >= epochs - 1e-6
        assert steps(found) == 1 or passes(dealt(stages, steps(found) - 1)) < epochs


@given(SHARES, st.integers(1, 500))
def test_steps_are_dealt_by_share_and_none_is_lost(shares: list[float], total: int) -> None:
    stages = [Stage(Shuffled(5, seed), 2, share) for seed, share in enumerate(shares)]
    found = phases(stages, LENGTHS, Amount(total, "steps"))
    assert steps(found) == total and all(phase.steps for phase in found)
    for phase in found:
        share = next(stage.share for stage in stages if stage.order == phase.order)
        assert abs((phase.steps or 0) - share * total) <= 1


def test_a_phase_too_short_for_a_step_is_left_out() -> None:
    stages = [Stage(SHORT, 4, 0.9), Stage(LONG, 4, 0.1)]
    assert [(phase.order, phase.steps) for phase in phases(stages, LENGTHS, Amount(4, "steps"))] == [(SHORT, 4)]


def test_time_leaves_the_steps_open() -> None:
    (found,) = phases([Stage(LONG, 4)], LENGTHS, Amount(600, "seconds"))
    assert (found.order, found.batch_size, found.steps) == (LONG, 4, None)


@given(st.integers(1, 10**6), st.integers(1, 50), st.floats(0.01, 100))
def test_a_wrong_guess_costs_tries_and_not_the_answer(amount: int, each: int, guess: float) -> None:
    tried: list[int] = []

    def total(n: int) -> float:
        tried.append(n)
        return n * each

    assert first_reaching(total, amount, each * guess) == max(1, -(-amount // each))
    assert len(tried) <= 70


# Phases from two tables


@pytest.mark.parametrize(
    ("lengths", "sizes", "expected"),
    [
        ({128: 1.0}, {32: 1.0}, [(128, 32, 1.0)]),
        ({128: 0.9, 512: 0.1}, {32: 1.0}, [(128, 32, 0.9), (512, 32, 0.1)]),
        ({128: 0.9, 512: 0.1}, {64: 0.9, 256: 0.1}, [(128, 64, 0.9), (512, 256, 0.1)]),
        (
            {128: 0.9, 512: 0.1},
            {64: 0.1, 128: 0.2, 256: 0.7},
            [(128, 64, 0.1), (128, 128, 0.2), (128, 256, 0.6), (512, 256, 0.1)],
        ),
        ({128: 1 / 3, 256: 1 / 3, 512: 1 / 3}, {8: 0.5, 9: 0.5}, [(128, 8, 1 / 3), (256, 8, 1 / 6), (256, 9, 1 / 6)]),
    ],
)
def test_lengths_and_batch_sizes_change_each_at_its_own_places(
    lengths: dict[int, float], sizes: dict[int, float], expected: list[tuple[int, int, float]]
) -> None:
    found = merged(lengths, sizes)
    assert [(length, size) for length, size, _ in found][: len(expected)] == [each[:2] for each in expected]
    assert [share for *_, share in found][: len(expected)] == pytest.approx([each[2] for each in expected])


@given(SHARES, SHARES)
def test_merged_phases_are_the_whole_run_and_say_what_holds_in_each_part(one: list[float], other: list[float]) -> None:
    lengths = {100 + i: share for i, share in enumerate(one)}
    sizes = {i + 1: share for i, share in enumerate(other)}
    found = merged(lengths, sizes)
    assert sum(share for *_, share in found) == pytest.approx(1)
    for value, share in lengths.items():
        assert sum(part for length, _, part in found if length == value) == pytest.approx(share, abs=1e-6)
    for value, share in sizes.items():
        assert sum(part for _, size, part in found if size == value) == pytest.approx(share, abs=1e-6)
    assert [length for length, *_ in found] == sorted(length for length, *_ in found)


# What a budget in time excludes


def test_a_budget_in_time_needs_one_phase_and_a_warm_up_as_a_share() -> None:
    check_timed(Amount(600, "seconds"), stages=1, warmup=0.1)
    check_timed(Amount(600, "steps"), stages=3, warmup=100)
    with pytest.raises(UsageError) as caught:
        check_timed(Amount(600, "seconds"), stages=2, warmup=0.1)
    assert (caught.value.code, caught.value.key) == ("U095", "train.budget")
    with pytest.raises(UsageError) as caught:
        check_timed(Amount(600, "seconds"), stages=1, warmup=100)
    assert (caught.value.code, caught.value.key) == ("U096", "train.warmup")
