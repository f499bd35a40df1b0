"""How much of a batch is computed at once: what memory has room for, and less where it ran out all the same.

The batch stays what it is, and its gradient but for dropout. The first answer is a power of two, so that a little more
or less free memory rarely changes it, and a run keeps its answer when it is resumed.
"""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import torch

from bert_cli.data.plan import Plan
from bert_cli.env import memory

LARGEST = {"cpu": 16_384, "cuda": 262_144}
"""Most tokens of a micro-batch, whatever the memory."""
SMALLEST = 256
SHARE = 0.5
"""Of the free memory, for what a forward pass keeps; the rest is room for estimates that were too low."""
OPTIMIZER_BYTES = 12
"""Gradient and two moments of a parameter in fp32."""


def fitting_tokens(model: Any, *, device: str, longest: int, processes: int = 1) -> int:
    """The largest power of two of tokens whose forward and backward pass should fit into what is free.

    Args:
        longest: tokens of the longest example, which decides the size of attention.
        processes: that share the memory of a processor.
    """
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else memory()[1] / processes
    room = SHARE * (free - OPTIMIZER_BYTES * sum(p.numel() for p in model.parameters() if p.requires_grad))
    fits = max(int(room / _bytes_per_token(model.config, longest)), SMALLEST)
    return min(1 << (fits.bit_length() - 1), LARGEST[device])


def _bytes_per_token(config: Any, longest: int) -> int:
    """What layers keep of one token for the backward pass, in fp32 and with attention weights written out."""
    sizes = config.to_dict()
    hidden = sizes.get("hidden_size") or sizes.get("dim") or 768
    layers = sizes.get("num_hidden_layers") or sizes.get("n_layers") or 12
    heads = sizes.get("num_attention_heads") or sizes.get("n_heads") or 12
    wide = sizes.get("intermediate_size") or sizes.get("hidden_dim") or 4 * hidden
    layer = 16 * hidden + 3 * wide + 4 * heads * longest
    # Masked language modelling scores a part of the tokens over the whole vocabulary.
    return int(4 * (layers * layer + sizes.get("vocab_size", 0) // 2))


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory is used up; on the CPU torch has no type for it."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def halved(plan: Plan, step: int) -> Plan:
    """The plan with at most half of what this step's largest micro-batch holds."""
    lengths = [plan.lengths[rows] for rows in plan.step(step).micro_batches]
    largest = max(int(own.sum() if plan.unpadded else own.max() * len(own)) for own in lengths)
    return replace(plan, micro_batch_tokens=max(1, min(largest, plan.micro_batch_tokens) // 2))


def release() -> None:
    """Give back what a failed step still holds."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
