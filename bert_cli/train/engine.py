"""The training loop as a generator: one optimizer step per item.

Guarantees that the gradient is the sum over the whole batch divided by its counts, however the batch is split over
micro-batches and ranks, and that no update is made from a loss or gradient that is not finite. Saving, scoring and
logging are the caller's lines after the `yield`, at a point where model and optimizer agree on the step. Several ranks
exchange two handfuls of numbers a step beside the gradient, and so always take the same turn; one of the numbers is
rank 0's clock, which is everybody's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from bert_cli.data.batch import Batch
from bert_cli.data.plan import Plan
from bert_cli.data.split import Split
from bert_cli.errors import NonFiniteError
from bert_cli.objectives.base import Foreseeing, Objective, add_counts
from bert_cli.runtime import Runtime
from bert_cli.train.memory import halved, ran_out, release
from bert_cli.train.optim import clip, set_lr
from bert_cli.train.schedule import Schedule


@dataclass(frozen=True)
class StepRecord:
    """What one optimizer step did.

    Attributes:
        step: steps done so far, this one included.
        epoch: passes over the data done so far, with fraction.
        progress: share of the run done so far.
        last: the run is over.
        losses: each loss term, averaged over the batch.
        loss: their weighted sum, which was minimised.
        grad_norm: L2 norm before clipping.
        examples, tokens: real ones in this batch; computed_tokens: what the encoder computed, padding included.
        seconds: rank 0's time in training steps since the record before. What comes after the gradient (exchange of
            sums, update) is counted with the next step.
        micro_batch_tokens: what a micro-batch may hold; less than the plan said where memory ran out.
        asked: the caller's `asking`, added over ranks.
    """

    step: int
    epoch: float
    progress: float
    last: bool
    losses: dict[str, float]
    loss: float
    lr: float
    grad_norm: float
    examples: int
    tokens: int
    computed_tokens: int
    seconds: float
    micro_batch_tokens: int
    asked: dict[str, float] = field(default_factory=dict)


def train(
    trainee: Any,
    optimizer: Any,
    *,
    objective: Objective,
    store: Split,
    plan: Plan,
    schedule: Schedule,
    runtime: Runtime,
    max_grad_norm: float | None,
    start: int = 0,
    spent: float = 0.0,
    asking: Callable[[], Mapping[str, float]] = dict,
) -> Iterator[StepRecord]:
    """Train from step `start` to the end of the plan.

    A step for which memory does not suffice is made again in smaller micro-batches. With several ranks the error is
    passed on instead, since the others wait in the middle of the step.

    Args:
        spent: seconds that the steps before `start` took; the rate of a plan that time ends follows them.
        asking: what one rank has to tell all of them at the end of a step, as a request to stop.

    Raises:
        NonFiniteError: a loss or gradient is not finite (N001); model and optimizer are as after the last record.
    """
    ranks = runtime.ranks
    step, last, untold = start, math.nan, 0.0
    while not plan.over(step, spent):
        began, progress = time.perf_counter(), plan.progress(step, spent)
        plan, share = _fitting(
            trainee, optimizer, plan, step, progress, objective=objective, store=store, runtime=runtime
        )
        asked = dict(asking())
        now = time.perf_counter()
        seconds = untold + now - began if ranks.is_main else 0.0
        done = ranks.sum(
            {**share.sums, "seconds": seconds, **{f"asked {name}": value for name, value in asked.items()}}
        )
        losses = {name: done[f"loss {name}"] / count for name, count in share.counts.items()}
        loss = sum(objective.weights[name] * value for name, value in losses.items())
        lr = schedule.at(progress) if plan.total_steps is None else schedule.lr(step)
        norm = _update(optimizer, loss, lr=lr, max_grad_norm=max_grad_norm)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            lines, arithmetic = _lines(store, plan, step), runtime.precision.name
            raise _non_finite(step, loss=loss, norm=norm, last=last, lines=lines, arithmetic=arithmetic)
        step, spent, last = step + 1, spent + done["seconds"], loss
        untold = time.perf_counter() - now
        yield StepRecord(
            step=step,
            epoch=plan.passes(step),
            progress=plan.progress(step, spent),
            last=plan.over(step, spent),
            losses=losses,
            loss=loss,
            lr=lr,
            grad_norm=norm,
            examples=round(done["examples"]),
            tokens=round(done["tokens"]),
            computed_tokens=round(done["computed"]),
            seconds=done["seconds"],
            micro_batch_tokens=plan.micro_batch_tokens,
            asked={name: done[f"asked {name}"] for name in asked},
        )


def _update(optimizer: Any, loss: float, *, lr: float, max_grad_norm: float | None) -> float:
    """Clip the gradient and make the update, none from a loss or gradient that is not finite; the gradient's norm."""
    norm = clip([parameter for group in optimizer.param_groups for parameter in group["params"]], max_grad_norm)
    if math.isfinite(loss) and math.isfinite(norm):
        set_lr(optimizer, lr)
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


@dataclass(frozen=True)
class _Share:
    """What this rank has computed of a step, its gradient aside.

    Attributes:
        counts: by how much each loss term is divided, over all ranks.
        sums: what is to be added over ranks: `loss NAME` for each term, examples, tokens and computed tokens.
    """

    counts: dict[str, float]
    sums: dict[str, float]


