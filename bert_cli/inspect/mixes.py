"""Whether two mixes of kinds differ by more than chance would make them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


def excess(here: Counts, there: Counts, *, least: float) -> int | None:
    """The kind that is most over-represented here; None where the mixes are much the same.

    They differ where half the sum of the differences of all shares (their total variation) reaches `least`, and twice
    what it would be on average if `here` were drawn from `there` (normal approximation of each share).

    Args:
        here: how often each kind occurs. Shape: `[K]`.
        there: the same of the mix that it is compared with. Shape: `[K]`.
        least: from 0 to 1.
    """
    if not here.sum() or not there.sum():
        return None
    shares, expected = here / here.sum(), there / there.sum()
    chance = np.sqrt(2 * expected * (1 - expected) / (np.pi * here.sum())).sum()
    if np.abs(shares - expected).sum() / 2 < max(least, chance):
        return None
    return int(np.argmax(shares - expected))
