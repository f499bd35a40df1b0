"""Blocks of text in memory, with the methods of a block store that objectives use."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

REAL = Path(os.environ.get("BERTCTL_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
FIRST = 5
"""The smallest id that is no special token of the tiny BERT-like tokenizers."""


@dataclass(frozen=True)
class Content:
    ids: np.ndarray
    words: np.ndarray
    lengths: np.ndarray


class SmallStore:
    """Rows of sentences of tokens; `documents` says which row belongs to which."""

    facts: dict[str, Any] = {}
    targets = None

    def __init__(
        self,
        rows: Sequence[Sequence[Sequence[int]]],
        documents: Sequence[int],
        *,
        word_starts: Sequence[Any] | None = None,
    ) -> None:
        self.rows = [[token for sentence in row for token in sentence] for row in rows]
        self.ends = [np.fromiter(accumulate(map(len, row)), dtype=np.int64) for row in rows]
        self.documents = list(documents)
        self.word_starts = word_starts or [[True] * len(row) for row in self.rows]
        self.lengths = np.array([len(row) + 2 for row in self.rows])

    def __len__(self) -> int:
        return len(self.rows)

    def content(self, rows: np.ndarray) -> Content:
        ids = [token for row in rows for token in self.rows[int(row)]]
        words = [start for row in rows for start in self.word_starts[int(row)]]
        lengths = [len(self.rows[int(row)]) for row in rows]
        return Content(np.array(ids, dtype=np.int64), np.array(words, dtype=bool), np.array(lengths, dtype=np.int64))

    def sentence_ends(self, row: int) -> np.ndarray:
        return self.ends[row]

    def document(self, row: int) -> int:
        return self.documents[row]

    def neighbours(self, row: int) -> tuple[int, int]:
        return 0, len(self.rows)

    def value(self, name: str, row: int) -> None:
        return None


def blocks(n: int, *, vocab_size: int, room: int = 40, seed: int = 0, per_document: int = 4) -> SmallStore:
    """`n` blocks of whole sentences of 2 to 16 tokens, packed as long as they fit; words of one to three tokens."""
    rng = np.random.default_rng(seed)
    rows: list[list[list[int]]] = []
    while len(rows) < n:
        row: list[list[int]] = []
        while sum(map(len, row)) + (size := int(rng.integers(2, 17))) <= room:
            row.append(rng.integers(FIRST, vocab_size, size).tolist())
        rows.append(row)
    starts = [(rng.random(sum(map(len, row))) < 0.6).tolist() for row in rows]
    return SmallStore(rows, [i // per_document for i in range(n)], word_starts=starts)
