"""Scoring: every example of a split once, in batches of similar length, put back in the split's order.

The batches depend on the data alone, so the same weights at the same precision give the same numbers in training, in
`eval`, on another day and with any number of ranks, which take the batches in turn. Costs one forward pass per batch
and no gradient memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bert_cli.data.split import Split
from bert_cli.grouping import sorted_batches
from bert_cli.objectives.base import Objective, add_counts
from bert_cli.ranks import Gathered
from bert_cli.runtime import Runtime


@dataclass(frozen=True)
class Scored:
    """What the model says about a split.

    Attributes:
        scores: the objective's scores in the split's order, one line or several for each row. Shape: `[K, C]` or `[K]`
            float32; `[N, 0]` where rows get none.
        ends: where the lines of each row end; `[1, 2, …, N]` where each has one. Shape: `[N]` int64.
        losses: each term averaged over the split.
        tokens: real tokens read.
    """

    scores: np.ndarray
    ends: np.ndarray
    losses: dict[str, float]
    tokens: int

    def of(self, row: int) -> np.ndarray:
        """The lines of one row. Shape: `[lines, C]` or `[lines]`."""
        return self.scores[self.ends[row - 1] if row else 0 : self.ends[row]]


def score(
    model: torch.nn.Module,
    objective: Objective,
    store: Split,
    *,
    runtime: Runtime,
    max_tokens: int,
    known: bool = True,
) -> Scored:
    """Run the model over all of a split; every rank gets the result.

    Args:
        model: any model the objective can call; its mode is put back afterwards.
        max_tokens: most tokens of one forward pass, rows padded to the longest one; a row of several sequences counts
            as long as they are together.
        known: whether the split has targets; without them there are no losses.
    """
    was_training = model.training
    model.eval()
    parts = sorted_batches(store.lengths, max_tokens)
    ranks = runtime.ranks
    facts, scores = [], []
    with torch.inference_mode():
        for part in parts[ranks.rank :: ranks.world_size]:
            batch = objective.collate(store, part, epochs=np.full(len(part), -1), progress=1.0).to(runtime.device)
            with runtime.autocast():
                outputs = objective.forward(model, batch)
            sums = {name: float(total) for name, total in objective.totals(outputs, batch).items()} if known else {}
            counts = objective.counts(batch) if known else {}
            facts.append({"sums": sums, "counts": counts, "tokens": batch.tokens})
            scores.append((objective.scores(outputs, batch), objective.ends(batch)))
    model.train(was_training)
    return _whole(parts, ranks.gather(facts, [array for pair in scores for array in pair]))


def _whole(parts: list[np.ndarray], gathered: Sequence[Gathered]) -> Scored:
    """What the ranks found about each batch, in the split's order; sums are added in the batches' order."""
    places = [divmod(i, len(gathered)) for i in range(len(parts))]
    facts = [gathered[rank].value[turn] for turn, rank in places]
    scores, ends = _in_order(
        np.concatenate(parts),
        np.concatenate([gathered[rank].arrays[2 * turn] for turn, rank in places]),
        np.concatenate([np.diff(gathered[rank].arrays[2 * turn + 1], prepend=0) for turn, rank in places]),
    )
    sums = add_counts(fact["sums"] for fact in facts)
    counts = add_counts(fact["counts"] for fact in facts)
    losses = {name: total / (counts[name] or 1.0) for name, total in sums.items()}
    return Scored(scores, ends, losses, sum(fact["tokens"] for fact in facts))


def _in_order(rows: np.ndarray, found: np.ndarray, lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores as they were computed, put into the order of the rows; where the lines of each row end.

    Args:
        rows: which row was computed when. Shape: `[N]`.
        found: their scores one after another. Shape: `[K, …]`.
        lines: how many of these each has. Shape: `[N]`.
    """
    sizes = np.empty(len(rows), dtype=np.int64)
    sizes[rows] = lines
    ends = np.cumsum(sizes)
    first = (ends - sizes)[rows]
    within = np.arange(len(found)) - np.repeat(np.cumsum(lines) - lines, lines)
    scores = np.empty_like(found)
    scores[np.repeat(first, lines) + within] = found
    return scores, ends
