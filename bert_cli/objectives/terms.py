"""What pretraining objectives report: loss terms, and how often the most probable answer was right.

A hit rate travels as one more term of weight 0, so that it is added over batches and ranks as losses are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from bert_cli.data.batch import Batch

ACCURACY = "_accuracy"


def weights(losses: Mapping[str, float], *, scoring: bool) -> dict[str, float]:
    """Weights of the loss terms, and with `scoring` of their hit rates, which count nothing."""
    return {**losses, **(dict.fromkeys((f"{name}{ACCURACY}" for name in losses), 0.0) if scoring else {})}


def with_accuracy(counts: Mapping[str, float]) -> dict[str, float]:
    """Counts of the loss terms, and the same for their hit rates."""
    return {**counts, **{f"{name}{ACCURACY}": count for name, count in counts.items()}}


def hits(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """How often the most probable class is the target. Shapes: `[N, C]`, `[N]`; a scalar, fp32."""
    return logits.argmax(-1).eq(targets).sum().float()


def no_scores(batch: Batch) -> np.ndarray:
    """Pretraining predicts nothing about a whole example. Shape: `[B, 0]` float32."""
    return np.empty((len(batch), 0), dtype=np.float32)


def measured(losses: Mapping[str, float], weights: Mapping[str, float]) -> dict[str, float]:
    """Averaged terms by the names that users know.

    Returns:
        The whole `loss` in nats, `perplexity` and `accuracy` at masked positions, and the hit rates of the other terms;
        with several loss terms each of them too (`mlm_loss`).
    """
    terms = [name for name in losses if not name.endswith(ACCURACY)]
    found = {
        "loss": sum(weights[name] * losses[name] for name in terms),
        "perplexity": math.exp(min(losses["mlm"], 700.0)),
    }
    for name in terms:
        if f"{name}{ACCURACY}" in losses:
            found["accuracy" if name == "mlm" else f"{name}{ACCURACY}"] = losses[f"{name}{ACCURACY}"]
    if len(terms) > 1:
        found |= {f"{name}_loss": losses[name] for name in terms}
    return found
