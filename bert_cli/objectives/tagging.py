"""One class for each word of a sentence, read at the word's first piece.

The loss is the cross-entropy summed over the words that a batch scores, in fp32; pieces inside of words, special tokens
and words that another window of their sentence scores count nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from bert_cli.data.batch import Batch, encoder_inputs
from bert_cli.data.store import SplitStore


class TaggingObjective:
    """Token classification.

    Args:
        pad_token_id: what fills up shorter rows.
        takes_type_ids: whether the model has segment embeddings.
    """

    name = "token-classification"
    weights: Mapping[str, float] = {"loss": 1.0}

    def __init__(self, *, pad_token_id: int, takes_type_ids: bool) -> None:
        self.pad_token_id = pad_token_id
        self.takes_type_ids = takes_type_ids

    def collate(self, store: SplitStore, rows: np.ndarray, *, epochs: np.ndarray, progress: float) -> Batch:
        """Windows as one batch, the same at every time; `positions` are those of the words that are scored in it."""
        sequences = [store.input_ids(int(row)) for row in rows]
        inputs = encoder_inputs(sequences, (), pad_token_id=self.pad_token_id, takes_type_ids=self.takes_type_ids)
        width = inputs["input_ids"].shape[1]
        places = [store.values("at", int(row)) + width * i for i, row in enumerate(rows)]
        targets = None
        if store.targets is not None:
            targets = _joined([store.values("label", int(row)) for row in rows])
        return Batch(inputs, targets, rows, int(store.lengths[rows].sum()), _joined(places))

    def counts(self, batch: Batch) -> dict[str, float]:
        """Words that are scored."""
        assert batch.targets is not None
        return {"loss": float(batch.targets.numel())}

    def forward(self, model: Any, batch: Batch) -> torch.Tensor:
        """Logits of the words, fp32. Shape: `[M, C]`."""
        logits: torch.Tensor = model(**batch.inputs).logits
        return logits.flatten(0, 1)[batch.positions].float()

    def totals(self, outputs: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Summed cross-entropy of the words."""
        assert batch.targets is not None
        return {"loss": functional.cross_entropy(outputs, batch.targets, reduction="sum")}

    def scores(self, outputs: torch.Tensor, batch: Batch) -> np.ndarray:
        """Probability of each class for each word. Shape: `[M, C]` float32."""
        found: np.ndarray = outputs.softmax(-1).cpu().numpy()
        return found

    def ends(self, batch: Batch) -> np.ndarray:
        """Where the words of each row end among those of the batch. Shape: `[B]` int64."""
        assert batch.positions is not None
        width = batch.inputs["input_ids"].shape[1]
        return np.searchsorted(batch.positions.cpu().numpy(), np.arange(1, len(batch) + 1) * width)


def _joined(parts: list[np.ndarray]) -> torch.Tensor:
    """Arrays one after another. Shape: `[M]` int64."""
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))
