"""The loss of in-batch negatives: each text is to be nearer to its own partner than to everybody else's.

Cross-entropy over scaled cosines (Henderson et al. 2017; MultipleNegativesRankingLoss of Sentence Transformers), the
partners and the hard negatives of all other rows of the batch being a row's negatives. What may be right as well is no
negative: a text that is the same as the row's own texts, and a partner of the same text. Memory holds `BLOCK` rows of
cosines at once, and a pass costs one matrix product.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

BLOCK = 1024


@dataclass(frozen=True)
class Group:
    """Rows that are compared with each other; their sequences one after another.

    Attributes:
        ends: where each row's sequences end: text, partner, hard negatives. Shape: `[B]` int64.
        texts: number that says which sequences are the same. Shape: `[S]` int64.
    """

    ends: np.ndarray
    texts: np.ndarray

    def losses(self, vectors: torch.Tensor, *, scale: float) -> Iterator[torch.Tensor]:
        """Cross-entropy of each row, nats, `BLOCK` rows at a time.

        Args:
            vectors: of length 1. Shape: `[S, D]` fp32.
            scale: what cosines are multiplied by, the inverse of the temperature.
        """
        first = np.concatenate([[0], self.ends[:-1]]).astype(np.int64)
        others = np.ones(len(self.texts), dtype=bool)
        others[first] = False
        candidates = np.flatnonzero(others)
        own = np.searchsorted(candidates, first + 1)
        row_of = np.searchsorted(self.ends, candidates, side="right")
        partner = candidates == first[row_of] + 1
        for begin in range(0, len(first), BLOCK):
            asking = slice(begin, begin + BLOCK)
            anchors = first[asking]
            same = self.texts[candidates] == self.texts[anchors, None]
            same |= self.texts[candidates] == self.texts[anchors + 1, None]
            same |= partner & (self.texts[first[row_of]] == self.texts[anchors, None])
            targets = own[asking]
            same[np.arange(len(anchors)), targets] = False
            # The precision of a run is for the encoder: bf16 keeps two digits of a cosine.
            with torch.autocast(vectors.device.type, enabled=False):
                cosines = vectors[torch.from_numpy(anchors)] @ vectors[torch.from_numpy(candidates)].T
            logits = (scale * cosines).masked_fill(torch.from_numpy(same).to(vectors.device), -torch.inf)
            yield torch.nn.functional.cross_entropy(
                logits, torch.from_numpy(targets).to(vectors.device), reduction="none"
            )


def numbered(sequences: list[np.ndarray]) -> np.ndarray:
    """A number for each sequence of token ids, the same for equal ones on every machine. Shape: `[S]` int64."""
    digests = [hashlib.blake2b(each.astype(np.int64).tobytes(), digest_size=8).digest() for each in sequences]
    return np.frombuffer(b"".join(digests), dtype=np.int64)
