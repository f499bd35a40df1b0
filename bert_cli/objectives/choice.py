"""Which of several choices is right: each is read on its own, and their scores compete within a row.

Rows may have different numbers of choices and still share a batch: the choices of all rows are given to the model as
those of one question, `[1, S, L]`, and the softmax is taken within each row afterwards. So a head of transformers
(`…ForMultipleChoice`) is used as it is, and padding costs no more than in classification.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch

from bert_cli.data.batch import Batch, pad
from bert_cli.data.store import SplitStore


@dataclass(frozen=True, kw_only=True)
class ChoiceBatch(Batch):
    """Rows of choices; `inputs` have a line for each choice, `[S, L]`.

    Attributes:
        sizes: choices of each row, S together. Shape: `[B]` int64.
    """

    sizes: torch.Tensor

    def to(self, device: torch.device) -> Self:
        """The same batch on another device."""
        moved = super().to(device)
        return moved if device.type == "cpu" else replace(moved, sizes=self.sizes.to(device, non_blocking=True))


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

    def collate(self, store: SplitStore, rows: np.ndarray, *, epochs: np.ndarray, progress: float) -> ChoiceBatch:
        """The choices of all rows as one batch, the same at every time. Shape: `[S, L]`."""
        sizes = [store.values("sizes", int(row)) for row in rows]
        ids = _pieces([store.input_ids(int(row)) for row in rows], sizes)
        padded = pad(ids, self.pad_token_id)
        lengths = torch.from_numpy(np.concatenate(sizes).astype(np.int64))
        mask = (torch.arange(padded.shape[1]) < lengths[:, None]).long()
        inputs = {"input_ids": padded, "attention_mask": mask}
        if self.takes_type_ids:
            types = [store.type_ids(int(row)) for row in rows]
            known = [part for part in types if part is not None]
            inputs["token_type_ids"] = pad(_pieces(known, sizes), 0) if known else torch.zeros_like(padded)
        return ChoiceBatch(
            inputs,
            None if store.targets is None else torch.from_numpy(store.targets[rows]),
            rows,
            int(lengths.sum()),
            sizes=torch.tensor([len(own) for own in sizes]),
        )

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
        sizes = _sizes(batch)
        found = log_softmax(outputs, sizes)
        starts = sizes.cumsum(0) - sizes
        right = found[starts + batch.targets].sum()
        if not self.label_smoothing:
            return {"loss": -right}
        even = (found / sizes.repeat_interleave(sizes)).sum()
        return {"loss": -(1 - self.label_smoothing) * right - self.label_smoothing * even}

    def scores(self, outputs: torch.Tensor, batch: Batch) -> np.ndarray:
        """The probability of each choice among those of its row. Shape: `[S]` float32."""
        scores: np.ndarray = log_softmax(outputs, _sizes(batch)).exp().cpu().numpy()
        return scores

    def ends(self, batch: Batch) -> np.ndarray:
        """Where the choices of each row end. Shape: `[B]` int64."""
        ends: np.ndarray = _sizes(batch).cumsum(0).cpu().numpy()
        return ends


def _sizes(batch: Batch) -> torch.Tensor:
    assert isinstance(batch, ChoiceBatch)
    return batch.sizes


def log_softmax(logits: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Logarithms of probabilities among neighbours: the first `sizes[0]` logits, the next `sizes[1]`, and so on.

    Args:
        logits: Shape: `[S]`.
        sizes: of the groups, S together. Shape: `[B]`.

    Returns:
        Shape: `[S]`.
    """
    group = torch.arange(len(sizes), device=logits.device).repeat_interleave(sizes)
    within = torch.arange(len(logits), device=logits.device) - (sizes.cumsum(0) - sizes)[group]
    padded = logits.new_full((len(sizes), int(sizes.max())), -torch.inf)
    whole = padded.index_put((group, within), logits).logsumexp(1)
    return logits - whole[group]


def _pieces(sequences: Sequence[np.ndarray], sizes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The sequence of each choice, of rows that hold them one after another."""
    return [
        piece
        for sequence, own in zip(sequences, sizes, strict=True)
        for piece in np.split(sequence, np.cumsum(own)[:-1])
    ]


@dataclass(frozen=True)
class EncodedChoices:
    """Tokens of some rows.

    Attributes:
        input_ids, type_ids: of each row, its choices one after another; types None where all are 0.
        sizes: tokens of each choice of each row.
        truncated: rows that did not fit.
        lost_tokens: tokens cut from them.
    """

    input_ids: list[list[int]]
    type_ids: list[list[int]] | None
    sizes: list[list[int]]
    truncated: int
    lost_tokens: int


def encode_choices(
    tokenizer: Any, heads: Sequence[str], tails: Sequence[tuple[str, ...]], *, max_length: int
) -> EncodedChoices:
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
    return EncodedChoices(
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
