"""What a run would do, found out without leaving anything behind.

Data and model are read as in a real run; a few steps of each phase are computed to measure time and memory, on a model
that is thrown away.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate, islice
from typing import Any

import numpy as np

from bert_cli.data.plan import Phase, Plan, walks
from bert_cli.data.split import Split
from bert_cli.families.base import Prepared
from bert_cli.objectives.base import Trainee
from bert_cli.objectives.groups import SIZES
from bert_cli.recipe.schema import Recipe
from bert_cli.run.build import Built, build
from bert_cli.run.finetune import make_scorer, prepare
from bert_cli.run.places import with_source
from bert_cli.run.rehearse import rehearse
from bert_cli.run.stage_cache import Kept, kept, left
from bert_cli.run.stages import chain_of
from bert_cli.runtime import Runtime
from bert_cli.train.engine import train

MEASURED_STEPS = 3
"""Of each phase."""
SEEN_STEPS = 200
"""Of the plan, for what padding costs."""


@dataclass(frozen=True)
class DryRun:
    """The resolved plan of a run.

    Attributes:
        splits: rows, tokens, truncation and class counts of each split.
        plan: steps (None where `seconds` of time end the run), phases, batches, padding with and without length-sorted
            micro-batches; passes of one process.
        cost: seconds a step, estimated seconds of all steps (or the time given for them), peak memory in MB; of one
            process of those planned.
        stages: what is run before, each with its `name`, its `state` (`finished`, `begun`, `new`, or `not needed`
            where a later one is finished), its folder `run`, and what it would do, as here.
    """

    task: str
    model: str
    columns: dict[str, str]
    labels: list[str] | None
    splits: dict[str, dict[str, Any]]
    plan: dict[str, Any]
    cost: dict[str, Any]
    stages: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return dict(vars(self))


def dry_run(recipe: Recipe, *, offline: bool = False, note: Callable[[str], None] = lambda _: None) -> DryRun:
    """Find out what the recipe would do."""
    if recipe.stages:
        return _dry_chain(recipe, offline=offline, note=note)
    prepared = prepare(recipe, offline=offline, note=note, keep=False)
    make_scorer(prepared)
    built = build(prepared, note=note, processes=recipe.dist.processes)
    shape = f"{recipe.model.size or recipe.model.config.get('model_type', 'bert')} from scratch"
    return _found(prepared, built, model=recipe.model.name or shape)


def _dry_chain(recipe: Recipe, *, offline: bool, note: Callable[[str], None]) -> DryRun:
    """The same of a recipe with stages; one that has not been run hands on a model that has learnt nothing."""
    chain = chain_of(with_source(recipe))
    runs = kept(chain, offline=offline)
    found: dict[int, DryRun] = {}
    for stage, prepared, built in rehearse(chain, runs, offline=offline, note=note, keep=False):
        model = prepared.recipe.model.name or "from scratch"
        if stage.number > 1:
            model = f"of stage {stage.number - 1} ({chain.all[stage.number - 2].name})"
        found[stage.number] = _found(prepared, built, model=model)
    stages = [_stage(run, found.get(run.stage.number), needed=run in left(runs)) for run in runs]
    return replace(found[chain.last.number], stages=stages)


def _stage(run: Kept, found: DryRun | None, *, needed: bool) -> dict[str, Any]:
    state = "finished" if run.finished else "not needed" if not needed else "begun" if run.begun else "new"
    facts: dict[str, Any] = {"name": run.stage.name, "state": state, "run": str(run.run.path)}
    if found is not None:
        facts |= {name: value for name, value in found.as_dict().items() if name != "stages"}
    return facts


def _found(prepared: Prepared, built: Built, *, model: str) -> DryRun:
    """What can be said and measured before the first step."""
    recipe = prepared.recipe
    # What one of the ranks has to do; the exchange between them is not measured.
    built = replace(built, plan=replace(built.plan, world_size=recipe.dist.processes))
    runtime = Runtime(device=recipe.dist.device, precision=recipe.train.precision, keep=False)
    return DryRun(
        task=prepared.task.name,
        model=model,
        columns=prepared.store.facts["columns"],
        labels=list(prepared.labels) if prepared.labels else None,
        splits={name: _split(prepared, name) for name in sorted(prepared.store.splits)},
        plan=_plan(recipe, built, prepared.store.splits["train"]),
        cost=_measure(prepared, built, runtime),
    )


def _split(prepared: Prepared, name: str) -> dict[str, Any]:
    store = prepared.store.splits[name]
    facts: dict[str, Any] = {
        "origin": store.facts["origin"],
        "rows": len(store),
        "mean_tokens": round(float(store.lengths.mean()), 1),
        "longest": int(store.lengths.max()),
        "truncated": store.facts["truncated"],
        "lost_tokens": store.facts["lost_tokens"],
        "empty_texts": store.facts["empty_texts"],
    }
    if store.targets is not None and prepared.labels:
        counts = (
            store.targets.sum(axis=0)
            if store.targets.ndim == 2
            else np.bincount(store.targets, minlength=len(prepared.labels))
        )
        facts["classes"] = {label: int(count) for label, count in zip(prepared.labels, counts, strict=True)}
    return facts


def _plan(recipe: Recipe, built: Built, train: Split) -> dict[str, Any]:
    """Padding as (computed ÷ real) tokens, and forward passes a step; each phase counts by its steps."""
    plan = built.plan
    counted = np.array([_counted(plan, first, steps, train) * steps for first, steps in _stretches(plan)]).sum(axis=0)
    sequences, real, here, padded, passes = counted.tolist()
    total = sum(steps for _, steps in _stretches(plan))
    return {
        "steps": plan.total_steps,
        "seconds": plan.seconds,
        "steps_per_epoch": walks(plan.phases)[0].steps_per_epoch,
        "warmup_steps": None if plan.total_steps is None else built.schedule.warmup_steps,
        "batch_size": plan.phases[0].batch_size,
        "phases": [_phase(plan, phase) for phase in plan.phases],
        "processes": plan.world_size,
        "micro_batches_per_step": round(passes / total / plan.world_size, 2),
        "padding": {
            "to_max_length": round(recipe.data.max_length * sequences / real, 2),
            "to_longest_of_batch": round(padded / real, 2),
            "here": round(here / real, 2),
        },
        "parameters": sum(p.numel() for p in built.model.parameters()),
        "trainable": sum(p.numel() for p in built.model.parameters() if p.requires_grad),
    }


def _counted(plan: Plan, first: int, steps: int, train: Split) -> np.ndarray:
    """Of a step of a phase on average: sequences, real tokens, computed ones, padded to the batch's longest, passes."""
    seen = range(first, first + min(steps, _seen(plan)))
    found = np.zeros(5)
    for step in seen:
        lengths = _lengths(plan, plan.rows(step), train)
        found += [len(lengths), lengths.sum(), 0, int(lengths.max()) * len(lengths), 0]
        for rank in range(plan.world_size):
            for rows in replace(plan, rank=rank).step(step).micro_batches:
                widths = _lengths(plan, rows, train)
                found[2] += int(widths.sum()) if plan.unpadded else int(widths.max()) * len(widths)
                found[4] += 1
    return found / len(seen)


