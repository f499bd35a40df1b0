"""Numbers that depend on their place alone are as good as drawn ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bert_cli.objectives.draws import row_keys, uniforms

N = 200_000


def grid(axis: str) -> np.ndarray:
    """`N` numbers along one axis, the others held."""
    zeros, counted = np.zeros(N, dtype=np.int64), np.arange(N)
    if axis == "place":
        return uniforms(row_keys(1, "a", zeros[:1], zeros[:1]), counted)
    rows, epochs = (counted, zeros) if axis == "row" else (zeros, counted)
    return uniforms(row_keys(1, "a", epochs, rows), zeros)


@pytest.mark.parametrize("axis", ["place", "row", "epoch"])
def test_numbers_are_uniform_and_independent_of_their_neighbours(axis: str) -> None:
    drawn = grid(axis)
    assert drawn.min() >= 0.0 and drawn.max() < 1.0
    assert stats.kstest(drawn, "uniform").pvalue > 1e-4
    cells = np.histogram2d(drawn[:-1], drawn[1:], bins=16, range=[[0, 1], [0, 1]])[0]
    assert stats.chisquare(cells.ravel()).pvalue > 1e-4
    assert len(np.unique(drawn)) == N


def test_streams_epochs_rows_and_seeds_are_independent_of_each_other() -> None:
    rows, zeros, places = np.arange(200), np.zeros(200, dtype=np.int64), np.arange(500)
    keys = {
        "plain": row_keys(1, "a", zeros, rows),
        "seed": row_keys(2, "a", zeros, rows),
        "stream": row_keys(1, "b", zeros, rows),
        "epoch": row_keys(1, "a", zeros + 1, rows),
        "scoring": row_keys(1, "a", zeros - 1, rows),
        "next row": row_keys(1, "a", zeros, rows + 1),
    }
    drawn = np.array([uniforms(found[:, None], places).ravel() for found in keys.values()])
    off = np.corrcoef(drawn) - np.eye(len(drawn))
    assert np.abs(off).max() < 5 / drawn.shape[1] ** 0.5


def test_a_number_is_a_function_of_its_place_alone() -> None:
    rows, epochs = np.array([7, 3, 12_345_678_901]), np.array([0, -1, 4])
    keys = row_keys(9, "a", epochs, rows)
    together = uniforms(keys[:, None], np.arange(50))
    for i in range(3):
        alone = row_keys(9, "a", epochs[i : i + 1], rows[i : i + 1])
        assert [float(uniforms(alone, np.array([place]))[0]) for place in range(50)] == together[i].tolist()
