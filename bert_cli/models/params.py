"""Which parameters learn, and how fast: freezing, weight-decay groups, layer-wise learning rates.

Layers are found by the numbered module list that holds them, so every family is treated alike. A fresh pooler is part
of
the head: it is never frozen, because frozen random weights would spoil every input of the classifier.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from bert_cli.errors import UsageError

_LAYER = re.compile(r"(?:^|\.)(?:layer|layers|albert_layer_groups|transformer\.layer)\.(\d+)\.")


@dataclass(frozen=True)
class ParamGroup:
    """Parameters that share decay and learning-rate scale; `named` keeps (name, parameter)."""

    named: tuple[tuple[str, torch.nn.Parameter], ...]
    decay: bool
    lr_scale: float


def depth(model: torch.nn.Module) -> int:
    """Number of encoder layers."""
    return (
        max((int(match.group(1)) for name, _ in model.named_parameters() if (match := _LAYER.search(name))), default=-1)
        + 1
    )


def level(model: torch.nn.Module, name: str) -> int:
    """0 for embeddings, i + 1 for layer i, depth + 1 for everything above the layers."""
    match = _LAYER.search(name)
    if match:
        return int(match.group(1)) + 1
    below = any(name.startswith(prefix) and "embed" in name.removeprefix(prefix) for prefix in _prefixes(model))
    return 0 if below else depth(model) + 1


def _prefixes(model: torch.nn.Module) -> tuple[str, ...]:
    """How the names of the encoder's weights begin; a model of two encoders has two beginnings, a bare one none."""
    if getattr(model, "base_model", None) is model:
        return ("",)
    names = getattr(model, "base_model_prefixes", (getattr(model, "base_model_prefix", ""),))
    return tuple(f"{name}." for name in names)


def freeze(model: torch.nn.Module, lower: int | str) -> int:
    """Stop gradients of the embeddings and the `lower` lowest layers, or of the whole `encoder`.

    Returns:
        Number of frozen scalars.
    """
    if lower == 0:
        return 0
    layers = depth(model)
    if lower != "encoder" and (layers < 2 or int(lower) > layers):
        raise UsageError(
            "R033",
            "there are not so many layers to freeze" if layers > 1 else "this model has no separate layers to freeze",
            key="model.freeze",
            found=lower,
            allowed=f"0 to {layers}, or encoder" if layers > 1 else "0 or encoder",
            help="model.freeze=encoder freezes all of them",
        )
    limit = depth(model) if lower == "encoder" else int(lower)
    frozen = 0
    for name, parameter in model.named_parameters():
        head = "pooler" in name or not name.startswith(_prefixes(model))
        if lower == "encoder" and not head or level(model, name) <= limit and not head:
            parameter.requires_grad_(False)
            frozen += parameter.numel()
    return frozen


def groups(model: torch.nn.Module, *, layer_decay: float = 1.0) -> list[ParamGroup]:
    """All trainable parameters, each in one group; tensors with fewer than two axes (biases, norms) do not decay."""
    top = depth(model) + 1
    found: dict[tuple[bool, float], list[tuple[str, torch.nn.Parameter]]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = layer_decay ** (top - level(model, name)) if layer_decay < 1.0 else 1.0
            found.setdefault((parameter.ndim >= 2, scale), []).append((name, parameter))
    return [ParamGroup(tuple(named), decay, scale) for (decay, scale), named in found.items()]
