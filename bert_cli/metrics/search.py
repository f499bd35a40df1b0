"""Exact search: the nearest of many vectors by their product, and the best columns of a table of scores.

Ties go to the vector that comes first, so a caller decides about them by the order it gives. Products are taken in
blocks of some 30 million scores, which cost about 0.7 GB beside the vectors, whatever their number.
"""

from __future__ import annotations

import importlib.util

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]

BLOCK = 1 << 25
"""Most scores in memory at once."""
MANY = 1_000_000
"""Vectors from which faiss searches, where it is installed: as exactly, with less memory and on all cores."""


def nearest(queries: Floats, vectors: Floats, *, depth: int) -> tuple[Places, Floats]:
    """The `depth` vectors with the largest products with each query, best first; all of them where there are fewer.

    Shapes: `[Q, D]`, `[N, D]` to places `[Q, depth]` and products `[Q, depth]`.
    """
    depth = min(depth, len(vectors))
    if len(vectors) >= MANY and importlib.util.find_spec("faiss") is not None:
        return _with_faiss(queries, vectors, depth)
    places = np.empty((len(queries), depth), dtype=np.int64)
    products = np.empty((len(queries), depth), dtype=np.float32)
    size = max(1, BLOCK // max(1, len(vectors)))
    for start in range(0, len(queries), size):
        block = slice(start, start + size)
        scores = queries[block] @ vectors.T
        places[block] = best(scores, depth)
        products[block] = np.take_along_axis(scores, places[block], axis=1)
    return places, products


def best(scores: Floats, depth: int) -> Places:
    """Columns of the `depth` largest scores of each row, best first, of equal ones the first. Shape: `[Q, depth]`."""
    depth = min(depth, scores.shape[1])
    last = -np.partition(-scores, depth - 1, axis=1)[:, depth - 1 : depth]
    above, equal = scores > last, scores == last
    room = depth - above.sum(axis=1, keepdims=True)
    chosen = above | (equal & (equal.cumsum(axis=1) <= room))
    columns = np.nonzero(chosen)[1].reshape(len(scores), depth)
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def _with_faiss(queries: Floats, vectors: Floats, depth: int) -> tuple[Places, Floats]:
    """The same by brute force in faiss, which keeps the best of each query only; ties at the last place fall anyhow."""
    import faiss  # type: ignore[import-not-found, unused-ignore]

    products, places = faiss.knn(queries, vectors, depth, metric=faiss.METRIC_INNER_PRODUCT)
    order = np.lexsort((places, -products), axis=1)
    return np.take_along_axis(places, order, axis=1), np.take_along_axis(products, order, axis=1)
