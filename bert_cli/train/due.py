"""Whether something that happens every so often is due: a pure function of where the run stood before a step and after.

So a resumed run scores and saves where the first one did; by time, where its clock, which the checkpoint holds, says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bert_cli.data.plan import Plan, walks
from bert_cli.recipe.amount import Amount

NEAR = 1e-9
"""By how much passes over the data may fall short of a whole number: the rounding of fractions."""


@dataclass(frozen=True)
class Mark:
    """How far a run has come: optimizer steps, real tokens, seconds in training steps."""

    step: int
    tokens: int
    seconds: float


class Due:
    """Something that happens every `every`.

    Epochs of a plan with one phase are rounded to whole steps, at least one. With several phases something is due with
    the first step that completes so many passes over the data (`Plan.passes`) since the time before, and for tokens
    and seconds alike.
    """

    def __init__(self, every: Amount, plan: Plan) -> None:
        self._every = every.value
        self._unit = every.unit
        self._plan = plan
        if every.unit == "epochs" and len(plan.phases) == 1:
            (walk,) = walks(plan.phases)
            self._unit, self._every = "steps", max(1, round(every.value * walk.steps_per_epoch))

    def between(self, before: Mark, after: Mark) -> bool:
        """Whether it is due when the step that leads from `before` to `after` has been made."""
        if self._unit == "steps":
            return after.step % round(self._every) == 0
        return self._times(before) < self._times(after)

    def times_in(self, steps: int) -> int | None:
        """How often it is due in the first so many steps; None where tokens or the clock decide."""
        if self._unit == "steps":
            return steps // round(self._every)
        return self._times(Mark(steps, 0, 0.0)) if self._unit == "epochs" else None

    def _times(self, mark: Mark) -> int:
        """How often it has been due so far."""
        if self._unit == "epochs":
            return math.floor(self._plan.passes(mark.step) / self._every + NEAR)
        return math.floor((mark.tokens if self._unit == "tokens" else mark.seconds) / self._every)
