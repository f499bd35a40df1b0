"""When something is due: at fixed places of the run, the same ones when it was stopped in between."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_cli.data.order import Shuffled
from bert_cli.data.plan import Phase, Plan
from bert_cli.recipe.amount import Amount
from bert_cli.train.due import Due, Mark

N = 20
ONE = Plan(np.ones(N, dtype=np.int64), (Phase(Shuffled(N, 1), 8, 30),), 1, 100)
TWO = Plan(np.ones(N, dtype=np.int64), (Phase(Shuffled(12, 1), 4, 6), Phase(Shuffled(8, 1, first=12), 2, 24)), 1, 100)


def due_steps(every: Amount, plan: Plan, marks: list[Mark]) -> list[int]:
    due = Due(every, plan)
    return [after.step for before, after in itertools.pairwise(marks) if due.between(before, after)]


def marks_of(plan: Plan, *, tokens: int = 7, seconds: float = 0.3) -> list[Mark]:
    return [Mark(step, tokens * step, seconds * step) for step in range((plan.total_steps or 0) + 1)]


@pytest.mark.parametrize(("epochs", "every"), [(1.0, 3), (0.5, 2), (0.01, 1), (2.0, 6), (1.4, 4)])
def test_epochs_of_one_phase_are_rounded_to_steps(epochs: float, every: int) -> None:
    assert due_steps(Amount(epochs, "epochs"), ONE, marks_of(ONE)) == list(range(every, 31, every))


def test_epochs_of_several_phases_are_passes_over_the_data() -> None:
    """Three steps are a pass of the first phase, four of the second."""
    assert due_steps(Amount(1, "epochs"), TWO, marks_of(TWO)) == [3, 6, 10, 14, 18, 22, 26, 30]
    assert due_steps(Amount(1.5, "epochs"), TWO, marks_of(TWO)) == [5, 10, 16, 22, 28]


def test_steps_tokens_and_seconds_are_counted_from_the_start_of_the_run() -> None:
    assert due_steps(Amount(7, "steps"), ONE, marks_of(ONE)) == [7, 14, 21, 28]
    assert due_steps(Amount(50, "tokens"), ONE, marks_of(ONE)) == [8, 15, 22, 29]
    assert due_steps(Amount(2, "seconds"), ONE, marks_of(ONE)) == [7, 14, 20, 27]


def test_a_step_that_takes_long_is_due_once() -> None:
    marks = [Mark(0, 0, 0.0), Mark(1, 900, 95.0), Mark(2, 910, 96.0), Mark(3, 1001, 100.0)]
    assert due_steps(Amount(10, "seconds"), ONE, marks) == [1, 3]
    assert due_steps(Amount(100, "tokens"), ONE, marks) == [1, 3]


@given(
    st.sampled_from([Amount(0.7, "epochs"), Amount(3, "steps"), Amount(50, "tokens"), Amount(1.1, "seconds")]),
    st.sampled_from([ONE, TWO]),
    st.integers(1, 29),
)
def test_a_run_that_stopped_in_between_is_due_at_the_same_steps(every: Amount, plan: Plan, stop: int) -> None:
    marks = marks_of(plan)
    halves = due_steps(every, plan, marks[: stop + 1]) + due_steps(every, plan, marks[stop:])
    assert halves == due_steps(every, plan, marks)
