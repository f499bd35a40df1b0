"""No work on padding: the encoder stack runs on real tokens only, and every head stays untouched.

A hook in front of the stack drops the padded positions, one behind it puts them back, and between them attention runs
on groups of sequences of similar length. Losses equal the padded model's; a start-up check compares the two and turns
unpadding off where they differ. Costs two row gathers per forward pass and saves everything padding would have cost.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from bert_cli.errors import ModelError
from bert_cli.grouping import micro_batches

NAME = "bertctl_unpadded"
STACKS = ("encoder", "transformer")
# A group of sequences costs a fixed time (a dozen small launches) worth about this many tokens of attention.
GROUP_OVERHEAD = 48
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Group:
    """Sequences that attend together, each to itself.

    Attributes:
        tokens: how many there are; groups follow each other in the flat order.
        shape: sequences and the longest length, `(b, l)`.
        places: flat place in `[b * l]` of each token, or None where all have the same length.
        mask: `[b, 1, 1, l]` true for real tokens, or None.
    """

    tokens: int
    shape: tuple[int, int]
    places: torch.Tensor | None
    mask: torch.Tensor | None


@dataclass(frozen=True)
class Layout:
    """How a padded batch lies flat: `index` `[T]` holds each token's place in `[B * L]`, longest sequences first."""

    index: torch.Tensor
    shape: tuple[int, int]
    groups: tuple[Group, ...]


_active = threading.local()


