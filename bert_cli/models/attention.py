"""No work on padding: the encoder runs on real tokens only, and every head stays untouched.

Between the hooks of `unpad.py` attention runs on groups of sequences of similar length, within the model's window where
it has one. Losses equal the padded model's; a start-up check compares the two and turns unpadding off where they
differ. The check costs two small forward passes, and unpadding saves everything padding would have cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from bert_cli.errors import ModelError
from bert_cli.models.cheap import dropout_mask
from bert_cli.models.unpad import Group, Layout, hook

NAME = "bertctl_unpadded"
# Queries that attend together under a window, in windows. Measured on CPU: shorter stretches lose more to launches
# than they save, and up to this length a whole sequence costs no more than its stretches.
STRETCH = 4
TOLERANCE = 1e-5


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    unpadded_layout: Layout | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention within each sequence of the layout; without one, under the mask that is given.

    Shapes: query, key, value `[1, H, T, D]` flat (`[B, H, L, D]` plain), key and value also with fewer heads; result
    `[1, T, H, D]` (`[B, L, H, D]`).

    Args:
        sliding_window: a token sees those less than this many places away; None: all of its sequence.
    """
    if key.shape[1] != query.shape[1]:
        key, value = (part.repeat_interleave(query.shape[1] // part.shape[1], dim=1) for part in (key, value))
    if unpadded_layout is None:
        out = scaled_dot_product_attention(query, key, value, attention_mask, dropout, scale=scaling)
        return out.transpose(1, 2), None
    groups = unpadded_layout.groups
    sizes = [group.tokens for group in groups]
    flat = [torch.split(tensor.squeeze(0).transpose(0, 1), sizes) for tensor in (query, key, value)]
    parts = []
    for group, *own in zip(groups, *flat, strict=True):
        query, key, value = (group.pad(part) for part in own)
        stretches = [
            _weigh(query[:, :, asking], key[:, :, near], value[:, :, near], mask, dropout=dropout, scaling=scaling)
            for asking, near, mask in _stretches(group, sliding_window, query.device)
        ]
        parts.append(group.flatten(torch.cat(stretches, 2) if len(stretches) > 1 else stretches[0]))
    return torch.cat(parts).unsqueeze(0), None


def _weigh(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    *,
    dropout: float,
    scaling: float | None,
) -> torch.Tensor:
    """Values weighed by attention. Shapes: `[b, H, q, D]`, `[b, H, k, D]`, `[b, H, k, D]` to `[b, H, q, D]`."""
    if dropout == 0 or query.device.type != "cpu":
        return scaled_dot_product_attention(query, key, value, mask, dropout, scale=scaling)
    # With dropout torch takes the same road on a CPU, and draws its mask for more.
    scores = query * (query.shape[-1] ** -0.5 if scaling is None else scaling) @ key.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill_(~mask, -torch.inf)
    weights = scores.softmax(-1)
    return weights * dropout_mask(weights, dropout) @ value


def _stretches(
    group: Group, window: int | None, device: torch.device
) -> Iterator[tuple[slice, slice, torch.Tensor | None]]:
    """A group's queries in stretches, the keys near each, and which query sees which of them.

    Under a window, work and memory grow with length times window. Shape of a mask: `[b or 1, 1, 1 or queries, keys]`.
    """
    longest = group.shape[1]
    if window is None or longest <= window:
        yield slice(None), slice(None), group.mask
        return
    places = torch.arange(longest, device=device)
    for start in range(0, longest, STRETCH * window):
        stop = min(start + STRETCH * window, longest)
        asking, near = slice(start, stop), slice(max(0, start - window + 1), stop + window - 1)
        mask = ((places[asking, None] - places[near]).abs() < window)[None, None]
        if group.mask is not None:
            # A padded query that saw no key would have no answer, and its gradient would spread.
            mask = mask & (group.mask[..., near] | ~group.mask.transpose(2, 3)[:, :, asking])
        yield asking, near, mask


def choose_attention(model: Any, asked: str, *, device: str) -> str | None:
    """Take padding out where that is asked for, or `auto` and worth it; None where done or not wanted, else why not.

    Args:
        asked: `model.attention`.
        device: `cpu`, or `cuda`, where torch's own attention is the choice until another is measured to be faster.

    Raises:
        ModelError: asked for, and not possible (L050).
    """
    if asked == "unpadded" or asked == "auto" and device == "cpu":
        return unpad(model, required=asked == "unpadded")
    return None


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

    if not getattr(model, "_supports_attention_backend", False):
        return f"the attention of {type(model).__name__} cannot be replaced from outside"
    plain, was_training = model.config._attn_implementation, model.training
    inputs = _probe(model)
    padded = _answer(model, inputs)
    AttentionInterface.register(NAME, attend)
    model.set_attn_implementation(NAME)
    hooks = hook(model.base_model)
    try:
        difference = float((_answer(model, inputs) - padded).abs().max() / padded.abs().max())
        reason = None if difference <= TOLERANCE else f"its outputs differ by {difference:.1e} from the padded ones"
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        # A family whose layers take or give something else than hidden states.
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    model.train(was_training)
    if reason is not None:
        for handle in hooks:
            handle.remove()
        model.set_attn_implementation(plain)
    return reason


def _probe(model: Any) -> dict[str, torch.Tensor]:
    """Three sequences of different length, two of them longer than the model's attention window."""
    generator = torch.Generator().manual_seed(0)
    window = max(getattr(module, "sliding_window", None) or 0 for module in model.modules())
    lengths = torch.tensor([window + 7, 3, window + 5])
    mask = (torch.arange(window + 7) < lengths[:, None]).long()
    ids = torch.randint(5, min(model.config.vocab_size, 1000), mask.shape, generator=generator)
    inputs = {"input_ids": ids.masked_fill(mask == 0, model.config.pad_token_id or 0), "attention_mask": mask}
    if type(model).__name__.endswith("ForMultipleChoice"):
        # Such a head reads sequences as the choices of one question.
        return {name: tensor[None] for name, tensor in inputs.items()}
    return inputs


@torch.inference_mode()
def _answer(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """The model's outputs, those at padded places left out."""
    model.eval()
    first, real = model(**inputs)[0], inputs["attention_mask"].bool()
    answer: torch.Tensor = first[real] if first.shape[:2] == real.shape else first
    return answer
