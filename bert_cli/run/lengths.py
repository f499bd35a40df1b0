"""How long examples are in tokens, as their family encodes them.

All are tokenised once without a limit, and those that `max_length` cuts a second time, as training does it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bert_cli.data.store import EncodedChunk
from bert_cli.families.base import Labelled, Reading
from bert_cli.inspect.lengths import Lengths
from bert_cli.objectives.groups import SIZES

UNLIMITED = 1_000_000
"""A `max_length` that cuts nothing, tokens."""


def token_lengths(family: Labelled, rows: Any, reading: Reading) -> Lengths:
    """Lengths of the examples of a split, whole, and of what the model reads of them.

    Args:
        rows: as the family loads them.
        reading: with the tokenizer; its recipe says what `max_length` is.
    """
    whole = _encoded(family, rows, reading, UNLIMITED)
    limit = reading.recipe.data.max_length
    if whole.owners is None:
        cut = whole if whole.lengths.max() <= limit else _encoded(family, rows, reading, limit)
        return Lengths("tokens", whole.lengths, cut.lengths, cut.truncated, cut.lost, whole.unknown)
    values = np.zeros(len(rows), dtype=np.int64)
    np.maximum.at(values, whole.owners, whole.lengths)
    long = np.flatnonzero(values > limit)
    if not len(long):
        return Lengths("tokens", values, whole.lengths, unknown=whole.unknown)
    cut = _encoded(family, rows.take(long), reading, limit)
    short = whole.lengths[~np.isin(whole.owners, long)]
    sequences = np.concatenate([short, cut.lengths])
    return Lengths("tokens", values, sequences, cut.truncated, cut.lost, whole.unknown)


@dataclass(frozen=True, eq=False)
class _Encoded:
    """Sequences of tokens that a family makes of rows.

    Attributes:
        lengths: tokens of each. Shape: `[N]` int64.
        owners: the row that each comes from, int64; None where rows share them. Shape: `[N]`.
    """

    lengths: np.ndarray
    owners: np.ndarray | None
    truncated: int
    lost: int
    unknown: int | None


def _encoded(family: Labelled, rows: Any, reading: Reading, max_length: int) -> _Encoded:
    data = reading.recipe.data.model_copy(update={"max_length": max_length})
    reading = replace(reading, recipe=reading.recipe.model_copy(update={"data": data}))
    unknown_id = reading.tokenizer.unk_token_id
    lengths: list[np.ndarray] = []
    owners: list[np.ndarray] = []
    known = True
    seen = truncated = lost = unknown = 0
    for chunk in family.encode(rows, reading):
        sizes, own = _sequences(chunk)
        lengths.append(sizes)
        owners.append(own + seen if "example" not in chunk.columns else own)
        seen += len(chunk.input_ids)
        known = known and "example" in chunk.columns
        truncated, lost = truncated + chunk.truncated, lost + chunk.lost_tokens
        if unknown_id is not None:
            unknown += int(np.count_nonzero(np.concatenate(chunk.input_ids) == unknown_id))
    return _Encoded(
        np.concatenate(lengths),
        np.concatenate(owners) if known or seen == len(rows) else None,
        truncated,
        lost,
        None if unknown_id is None else unknown,
    )


def _sequences(chunk: EncodedChunk) -> tuple[np.ndarray, np.ndarray]:
    """Length of each sequence that the model reads, and the row (of the split where it is told, else of the chunk)."""
    rows = np.asarray(chunk.columns.get("example", np.arange(len(chunk.input_ids))), dtype=np.int64)
    several = chunk.columns.get(SIZES)
    if several is None:
        return np.fromiter(map(len, chunk.input_ids), dtype=np.int64, count=len(rows)), rows
    cells = several.to_pylist()
    return np.array([size for sizes in cells for size in sizes]), np.repeat(rows, list(map(len, cells)))
