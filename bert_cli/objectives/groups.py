"""Rows of several sequences: choices of a question, windows of a long text, or a text and what it is compared with.

A row of the store holds its sequences one after another and says how long each is (`sizes`). A batch has a line for
each sequence, so that rows with different numbers of them share it, and padding costs no more than elsewhere; what the
model says of the lines is put together within each row afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import Self

import numpy as np
import pyarrow as pa
import torch

from bert_cli.data.batch import Batch, encoder_inputs
from bert_cli.data.store import SplitStore

SIZES = "sizes"
"""The store's column of how long each sequence of a row is."""


@dataclass(frozen=True, kw_only=True)
class GroupedBatch(Batch):
    """Rows of sequences; `inputs` have a line for each of these, `[S, L]`.

    Attributes:
        sizes: sequences of each row, S together. Shape: `[B]` int64.
    """

    sizes: torch.Tensor

    @property
    def ends(self) -> np.ndarray:
        """Where the sequences of each row end. Shape: `[B]` int64."""
        found: np.ndarray = self.sizes.cumsum(0).cpu().numpy()
        return found

    @property
    def starts(self) -> np.ndarray:
        """Where the sequences of each row begin. Shape: `[B]` int64."""
        return np.concatenate([[0], self.ends[:-1]])

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


def collate_groups(
    store: SplitStore, rows: np.ndarray, *, pad_token_id: int, takes_type_ids: bool, twice: bool = False
) -> GroupedBatch:
    """The sequences of all rows as one batch, padded to the longest. Shape: `[S, L]`.

    Args:
        twice: the first sequence of each row two times over, instead of all of them once.
    """
    pieces: list[list[np.ndarray]] = []
    types: list[np.ndarray] = []
    for row in map(int, rows):
        cuts = np.cumsum(store.values(SIZES, row))[:-1]
        own = np.split(store.input_ids(row), cuts)
        pieces.append([own[0]] * 2 if twice else own)
        if (segments := store.type_ids(row)) is not None:
            known = np.split(segments, cuts)
            types += [known[0]] * 2 if twice else known
    flat = list(chain.from_iterable(pieces))
    return GroupedBatch(
        encoder_inputs(flat, types, pad_token_id=pad_token_id, takes_type_ids=takes_type_ids),
        None if store.targets is None else torch.from_numpy(store.targets[rows]),
        rows,
        sum(map(len, flat)),
        sizes=torch.tensor([len(own) for own in pieces]),
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
