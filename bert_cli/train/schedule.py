"""The learning rate as a pure function of the step, or of the share of its time that a run has spent.

Nothing is stored and nothing is stepped: a resumed run asks for step n and gets what the first run got.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

VIRTUAL_STEPS = 1_000_000
"""Steps into which a run that time ends is divided, for its schedule alone."""


@dataclass(frozen=True)
class Schedule:
    """Warm-up from 0, then one of four shapes.

    Attributes:
        kind: `linear`, `cosine`, `constant` or `wsd` (warm-up, stable, decay; Hu et al. 2024, MiniCPM).
        peak: learning rate after warm-up.
        total_steps: where linear, cosine and wsd reach 0; `VIRTUAL_STEPS` where time ends the run.
        warmup: a share of all steps below 1, else a number of steps.
        decay_share: share of all steps in which wsd goes down.
    """

    kind: str
    peak: float
    total_steps: int
    warmup: float = 0.1
    decay_share: float = 0.2

    @property
    def warmup_steps(self) -> int:
        steps = round(self.warmup * self.total_steps) if self.warmup < 1 else int(self.warmup)
        return min(steps, self.total_steps)

    def at(self, progress: float) -> float:
        """The rate when this share of the run is done, from 0 to 1; the last steps' rate at its end."""
        return self.lr(min(int(progress * self.total_steps), self.total_steps - 1))

    def lr(self, step: int) -> float:
        """The rate used by the update of `step`, counted from 0; never negative, never above `peak`."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / (self.warmup_steps + 1)
        left = max(0, self.total_steps - step)
        span = max(1, self.total_steps - self.warmup_steps)
        if self.kind == "constant":
            return self.peak
        if self.kind == "cosine":
            return self.peak * 0.5 * (1 + math.cos(math.pi * (1 - left / span)))
        if self.kind == "wsd":
            decay = max(1, round(self.decay_share * self.total_steps))
            return self.peak * min(1.0, left / decay)
        return self.peak * left / span
