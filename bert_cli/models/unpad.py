"""A padded batch as a flat one, and back: the layers run on real tokens only, in rows of one sequence after another.

Hooks drop the padded positions before the layers and put them back behind, so that embeddings, poolers and heads which
count along a row stay as they are. Every real token is computed once, at the position that it has in its row. Costs two
row gathers per forward pass.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch

from bert_cli.grouping import micro_batches

# transformers hands unknown arguments of a base model down to the attention function; the layout travels by this name.
ARGUMENT = "unpadded_layout"
STACKS = ("encoder", "transformer")
PER_TOKEN = ("input_ids", "inputs_embeds", "token_type_ids", "position_ids")
# A group of sequences costs a fixed time (a dozen small launches) worth about this many tokens of attention.
GROUP_OVERHEAD = 48

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


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

    def pad(self, flat: torch.Tensor) -> torch.Tensor:
        """Each sequence in a row of its own, zeros behind it. Shape: `[tokens, H, D]` to `[b, H, l, D]`."""
        b, longest = self.shape
        if self.places is not None:
            flat = flat.new_zeros(b * longest, *flat.shape[1:]).index_copy(0, self.places, flat)
        return flat.reshape(b, longest, *flat.shape[1:]).transpose(1, 2)

    def flatten(self, padded: torch.Tensor) -> torch.Tensor:
        """The inverse of `pad`."""
        flat = padded.transpose(1, 2).flatten(0, 1)
        return flat if self.places is None else flat.index_select(0, self.places)


@dataclass(frozen=True)
class Layout:
    """How a padded batch lies flat: `index` `[T]` holds each token's place in `[B * L]`, longest sequences first."""

    index: torch.Tensor
    shape: tuple[int, int]
    groups: tuple[Group, ...]

    def drop(self, padded: torch.Tensor) -> torch.Tensor:
        """Real tokens alone. Shape: `[B, L, ...]`, or `[1, L, ...]` where rows are alike, to `[1, T, ...]`."""
        rows = padded.expand(*self.shape, *padded.shape[2:])
        return rows.flatten(0, 1).index_select(0, self.index).unsqueeze(0)

    def put_back(self, flat: torch.Tensor) -> torch.Tensor:
        """Zeros where padding was. Shape: `[1, T, ...]` to `[B, L, ...]`."""
        batch, width = self.shape
        padded = flat.new_zeros(batch * width, *flat.shape[2:]).index_copy(0, self.index, flat.squeeze(0))
        return padded.view(batch, width, *flat.shape[2:])


def layout(attention_mask: torch.Tensor) -> Layout:
    """The layout of a padded batch. Shape of `attention_mask`: `[B, L]`, 1 for real tokens, side by side in a row."""
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


def hook(base: Any) -> list[Any]:
    """Let the layers of a base model see real tokens only; the handles take that back.

    Where the base model has a stack of layers as a module, the hooks sit there: embeddings may count positions along
    the row, and a pooler takes the first token of one. Else they sit on the base model, which is told the positions.
    """
    stack = next((getattr(base, name) for name in STACKS if hasattr(base, name)), None)
    drop, place = (_drop_from_inputs, base) if stack is None else (_drop_from_states, stack)
    return [
        base.register_forward_pre_hook(_add_layout, with_kwargs=True),
        place.register_forward_pre_hook(drop, with_kwargs=True),
        place.register_forward_hook(_put_back, with_kwargs=True),
    ]


def _add_layout(base: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """All arguments by name, the layout among them unless the mask is one of pairs of tokens."""
    named = {**dict(zip(inspect.signature(base.forward).parameters, args, strict=False)), **kwargs}
    mask = named.get("attention_mask")
    if mask is None:
        tokens = named["inputs_embeds"] if named.get("input_ids") is None else named["input_ids"]
        mask = torch.ones(tokens.shape[:2], device=tokens.device)
    return (), {**named, ARGUMENT: layout(mask)} if isinstance(mask, torch.Tensor) and mask.ndim == 2 else named


def _drop_from_inputs(_base: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments | None:
    found: Layout | None = kwargs.get(ARGUMENT)
    if found is None:
        return None
    named = {**kwargs, "attention_mask": None}
    if named.get("position_ids") is None:
        named["position_ids"] = torch.arange(found.shape[1], device=found.index.device)[None]
    return args, {**named, **{name: found.drop(named[name]) for name in PER_TOKEN if named.get(name) is not None}}


def _drop_from_states(_stack: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments | None:
    found: Layout | None = kwargs.get(ARGUMENT)
    if found is None:
        return None
    if args:
        return (found.drop(args[0]), *args[1:]), kwargs
    return args, {**kwargs, "hidden_states": found.drop(kwargs["hidden_states"])}


def _put_back(module: Any, _args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any) -> Any:
    found: Layout | None = kwargs.get(ARGUMENT)
    if found is None:
        return None
    outputs["last_hidden_state"] = found.put_back(outputs[0])
    if outputs.get("pooler_output") is not None:
        # Inside a base model without a stack, the pooler took the first token of the flat row for every sequence's.
        outputs["pooler_output"] = module.pooler(outputs["last_hidden_state"])
    return outputs
