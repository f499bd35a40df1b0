"""What an objective is: everything that differs between pretraining and each fine-tuning task.

The engine knows only this protocol. A loss is Σ weight · (Σ total ÷ Σ count) over all micro-batches of a step, so an
objective returns sums and tells the counts before the forward pass; means of means never arise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from bert_cli.data.batch import Batch
from bert_cli.ranks import Ranks


class Objective(Protocol):
    """One way to train and read an encoder.

    Attributes:
        name: the ecosystem's name of the task (`text-classification`).
        weights: weight of each loss term in the whole loss.
    """

    name: str
    weights: Mapping[str, float]

    def collate(self, store: Any, rows: np.ndarray, *, epochs: np.ndarray, progress: float) -> Batch:
        """The examples `rows` as one padded batch; any masking is a pure function of (seed, epoch, row, progress).

        Args:
            store: the split, of the kind that this objective reads.
            rows: places in the split. Shape: `[B]`.
            epochs: how often each of them has come before; -1 when scoring. Shape: `[B]` int64.
            progress: share of the run that is done, from 0 to below 1; 1 when scoring.
        """
        ...

    def counts(self, batch: Batch) -> dict[str, float]:
        """By how much each term's total is to be divided, known before the forward pass."""
        ...

    def totals(self, outputs: Any, batch: Batch) -> dict[str, torch.Tensor]:
        """The summed loss of each term, fp32 scalars."""
        ...

    def forward(self, model: Any, batch: Batch) -> Any:
        """The model's outputs for this batch."""
        ...

    def scores(self, outputs: Any, batch: Batch) -> np.ndarray:
        """Predictions as numbers, float32: some lines for each row, as `ends` says. Shape: `[K]` or `[K, C]`.

        An objective whose rows get no prediction of their own gives `[B, 0]`.
        """
        ...

    def ends(self, batch: Batch) -> np.ndarray:
        """Where the lines of each row end among those of the batch; `[1, 2, …, B]` for one each. Shape: `[B]` int64."""
        ...


@runtime_checkable
class Foreseeing(Protocol):
    """An objective whose loss is not a sum over rows, since each row is compared with all others of the batch.

    A batch of several micro-batches then goes through the model twice, first without a gradient; memory stays that of
    a micro-batch (gradient caching, Gao et al. 2021).
    """

    def foresee(self, batches: Sequence[Batch], outputs: Sequence[Any], *, ranks: Ranks, idle: bool) -> Sequence[Batch]:
        """The same micro-batches, each with what it must know of all the others, those of other ranks included.

        Args:
            outputs: what `forward` gave for each; with the same dropout it will give that again.
            idle: they are another rank's too, and count for nothing.
        """
        ...


class Trainee(torch.nn.Module):
    """Model and objective as one module, so that one `forward` runs encoder, head and loss terms.

    A wrapper for several devices hooks into `forward`; calling a submodule around it would leave gradients unequal.
    """

    def __init__(self, model: torch.nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Summed loss terms of one micro-batch."""
        return self.objective.totals(self.objective.forward(self.model, batch), batch)


def add_counts(counts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Counts of several micro-batches, added term by term."""
    total: dict[str, float] = {}
    for each in counts:
        for name, value in each.items():
            total[name] = total.get(name, 0.0) + value
    return total
