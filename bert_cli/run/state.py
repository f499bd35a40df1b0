"""How a run stands and how it ended: plain values that go into checkpoints and out to the user."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from bert_cli.run.rundir import RunDir
from bert_cli.train.due import Mark


@dataclass
class Best:
    """The best scores so far: at which step, on which split, at which decision threshold."""

    step: int
    value: float
    threshold: float
    scores: dict[str, dict[str, float]]


@dataclass
class TrainState:
    """Everything of a run that is neither weights nor moments; plain JSON values.

    Attributes:
        step: optimizer steps done.
        since_best: scorings since the best one.
        window: sums since the last training record, so that the next one is whole after a resume.
        data: fingerprint of each split's source.
        micro_batch_tokens: what a micro-batch may hold; None before the first step.
        seconds: time spent in training steps by rank 0's clock, over all processes that worked on this run. Scoring
            and saving do not count.
    """

    step: int = 0
    best: Best | None = None
    since_best: int = 0
    examples: int = 0
    tokens: int = 0
    seconds: float = 0.0
    stopped: str = ""
    micro_batch_tokens: int | None = None
    window: dict[str, float] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)

    @property
    def mark(self) -> Mark:
        """How far the run has come."""
        return Mark(self.step, self.tokens, self.seconds)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainState:
        best = values.get("best")
        return cls(**{**values, "best": None if best is None else Best(**best)})


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    run: RunDir
    state: TrainState
    metric: str

    def as_json(self) -> dict[str, Any]:
        """Everything but the folder, for the other ranks."""
        return {"state": asdict(self.state), "metric": self.metric}

    @classmethod
    def from_json(cls, run: RunDir, values: dict[str, Any]) -> Result:
        return cls(run, TrainState.from_json(values["state"]), values["metric"])

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        best = self.state.best
        return {
            "run": str(self.run.path),
            "model": str(self.run.best),
            "steps": self.state.step,
            "stopped": self.state.stopped or "finished",
            "best_step": None if best is None else best.step,
            "metric": self.metric,
            "value": None if best is None else best.value,
            "scores": {} if best is None else best.scores,
            "threshold": None if best is None else best.threshold,
            "micro_batch_tokens": self.state.micro_batch_tokens,
            "examples": self.state.examples,
            "tokens": self.state.tokens,
            "train_seconds": self.state.seconds,
            "train/examples_per_s": round(self.state.examples / max(self.state.seconds, 1e-9), 2),
            "train/tokens_per_s": round(self.state.tokens / max(self.state.seconds, 1e-9), 1),
        }
