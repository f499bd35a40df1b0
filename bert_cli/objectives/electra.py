"""Replaced-token detection (Clark et al. 2020): a small generator fills masks, the encoder says which tokens it made.

Replacements are drawn from the generator's distribution with one number per masked position, a function of (seed,
epoch, row, place): the batch that a row comes in has no part in them. No gradient goes through the draw. A step costs
one pass of each network; the vocabulary is scored at the masked positions alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch.nn import functional

from bert_cli.data.batch import Batch
from bert_cli.data.blocks import BlockStore
from bert_cli.objectives import terms
from bert_cli.objectives.masking import Rows
from bert_cli.objectives.mlm import MaskedLanguageModelling
from bert_cli.objectives.texts import Texts


@dataclass(frozen=True, kw_only=True)
class ReplacementBatch(Batch):
    """A batch with the numbers that replacements are drawn with, in [0, 1). Shape of `draws`: `[M]` float32."""

    draws: torch.Tensor

    def to(self, device: torch.device) -> Self:
        """The same batch on another device."""
        return replace(self, **{**vars(super().to(device)), "draws": self.draws.to(device, non_blocking=True)})


@dataclass(frozen=True)
class DetectionOutputs:
    """What generator and discriminator say.

    Attributes:
        tokens: the generator's logits at masked positions. Shape: `[M, V]` fp32.
        replaced: the discriminator's logits that a token is not the original. Shape: `[B, L]` fp32.
        truth: 1 where a token was replaced by another, else 0. Shape: `[B, L]` fp32.
    """

    tokens: torch.Tensor
    replaced: torch.Tensor
    truth: torch.Tensor


class ReplacedTokenDetection:
    """Generator and discriminator together; loss terms `mlm` and `rtd`.

    Args:
        rtd_weight: weight of the discriminator's loss beside the generator's.
        options: those of `MaskedLanguageModelling`.
    """

    name = "replaced-token-detection"

    def __init__(self, *, rtd_weight: float = 50.0, **options: Any) -> None:
        self.mlm = MaskedLanguageModelling(**options)
        self.weights: Mapping[str, float] = terms.weights({"mlm": 1.0, "rtd": rtd_weight}, scoring=self.mlm.scoring)

    def collate(self, store: BlockStore, rows: np.ndarray, *, epochs: np.ndarray, progress: float) -> ReplacementBatch:
        """Blocks with their masks. Shapes: as in `MaskedLanguageModelling.collate`, and draws `[M]`."""
        content, of = store.content(rows), Rows(rows, epochs)
        texts = Texts(content.ids, content.words, content.lengths[:, None])
        hidden = self.mlm.masking.hide(texts, of, progress=progress)
        draws = self.mlm.masking.draw("replacement", texts, of, hidden.chosen)
        batch = self.mlm.batch(texts, hidden, rows)
        return ReplacementBatch(**vars(batch), draws=torch.from_numpy(draws.astype(np.float32)))

    def counts(self, batch: Batch) -> dict[str, float]:
        """Masked positions, and real tokens."""
        assert batch.targets is not None
        counts = {"mlm": float(batch.targets.numel()), "rtd": float(batch.tokens)}
        return terms.with_accuracy(counts) if self.mlm.scoring else counts

    def forward(self, model: Any, batch: Batch) -> DetectionOutputs:
        """The generator's guesses, and the discriminator's opinion about a text that holds draws from them."""
        assert isinstance(batch, ReplacementBatch) and batch.targets is not None and batch.positions is not None
        tokens = self.mlm.forward(model.generator, batch)
        replacements = sample(tokens, batch.draws)
        masked = batch.inputs["input_ids"]
        ids = masked.flatten().index_copy(0, batch.positions, replacements).view_as(masked)
        truth = torch.zeros_like(masked, dtype=torch.float32).flatten()
        truth = truth.index_copy(0, batch.positions, replacements.ne(batch.targets).float()).view_as(masked)
        replaced = model.discriminator(**{**batch.inputs, "input_ids": ids}).logits.float()
        return DetectionOutputs(tokens, replaced, truth)

    def totals(self, outputs: DetectionOutputs, batch: Batch) -> dict[str, torch.Tensor]:
        """Summed cross-entropy at masked positions and binary cross-entropy at all real tokens, nats."""
        real = batch.inputs["attention_mask"]
        found = self.mlm.totals(outputs.tokens, batch)
        found["rtd"] = functional.binary_cross_entropy_with_logits(
            outputs.replaced, outputs.truth, weight=real.float(), reduction="sum"
        )
        if self.mlm.scoring:
            right = outputs.replaced.gt(0).eq(outputs.truth.bool()) & real.bool()
            found[f"rtd{terms.ACCURACY}"] = right.sum().float()
        return found

    def scores(self, outputs: DetectionOutputs, batch: Batch) -> np.ndarray:
        """Nothing about whole examples. Shape: `[B, 0]`."""
        return terms.no_scores(batch)

    def ends(self, batch: Batch) -> np.ndarray:
        """One empty line for each row. Shape: `[B]` int64."""
        return np.arange(1, len(batch) + 1)


@torch.no_grad()
def sample(logits: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """The class at which each softmax's cumulative distribution passes the draw. Shapes: `[M, V]`, `[M]` to `[M]`."""
    cumulative = logits.softmax(-1).cumsum(-1)
    passed = torch.searchsorted(cumulative, draws[:, None] * cumulative[:, -1:], right=True)
    return passed.squeeze(1).clamp_(max=logits.shape[1] - 1)
