"""Texts of any length, read in windows: the logits of a text's windows are put together, and it has one loss.

Windows share some tokens with their neighbours, so that no word stands only at an edge. Of a pair the longer text is
read in windows, each beside the whole of the shorter one. A text that fits is read exactly as without windows. A step
costs what all windows of its batch cost, and a single text is never split over several passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from bert_cli.data.batch import Batch
from bert_cli.data.store import CHUNK, EncodedChunk, SplitStore
from bert_cli.objectives.frame import Frame, Surrounding
from bert_cli.objectives.groups import SIZES, EncodedGroups, GroupedBatch, aggregate, collate_groups, sizes_of
from bert_cli.objectives.sequence import SequenceObjective, encode_each
from bert_cli.objectives.strides import stride_of, three_quarters, window_starts


class LongTextObjective(SequenceObjective):
    """Text classification, multi-label classification and regression of texts in windows.

    Args:
        how: `mean` or `max` of the logits of a text's windows.
        options: of `SequenceObjective`.
    """

    def __init__(self, name: str, *, how: str, **options: Any) -> None:
        super().__init__(name, **options)
        self.how = how

    def collate(self, store: SplitStore, rows: np.ndarray, *, epochs: np.ndarray, progress: float) -> GroupedBatch:
        """The windows of all texts as one batch, the same at every time. Shape: `[S, L]`."""
        return collate_groups(store, rows, pad_token_id=self.pad_token_id, takes_type_ids=self.takes_type_ids)

    def forward(self, model: Any, batch: Batch) -> torch.Tensor:
        """Logits of whole texts, fp32. Shape: `[B, C]`."""
        return aggregate(super().forward(model, batch), sizes_of(batch), self.how)


def encode_windows(
    tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, *, max_length: int, stride: int | None
) -> EncodedGroups:
    """Tokens of texts or pairs, those that are longer than `max_length` in windows.

    Args:
        stride: tokens that neighbouring windows share; None: a third of `max_length`. Beside a second text that leaves
            little room they share fewer.

    Raises:
        UsageError: a stride that leaves too little of each window to what is new (D118).
        ModelError: the special tokens cannot be told from the text (L032).
    """
    ids, types, over = encode_each(tokenizer, texts, pairs, max_length=max_length)
    sizes = [[len(own)] for own in ids]
    lost = np.zeros(len(ids), dtype=np.int64)
    long = np.flatnonzero(over).tolist()
    if long:
        cutter = _Cutter(tokenizer, max_length, stride, pair=pairs is not None)
        firsts = cutter.tokens([texts[row] for row in long])
        seconds = None if pairs is None else cutter.tokens([pairs[row] for row in long])
        for at, row in enumerate(long):
            parts = [firsts[at]] if seconds is None else [firsts[at], seconds[at]]
            windows, lost[row] = cutter.windows(parts)
            ids[row] = [token for own, _ in windows for token in own]
            sizes[row] = [len(own) for own, _ in windows]
            if types is not None:
                types[row] = [kind for _, own in windows for kind in own]
    return EncodedGroups(ids, types, sizes, int((lost > 0).sum()), int(lost.sum()))


def window_chunks(
    tokenizer: Any,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    *,
    columns: Mapping[str, Any],
    max_length: int,
    stride: int | None,
) -> Iterator[EncodedChunk]:
    """A split on its way to the store, `CHUNK` texts at a time; `columns` are cut alike."""
    for start in range(0, len(texts), CHUNK):
        end = start + CHUNK
        found = encode_windows(
            tokenizer,
            texts[start:end],
            None if pairs is None else pairs[start:end],
            max_length=max_length,
            stride=stride,
        )
        cut = {name: column[start:end] for name, column in columns.items()} | {SIZES: found.size_column}
        yield EncodedChunk(found.input_ids, found.type_ids, cut, found.truncated, found.lost_tokens)


class _Cutter:
    """Cuts tokens into windows, in the frame of special tokens that the tokenizer puts around texts."""

    def __init__(self, tokenizer: Any, max_length: int, stride: int | None, *, pair: bool) -> None:
        frame = Frame.of(tokenizer)
        self.tokenizer = tokenizer
        self.around: Surrounding = frame.two if pair else frame.one
        self.room = frame.room(max_length, pair=pair)
        probe: Any = tokenizer("a", "a", return_token_type_ids=True).get("token_type_ids")
        self.segments = any(probe or ())
        self.stride = stride_of(stride, max_length=max_length, room=self.room, most=three_quarters(self.room))

    def tokens(self, texts: list[str]) -> list[list[int]]:
        """Token ids without special tokens."""
        found: list[list[int]] = self.tokenizer(
            texts, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False, verbose=False
        )["input_ids"]
        return found

    def windows(self, parts: list[list[int]]) -> tuple[list[tuple[list[int], list[int]]], int]:
        """Token ids and segments of each window of a text or a pair, and how many tokens are in none.

        The shorter text of a pair stands whole in each window, or as much of it as fits in half of one.
        """
        long = max(range(len(parts)), key=lambda part: (len(parts[part]), part))
        kept = [part if number == long else part[: self.room // 2] for number, part in enumerate(parts)]
        room = self.room - sum(len(part) for number, part in enumerate(kept) if number != long)
        stride = min(self.stride, three_quarters(room))
        whole = kept[long]
        windows = []
        for start in window_starts(len(whole), room=room, stride=stride):
            kept[long] = whole[start : start + room]
            windows.append(self._framed(kept))
        return windows, sum(map(len, parts)) - sum(map(len, kept)) - len(whole) + len(kept[long])

    def _framed(self, parts: list[list[int]]) -> tuple[list[int], list[int]]:
        ids: list[int] = []
        types: list[int] = []
        around = self.around
        for number, piece in enumerate(around.pieces):
            ids += piece
            types += around.piece_types[number]
            if number < len(parts):
                ids += parts[number]
                types += [around.text_types[number]] * len(parts[number])
        return ids, types if self.segments else [0] * len(ids)
