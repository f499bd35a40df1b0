"""Extractive question answering: the first and the last token of the answer, as two choices among a window's tokens.

A window without the answer points at its first token (Devlin et al. 2019, section 4.3). Padding takes no probability;
all real tokens do, those of the question too, so that training minimises what the published models minimised.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from bert_cli.data.batch import Batch, encoder_inputs
from bert_cli.data.store import SplitStore

UNKNOWN = -1
"""Target of a window whose answer is not known: it is no part of the loss."""


class SpanObjective:
    """Start and end of an answer.

    Args:
        pad_token_id: what fills up shorter rows.
        takes_type_ids: whether the model has segment embeddings.
    """

    name = "question-answering"
    weights: Mapping[str, float] = {"loss": 1.0}

    def __init__(self, *, pad_token_id: int, takes_type_ids: bool) -> None:
        self.pad_token_id = pad_token_id
        self.takes_type_ids = takes_type_ids

    def collate(self, store: SplitStore, rows: np.ndarray, *, epochs: np.ndarray, progress: float) -> Batch:
        """The windows as one batch, padded to its longest, the same at every time. Shape: `[B, L]`."""
        inputs = encoder_inputs(
            [store.input_ids(int(row)) for row in rows],
            [store.type_ids(int(row)) for row in rows],
            pad_token_id=self.pad_token_id,
            takes_type_ids=self.takes_type_ids,
        )
        targets = None if store.targets is None else torch.from_numpy(store.targets[rows].astype(np.int64))
        return Batch(inputs, targets, rows, int(store.lengths[rows].sum()))

    def counts(self, batch: Batch) -> dict[str, float]:
        """Windows whose answer is known."""
        assert batch.targets is not None
        return {"loss": float((batch.targets[:, 0] != UNKNOWN).sum())}

    def forward(self, model: Any, batch: Batch) -> torch.Tensor:
        """Logits of first and last token, fp32; minus infinity on padding. Shape: `[B, L, 2]`."""
        outputs = model(**batch.inputs)
        logits = torch.stack([outputs.start_logits, outputs.end_logits], dim=-1).float()
        return logits.masked_fill(~_real(batch)[:, :, None], -torch.inf)

    def totals(self, outputs: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Summed mean of the two cross-entropies."""
        assert batch.targets is not None
        both = functional.cross_entropy(outputs, batch.targets, ignore_index=UNKNOWN, reduction="sum")
        return {"loss": both / 2}

    def scores(self, outputs: torch.Tensor, batch: Batch) -> np.ndarray:
        """Logits of first and last token, of the real tokens of each window in turn. Shape: `[K, 2]` float32."""
        logits: np.ndarray = outputs[_real(batch)].cpu().numpy()
        return logits

    def ends(self, batch: Batch) -> np.ndarray:
        """Where the tokens of each window end. Shape: `[B]` int64."""
        ends: np.ndarray = batch.inputs["attention_mask"].sum(1).cumsum(0).cpu().numpy()
        return ends


def _real(batch: Batch) -> torch.Tensor:
    """Which positions hold tokens. Shape: `[B, L]` bool."""
    return batch.inputs["attention_mask"].bool()
