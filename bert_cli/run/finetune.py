"""The verbs `finetune` and `pretrain` as functions: one road, two ways to prepare.

Nothing is created on disk before recipe, model, data and labels have been found right. Returns what was reached; prints
nothing itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bert_cli.errors import UsageError
from bert_cli.families.base import Prepared
from bert_cli.launch import ALONE, Place, joined, tell_run
from bert_cli.metrics import Scorer, check_metrics
from bert_cli.ranks import Ranks
from bert_cli.recipe.load import dump_recipe, recipe_hash
from bert_cli.recipe.schema import Recipe
from bert_cli.run import record, rundir
from bert_cli.run.audit import audit
from bert_cli.run.build import Built, build
from bert_cli.run.corpus import baseline, prepare_corpus
from bert_cli.run.disk import check_room
from bert_cli.run.find import check_keys, require_task
from bert_cli.run.fit import Desk, Fit
from bert_cli.run.inputs import model_facts
from bert_cli.run.places import with_source
from bert_cli.run.prepare import prepare_rows
from bert_cli.run.resume import check_data, checkpoint_of, finished
from bert_cli.run.rundir import RunDir
from bert_cli.run.state import Result
from bert_cli.runtime import Runtime, choose_device
from bert_cli.track import Tracker, check_trackers, forget_after
from bert_cli.train import checkpoint

Note = Callable[[str], None]


def prepare(recipe: Recipe, *, offline: bool = False, note: Note = lambda _: None, keep: bool = True) -> Prepared:
    """Find model and data and tokenise them, for training; without `keep` nothing stays in the cache."""
    if require_task(recipe).pretrains:
        return prepare_corpus(recipe, offline=offline, note=note, keep=keep)
    return prepare_rows(recipe, offline=offline, note=note, keep=keep)


def finetune(
    recipe: Recipe, *, offline: bool = False, overwrite: bool = False, quiet: bool = False, note: Note = lambda _: None
) -> Result:
    """Train a recipe to the end, from the start or from a checkpoint, as one rank or as one of several.

    Started by a launcher, this process joins the others; started alone, it trains alone.

    Raises:
        BertctlError: any of the tree; the exit code says which kind.
    """
    check_keys(recipe)
    recipe = with_source(recipe)
    place = joined() or ALONE
    _check_processes(recipe, place)
    with Ranks(place, device=choose_device(recipe.dist.device), timeout=recipe.dist.timeout) as ranks:
        if recipe.stages:
            # Which consist of runs like this one.
            from bert_cli.run.chain import Manner, train_chain

            return train_chain(recipe, ranks, overwrite=overwrite, manner=Manner(offline, quiet, note))
        if not ranks.is_main:
            return follow(recipe, ranks, offline=offline)
        return lead(Job(recipe, recipe), ranks, offline=offline, overwrite=overwrite, quiet=quiet, note=note)


@dataclass(frozen=True)
class Job:
    """One run to make.

    Attributes:
        recipe: how the model is trained.
        asked: what the run folder records: the same recipe, or the one with the stages whose model is trained here.
        stages: those stages, for the lock file.
    """

    recipe: Recipe
    asked: Recipe
    stages: tuple[dict[str, str], ...] = ()


def lead(job: Job, ranks: Ranks, *, offline: bool, overwrite: bool, quiet: bool, note: Note) -> Result:
    """The run as rank 0 sees it, which alone decides, writes and speaks."""
    recipe, asked = job.recipe, job.asked
    fallback = rundir.fallback_out(asked, require_task(asked).name)
    run = rundir.choose(asked, fallback=fallback, overwrite=overwrite)
    check_trackers(recipe.run.trackers)
    if asked.run.resume != "never" and not overwrite and (done := finished(asked, run)):
        note(f"{run.path} is finished already")
        ranks.share(_Start(str(run.path), finished=done.as_json()).as_json())
        return done
    resume_from = None if overwrite else checkpoint_of(asked, run, note=note)
    with ranks.machine_by_machine():
        prepared = prepare(recipe, offline=offline, note=note)
    if resume_from is not None:
        check_data(resume_from, prepared)
    elif prepared.task.pretrains:
        note(baseline(prepared))
    if not prepared.task.pretrains:
        note(audit(prepared.store.splits, recipe.data.max_length))
    scorer = make_scorer(prepared)
    ranks.share(_Start(str(run.path), resumes=resume_from is not None).as_json())
    runtime = _runtime(recipe, run if resume_from else None, ranks)
    built = _built(prepared, ranks, note=note)
    check_room(recipe, run, built, overwrite=overwrite)
    lock = rundir.lock_facts(
        recipe_hash(asked),
        runtime,
        data=prepared.store.facts,
        model=model_facts(prepared.recipe, prepared.located, offline=offline),
    )
    if job.stages:
        lock["stages"] = job.stages
    if recipe.run.trackers:
        # Trackers ask accelerate which process they are in, and the first to ask decides the device.
        _ = runtime.accelerator
    fresh = recipe.run.out is None and recipe.run.resume == "never" and not overwrite
    with rundir.claimed(run, overwrite=overwrite, fresh=fresh) as held:
        tell_run(held.path)
        record.begin(held, dump_recipe(asked), lock)
        arithmetic = f"{runtime.precision.name} ({runtime.precision.reason})"
        many = f" × {ranks.world_size}" if ranks.world_size > 1 else ""
        note(f"run folder {held.path}  ·  {runtime.device_type}{many}, {arithmetic}")
        forget_after(held.metrics, checkpoint.read_state(resume_from)["step"] if resume_from else 0)
        with (
            rundir.recorded(held),
            Tracker(
                held.metrics,
                total_steps=built.plan.total_steps,
                seconds=built.plan.seconds,
                log_every=recipe.run.log_every,
                trackers=recipe.run.trackers,
                folder=held.path,
                settings=asked.model_dump(mode="json"),
                quiet=quiet,
            ) as tracker,
        ):
            fit = Fit(prepared, run=held, runtime=runtime, desk=Desk(tracker, scorer))
            result = fit.run(built, resume_from=resume_from, resumes=resume_from is not None)
            tracker.summary(result.state.step, built.plan.passes(result.state.step))
        record.finish(held, result.as_dict())
    return result


def follow(recipe: Recipe, ranks: Ranks, *, offline: bool) -> Result:
    """The run as any other rank sees it: it computes its share, touches no run folder and says nothing."""
    start = _Start(**ranks.share(None))
    run = RunDir(Path(start.run))
    if start.finished is not None:
        return Result.from_json(run, start.finished)
    with ranks.machine_by_machine():
        prepared = prepare(recipe, offline=offline)
    runtime = Runtime(device=recipe.dist.device, ranks=ranks)
    built = _built(prepared, ranks)
    with rundir.named_shortage(run):
        return Fit(prepared, run=run, runtime=runtime).run(built, resumes=start.resumes)


@dataclass(frozen=True)
class _Start:
    """What rank 0 has found out before anything is computed.

    Attributes:
        resumes: the run goes on from a checkpoint, which rank 0 hands out.
        finished: the result, where there is nothing left to do.
    """

    run: str
    resumes: bool = False
    finished: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


def _check_processes(recipe: Recipe, place: Place) -> None:
    """A function cannot start its own process again; the command can.

    Raises:
        UsageError: several processes are asked for, and no launcher has started them (U082).
    """
    if recipe.dist.processes > 1 and place.world_size == 1:
        raise UsageError(
            "U082",
            "this process is alone, and cannot start others from within a function",
            key="dist.processes",
            found=recipe.dist.processes,
            allowed="1, or as many as a launcher has started",
            help=f"bertctl finetune … dist.processes={recipe.dist.processes}, or torchrun",
        )


def _built(prepared: Prepared, ranks: Ranks, note: Note = lambda _: None) -> Built:
    built = build(prepared, note=note, processes=ranks.place.local_size)
    tokens = ranks.share(built.plan.micro_batch_tokens)
    plan = replace(built.plan, rank=ranks.rank, world_size=ranks.world_size, micro_batch_tokens=tokens)
    return replace(built, plan=plan)


def _runtime(recipe: Recipe, resumed: RunDir | None, ranks: Ranks) -> Runtime:
    """Device and arithmetic; a resumed run goes on in the one it began with, whatever a new probe would say."""
    if resumed is not None and resumed.lock.is_file():
        chosen = json.loads(resumed.lock.read_text(encoding="utf-8"))["precision"]
        runtime = Runtime(device=recipe.dist.device, precision=chosen["name"], onednn=chosen["onednn"], ranks=ranks)
        runtime.precision = replace(runtime.precision, reason="as this run began")
        return runtime
    return Runtime(device=recipe.dist.device, precision=recipe.train.precision, ranks=ranks)


def make_scorer(prepared: Prepared) -> Scorer:
    """The metrics of task and recipe; wrong names are refused here, before any training."""
    recipe, task = prepared.recipe, prepared.task
    wanted = [*task.metrics, *recipe.eval.metrics]
    if recipe.eval.metric is not None and recipe.eval.metric not in wanted:
        classes = len(prepared.labels) if prepared.labels else None
        check_metrics([recipe.eval.metric], task.objective, classes, key="eval.metric")
        wanted.append(recipe.eval.metric)
    return Scorer(
        tuple(dict.fromkeys(wanted)),
        task.objective,
        labels=prepared.labels,
        order=prepared.task_order,
        allow_code=recipe.eval.allow_code,
    )