def _lengths(plan: Plan, rows: np.ndarray, train: Split) -> np.ndarray:
    """Tokens of each sequence of some rows: of a whole row, or of each of its choices or windows."""
    if train.value(SIZES, 0) is None:
        own: np.ndarray = plan.lengths[rows]
        return own
    return np.array([size for row in rows for size in train.value(SIZES, int(row))])


def _phase(plan: Plan, phase: Phase) -> dict[str, Any]:
    rows, _ = phase.order.rows(0, 0, phase.order.n)
    return {
        "steps": phase.steps,
        "batch_size": phase.batch_size,
        "rows": phase.order.n,
        "longest": int(plan.lengths[rows].max()),
    }


def _stretches(plan: Plan) -> list[tuple[int, int]]:
    """First step and number of steps of each phase; of one that time ends, as many as are looked at."""
    steps = [phase.steps or SEEN_STEPS for phase in plan.phases]
    return list(zip(accumulate(steps[:-1], initial=0), steps, strict=True))


def _seen(plan: Plan) -> int:
    """How many steps of each phase are looked at."""
    return max(1, SEEN_STEPS // len(plan.phases))


@contextmanager
def _threads_of_one(ranks: int) -> Iterator[None]:
    """Compute with a rank's share of the processor inside the block."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // ranks))
    yield
    torch.set_num_threads(threads)


def _measure(prepared: Prepared, built: Built, runtime: Runtime) -> dict[str, Any]:
    trainee, optimizer = runtime.prepare(Trainee(built.model, built.objective), built.optimizer)
    trainee.train()
    plan = built.plan
    measured, seconds = 0, 0.0
    for first, steps in _stretches(plan):
        made = train(
            trainee,
            optimizer,
            objective=built.objective,
            store=prepared.store.splits["train"],
            plan=plan,
            schedule=built.schedule,
            runtime=runtime,
            max_grad_norm=prepared.recipe.train.max_grad_norm,
            start=first,
        )
        with _threads_of_one(plan.world_size):
            records = list(islice(made, min(MEASURED_STEPS, steps)))
        # The first step allocates and tunes; the later ones are what a phase consists of.
        usual = [record.seconds for record in records[1:]] or [records[0].seconds]
        seconds += steps * sum(usual) / len(usual)
        measured += len(records)
    step = seconds / sum(steps for _, steps in _stretches(plan))
    cost: dict[str, Any] = {
        "device": runtime.device_type,
        "precision": f"{runtime.precision.name}: {runtime.precision.reason}",
        "seconds_per_step": round(step, 4),
        "training_seconds": round(seconds if plan.seconds is None else plan.seconds, 1),
        "measured_steps": measured,
        "peak_memory_mb": _peak_mb(),
    }
    if runtime.device_type == "cuda":
        import torch

        cost["peak_gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / 1e6)
    return cost


def _peak_mb() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1e6 if sys.platform == "darwin" else peak / 1e3)
