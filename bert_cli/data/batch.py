"""What one forward pass sees.

A `Batch` knows its real tokens, its targets and which examples it holds, so that losses can be divided by exact counts
before the forward pass and predictions can be put back in order. Making one costs a copy of the token ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch


@dataclass(frozen=True)
class Batch:
    """One micro-batch.

    Attributes:
        inputs: what the encoder takes; `input_ids`, `attention_mask` and, where the model knows them,
            `token_type_ids`. Shape: `[B, L]` int64.
        targets: `[B]` int64 class ids, `[B, C]` float32 multi-hot, `[B]` float32 scores, or `[M]` int64 token ids of
            the masked positions; None when nothing is known of them.
        rows: `[B]` int64, the examples' places in their split.
        tokens: real tokens, padding not counted.
        positions: `[M]` int64 flat places in `[B * L]` that are scored (pretraining), else None.
    """

    inputs: dict[str, torch.Tensor]
    targets: torch.Tensor | None
    rows: np.ndarray
    tokens: int
    positions: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def padded_tokens(self) -> int:
        """Tokens with padding."""
        return self.inputs["input_ids"].numel()

    def to(self, device: torch.device) -> Self:
        """The same batch on another device."""
        if device.type == "cpu":
            return self
        move = {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}
        targets = None if self.targets is None else self.targets.to(device, non_blocking=True)
        positions = None if self.positions is None else self.positions.to(device, non_blocking=True)
        return replace(self, inputs=move, targets=targets, positions=positions)


def pad(sequences: list[np.ndarray], value: int) -> torch.Tensor:
    """Sequences of token ids, padded on the right with `value`. Shape: `[B, L]` int64."""
    lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
    padded = np.full((len(sequences), int(lengths.max())), value, dtype=np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate(sequences)
    return torch.from_numpy(padded)


def encoder_inputs(
    sequences: list[np.ndarray], types: Sequence[np.ndarray | None], *, pad_token_id: int, takes_type_ids: bool
) -> dict[str, torch.Tensor]:
    """What an encoder takes, padded to the longest sequence. Shapes: `[B, L]` int64.

    Args:
        sequences: token ids of each.
        types: segment ids of each; None or nothing where all are 0.
        takes_type_ids: whether the model has segment embeddings.
    """
    ids = pad(sequences, pad_token_id)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    inputs = {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long()}
    if takes_type_ids:
        known = [segments for segments in types if segments is not None]
        inputs["token_type_ids"] = pad(known, 0) if known else torch.zeros_like(ids)
    return inputs
