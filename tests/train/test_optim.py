"""The norm of a gradient and its clipping, against torch's own."""

from __future__ import annotations

import math

import pytest
import torch

from bert_cli.train.optim import clip


@pytest.mark.parametrize("limit", [None, 0.5, 1e6])
def test_the_gradient_norm_and_its_clipping_are_torchs(limit: float | None) -> None:
    generator = torch.Generator().manual_seed(1)
    parameters = [torch.nn.Parameter(torch.zeros(3, 4)), torch.nn.Parameter(torch.zeros(5))]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    flat = torch.cat([p.grad.flatten().clone() for p in parameters if p.grad is not None])
    norm = float(flat.norm())
    assert clip(parameters, limit) == pytest.approx(norm, rel=1e-6)
    after = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    factor = 1.0 if limit is None else min(1.0, limit / norm)
    torch.testing.assert_close(after, flat * factor, rtol=1e-5, atol=1e-7)


def test_a_norm_that_is_not_finite_is_told() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([1.0, math.inf])
    assert math.isinf(clip([parameter], None))
