"""One run's device and arithmetic: refused where it is not there, and dropout that depends on its seed alone."""

from __future__ import annotations

import pytest
import torch

from bert_cli import runtime
from bert_cli.errors import ResourceError


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ResourceError) as caught:
        runtime.choose_device("cuda")
    assert (caught.value.code, caught.value.exit_code) == ("P001", 7)
    assert runtime.choose_device("auto") == runtime.choose_device("cpu") == "cpu"


def test_the_region_of_bf16_computes_in_bf16_and_keeps_fp32_weights() -> None:
    layer, x = torch.nn.Linear(4, 4), torch.ones(1, 4)
    with runtime.Runtime(device="cpu", precision="bf16").autocast():
        assert layer(x).dtype == torch.bfloat16
    with runtime.Runtime(device="cpu", precision="fp32").autocast():
        assert layer(x).dtype == torch.float32
    assert layer.weight.dtype == torch.float32


def test_dropout_after_seeding_depends_on_the_parts_alone() -> None:
    one, x = runtime.Runtime(device="cpu", precision="fp32"), torch.ones(1000)

    def dropped(*parts: object) -> torch.Tensor:
        one.seed(*parts)
        return torch.nn.functional.dropout(x, 0.5)

    first = dropped(1, "dropout", 7, 0)
    assert not torch.equal(dropped(1, "dropout", 8, 0), first)
    assert torch.equal(dropped(1, "dropout", 7, 0), first)
