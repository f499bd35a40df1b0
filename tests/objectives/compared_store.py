"""Rows of several texts in memory, as the families of similarity and ranking make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from tiny import tiny_texts

from bert_cli.data.store import SplitStore
from bert_cli.objectives.parts import Row, encode_parts


def store_of(
    tokenizer: Any, rows: Sequence[Sequence[Any]], *, targets: Sequence[float] | None = None, max_length: int = 24
) -> SplitStore:
    """One row of the store for each of `rows`, its texts (or pairs of texts) as sequences."""
    types: dict[str, Any] = {"line": pa.int64()}
    if targets is not None:
        types["target"] = pa.float32()
    made = [
        Row(texts, {"line": i + 1} | ({} if targets is None else {"target": float(targets[i])}))
        for i, texts in enumerate(rows)
    ]
    return SplitStore.of(encode_parts(tokenizer, made, max_length=max_length, types=types, size=3), {})


def texts_of(n: int, *, seed: int = 3) -> list[str]:
    return [text for text, _ in tiny_texts(n, seed=seed)]


def rows_of(n: int, parts: int, *, seed: int = 3, ragged: bool = False) -> list[list[str]]:
    """`n` rows of `parts` different texts; with `ragged`, every other row has one less."""
    texts = [
        f"{text} {'abcdefghij'[i % 10]} {'abcdefghij'[i // 10 % 10]}"
        for i, text in enumerate(texts_of(n * parts, seed=seed))
    ]
    rows = [texts[i * parts : (i + 1) * parts] for i in range(n)]
    return [row[:-1] if ragged and i % 2 else row for i, row in enumerate(rows)]


def every(store: SplitStore) -> np.ndarray:
    return np.arange(len(store))
