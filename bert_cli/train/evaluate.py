"""Scoring: every example of a split once, in batches of similar length, put back in the split's order.

The batches depend on the data alone, so the same weights at the same precision give the same numbers in training, in
`eval` and on another day. Costs one forward pass per batch and no gradient memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from bert_cli.data.store import SplitStore
from bert_cli.grouping import sorted_batches
from bert_cli.objectives.base import Objective, add_counts
from bert_cli.runtime import Runtime


@dataclass(frozen=True)
class Scored:
    """What the model says about a split.

    Attributes:
        scores: the objective's scores in the split's order. Shape: `[N, C]` or `[N]` float32; empty for fill-mask.
        losses: each loss term averaged over the split; empty where the split has no targets.
        tokens: real tokens read.
    """

    scores: np.ndarray
    losses: dict[str, float]
    tokens: int


def score(
    model: torch.nn.Module,
    objective: Objective,
    store: SplitStore,
    *,
    runtime: Runtime,
    max_tokens: int,
    progress: Callable[[int, int], None] | None = None,
) -> Scored:
    """Run the model over all of a split.

    Args:
        model: any model the objective can call; its mode is put back afterwards.
        max_tokens: most tokens, padding included, of one forward pass.
        progress: called with (examples done, all examples) after each batch.
    """
    was_training = model.training
    model.eval()
    rows, parts = [], []
    sums: dict[str, float] = {}
    counts: dict[str, float] = {}
    tokens = done = 0
    with torch.inference_mode():
        for part in sorted_batches(store.lengths, max_tokens):
            batch = objective.collate(store, part, epoch=-1).to(runtime.device)
            with runtime.autocast():
                outputs = objective.forward(model, batch)
            if batch.targets is not None:
                for name, total in objective.totals(outputs, batch).items():
                    sums[name] = sums.get(name, 0.0) + float(total)
                counts = add_counts([counts, objective.counts(batch)])
            rows.append(part)
            parts.append(objective.scores(outputs, batch))
            tokens += batch.tokens
            done += len(batch)
            if progress:
                progress(done, len(store))
    model.train(was_training)
    ordered = np.concatenate(parts)
    if len(ordered) == len(store):
        restored = np.empty_like(ordered)
        restored[np.concatenate(rows)] = ordered
        ordered = restored
    return Scored(ordered, {name: sums[name] / counts[name] for name in sums}, tokens)
