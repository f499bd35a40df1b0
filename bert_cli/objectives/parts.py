"""Rows of several sequences each: a text and what it is compared with, or a query with each of its candidates.

The store keeps the sequences of a row one after another, and the length of each in a column `sizes`; a batch holds
every sequence in a padded row of its own. Making one costs a copy of the token ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch

from bert_cli.data.batch import Batch, pad
from bert_cli.data.store import CHUNK, EncodedChunk, SplitStore
from bert_cli.objectives.sequence import encode_each

SIZES = "sizes"


@dataclass(frozen=True, kw_only=True)
class PartsBatch(Batch):
    """A batch of S sequences that make up B rows; `len` counts rows.

    Attributes:
        ends: where each row's sequences end. Shape: `[B]` int64.
        gradient: of the loss of the whole batch with respect to the vectors of these sequences, where other
            micro-batches have a part in it. Shape: `[S, D]` fp32.
        losses: of each row, where `gradient` is known. Shape: `[B]` fp32.
    """

    ends: np.ndarray
    gradient: torch.Tensor | None = None
    losses: torch.Tensor | None = None

    @property
    def starts(self) -> np.ndarray:
        """Where each row's sequences begin. Shape: `[B]`."""
        return np.concatenate([[0], self.ends[:-1]])

    def to(self, device: torch.device) -> Self:
        """The same batch on another device."""
        moved = {
            name: None if tensor is None else tensor.to(device, non_blocking=True)
            for name, tensor in (("gradient", self.gradient), ("losses", self.losses))
        }
        return replace(self, **{**vars(super().to(device)), **moved})


def collate_parts(
    store: SplitStore, rows: np.ndarray, *, pad_token_id: int, takes_type_ids: bool, twice: bool = False
) -> PartsBatch:
    """The sequences of the given rows.

    Args:
        twice: the first sequence of each row two times over, instead of all of them once.
    """
    ids: list[np.ndarray] = []
    types: list[np.ndarray] = []
    counts = []
    for row in map(int, rows):
        cuts = np.cumsum(store.values(SIZES, row))
        own = np.split(store.input_ids(row), cuts[:-1])
        own = [own[0]] * 2 if twice else own
        ids += own
        counts.append(len(own))
        if takes_type_ids and (segments := store.type_ids(row)) is not None:
            types += np.split(segments, cuts[:-1])
    padded = pad(ids, pad_token_id)
    lengths = torch.tensor([len(each) for each in ids])
    inputs = {"input_ids": padded, "attention_mask": (torch.arange(padded.shape[1]) < lengths[:, None]).long()}
    if takes_type_ids:
        inputs["token_type_ids"] = pad(types, 0) if types else torch.zeros_like(padded)
    targets = None if store.targets is None else torch.from_numpy(store.targets[rows])
    return PartsBatch(inputs, targets, rows, int(lengths.sum()), ends=np.cumsum(counts))


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
