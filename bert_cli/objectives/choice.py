"""Which of several choices is right: each is read on its own, and their scores compete within a row.

Rows may have different numbers of choices and still share a batch: the choices of all rows are given to the model as
those of one question, `[1, S, L]`, and the softmax is taken within each row afterwards. So a head of transformers
(`…ForMultipleChoice`) is used as it is, and padding costs no more than in classification.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from bert_cli.data.batch import Batch
from bert_cli.data.store import SplitStore
from bert_cli.objectives.groups import EncodedGroups, GroupedBatch, collate_groups, log_softmax, sizes_of


class ChoiceObjective:
    """Multiple choice (Devlin et al. 2019, section 4.4; Radford et al. 2018): cross-entropy over the choices of a row.

    Args:
        pad_token_id: what fills up shorter sequences.
        takes_type_ids: whether the model has segment embeddings.
        label_smoothing: share of the target spread over the choices of a row.
    """

    name = "multiple-choice"
    weights: Mapping[str, float] = {"loss": 1.0}

    def __init__(self, *, pad_token_id: int, takes_type_ids: bool, label_smoothing: float = 0.0) -> None:
        self.pad_token_id = pad_token_id
        self.takes_type_ids = takes_type_ids
        self.label_smoothing = label_smoothing

    def collate(self, store: SplitStore, rows: np.ndarray, *, epochs: np.ndarray, progress: float) -> GroupedBatch:
        """The choices of all rows as one batch, the same at every time. Shape: `[S, L]`."""
        return collate_groups(store, rows, pad_token_id=self.pad_token_id, takes_type_ids=self.takes_type_ids)

    def counts(self, batch: Batch) -> dict[str, float]:
        """Rows."""
        return {"loss": float(len(batch))}

    def forward(self, model: Any, batch: Batch) -> torch.Tensor:
        """A logit for each choice, fp32. Shape: `[S]`."""
        logits: torch.Tensor = model(**{name: tensor[None] for name, tensor in batch.inputs.items()}).logits
        return logits.float().squeeze(0)

    def totals(self, outputs: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Summed cross-entropy of the rows."""
        assert batch.targets is not None
        sizes = sizes_of(batch)
        found = log_softmax(outputs, sizes)
        starts = sizes.cumsum(0) - sizes
        right = found[starts + batch.targets].sum()
        if not self.label_smoothing:
            return {"loss": -right}
        even = (found / sizes.repeat_interleave(sizes)).sum()
        return {"loss": -(1 - self.label_smoothing) * right - self.label_smoothing * even}

    def scores(self, outputs: torch.Tensor, batch: Batch) -> np.ndarray:
        """The probability of each choice among those of its row. Shape: `[S]` float32."""
        scores: np.ndarray = log_softmax(outputs, sizes_of(batch)).exp().cpu().numpy()
        return scores

    def ends(self, batch: Batch) -> np.ndarray:
        """Where the choices of each row end. Shape: `[B]` int64."""
        ends: np.ndarray = sizes_of(batch).cumsum(0).cpu().numpy()
        return ends


def encode_choices(
    tokenizer: Any, heads: Sequence[str], tails: Sequence[tuple[str, ...]], *, max_length: int
) -> EncodedGroups:
    """Tokens of rows: each tail behind the head of its row, with the model's own separators and segment ids.

    Where a pair is too long, the head is cut at its end. Where the tail alone is, the head goes and the tail is cut at
    its beginning, so that the choice in it is read to the last.
    """
    firsts = [head for head, own in zip(heads, tails, strict=True) for _ in own]
    seconds = [tail for own in tails for tail in own]
    ids, types = _tokenise(tokenizer, firsts, seconds)
    lost = np.zeros(len(ids), dtype=np.int64)
    in_head, in_tail = _by_cut(
        tokenizer, seconds, [row for row, own in enumerate(ids) if len(own) > max_length], max_length
    )
    for rows, side in ((in_head, "head"), (in_tail, "tail")):
        pairs = [(firsts[row] if side == "head" else "", seconds[row]) for row in rows]
        cut_ids, cut_types = _cut(tokenizer, pairs, side, max_length) if rows else ([], None)
        for at, row in enumerate(rows):
            lost[row] = len(ids[row]) - len(cut_ids[at])
            ids[row] = cut_ids[at]
            if types is not None and cut_types is not None:
                types[row] = cut_types[at]
    counts = [len(own) for own in tails]
    by_row = np.add.reduceat(lost, np.cumsum([0, *counts[:-1]]))
    return EncodedGroups(
        [_joined(part) for part in _grouped(ids, counts)],
        None if types is None else [_joined(part) for part in _grouped(types, counts)],
        [[len(tokens) for tokens in part] for part in _grouped(ids, counts)],
        int((by_row > 0).sum()),
        int(lost.sum()),
    )


def _by_cut(tokenizer: Any, seconds: Sequence[str], long: list[int], max_length: int) -> tuple[list[int], list[int]]:
    """Which of the long pairs are cut in the head, and which in the tail because that alone fills the length."""
    if not long:
        return [], []
    room = max_length - tokenizer.num_special_tokens_to_add(pair=True) - 1
    tails = tokenizer([seconds[row] for row in long], add_special_tokens=False, verbose=False)["input_ids"]
    fits = [len(tail) <= room for tail in tails]
    return (
        [row for row, fit in zip(long, fits, strict=True) if fit],
        [row for row, fit in zip(long, fits, strict=True) if not fit],
    )


def _cut(
    tokenizer: Any, pairs: Sequence[tuple[str, str]], side: str, max_length: int
) -> tuple[list[list[int]], list[list[int]] | None]:
    """Pairs that are too long, cut at the end of their heads or at the beginning of their tails."""
    usual = tokenizer.truncation_side
    tokenizer.truncation_side = "right" if side == "head" else "left"
    try:
        return _tokenise(
            tokenizer,
            [head for head, _ in pairs],
            [tail for _, tail in pairs],
            truncation="only_first" if side == "head" else "only_second",
            max_length=max_length,
        )
    finally:
        tokenizer.truncation_side = usual


def _tokenise(
    tokenizer: Any, firsts: list[str], seconds: list[str], **options: Any
) -> tuple[list[list[int]], list[list[int]] | None]:
    encoded = tokenizer(
        firsts,
        seconds,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=True,
        verbose=False,
        **options,
    )
    return encoded["input_ids"], encoded.get("token_type_ids")


def _grouped(items: list[list[int]], counts: Sequence[int]) -> Iterator[list[list[int]]]:
    start = 0
    for count in counts:
        yield items[start : start + count]
        start += count


def _joined(parts: list[list[int]]) -> list[int]:
    return [token for part in parts for token in part]
