"""A query and a text read together give one score, by which texts are ranked (Nogueira and Cho 2019).

A row is a query with a relevant text and others: the relevant one is to have the largest score (a softmax over the
row), or each pair is judged by itself. Either loss is one of single rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from bert_cli.data.batch import Batch
from bert_cli.data.store import SplitStore
from bert_cli.objectives.parts import PartsBatch, collate_parts


class PairScores:
    """One score for each pair, and no loss: what scoring needs.

    Args:
        takes_type_ids: whether the model has segment embeddings.
    """

    name = "text-ranking"
    weights: Mapping[str, float] = {"loss": 1.0}

    def __init__(self, *, pad_token_id: int, takes_type_ids: bool) -> None:
        self.pad_token_id = pad_token_id
        self.takes_type_ids = takes_type_ids

    def collate(self, store: SplitStore, rows: np.ndarray, *, epochs: np.ndarray, progress: float) -> PartsBatch:
        """All pairs of the rows, the same at every time. Shape: `[S, L]`."""
        return collate_parts(store, rows, pad_token_id=self.pad_token_id, takes_type_ids=self.takes_type_ids)

    def counts(self, batch: Batch) -> dict[str, float]:
        """Nothing is lost."""
        return {}

    def forward(self, model: Any, batch: Batch) -> torch.Tensor:
        """Scores as the head gives them, fp32. Shape: `[S]`."""
        scores: torch.Tensor = model(**batch.inputs).logits.float().squeeze(-1)
        return scores

    def totals(self, outputs: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Nothing is lost."""
        return {}

    def scores(self, outputs: torch.Tensor, batch: Batch) -> np.ndarray:
        """The scores, one line for each pair. Shape: `[S]` float32."""
        found: np.ndarray = outputs.cpu().numpy()
        return found

    def ends(self, batch: Batch) -> np.ndarray:
        """Where the pairs of each row end. Shape: `[B]` int64."""
        assert isinstance(batch, PartsBatch)
        return batch.ends


class Listwise(PairScores):
    """Cross-entropy of the first pair of a row among all of its pairs (ListNet with one relevant text)."""

    def counts(self, batch: Batch) -> dict[str, float]:
        """Rows."""
        return {"loss": float(len(batch))}

    def totals(self, outputs: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Summed cross-entropy."""
        assert isinstance(batch, PartsBatch)
        sizes = np.diff(batch.ends, prepend=0)
        places = torch.from_numpy(batch.starts[:, None] + np.arange(sizes.max())).to(outputs.device)
        real = torch.from_numpy(np.arange(sizes.max()) < sizes[:, None]).to(outputs.device)
        table = outputs[places.clamp(max=len(outputs) - 1)].masked_fill(~real, -torch.inf)
        first = torch.zeros(len(sizes), dtype=torch.int64, device=outputs.device)
        return {"loss": functional.cross_entropy(table, first, reduction="sum")}


class Binary(PairScores):
    """Binary cross-entropy of single pairs, which are relevant or not."""

    def counts(self, batch: Batch) -> dict[str, float]:
        """Pairs."""
        return {"loss": float(len(batch))}

    def totals(self, outputs: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Summed binary cross-entropy."""
        assert batch.targets is not None
        return {"loss": functional.binary_cross_entropy_with_logits(outputs, batch.targets, reduction="sum")}
