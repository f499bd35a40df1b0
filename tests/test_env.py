"""The machine: seeds that depend on their parts alone, and a cache folder."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bert_cli import env

PARTS = st.lists(st.integers() | st.text(alphabet="abc-_", max_size=6), min_size=1, max_size=4)


@given(PARTS, PARTS)
def test_equal_parts_give_equal_seeds_and_others_do_not(one: list[object], other: list[object]) -> None:
    same = [str(part) for part in one] == [str(part) for part in other]
    assert (env.derived_seed(*one) == env.derived_seed(*other)) == same
    assert 0 <= env.derived_seed(*one) < 2**63


def test_seeds_are_the_same_in_every_process() -> None:
    """Unlike `hash`, which differs from process to process: the order of examples hangs on it."""
    import hashlib

    first = int.from_bytes(hashlib.blake2b(b"42:order:0", digest_size=8).digest(), "big") >> 1
    assert env.derived_seed(42, "order", 0) == first


def test_seeding_repeats_python_numpy_and_torch() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(1))

    env.seed_everything(2**40 + 7)
    first = draw()
    assert draw() != first
    env.seed_everything(2**40 + 7)
    assert draw() == first


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BERTCTL_CACHE", str(tmp_path / "mine"))
    assert env.cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("BERTCTL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert env.cache_dir() == tmp_path / "xdg" / "bertctl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert env.cache_dir() == Path.home() / ".cache" / "bertctl"


def test_versions_are_those_installed() -> None:
    found = env.versions()
    assert found["torch"] == torch.__version__.split("+")[0] or found["torch"] == torch.__version__
    assert {"python", "transformers", "numpy"} <= set(found)
