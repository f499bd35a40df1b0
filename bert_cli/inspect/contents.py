"""Examples of a split as strings, whatever kind they are of: what every check of data is given.

A family's rows say what they hold in these words; nothing here knows of families or of files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bert_cli.errors import printable

SHOWN = 80
"""Characters of an example that a message shows."""


@dataclass(frozen=True, eq=False)
class Contents:
    """The examples of one split, n of them.

    Attributes:
        lines: where each begins in `origin`. Shape: `[n]`.
        parts: role -> n strings; two examples are equal where all their parts are.
        golds: the answer to each as a string, equal strings being the same answer; None without labels.
        classes: how often each known class occurs, absent ones with 0; None where there are no classes.
        unit: what `classes` counts (`rows`, `words`, `entities`).
        numeric: whether answers are scores, which differ by how far they are apart.
        held_out: share of `origin` that the examples are, where they were held out of it for validation.
    """

    name: str
    origin: str
    lines: Sequence[int] | npt.NDArray[np.int64]
    parts: Mapping[str, Sequence[str]]
    golds: Sequence[str] | None = None
    classes: Mapping[str, int] | None = None
    unit: str = "rows"
    numeric: bool = False
    held_out: float | None = None

    def __len__(self) -> int:
        return len(self.lines)

    def digest(self) -> str:
        """SHA-256 over the examples in their order, whatever kind of file they come from."""
        found = hashlib.sha256()
        columns = [*self.parts.values(), *([] if self.golds is None else [self.golds])]
        found.update(json.dumps([*self.parts, self.golds is not None]).encode())
        for row in zip(*columns, strict=True):
            found.update(b"\n" + json.dumps(row, ensure_ascii=True).encode())
        return found.hexdigest()

    def place(self, row: int) -> str:
        """`FILE:LINE` of an example."""
        return f"{self.origin}:{self.lines[row]}"

    def excerpt(self, row: int) -> str:
        """The beginning of an example in one printable line."""
        return printable(" | ".join(part[row] for part in self.parts.values()), SHOWN)


@dataclass(frozen=True)
class Answered:
    """The fields of `Contents` that targets fill."""

    golds: list[str] | None = None
    classes: dict[str, int] | None = None
    numeric: bool = False


def written(scores: npt.NDArray[np.generic]) -> list[str]:
    """Scores `[n]` as the shortest decimals that are the same numbers (float32)."""
    return [np.format_float_positional(score, trim="-") for score in scores.astype(np.float32)]


def answered(targets: npt.NDArray[np.generic] | None, labels: Sequence[str] | None) -> Answered:
    """Answers and class counts of targets.

    Args:
        targets: `[n]` integers (class ids), `[n, C]` (multi-hot), `[n]` other numbers (scores); None without labels.
        labels: class names in the order of their ids.
    """
    if targets is None:
        return Answered()
    if labels is None:
        return Answered(written(targets), numeric=True)
    if targets.ndim == 2:
        counts = np.count_nonzero(targets, axis=0)
        names: list[list[str]] = [[] for _ in targets]
        for row, place in np.argwhere(targets).tolist():
            names[row].append(labels[place])
        golds = [", ".join(of_row) for of_row in names]
    else:
        counts = np.bincount(targets.astype(np.int64), minlength=len(labels))
        golds = [labels[place] for place in targets.tolist()]
    return Answered(golds, dict(zip(labels, counts.tolist(), strict=True)))
