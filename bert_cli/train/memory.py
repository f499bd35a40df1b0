"""Memory that ran out in a step, and the smaller micro-batches to make the same step with.

The batch and its gradient stay what they are; only how much of it is computed at once is halved, for good.
"""

from __future__ import annotations

import gc
from dataclasses import replace

import torch

from bert_cli.data.plan import Plan


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory is used up; on the CPU torch has no type for it."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def halved(plan: Plan, step: int) -> Plan | None:
    """The plan with at most half of what this step's largest micro-batch holds; None where each holds one example."""
    parts = plan.step(step).micro_batches
    if all(len(rows) == 1 for rows in parts):
        return None
    lengths = [plan.lengths[rows] for rows in parts]
    largest = max(int(own.sum() if plan.unpadded else own.max() * len(own)) for own in lengths)
    return replace(plan, micro_batch_tokens=max(1, min(largest, plan.micro_batch_tokens) // 2))


def release() -> None:
    """Give back what a failed step still holds."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
