"""Rows of several sequences: the choices of a question, or the windows of a long text.

A row of the store holds its sequences one after another and says how long each is (`sizes`). A batch has a line for
each sequence, so that rows with different numbers of them share it, and padding costs no more than elsewhere; what the
model says of the lines is put together within each row afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pyarrow as pa
import torch

from bert_cli.data.batch import Batch, pad
from bert_cli.data.store import SplitStore


@dataclass(frozen=True, kw_only=True)
class GroupedBatch(Batch):
    """Rows of sequences; `inputs` have a line for each of these, `[S, L]`.

    Attributes:
        sizes: sequences of each row, S together. Shape: `[B]` int64.
    """

    sizes: torch.Tensor

    def to(self, device: torch.device) -> Self:
        """The same batch on another device."""
        moved = super().to(device)
        return moved if device.type == "cpu" else replace(moved, sizes=self.sizes.to(device, non_blocking=True))


@dataclass(frozen=True)
class EncodedGroups:
    """Tokens of some rows on their way to the store.

    Attributes:
        input_ids, type_ids: of each row, its sequences one after another; types None where all are 0.
        sizes: tokens of each sequence of each row.
        truncated: rows that did not fit.
        lost_tokens: tokens cut from them.
    """

    input_ids: list[list[int]]
    type_ids: list[list[int]] | None
    sizes: list[list[int]]
    truncated: int
    lost_tokens: int

    @property
    def size_column(self) -> pa.Array:
        """The store's column `sizes`."""
        return pa.array(self.sizes, pa.list_(pa.int32()))


def collate_groups(store: SplitStore, rows: np.ndarray, *, pad_token_id: int, takes_type_ids: bool) -> GroupedBatch:
    """The sequences of all rows as one batch, padded to the longest. Shape: `[S, L]`."""
    lengths = [store.values("sizes", int(row)) for row in rows]
    padded = pad(_pieces([store.input_ids(int(row)) for row in rows], lengths), pad_token_id)
    flat = torch.from_numpy(np.concatenate(lengths).astype(np.int64))
    inputs = {"input_ids": padded, "attention_mask": (torch.arange(padded.shape[1]) < flat[:, None]).long()}
    if takes_type_ids:
        types = [part for row in rows if (part := store.type_ids(int(row))) is not None]
        inputs["token_type_ids"] = pad(_pieces(types, lengths), 0) if types else torch.zeros_like(padded)
    return GroupedBatch(
        inputs,
        None if store.targets is None else torch.from_numpy(store.targets[rows]),
        rows,
        int(flat.sum()),
        sizes=torch.tensor([len(own) for own in lengths]),
    )


def sizes_of(batch: Batch) -> torch.Tensor:
    """Sequences of each row. Shape: `[B]` int64."""
    assert isinstance(batch, GroupedBatch), "made by `collate_groups`"
    return batch.sizes


def log_softmax(logits: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Logarithms of probabilities among the sequences of a row.

    Args:
        logits: Shape: `[S]`.
        sizes: sequences of each row, S together. Shape: `[B]`.

    Returns:
        Shape: `[S]`.
    """
    return logits - _spread(logits[:, None], sizes, -torch.inf).logsumexp(1).squeeze(1).repeat_interleave(sizes)


def aggregate(logits: torch.Tensor, sizes: torch.Tensor, how: str) -> torch.Tensor:
    """One line of logits for each row, `mean` or `max` of those of its sequences.

    Args:
        logits: Shape: `[S, C]`.
        sizes: sequences of each row, S together. Shape: `[B]`.

    Returns:
        Shape: `[B, C]`.
    """
    if how == "max":
        return _spread(logits, sizes, -torch.inf).amax(1)
    return _spread(logits, sizes, 0.0).sum(1) / sizes[:, None]


def _spread(lines: torch.Tensor, sizes: torch.Tensor, fill: float) -> torch.Tensor:
    """Each row's lines beside each other, `fill` behind the last. Shape: `[S, C]` to `[B, most, C]`."""
    row = torch.arange(len(sizes), device=lines.device).repeat_interleave(sizes)
    within = torch.arange(len(lines), device=lines.device) - (sizes.cumsum(0) - sizes)[row]
    return lines.new_full((len(sizes), int(sizes.max()), lines.shape[1]), fill).index_put((row, within), lines)


def _pieces(sequences: Sequence[np.ndarray], lengths: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each sequence, of rows that hold them one after another."""
    return [
        piece
        for sequence, own in zip(sequences, lengths, strict=True)
        for piece in np.split(sequence, np.cumsum(own)[:-1])
    ]
