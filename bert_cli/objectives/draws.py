"""Random numbers that are a function of their place: no generator, no state, nothing drawn before.

A number is a hash of (seed, stream, epoch, row, place), so a row gets the same ones in any batch, on any rank and after
any resume. The hash is SplitMix64's: each row starts a stream of its own at a mixed key (Steele, Lea & Flood 2014). A
number costs about 10 ns.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bert_cli.env import derived_seed

Keys: TypeAlias = NDArray[np.uint64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def row_keys(seed: int, stream: str, epochs: np.ndarray, rows: np.ndarray) -> Keys:
    """Where each row's numbers begin. Shapes: epochs and rows `[B]` int64, result `[B]`."""
    root = np.full(len(rows), derived_seed(seed, stream), dtype=np.uint64)
    return _mixed(_mixed(root + _GAMMA * _bits(epochs)) + _GAMMA * _bits(rows))


def uniforms(keys: Keys, places: np.ndarray) -> NDArray[np.float64]:
    """Numbers in [0, 1), each of 53 bits. Shapes: keys and places broadcast, at least one axis."""
    bits = _mixed(keys + _GAMMA * (_bits(places) + np.uint64(1)))
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _bits(numbers: np.ndarray) -> Keys:
    return np.asarray(numbers, dtype=np.int64).view(np.uint64)


def _mixed(bits: Keys) -> Keys:
    """SplitMix64's finaliser (Stafford's variant 13): every bit of the result depends on every bit given."""
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    return bits ^ (bits >> np.uint64(31))
