"""Texts as vectors: what makes those of similar texts similar (Reimers and Gurevych 2019).

A row is a text and what it is compared with. Pairs with scores and triplets are losses of single rows; with in-batch
negatives every row is compared with all others of the batch, whatever micro-batches and ranks it is dealt to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bert_cli.data.batch import Batch
from bert_cli.data.store import SplitStore
from bert_cli.models.pooling import pool
from bert_cli.objectives.contrast import Group, numbered
from bert_cli.objectives.parts import Parts, PartsBatch, collate_parts
from bert_cli.ranks import Ranks


class Vectors(Parts):
    """One vector of length 1 for each sequence, and no loss: what scoring needs.

    Args:
        pooling: see `bert_cli.models.pooling.pool`.
        options: those of `Parts`.
    """

    name = "sentence-similarity"

    def __init__(self, *, pooling: str, **options: Any) -> None:
        super().__init__(**options)
        self.pooling = pooling

    def forward(self, model: Any, batch: Batch) -> torch.Tensor:
        """Vectors, fp32. Shape: `[S, D]`."""
        return pool(model(**batch.inputs)[0], batch.inputs["attention_mask"], self.pooling)


class CosineScores(Vectors):
    """Pairs with scores from 0 to 1: the squared difference to the pair's cosine."""

    def counts(self, batch: Batch) -> dict[str, float]:
        """Pairs."""
        return {"loss": float(len(batch))}

    def totals(self, outputs: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Summed squared error."""
        assert batch.targets is not None
        cosines = (outputs[0::2] * outputs[1::2]).sum(-1)
        return {"loss": (cosines - batch.targets).square().sum()}


class Triplets(Vectors):
    """A text is to be nearer to its positive text than to each of its negative ones, by a margin of cosine.

    Args:
        margin: see above.
        options: those of `Vectors`.
    """

    def __init__(self, *, margin: float, **options: Any) -> None:
        super().__init__(**options)
        self.margin = margin

    def counts(self, batch: Batch) -> dict[str, float]:
        """Negative texts."""
        return {"loss": float(len(_triplets(batch)))}

    def totals(self, outputs: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Summed lack of margin: max(0, margin - cos(text, positive) + cos(text, negative))."""
        text, positive, negative = (outputs[torch.from_numpy(places)] for places in _triplets(batch).T)
        lack = self.margin - (text * positive).sum(-1) + (text * negative).sum(-1)
        return {"loss": lack.clamp(min=0).sum()}


class InBatchNegatives(Vectors):
    """Each row's text is to find its partner among those of the whole batch; `Group` says how.

    Args:
        scale: what cosines are multiplied by.
        twice: the partner is the text itself under another dropout, and rows have one text only (SimCSE, Gao et al.
            2021).
        options: those of `Vectors`.
    """

    def __init__(self, *, scale: float, twice: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.scale = scale
        self.twice = twice

    def collate(self, store: SplitStore, rows: np.ndarray, *, epochs: np.ndarray, progress: float) -> PartsBatch:
        """All sequences of the rows, or the first of each two times. Shape: `[S, L]`."""
        return collate_parts(
            store, rows, pad_token_id=self.pad_token_id, takes_type_ids=self.takes_type_ids, twice=self.twice
        )

    def counts(self, batch: Batch) -> dict[str, float]:
        """Rows."""
        return {"loss": float(len(batch))}

    def totals(self, outputs: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Summed cross-entropy of the rows, within this batch where nothing else was foreseen."""
        assert isinstance(batch, PartsBatch)
        if batch.gradient is None or batch.losses is None:
            losses = Group(batch.ends, _numbers(batch)).losses(outputs, scale=self.scale)
            return {"loss": torch.stack([part.sum() for part in losses]).sum()}
        # Its value is the rows' loss; its gradient is what the whole batch's loss wants of these vectors.
        towards = (outputs * batch.gradient).sum()
        return {"loss": towards + (batch.losses.sum() - towards).detach()}

    def foresee(self, batches: Sequence[Batch], outputs: Sequence[Any], *, ranks: Ranks, idle: bool) -> list[Batch]:
        """Each micro-batch with its rows' losses, and with the gradient of the whole batch's loss by its vectors."""
        parts = [batch for batch in batches if isinstance(batch, PartsBatch)]
        vectors = torch.cat(list(outputs))
        own = [
            vectors.cpu().numpy(),
            np.concatenate([np.diff(part.ends, prepend=0) for part in parts]),
            np.concatenate([_numbers(part) for part in parts]),
        ]
        found = ranks.gather(None, [array[:0] for array in own] if idle else own)
        gradient, losses = self._whole([each.arrays for each in found], vectors.device)
        if idle:
            gradient, losses = torch.zeros_like(vectors), vectors.new_zeros(len(own[1]))
        else:
            before = found[: ranks.rank]
            gradient = gradient[sum(len(each.arrays[0]) for each in before) :][: len(vectors)]
            losses = losses[sum(len(each.arrays[1]) for each in before) :][: len(own[1])]
        by_part = torch.split(gradient, [int(part.ends[-1]) for part in parts])
        by_row = torch.split(losses, [len(part) for part in parts])
        return [
            replace(part, gradient=one, losses=other) for part, one, other in zip(parts, by_part, by_row, strict=True)
        ]

    def _whole(self, ranks: Sequence[Sequence[np.ndarray]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradient `[S, D]` and losses `[B]` of the whole batch.

        Args:
            ranks: of each rank its vectors, the number of sequences in each row, and what numbers the sequences.
        """
        vectors, sizes, numbers = (np.concatenate(arrays) for arrays in zip(*ranks, strict=True))
        asked = torch.from_numpy(vectors).to(device).requires_grad_()
        losses = []
        with torch.enable_grad():
            for part in Group(np.cumsum(sizes), numbers).losses(asked, scale=self.scale):
                part.sum().backward()  # type: ignore[no-untyped-call]
                losses.append(part.detach())
        assert asked.grad is not None
        return asked.grad, torch.cat(losses)


def _triplets(batch: Batch) -> np.ndarray:
    """Places of text, positive and negative of each triplet among the sequences. Shape: `[T, 3]`."""
    assert isinstance(batch, PartsBatch)
    first = np.repeat(batch.starts, np.diff(batch.ends, prepend=0))
    place = np.arange(len(first))
    negative = place >= first + 2
    return np.stack([first, first + 1, place], axis=1)[negative]


def _numbers(batch: PartsBatch) -> np.ndarray:
    """A number for each sequence, the same for equal ones. Shape: `[S]` int64."""
    ids, lengths = batch.inputs["input_ids"].cpu().numpy(), batch.inputs["attention_mask"].sum(1).tolist()
    return numbered([row[:length] for row, length in zip(ids, lengths, strict=True)])
