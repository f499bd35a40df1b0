"""What a split holds, without judgement: lengths, classes or scores, scripts, and what padding would cost."""

from __future__ import annotations

from typing import Any

import numpy as np

from bert_cli.inspect.contents import Contents
from bert_cli.inspect.lengths import Lengths, beyond, histogram, padding, summary, usual_limits
from bert_cli.inspect.scripts import Scripts


def facts_of(
    split: Contents, scripts: Scripts, lengths: Lengths, *, max_length: int, batch_size: int, seed: int
) -> dict[str, Any]:
    """The facts as plain values.

    Args:
        max_length: tokens; it says nothing about lengths in another unit.
        batch_size: examples of the batches that would be padded; `seed` shuffles them.

    Returns:
        `origin`, `rows`, `held_out`, `length` (see `summary`), `histogram`, `scripts` (shares of the letters), and
        where they are known `classes` and their `unit`, `scores`; of lengths in tokens `longer_than` (see `beyond`),
        `truncated`, `lost_tokens`, `unknown_tokens` and `padding` (computed ÷ real tokens).
    """
    facts: dict[str, Any] = {
        "origin": split.origin,
        "rows": len(split),
        "held_out": split.held_out,
        "length": summary(lengths.values),
        "histogram": histogram(lengths.values),
        "scripts": scripts.shares,
    }
    if split.classes is not None and split.golds is not None:
        facts |= {"classes": dict(split.classes), "unit": split.unit}
    if split.numeric and split.golds is not None:
        facts["scores"] = _scores(np.array(split.golds, dtype=np.float64))
    if lengths.sequences is not None:
        longest = int(lengths.values.max())
        facts |= {
            "longer_than": beyond(lengths.values, usual_limits(longest, max_length)),
            "truncated": lengths.truncated,
            "lost_tokens": lengths.lost,
            "unknown_tokens": lengths.unknown,
            "padding": padding(lengths.sequences, batch_size=batch_size, max_length=max_length, seed=seed),
        }
    return facts


def _scores(values: np.ndarray) -> dict[str, float]:
    """Mean, standard deviation, least, median and most."""
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "min": float(values.min()),
        "median": float(np.median(values)),
        "max": float(values.max()),
    }
