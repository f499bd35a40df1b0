"""The machine: seeds that depend on their parts alone, a cache folder, arithmetic chosen by measurement."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bert_cli import env
from bert_cli.errors import ResourceError

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


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ResourceError) as caught:
        env.choose_device("cuda")
    assert (caught.value.code, caught.value.exit_code) == ("P001", 7)
    assert env.choose_device("auto") == env.choose_device("cpu") == "cpu"


def test_asking_for_an_arithmetic_gives_it() -> None:
    assert env.choose_precision("fp32").name == "fp32"
    assert env.choose_precision("bf16").name == "bf16"
    assert env.choose_precision("auto").name in {"fp32", "bf16"}


def test_the_region_of_bf16_computes_in_bf16_and_keeps_fp32_weights() -> None:
    layer, x = torch.nn.Linear(4, 4), torch.ones(1, 4)
    with env.Runtime(device="cpu", precision="bf16").autocast():
        assert layer(x).dtype == torch.bfloat16
    with env.Runtime(device="cpu", precision="fp32").autocast():
        assert layer(x).dtype == torch.float32
    assert layer.weight.dtype == torch.float32


def test_dropout_after_seeding_depends_on_the_parts_alone() -> None:
    runtime, x = env.Runtime(device="cpu", precision="fp32"), torch.ones(1000)

    def dropped(*parts: object) -> torch.Tensor:
        runtime.seed(*parts)
        return torch.nn.functional.dropout(x, 0.5)

    first = dropped(1, "dropout", 7, 0)
    assert not torch.equal(dropped(1, "dropout", 8, 0), first)
    assert torch.equal(dropped(1, "dropout", 7, 0), first)


@pytest.mark.parametrize("clip", [None, 0.5, 1e6])
def test_the_gradient_norm_and_its_clipping_are_torchs(clip: float | None) -> None:
    generator = torch.Generator().manual_seed(1)
    parameters = [torch.nn.Parameter(torch.zeros(3, 4)), torch.nn.Parameter(torch.zeros(5))]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    flat = torch.cat([p.grad.flatten().clone() for p in parameters if p.grad is not None])
    norm = float(flat.norm())
    assert env.grad_norm(parameters, clip) == pytest.approx(norm, rel=1e-6)
    after = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    factor = 1.0 if clip is None else min(1.0, clip / norm)
    torch.testing.assert_close(after, flat * factor, rtol=1e-5, atol=1e-7)


def test_a_norm_that_is_not_finite_is_told() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([1.0, math.inf])
    assert math.isinf(env.grad_norm([parameter], None))
