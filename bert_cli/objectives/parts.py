"""Rows of several sequences each: a text and what it is compared with, or a query with each of its candidates.

The store keeps the sequences of a row one after another, and the length of each in a column `sizes`; a batch holds
every sequence in a padded row of its own. Making one costs a copy of the token ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch

from bert_cli.data.batch import Batch
from bert_cli.data.store import CHUNK, EncodedChunk, SplitStore
from bert_cli.objectives.groups import SIZES, GroupedBatch, collate_groups
from bert_cli.objectives.sequence import encode_each


@dataclass(frozen=True, kw_only=True)
class PartsBatch(GroupedBatch):
    """A batch of S sequences that make up B rows; `len` counts rows.

    Attributes:
        gradient: of the loss of the whole batch with respect to the vectors of these sequences, where other
            micro-batches have a part in it. Shape: `[S, D]` fp32.
        losses: of each row, where `gradient` is known. Shape: `[B]` fp32.
    """

    gradient: torch.Tensor | None = None
    losses: torch.Tensor | None = None

    def to(self, device: torch.device) -> Self:
        """The same batch on another device."""
        moved = super().to(device)
        if device.type == "cpu" or self.gradient is None or self.losses is None:
            return moved
        return replace(moved, gradient=self.gradient.to(device), losses=self.losses.to(device))


def collate_parts(
    store: SplitStore, rows: np.ndarray, *, pad_token_id: int, takes_type_ids: bool, twice: bool = False
) -> PartsBatch:
    """The sequences of the given rows; see `collate_groups`."""
    whole = collate_groups(store, rows, pad_token_id=pad_token_id, takes_type_ids=takes_type_ids, twice=twice)
    return PartsBatch(**vars(whole))


class Parts:
    """Something said of each sequence, and no loss: what scoring needs; `forward` says what.

    Args:
        takes_type_ids: whether the model has segment embeddings.
    """

    name: str
    weights: Mapping[str, float] = {"loss": 1.0}

    def __init__(self, *, pad_token_id: int, takes_type_ids: bool) -> None:
        self.pad_token_id = pad_token_id
        self.takes_type_ids = takes_type_ids

    def collate(self, store: SplitStore, rows: np.ndarray, *, epochs: np.ndarray, progress: float) -> PartsBatch:
        """All sequences of the rows, the same at every time. Shape: `[S, L]`."""
        return collate_parts(store, rows, pad_token_id=self.pad_token_id, takes_type_ids=self.takes_type_ids)

    def counts(self, batch: Batch) -> dict[str, float]:
        """Nothing is lost."""
        return {}

    def forward(self, model: Any, batch: Batch) -> torch.Tensor:
        """What is said, fp32. Shape: `[S, ...]`."""
        raise NotImplementedError

    def totals(self, outputs: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Nothing is lost."""
        return {}

    def scores(self, outputs: torch.Tensor, batch: Batch) -> np.ndarray:
        """The same as an array, one line for each sequence. Shape: `[S, ...]` float32."""
        found: np.ndarray = outputs.cpu().numpy()
        return found

    def ends(self, batch: Batch) -> np.ndarray:
        """Where the sequences of each row end. Shape: `[B]` int64."""
        assert isinstance(batch, PartsBatch)
        return batch.ends


@dataclass(frozen=True)
class Row:
    """One row on its way to the store.

    Attributes:
        texts: its sequences; pairs where a sequence is made of two texts.
        columns: further cells.
    """

    texts: Sequence[str] | Sequence[tuple[str, str]]
    columns: dict[str, Any]


def encode_parts(
    tokenizer: Any, rows: Sequence[Row], *, max_length: int, types: dict[str, pa.DataType], size: int = CHUNK
) -> Iterator[EncodedChunk]:
    """Rows of several sequences, `size` rows at a time; a row that lost tokens counts once as truncated.

    Args:
        types: Arrow type of each further column.
    """
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        yield _chunk(tokenizer, part, max_length, types)


def _chunk(tokenizer: Any, rows: Sequence[Row], max_length: int, types: dict[str, pa.DataType]) -> EncodedChunk:
    flat = [text if isinstance(text, tuple) else (text,) for row in rows for text in row.texts]
    pairs = [text[1] for text in flat if len(text) > 1] or None
    ids, segments, lost = encode_each(tokenizer, [text[0] for text in flat], pairs, max_length=max_length)
    ends = list(accumulate(len(row.texts) for row in rows))
    spans = list(zip([0, *ends[:-1]], ends, strict=True))
    columns = {name: pa.array([row.columns[name] for row in rows], kind) for name, kind in types.items()}
    sizes = [[len(each) for each in ids[begin:end]] for begin, end in spans]
    return EncodedChunk(
        [list(chain.from_iterable(ids[begin:end])) for begin, end in spans],
        None if segments is None else [list(chain.from_iterable(segments[begin:end])) for begin, end in spans],
        {**columns, SIZES: pa.array(sizes, pa.list_(pa.int32()))},
        truncated=sum(bool(lost[begin:end].any()) for begin, end in spans),
        lost_tokens=int(lost.sum()),
    )
