"""How much is computed at once: what free memory has room for, in sizes that small changes of it do not move."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import FAMILIES, tiny_config
from transformers import AutoModelForSequenceClassification

from bert_cli.train import memory
from bert_cli.train.memory import LARGEST, SMALLEST, fitting_tokens, ran_out

GIB = 2**30
LARGE = {"num_hidden_layers": 24, "hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096}


@cache
def model(family: str = "bert", **sizes: Any) -> Any:
    with torch.device("meta"):
        return AutoModelForSequenceClassification.from_config(tiny_config(family, **sizes))


@settings(deadline=None)
@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_more_memory_never_means_less_at_once(one: int, other: int) -> None:
    found = []
    for free in sorted((one, other)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(memory, "memory", lambda free=free: (2**41, free))
            found.append(fitting_tokens(model(), device="cpu", longest=64))
    assert found == sorted(found)
    assert all(tokens & (tokens - 1) == 0 and SMALLEST <= tokens <= LARGEST["cpu"] for tokens in found)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_understood(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory", lambda: (GIB, GIB // 4))
    small = fitting_tokens(model(family), device="cpu", longest=64)
    assert small > SMALLEST and fitting_tokens(model(family), device="cpu", longest=20_000) < small


def test_a_large_model_gets_less_and_processes_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory", lambda: (32 * GIB, 32 * GIB))
    large = model(**LARGE)
    alone, shared = (fitting_tokens(large, device="cpu", longest=128, processes=n) for n in (1, 4))
    assert SMALLEST < shared < alone < fitting_tokens(model(), device="cpu", longest=128)


def test_a_gpu_is_asked_for_its_own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (80 * GIB, 80 * GIB))
    assert LARGEST["cpu"] < fitting_tokens(model(), device="cuda", longest=128) <= LARGEST["cuda"]


def test_only_a_lack_of_memory_is_one() -> None:
    assert ran_out(torch.OutOfMemoryError()) and ran_out(MemoryError())
    assert not ran_out(RuntimeError("size mismatch"))
