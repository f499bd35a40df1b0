"""One label, several labels or one score for a whole text or pair of texts.

The three share encoding, batches and the model call; they differ in loss and in how logits are read. Losses are
computed in fp32 from the logits, never from the model's own `loss`, which ignores how many items a step holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from bert_cli.data.batch import Batch, encoder_inputs
from bert_cli.data.store import CHUNK, EncodedChunk, SplitStore

PROBLEM_TYPES = {
    "text-classification": "single_label_classification",
    "multi-label-classification": "multi_label_classification",
    "text-regression": "regression",
}


class SequenceObjective:
    """Text classification, multi-label classification and regression.

    Args:
        name: a key of `PROBLEM_TYPES`.
        pad_token_id: what fills up shorter rows.
        takes_type_ids: whether the model has segment embeddings.
        label_smoothing: share of the target spread over all classes.
        class_weights: weight of each class in the loss, or None. Shape: `[C]`.
    """

    weights: Mapping[str, float] = {"loss": 1.0}

    def __init__(
        self,
        name: str,
        *,
        pad_token_id: int,
        takes_type_ids: bool,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        self.name = name
        self.pad_token_id = pad_token_id
        self.takes_type_ids = takes_type_ids
        self.label_smoothing = label_smoothing
        self.class_weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)

    def collate(self, store: SplitStore, rows: np.ndarray, *, epochs: np.ndarray, progress: float) -> Batch:
        """The examples as one batch, padded to its longest, the same at every time. Shape: `[B, L]`."""
        inputs = encoder_inputs(
            [store.input_ids(int(row)) for row in rows],
            [store.type_ids(int(row)) for row in rows],
            pad_token_id=self.pad_token_id,
            takes_type_ids=self.takes_type_ids,
        )
        targets = None if store.targets is None else torch.from_numpy(store.targets[rows])
        return Batch(inputs, targets, rows, int(store.lengths[rows].sum()))

    def counts(self, batch: Batch) -> dict[str, float]:
        """Examples; with class weights, the sum of their weights; multi-label, examples times classes."""
        assert batch.targets is not None
        if self.name == "text-classification" and self.class_weights is not None:
            return {"loss": float(self.class_weights[batch.targets.cpu()].sum())}
        return {"loss": float(batch.targets.numel())}

    def forward(self, model: Any, batch: Batch) -> torch.Tensor:
        """Logits, fp32. Shape: `[B, C]`."""
        logits: torch.Tensor = model(**batch.inputs).logits.float()
        return logits

    def totals(self, outputs: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Summed cross-entropy, binary cross-entropy or squared error of the batch."""
        assert batch.targets is not None
        weights = None if self.class_weights is None else self.class_weights.to(outputs.device)
        if self.name == "text-classification":
            return {
                "loss": functional.cross_entropy(
                    outputs, batch.targets, weight=weights, reduction="sum", label_smoothing=self.label_smoothing
                )
            }
        if self.name == "multi-label-classification":
            targets = batch.targets * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
            return {
                "loss": functional.binary_cross_entropy_with_logits(
                    outputs, targets, pos_weight=weights, reduction="sum"
                )
            }
        return {"loss": functional.mse_loss(outputs.squeeze(-1), batch.targets, reduction="sum")}

    def scores(self, outputs: torch.Tensor, batch: Batch) -> np.ndarray:
        """Probabilities of each class `[B, C]`, or values `[B]`; float32."""
        if self.name == "text-classification":
            outputs = outputs.softmax(-1)
        elif self.name == "multi-label-classification":
            outputs = outputs.sigmoid()
        else:
            outputs = outputs.squeeze(-1)
        scores: np.ndarray = outputs.cpu().numpy()
        return scores

    def ends(self, batch: Batch) -> np.ndarray:
        """One line for each row. Shape: `[B]` int64."""
        return np.arange(1, len(batch) + 1)


def encode(
    tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, *, max_length: int
) -> tuple[list[list[int]], list[list[int]] | None, int, int]:
    """Token ids, segment ids (pairs only), truncated examples, and tokens lost by truncation; see `encode_each`."""
    ids, types, lost = encode_each(tokenizer, texts, pairs, max_length=max_length)
    return ids, types, int((lost > 0).sum()), int(lost.sum())


def encode_each(
    tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, *, max_length: int
) -> tuple[list[list[int]], list[list[int]] | None, np.ndarray]:
    """Token ids, segment ids (pairs only), and how many tokens of each text are lost by truncation.

    A pair is encoded as a pair, with the model's own separators and segment ids; the longer side is cut first.
    """
    ids, types = _tokenise(tokenizer, texts, pairs, truncation=True, max_length=max_length)
    lost = np.zeros(len(ids), dtype=np.int64)
    full = [row for row, tokens in enumerate(ids) if len(tokens) >= max_length]
    if full:
        # Only rows that fill the length can have been cut; reading them again without a limit tells by how much.
        whole, _ = _tokenise(
            tokenizer,
            [texts[row] for row in full],
            None if pairs is None else [pairs[row] for row in full],
            truncation=False,
        )
        lost[full] = [len(tokens) - len(ids[row]) for row, tokens in zip(full, whole, strict=True)]
    return ids, types, lost


def _tokenise(
    tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, **options: Any
) -> tuple[list[list[int]], list[list[int]] | None]:
    encoded = tokenizer(
        list(texts),
        None if pairs is None else list(pairs),
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=pairs is not None,
        verbose=False,
        **options,
    )
    return encoded["input_ids"], encoded.get("token_type_ids")


def encode_chunks(
    tokenizer: Any,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    *,
    columns: Mapping[str, Any],
    max_length: int,
) -> Iterator[EncodedChunk]:
    """A split on its way to the store, `CHUNK` examples at a time; `columns` are cut alike."""
    for start in range(0, len(texts), CHUNK):
        end = start + CHUNK
        ids, types, truncated, lost = encode(
            tokenizer, texts[start:end], None if pairs is None else pairs[start:end], max_length=max_length
        )
        cut = {name: column[start:end] for name, column in columns.items()}
        yield EncodedChunk(ids, types, cut, truncated, lost)