def _fitting(
    trainee: Any,
    optimizer: Any,
    plan: Plan,
    step: int,
    progress: float,
    *,
    objective: Objective,
    store: Split,
    runtime: Runtime,
) -> tuple[Plan, _Share]:
    """This rank's share of a step, and the plan in micro-batches for which memory suffices."""
    while (share := _share(trainee, plan, step, progress, objective=objective, store=store, runtime=runtime)) is None:
        plan = halved(plan, step)
        optimizer.zero_grad(set_to_none=True)
        release()
    return plan, share


def _share(
    trainee: Any, plan: Plan, step: int, progress: float, *, objective: Objective, store: Split, runtime: Runtime
) -> _Share | None:
    """Compute this rank's share of a step; None where memory does not suffice and less at once may help."""
    planned = plan.step(step)
    batches = [
        objective.collate(store, rows, epochs=epochs, progress=progress)
        for rows, epochs in zip(planned.micro_batches, planned.epochs, strict=True)
    ]
    weight = 0.0 if planned.idle else 1.0
    own = add_counts(objective.counts(batch) for batch in batches)
    found = runtime.ranks.sum({name: weight * count for name, count in own.items()})
    # Text of unknown tokens alone has nothing to predict: its loss is 0 of 1, not 0 of 0.
    counts = {name: count or 1.0 for name, count in found.items()}
    try:
        sums = _gradient(trainee, batches, counts, weight, objective=objective, runtime=runtime, seed=(plan.seed, step))
    except (MemoryError, RuntimeError) as error:
        if ran_out(error) and runtime.ranks.world_size == 1 and any(len(rows) > 1 for rows in planned.micro_batches):
            return None
        raise
    computed = sum(batch.tokens if plan.unpadded else batch.padded_tokens for batch in batches)
    work = {"examples": sum(map(len, batches)), "tokens": sum(batch.tokens for batch in batches)}
    return _Share(
        counts,
        {
            **{f"loss {name}": total for name, total in sums.items()},
            **{name: weight * value for name, value in work.items()},
            "computed": computed,
        },
    )


def _gradient(
    trainee: Any,
    batches: Sequence[Batch],
    counts: Mapping[str, float],
    weight: float,
    *,
    objective: Objective,
    runtime: Runtime,
    seed: tuple[int, int],
) -> dict[str, float]:
    """Add the gradient of this rank's micro-batches, and with the last of them all ranks' gradients; the terms' sums.

    Args:
        counts: of the whole batch, over all ranks.
        weight: 0 where the micro-batch belongs to another rank, else 1.
        seed: the plan's, and the step.
    """
    ranks = runtime.ranks
    # One rank draws as it always did; several must not all drop the same units.
    whose = (ranks.rank,) if ranks.world_size > 1 else ()
    seeds = [(seed[0], "dropout", seed[1], index, *whose) for index in range(len(batches))]
    if isinstance(objective, Foreseeing) and (len(batches) > 1 or ranks.world_size > 1):
        outputs = _outputs(trainee, batches, seeds, objective=objective, runtime=runtime)
        batches = objective.foresee(batches, outputs, ranks=ranks, idle=not weight)
    sums = dict.fromkeys(counts, 0.0)
    for index, batch in enumerate(batches):
        runtime.seed(*seeds[index])
        with runtime.accumulating(trainee, last=index == len(batches) - 1):
            with runtime.autocast():
                totals = trainee(batch.to(runtime.device))
            loss = sum(objective.weights[name] * totals[name] / counts[name] for name in totals)
            runtime.backward(loss if weight else loss * 0.0)
        for name, total in totals.items():
            sums[name] += weight * float(total.detach())
    return sums


def _outputs(
    trainee: Any,
    batches: Sequence[Batch],
    seeds: Sequence[tuple[object, ...]],
    *,
    objective: Objective,
    runtime: Runtime,
) -> list[Any]:
    """What the model says of each micro-batch, without a gradient, with the dropout that the gradient will have."""
    model = getattr(trainee, "module", trainee).model
    outputs = []
    with torch.no_grad():
        for batch, seed in zip(batches, seeds, strict=True):
            runtime.seed(*seed)
            with runtime.autocast():
                outputs.append(objective.forward(model, batch.to(runtime.device)))
    return outputs


def _lines(store: Split, plan: Plan, step: int) -> str:
    lines = [store.value("line", int(row)) for row in plan.rows(step)[:5]]
    return ", ".join(str(line) for line in lines if line is not None)


def _non_finite(step: int, *, loss: float, norm: float, last: float, lines: str, arithmetic: str) -> NonFiniteError:
    what = "loss" if not math.isfinite(loss) else "gradient"
    return NonFiniteError(
        "N001",
        f"the {what} of step {step + 1} is not a finite number; the step was not made",
        where=f"batch of step {step + 1}" + (f", training rows from lines {lines} …" if lines else ""),
        key="train.lr",
        found=f"loss {loss}, gradient norm {norm}; last finite loss {last:.4g}",
        help="a smaller learning rate or a longer warm-up: train.lr=1e-5 train.warmup=0.1"
        + ("" if arithmetic == "fp32" else "; or train.precision=fp32"),
    )
