"""The plan: every row once an epoch, phases that go on, cheapest micro-batches; a pure function of (seed, step)."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_cli.data.order import Mixed, Order, Shuffled
from bert_cli.data.plan import Phase, Plan
from bert_cli.grouping import micro_batches, shares, sorted_batches

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=40).map(lambda values: np.array(values, dtype=np.int64))
SHORT = st.lists(st.integers(1, 12), min_size=1, max_size=9).map(lambda values: np.array(values, dtype=np.int64))
SEEDS = st.integers(0, 2**32 - 1)


def plan_of(lengths: np.ndarray, *, batch_size: int, seed: int, cap: int = 10_000, epochs: int = 3) -> Plan:
    return Plan.simple(lengths, batch_size, epochs * steps_per_epoch(lengths, batch_size), seed, cap)


def steps_per_epoch(lengths: np.ndarray, batch_size: int) -> int:
    return math.ceil(len(lengths) / batch_size)


def cost(lengths: np.ndarray, parts: list[np.ndarray], overhead: int) -> int:
    return sum(overhead + len(part) * int(lengths[part].max()) for part in parts)


def cheapest_split(lengths: np.ndarray, max_tokens: int, overhead: int) -> int:
    """Least cost over all 2^(n-1) ways to cut the sorted lengths, by trying each of them."""
    ordered = np.sort(lengths)[::-1]
    best = math.inf
    for places in itertools.product([False, True], repeat=len(ordered) - 1):
        edges = [0, *(i + 1 for i, cut in enumerate(places) if cut), len(ordered)]
        parts = [ordered[start:end] for start, end in itertools.pairwise(edges)]
        if all(len(part) == 1 or len(part) * part[0] <= max_tokens for part in parts):
            best = min(best, sum(overhead + len(part) * int(part[0]) for part in parts))
    return int(best)


@given(LENGTHS, st.integers(1, 12), SEEDS)
def test_each_epoch_uses_each_row_exactly_once(lengths: np.ndarray, batch_size: int, seed: int) -> None:
    plan = plan_of(lengths, batch_size=batch_size, seed=seed)
    for epoch in range(3):
        per_epoch = steps_per_epoch(lengths, batch_size)
        planned = [plan.step(step) for step in range(epoch * per_epoch, (epoch + 1) * per_epoch)]
        rows = np.concatenate([part for one in planned for part in one.micro_batches])
        assert sorted(rows) == list(range(len(lengths)))
        told = np.concatenate([part for one in planned for part in one.epochs])
        assert told.tolist() == [epoch] * len(lengths)
        assert plan.passes((epoch + 1) * per_epoch) == epoch + 1
        sizes = [sum(map(len, one.micro_batches)) for one in planned]
        assert sizes[:-1] == [batch_size] * (len(sizes) - 1)


@given(LENGTHS, st.integers(1, 200), st.integers(0, 300))
def test_micro_batches_partition_the_batch(lengths: np.ndarray, cap: int, overhead: int) -> None:
    parts = micro_batches(lengths, cap, overhead)
    assert sorted(np.concatenate(parts)) == list(range(len(lengths)))
    assert all(len(part) for part in parts)


@given(LENGTHS, st.integers(1, 200), st.integers(0, 300))
def test_the_token_cap_is_honoured_except_by_rows_that_exceed_it_alone(
    lengths: np.ndarray, cap: int, overhead: int
) -> None:
    for part in [*micro_batches(lengths, cap, overhead), *sorted_batches(lengths, cap)]:
        assert len(part) == 1 or len(part) * lengths[part].max() <= cap


@given(LENGTHS, st.integers(1, 200), st.integers(0, 300))
def test_the_longest_rows_come_first(lengths: np.ndarray, cap: int, overhead: int) -> None:
    for parts in (micro_batches(lengths, cap, overhead), sorted_batches(lengths, cap)):
        inorder = lengths[np.concatenate(parts)]
        assert (np.diff(inorder) <= 0).all()


@given(LENGTHS, st.integers(0, 300))
def test_a_split_never_costs_more_than_one_padded_batch_or_one_row_each(lengths: np.ndarray, overhead: int) -> None:
    found = cost(lengths, micro_batches(lengths, 10**9, overhead), overhead)
    assert found <= cost(lengths, [np.arange(len(lengths))], overhead)
    assert found <= cost(lengths, [np.array([row]) for row in range(len(lengths))], overhead)


@given(SHORT, st.integers(0, 30))
def test_without_a_cap_no_split_costs_less(lengths: np.ndarray, overhead: int) -> None:
    assert cost(lengths, micro_batches(lengths, 10**9, overhead), overhead) == cheapest_split(lengths, 10**9, overhead)


@given(SHORT.map(np.unique), st.integers(1, 60), st.integers(0, 30))
def test_under_a_cap_no_split_of_distinct_lengths_costs_less(lengths: np.ndarray, cap: int, overhead: int) -> None:
    assert cost(lengths, micro_batches(lengths, cap, overhead), overhead) == cheapest_split(lengths, cap, overhead)


def test_the_brute_force_reference_tells_a_worse_split_from_the_best() -> None:
    lengths = np.array([10, 10, 1, 1])
    one, each = [np.arange(4)], [np.array([row]) for row in range(4)]
    assert cheapest_split(lengths, 10**9, overhead=3) == 28
    assert cost(lengths, one, 3) == 43
    assert cost(lengths, each, 3) == 34


@given(LENGTHS, st.integers(1, 12), SEEDS, st.integers(0, 20))
def test_the_rows_of_a_step_depend_on_seed_and_step_alone(
    lengths: np.ndarray, batch_size: int, seed: int, step: int
) -> None:
    first = plan_of(lengths, batch_size=batch_size, seed=seed)
    walked = plan_of(lengths[::-1].copy(), batch_size=batch_size, seed=seed, cap=17, epochs=30)
    for other in range(step + 3):
        walked.rows(other)
    np.testing.assert_array_equal(first.rows(step), walked.rows(step))


def test_epochs_and_seeds_differ_in_order() -> None:
    plan = plan_of(np.ones(64, dtype=np.int64), batch_size=64, seed=1)
    other = plan_of(np.ones(64, dtype=np.int64), batch_size=64, seed=2)
    orders = [tuple(plan.rows(0)), tuple(plan.rows(1)), tuple(plan.rows(2)), tuple(other.rows(0)), tuple(range(64))]
    assert len(set(orders)) == len(orders)


def test_the_cap_changes_the_micro_batches_but_not_the_batch() -> None:
    lengths = np.random.default_rng(0).integers(1, 40, 200)
    wide = plan_of(lengths, batch_size=32, seed=5, cap=10_000)
    tight = plan_of(lengths, batch_size=32, seed=5, cap=40)
    for step in range(wide.total_steps or 0):
        assert len(tight.step(step).micro_batches) > len(wide.step(step).micro_batches)
        joined = [np.sort(np.concatenate(plan.step(step).micro_batches)) for plan in (wide, tight)]
        np.testing.assert_array_equal(*joined)


# Several ranks

WORLDS = st.integers(2, 5)


def ranks_of(plan: Plan, world_size: int) -> list[Plan]:
    return [dataclasses.replace(plan, rank=rank, world_size=world_size) for rank in range(world_size)]


@given(LENGTHS, st.integers(1, 12), SEEDS, WORLDS, st.integers(1, 200), st.booleans())
def test_all_ranks_together_have_the_batch_of_one_process(
    lengths: np.ndarray, batch_size: int, seed: int, world_size: int, cap: int, unpadded: bool
) -> None:
    alone = dataclasses.replace(plan_of(lengths, batch_size=batch_size, seed=seed, cap=cap), unpadded=unpadded)
    for step in range(alone.total_steps or 0):
        planned = [plan.step(step) for plan in ranks_of(alone, world_size)]
        counted = [part for one in planned if not one.idle for part in one.micro_batches]
        assert sorted(np.concatenate(counted)) == sorted(alone.rows(step))
        # A rank without rows computes one of the batch all the same.
        for one in planned:
            assert one.micro_batches and all(len(part) for part in one.micro_batches)
            assert set(np.concatenate(one.micro_batches)) <= set(alone.rows(step))
        assert sum(one.idle for one in planned) == max(0, world_size - len(alone.rows(step)))


@given(LENGTHS, st.integers(1, 6))
def test_shares_differ_by_at_most_one_sequence(lengths: np.ndarray, n: int) -> None:
    dealt = shares(lengths, n)
    tokens = [int(lengths[share].sum()) for share in dealt]
    assert sorted(np.concatenate(dealt)) == list(range(len(lengths)))
    assert max(tokens) - min(tokens) <= lengths.max()
    assert all((np.diff(share) > 0).all() for share in dealt)
    assert [share.tolist() for share in shares(lengths, n)] == [share.tolist() for share in dealt]


def test_shares_are_balanced_by_tokens_and_not_by_rows() -> None:
    lengths = np.array([4, 4, 4, 4, 16, 4, 4, 4, 4])
    assert [int(lengths[share].sum()) for share in shares(lengths, 2)] == [24, 24]
    halves = [int(half.sum()) for half in np.array_split(lengths, 2)]
    assert max(halves) > 24, "cutting by rows would not be balanced"


@given(LENGTHS, st.integers(1, 200))
def test_scoring_batches_hold_every_row_once(lengths: np.ndarray, cap: int) -> None:
    assert sorted(np.concatenate(sorted_batches(lengths, cap))) == list(range(len(lengths)))


# Phases


def walk(phases: list[Phase]) -> Iterator[tuple[list[int], list[int], float]]:
    """Rows, epochs and passes so far of every step, by going through each order row by row."""
    streams: dict[Order, list[tuple[int, int]]] = {}
    taken: Counter[Order] = Counter()
    for phase in phases:
        n = phase.order.n
        for _ in range(phase.steps or 0):
            rest = streams.setdefault(phase.order, [])
            if not rest:
                drawn = phase.order.rows(taken[phase.order] // n, 0, n)
                rest += list(zip(drawn[0].tolist(), drawn[1].tolist(), strict=True))
            batch = [rest.pop(0) for _ in range(min(phase.batch_size, len(rest)))]
            taken[phase.order] += len(batch)
            yield [row for row, _ in batch], [epoch for _, epoch in batch], sum(k / o.n for o, k in taken.items())


ORDERS: list[Order] = [
    Shuffled(13, 4),
    Shuffled(7, 4, first=13),
    Mixed((range(0, 5), range(5, 13)), (1.0, 2.5), 4),
]
PHASES = st.lists(
    st.builds(Phase, st.sampled_from(ORDERS), st.integers(1, 17), st.integers(1, 9)), min_size=1, max_size=4
)


@given(PHASES)
def test_a_phase_goes_on_where_the_one_before_it_stopped_in_the_same_order(phases: list[Phase]) -> None:
    plan = Plan(np.ones(20, dtype=np.int32), tuple(phases), 4, 100)
    walked = list(walk(phases))
    assert plan.total_steps == len(walked)
    for step, (rows, epochs, passes) in enumerate(walked):
        found = plan.draw(step)
        assert (found[0].tolist(), found[1].tolist()) == (rows, epochs)
        assert plan.passes(step + 1) == pytest.approx(passes)


@given(PHASES, st.integers(1, 60), st.booleans(), st.integers(1, 3))
def test_epochs_stand_beside_the_rows_they_belong_to(
    phases: list[Phase], cap: int, unpadded: bool, world_size: int
) -> None:
    lengths = np.random.default_rng(1).integers(1, 30, 20).astype(np.int32)
    plan = Plan(lengths, tuple(phases), 4, cap, unpadded=unpadded)
    for step in range(plan.total_steps or 0):
        rows, epochs = plan.draw(step)
        expected = sorted(zip(rows.tolist(), epochs.tolist(), strict=True))
        found = []
        for rank in ranks_of(plan, world_size):
            planned = rank.step(step)
            assert list(map(len, planned.epochs)) == list(map(len, planned.micro_batches))
            pairs = zip(np.concatenate(planned.micro_batches), np.concatenate(planned.epochs), strict=True)
            own = [(int(row), int(epoch)) for row, epoch in pairs]
            assert set(own) <= set(expected)
            found += [] if planned.idle else own
        assert sorted(found) == expected


def test_a_run_ends_with_its_steps_or_with_its_time() -> None:
    lengths, order = np.ones(10, dtype=np.int64), Shuffled(10, 1)
    counted = Plan(lengths, (Phase(order, 4, 3), Phase(order, 2, 2)), 1, 100)
    assert counted.total_steps == 5
    assert [counted.over(step, 1e9) for step in (4, 5)] == [False, True]
    assert [counted.progress(step, 0.0) for step in (0, 4, 5)] == [0.0, 0.8, 1.0]
    timed = Plan(lengths, (Phase(order, 4, None),), 1, 100, seconds=60.0)
    assert timed.total_steps is None
    assert [timed.over(10**6, seconds) for seconds in (59.9, 60.0)] == [False, True]
    assert [timed.progress(7, seconds) for seconds in (0.0, 15.0, 90.0)] == [0.0, 0.25, 1.0]
    np.testing.assert_array_equal(timed.rows(1000), order.rows(333, 4, 8)[0])


@pytest.mark.parametrize(("steps", "seconds"), [((None, 3), 5.0), ((3,), 5.0), ((None,), None)])
def test_time_ends_only_a_run_of_one_phase_without_steps(steps: tuple[int | None, ...], seconds: float | None) -> None:
    with pytest.raises(AssertionError):
        Plan(np.ones(3), tuple(Phase(Shuffled(3, 1), 1, each) for each in steps), 1, 100, seconds=seconds)