def layout(attention_mask: torch.Tensor) -> Layout:
    """The layout of a padded batch. Shape of `attention_mask`: `[B, L]`, 1 for real tokens."""
    batch, width = attention_mask.shape
    mask = attention_mask.bool().cpu()
    lengths = mask.sum(1)
    order = torch.argsort(lengths, descending=True, stable=True)
    ordered = lengths[order]
    flat = torch.arange(batch * width).view(batch, width)[order]
    index = flat[mask[order]]
    groups, row = [], 0
    for part in micro_batches(ordered.numpy(), batch * width, GROUP_OVERHEAD):
        own = ordered[row : row + len(part)]
        longest, tokens = int(own[0]), int(own.sum())
        places = group_mask = None
        if tokens < len(part) * longest:
            real = torch.arange(longest) < own[:, None]
            places = real.flatten().nonzero().squeeze(1).to(attention_mask.device)
            group_mask = real[:, None, None, :].to(attention_mask.device)
        groups.append(Group(tokens, (len(part), longest), places, group_mask))
        row += len(part)
    return Layout(index.to(attention_mask.device), (batch, width), tuple(groups))


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention within each sequence of the active layout; without one, plain attention.

    Shapes: query, key, value `[1, H, T, D]` flat (`[B, H, L, D]` plain); result `[1, T, H, D]` (`[B, L, H, D]`).
    """
    active: Layout | None = getattr(_active, "layout", None)
    if active is None:
        out = scaled_dot_product_attention(query, key, value, attention_mask, dropout, scale=scaling)
        return out.transpose(1, 2), None
    sizes = [group.tokens for group in active.groups]
    flat = [torch.split(tensor.squeeze(0).transpose(0, 1), sizes) for tensor in (query, key, value)]
    parts = [
        _attend_group(own, group, dropout=dropout, scaling=scaling)
        for group, *own in zip(active.groups, *flat, strict=True)
    ]
    return torch.cat(parts).unsqueeze(0), None


def _attend_group(flat: list[torch.Tensor], group: Group, *, dropout: float, scaling: float | None) -> torch.Tensor:
    """One group. Shapes: query, key and value in `flat` and the result `[tokens, H, D]`."""
    b, longest = group.shape
    padded = []
    for own in flat:
        if group.places is not None:
            own = own.new_zeros(b * longest, *own.shape[1:]).index_copy(0, group.places, own)
        padded.append(own.reshape(b, longest, *own.shape[1:]).transpose(1, 2))
    query, key, value = padded
    out = scaled_dot_product_attention(query, key, value, group.mask, dropout, scale=scaling)
    out = out.transpose(1, 2).flatten(0, 1)
    return out if group.places is None else out.index_select(0, group.places)


def unpad(model: Any, *, required: bool = False) -> str | None:
    """Make the encoder run without padding; None when it now does, else why not.

    Args:
        required: raise instead of leaving the model as it was.

    Raises:
        ModelError: `required`, and this family cannot be unpadded or computes something else then (L050).
    """
    reason = _install(model)
    if reason is not None and required:
        raise ModelError(
            "L050",
            f"this model cannot run without padding: {reason}",
            key="model.attention",
            found="unpadded",
            allowed=["auto", "sdpa", "eager"],
            help="model.attention=auto uses length-sorted batches instead",
        )
    return reason


def is_unpadded(model: Any) -> bool:
    """Whether `unpad` succeeded on this model."""
    return bool(model.config._attn_implementation == NAME)


def _install(model: Any) -> str | None:
    """Hooks and attention function, kept when they pass the check; else the reason why not, and nothing is changed."""
    from transformers import AttentionInterface

    base = model.base_model
    stack = next((getattr(base, name) for name in STACKS if hasattr(base, name)), None)
    if not getattr(model, "_supports_attention_backend", False) or stack is None:
        return f"the attention of {type(model).__name__} cannot be replaced from outside"
    plain, was_training = model.config._attn_implementation, model.training
    inputs = _probe(model)
    padded = _answer(model, inputs)
    AttentionInterface.register(NAME, attend)
    model.set_attn_implementation(NAME)
    hooks = [
        base.register_forward_pre_hook(_enter, with_kwargs=True),
        base.register_forward_hook(_leave, with_kwargs=True, always_call=True),
        stack.register_forward_pre_hook(_drop_padding, with_kwargs=True),
        stack.register_forward_hook(_put_back),
    ]
    try:
        difference = float((_answer(model, inputs) - padded).abs().max() / padded.abs().max())
        reason = None if difference <= TOLERANCE else f"its outputs differ by {difference:.1e} from the padded ones"
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        # A family whose stack takes or gives something else than hidden states.
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    model.train(was_training)
    if reason is not None:
        for hook in hooks:
            hook.remove()
        model.set_attn_implementation(plain)
    return reason


def _probe(model: Any) -> dict[str, torch.Tensor]:
    """Three sequences of different length."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([7, 3, 5])
    mask = (torch.arange(7) < lengths[:, None]).long()
    ids = torch.randint(5, min(model.config.vocab_size, 1000), (3, 7), generator=generator)
    return {"input_ids": ids.masked_fill(mask == 0, model.config.pad_token_id or 0), "attention_mask": mask}


@torch.inference_mode()
def _answer(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """The model's outputs, those at padded places left out."""
    model.eval()
    first = model(**inputs)[0]
    answer: torch.Tensor = first[inputs["attention_mask"].bool()] if first.shape[:2] == (3, 7) else first
    return answer


def _enter(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    mask = kwargs.get("attention_mask")
    if mask is not None and mask.ndim == 2:
        _active.layout = layout(mask)


def _leave(_module: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any], _outputs: Any) -> None:
    _active.layout = None


def _drop_padding(
    _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    active: Layout | None = getattr(_active, "layout", None)
    if active is None:
        return None
    hidden = args[0] if args else kwargs["hidden_states"]
    flat = hidden.flatten(0, 1).index_select(0, active.index).unsqueeze(0)
    return ((flat, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": flat})


def _put_back(_module: Any, _args: tuple[Any, ...], outputs: Any) -> Any:
    active: Layout | None = getattr(_active, "layout", None)
    if active is None:
        return None
    batch, width = active.shape
    flat = outputs[0].squeeze(0)
    padded = flat.new_zeros(batch * width, flat.shape[-1]).index_copy(0, active.index, flat)
    outputs["last_hidden_state"] = padded.view(batch, width, -1)
    return outputs
