"""The texts of a batch, flat: all tokens in one array, with where each row and each part of it lies.

A row holds one text or two (sentence pairs); the parts of a row follow each other, and rows follow rows. Special tokens
are not here yet: `frame.py` puts them around.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Texts:
    """`B` rows of `k` parts, `T` tokens together.

    Attributes:
        ids: tokens. Shape: `[T]` int64.
        words: true where a whole word begins. Shape: `[T]` bool.
        lengths: tokens of each part, 0 where it is empty. Shape: `[B, k]` int64.
    """

    ids: np.ndarray
    words: np.ndarray
    lengths: np.ndarray

    @cached_property
    def part(self) -> np.ndarray:
        """The part that each token belongs to, counted through all rows. Shape: `[T]` int64."""
        part: np.ndarray = np.repeat(np.arange(self.lengths.size), self.lengths.ravel())
        return part

    @cached_property
    def starts(self) -> np.ndarray:
        """First token of each part. Shape: `[B * k]` int64."""
        starts: np.ndarray = np.cumsum(self.lengths) - self.lengths.ravel()
        return starts

    @cached_property
    def place(self) -> np.ndarray:
        """Each token's place in its part. Shape: `[T]` int64."""
        place: np.ndarray = np.arange(len(self.ids)) - self.starts[self.part]
        return place

    @property
    def row(self) -> np.ndarray:
        """The row of each token. Shape: `[T]` int64."""
        row: np.ndarray = self.part // self.lengths.shape[1]
        return row

    @cached_property
    def begins(self) -> np.ndarray:
        """True where a whole word begins, or what is left of one at the start of a part. Shape: `[T]` bool."""
        begins: np.ndarray = self.words | (self.place == 0)
        return begins

    def tokens_of(self, row: int) -> slice:
        """Where a row's tokens lie."""
        parts = self.lengths.shape[1]
        start = int(self.starts[row * parts])
        return slice(start, start + int(self.lengths[row].sum()))
