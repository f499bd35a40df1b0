"""The learning rate: equal to transformers' schedules after warm-up, and never 0 in a step that is made."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup, get_wsd_schedule

from bert_cli.train.schedule import VIRTUAL_STEPS, Schedule

KINDS = ("linear", "cosine", "constant", "wsd")
PEAK = 3e-4


def schedules(kinds: tuple[str, ...] = KINDS) -> st.SearchStrategy[Schedule]:
    return st.builds(
        Schedule,
        kind=st.sampled_from(kinds),
        peak=st.just(PEAK),
        total_steps=st.integers(1, 400),
        warmup=st.floats(0, 0.99) | st.integers(1, 500).map(float),
        decay_share=st.floats(0, 1),
    )


def naive(schedule: Schedule, step: int) -> float:
    """Factor of the peak as transformers has it, with the warm-up one step ahead, so that the first update counts."""
    total, warm = schedule.total_steps, schedule.warmup_steps
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    if step < warm:
        return get_linear_schedule_with_warmup(optimizer, warm + 1, total).lr_lambdas[0](step + 1)
    if schedule.kind == "linear":
        return get_linear_schedule_with_warmup(optimizer, warm, total).lr_lambdas[0](step)
    if schedule.kind == "cosine":
        return get_cosine_schedule_with_warmup(optimizer, warm, total).lr_lambdas[0](step)
    if schedule.kind == "wsd":
        decay = max(1, round(schedule.decay_share * total))
        stable = total - warm - decay
        if stable < 0:
            return min(1.0, (total - step) / decay)
        wsd = get_wsd_schedule(optimizer, warm, decay, num_stable_steps=stable, decay_type="linear")
        return wsd.lr_lambdas[0](step)
    return 1.0


@given(schedules(), st.data())
def test_the_rate_is_that_of_transformers(schedule: Schedule, data: st.DataObject) -> None:
    step = data.draw(st.integers(0, schedule.total_steps - 1))
    assert schedule.lr(step) == pytest.approx(PEAK * naive(schedule, step), rel=1e-9, abs=1e-18)


@given(schedules())
def test_every_update_has_a_rate_above_zero_and_at_most_the_peak(schedule: Schedule) -> None:
    rates = [schedule.lr(step) for step in range(schedule.total_steps)]
    assert all(0 < rate <= PEAK * (1 + 1e-12) for rate in rates)


@given(schedules())
def test_the_rate_climbs_through_the_warm_up_and_never_climbs_after_it(schedule: Schedule) -> None:
    warm = schedule.warmup_steps
    rates = [schedule.lr(step) for step in range(schedule.total_steps)]
    assert rates[:warm] == sorted(set(rates[:warm]))
    assert rates[warm:] == sorted(rates[warm:], reverse=True)


@given(schedules(("linear", "cosine", "wsd")))
def test_all_but_constant_end_at_zero(schedule: Schedule) -> None:
    if schedule.warmup_steps < schedule.total_steps:
        assert schedule.lr(schedule.total_steps) == 0


@given(schedules(("constant",)))
def test_constant_stays_at_the_peak(schedule: Schedule) -> None:
    assert {schedule.lr(step) for step in range(schedule.warmup_steps, schedule.total_steps)} <= {PEAK}


@pytest.mark.parametrize(
    ("warmup", "total", "steps"), [(0.1, 100, 10), (0.0, 100, 0), (1, 100, 1), (25, 100, 25), (900, 100, 100)]
)
def test_a_warm_up_below_one_is_a_share_and_else_a_number_of_steps(warmup: float, total: int, steps: int) -> None:
    assert Schedule("linear", PEAK, total, warmup=warmup).warmup_steps == steps


@given(schedules(), st.floats(0, 1))
def test_the_rate_of_a_run_that_time_ends_is_that_of_the_step_as_far_along(schedule: Schedule, progress: float) -> None:
    assert schedule.at(progress) == schedule.lr(min(int(progress * schedule.total_steps), schedule.total_steps - 1))
    assert schedule.at(1.0) == schedule.lr(schedule.total_steps - 1) > 0


def test_virtual_steps_are_fine_enough_to_follow_the_curve() -> None:
    fine = Schedule("linear", PEAK, VIRTUAL_STEPS, warmup=0.1)
    assert fine.at(0.05) == pytest.approx(PEAK / 2, rel=1e-4)
    assert fine.at(0.55) == pytest.approx(PEAK / 2, rel=1e-4)
    assert fine.at(1.0) == pytest.approx(0, abs=1e-5 * PEAK)


def test_wsd_is_flat_until_its_decay_begins() -> None:
    wsd = Schedule("wsd", PEAK, 100, warmup=0.1, decay_share=0.2)
    assert {wsd.lr(step) for step in range(10, 81)} == {PEAK}
    assert wsd.lr(90) == pytest.approx(PEAK / 2)


def test_cosine_is_half_way_down_in_the_middle_and_linear_a_straight_line() -> None:
    cosine, linear = (Schedule(kind, PEAK, 100, warmup=0.0) for kind in ("cosine", "linear"))
    assert cosine.lr(50) == pytest.approx(PEAK / 2)
    assert cosine.lr(25) == pytest.approx(PEAK * (1 + math.sqrt(0.5)) / 2)
    assert [linear.lr(step) for step in (0, 25, 50, 75)] == pytest.approx([PEAK, 0.75 * PEAK, 0.5 * PEAK, 0.25 * PEAK])
