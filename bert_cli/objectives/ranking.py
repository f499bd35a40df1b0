"""A query and a text read together give one score, by which texts are ranked (Nogueira and Cho 2019).

A row is a query with a relevant text and others: the relevant one is to have the largest score (a softmax over the
row), or each pair is judged by itself. Either loss is one of single rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from bert_cli.data.batch import Batch
from bert_cli.objectives.groups import log_softmax
from bert_cli.objectives.parts import Parts, PartsBatch


class PairScores(Parts):
    """One score for each pair, and no loss: what scoring needs."""

    name = "text-ranking"

    def forward(self, model: Any, batch: Batch) -> torch.Tensor:
        """Scores as the head gives them, fp32. Shape: `[S]`."""
        scores: torch.Tensor = model(**batch.inputs).logits.float().squeeze(-1)
        return scores


class Listwise(PairScores):
    """Cross-entropy of the first pair of a row among all of its pairs (ListNet with one relevant text)."""

    def counts(self, batch: Batch) -> dict[str, float]:
        """Rows."""
        return {"loss": float(len(batch))}

    def totals(self, outputs: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Summed cross-entropy."""
        assert isinstance(batch, PartsBatch)
        return {"loss": -log_softmax(outputs, batch.sizes)[torch.from_numpy(batch.starts)].sum()}


class Binary(PairScores):
    """Binary cross-entropy of single pairs, which are relevant or not."""

    def counts(self, batch: Batch) -> dict[str, float]:
        """Pairs."""
        return {"loss": float(len(batch))}

    def totals(self, outputs: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Summed binary cross-entropy."""
        assert batch.targets is not None
        return {"loss": functional.binary_cross_entropy_with_logits(outputs, batch.targets, reduction="sum")}
