"""Long sentences as overlapping windows of whole words, each word scored where it has most context around it.

Windows are as long as they may be. Of the windows that hold a word the one is taken in which the shorter of its two
sides is longest, the first of equals; so every word is learnt and scored exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Window:
    """Words from `first` to before `end`, of which `scored` are read here. Shape of `scored`: `[words]`."""

    first: int
    end: int
    scored: Ints


def word_windows(counts: Ints, *, room: int, stride: int) -> list[Window]:
    """The windows of one sentence, in order; together they score all its words.

    Args:
        counts: pieces of each word, none of them more than `room`. Shape: `[words]`.
        room: most pieces in a window.
        stride: most pieces that a window repeats of the one before it.
    """
    ends = np.cumsum(counts)
    if not len(counts) or ends[-1] <= room:
        return [Window(0, len(counts), np.arange(len(counts)))]
    starts = ends - counts
    edges: list[tuple[int, int]] = []
    first = 0
    while True:
        end = int(np.searchsorted(ends, starts[first] + room, side="right"))
        edges.append((first, end))
        if end == len(counts):
            break
        # Far enough to the right that the next word, too, has room.
        repeated = np.searchsorted(starts, ends[end - 1] - stride, side="left")
        fitting = np.searchsorted(starts, ends[end] - room, side="left")
        first = int(max(repeated, fitting))
    most, best = np.full(len(counts), -1), np.empty(len(counts), dtype=np.int64)
    for window, (first, end) in enumerate(edges):
        words = np.arange(first, end)
        context = np.minimum(starts[words] - starts[first], ends[end - 1] - ends[words])
        more = context > most[words]
        most[words[more]], best[words[more]] = context[more], window
    return [
        Window(first, end, first + np.flatnonzero(best[first:end] == window))
        for window, (first, end) in enumerate(edges)
    ]
