"""Which examples are equal: to the letter, and but for case, spaces, punctuation and forms of characters.

Equal examples of all splits get the same number, so that everything after is arithmetic. About 2 µs a short row.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count

import numpy as np
import numpy.typing as npt

from bert_cli.inspect.contents import Contents

TOLERANCE = 0.1
"""Share of the range of all scores from which two scores contradict each other."""

Rows = npt.NDArray[np.int64]
Golds = npt.NDArray[np.int64] | npt.NDArray[np.float64]


class _Kept(dict[int, int | None]):
    """For `str.translate`: drops punctuation, separators and control characters; symbols such as emoji stay."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.category(chr(code))[0] in "PZC" else code
        return self[code]


_KEPT = _Kept()


def normalised(text: str) -> str:
    """NFKC, case folded, without spaces and punctuation; what is nothing but punctuation keeps it."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    folded = text.casefold()
    return folded.translate(_KEPT) or "".join(folded.split())


@dataclass(frozen=True, eq=False)
class Keys:
    """Numbers of the examples of one split, the same for equal ones in all splits; -1 where there is nothing to read.

    Attributes:
        exact: equal to the letter. Shape: `[n]` int64.
        loose: equal after `normalised`. Shape: `[n]` int64.
        golds: numbers of the answers, int64, or scores, float64; None without labels. Shape: `[n]`.
        tolerance: by how much answers must be apart to differ.
        aligned: whether answers say something of each word, so that only those of rows equal to the letter compare.
    """

    exact: Rows
    loose: Rows
    golds: Golds | None
    tolerance: float = 0.0
    aligned: bool = False

    def differ(self, rows: Rows, other: Keys, other_rows: Rows) -> npt.NDArray[np.bool_]:
        """Whether the answer to each of `rows` is another than that to the row of `other` beside it."""
        if self.golds is None or other.golds is None:
            return np.zeros(len(rows), dtype=bool)
        apart: npt.NDArray[np.bool_] = np.abs(self.golds[rows] - other.golds[other_rows]) > self.tolerance
        return apart & (self.exact[rows] == other.exact[other_rows]) if self.aligned else apart


def keys_of(splits: Sequence[Contents]) -> list[Keys]:
    """The keys of each split."""
    exact = numbered([_rows(list(split.parts.values())) for split in splits])
    # The digest of nothing comes first, so that its number is 0.
    loose = numbered([[b""], *(map(_digest, zip(*split.parts.values(), strict=True)) for split in splits)])[1:]
    golds, tolerance = _golds(splits)
    return [
        Keys(np.where(alike, same, -1), np.where(alike, alike, -1), gold, tolerance, split.unit != "rows")
        for split, same, alike, gold in zip(splits, exact, loose, golds, strict=True)
    ]


def repeated(numbers: Rows) -> tuple[Rows, Rows]:
    """Rows that are equal to an earlier one, and the first such. Shapes: `[k]`."""
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    earliest = first[inverse]
    rows = np.flatnonzero((earliest != np.arange(len(numbers))) & (numbers >= 0))
    return rows, earliest[rows]


def shared(numbers: Rows, others: Rows) -> tuple[Rows, Rows]:
    """Rows that stand among the others too, and the first place where they do. Shapes: `[k]`."""
    known, first = np.unique(others, return_index=True)
    place = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
    rows = np.flatnonzero((known[place] == numbers) & (numbers >= 0))
    return rows, first[place[rows]]


def numbered(lists: Sequence[Iterable[Hashable]]) -> list[Rows]:
    """The values of several lists as numbers, the same number for equal ones."""
    number: defaultdict[Hashable, int] = defaultdict(count().__next__)
    return [np.fromiter(map(number.__getitem__, values), dtype=np.int64) for values in lists]


def _rows(parts: Sequence[Sequence[str]]) -> Iterable[Hashable]:
    return parts[0] if len(parts) == 1 else zip(*parts, strict=True)


def _digest(row: Iterable[str]) -> bytes:
    """128 bits that normalised texts share, so that no text is kept in a second form; none where there is no text."""
    texts = list(map(normalised, row))
    return blake2b(repr(texts).encode(), digest_size=16).digest() if any(texts) else b""


def _golds(splits: Sequence[Contents]) -> tuple[list[Golds | None], float]:
    """Answers as numbers, and from which distance on they differ."""
    if any(split.numeric for split in splits):
        scores = [None if split.golds is None else np.array(split.golds, dtype=np.float64) for split in splits]
        known = [score for score in scores if score is not None and len(score)]
        return list(scores), TOLERANCE * float(np.ptp(np.concatenate(known))) if known else 0.0
    found = iter(numbered([split.golds for split in splits if split.golds is not None]))
    return [None if split.golds is None else next(found) for split in splits], 0.0
