"""A recipe with stages: each is run as a run of its own, unless one like it has been finished before; then the recipe.

Every rank stays from the first stage to the end. Rank 0 decides what is to be done and tells the others. A stage that
was stopped goes on from its newest checkpoint, whatever `run.resume` says of the recipe: its folder is named by what
went in, so it can be no other run.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from bert_cli.data.cache import only_writer
from bert_cli.env import cache_dir
from bert_cli.errors import UsageError
from bert_cli.files import publish
from bert_cli.ranks import Ranks
from bert_cli.recipe.load import dump_recipe
from bert_cli.recipe.schema import Recipe
from bert_cli.run import rundir
from bert_cli.run.find import require_task
from bert_cli.run.finetune import Job, Note, follow, lead
from bert_cli.run.rehearse import rehearse, started
from bert_cli.run.resume import finished, same_recipe
from bert_cli.run.stage_cache import FOLDER, Kept, kept, left
from bert_cli.run.stages import Chain, Stage, about, chain_of, going_on
from bert_cli.run.state import Result


@dataclass(frozen=True)
class Manner:
    """How runs are made, the same for all of them."""

    offline: bool = False
    quiet: bool = False
    note: Note = lambda _: None


def train_chain(recipe: Recipe, ranks: Ranks, *, overwrite: bool, manner: Manner) -> Result:
    """Run the stages that are not finished, then the recipe.

    Raises:
        UsageError: see `chain_of`; the stages are others than those that the run to go on with began with (U107); or
            the machines of the job do not share their cache (U106).
        BertctlError: what ended a stage, with the stage named.
    """
    _check_shared(ranks)
    if not ranks.is_main:
        return _follow(ranks, offline=manner.offline)
    chain = chain_of(recipe)
    asked = _asked(recipe, chain)
    runs = kept(chain, offline=manner.offline)
    job = Job(going_on(chain.last.recipe, str(runs[-1].run.path)), asked, tuple(run.facts() for run in runs))
    if not _is_finished(job, overwrite=overwrite):
        _run_stages(chain, runs, ranks, manner)
        before = chain.stages[-1].recipe, runs[-1].run.path
        job = Job(started(chain.last.recipe, *before, offline=manner.offline), asked, job.stages)
    _tell(ranks, chain.last, job.recipe)
    return lead(job, ranks, overwrite=overwrite, offline=manner.offline, quiet=manner.quiet, note=manner.note)


def _asked(recipe: Recipe, chain: Chain) -> Recipe:
    """What the run folder records; the name of a model that nothing starts from is left out."""
    if not chain.scratch:
        return recipe
    nothing = {"name": None, "revision": None, "allow_bin": False}
    return recipe.model_copy(update={"model": recipe.model.model_copy(update=nothing)})


def _is_finished(job: Job, *, overwrite: bool) -> bool:
    """Whether there is nothing left to do. Refuses a run folder that cannot be used, before any stage is run."""
    asked = job.asked
    run = rundir.choose(asked, fallback=rundir.fallback_out(asked, require_task(asked).name), overwrite=overwrite)
    if overwrite or asked.run.resume == "never" or not run.lock.is_file():
        return False
    same_recipe(asked, run)
    _check_same(run, job.stages)
    return finished(asked, run) is not None


def _check_same(run: rundir.RunDir, stages: Sequence[Mapping[str, str]]) -> None:
    """Refuse to go on with a run that began with the model of other stages.

    Raises:
        UsageError: recipe, data or first model of one have changed (U107).
    """
    then = [stage["fingerprint"] for stage in json.loads(run.lock.read_text(encoding="utf-8")).get("stages", ())]
    now = [stage["fingerprint"] for stage in stages]
    if then != now:
        changed = [stage["name"] for stage in stages if stage["fingerprint"] not in then]
        raise UsageError(
            "U107",
            "the stages have changed since this run began",
            where=str(run.path),
            key="stages",
            found=f"{', '.join(changed) or 'fewer stages'}: other recipes, data or first model",
            allowed="the stages that the run began with",
            help="put the old ones back, start afresh with --overwrite, or name another --out",
        )


def _run_stages(chain: Chain, runs: Sequence[Kept], ranks: Ranks, manner: Manner) -> None:
    if not runs[-1].finished:
        manner.note("reading the data of all stages before the first is trained")
        for _ in rehearse(chain, runs, offline=manner.offline):
            pass
    before: Kept | None = None
    for run in left(runs):
        _bring(run, before, ranks, manner)
        before = run


def _bring(run: Kept, before: Kept | None, ranks: Ranks, manner: Manner) -> None:
    """See to it that a stage is finished."""
    stage, folder, note = run.stage, run.run.path, manner.note
    folder.parent.mkdir(parents=True, exist_ok=True)
    with stage.named(), only_writer(run.lock, waiting=lambda: note(f"{stage.title}: another process is at work on it")):
        if run.finished:
            _strip(run)
            note(f"{stage.title}: kept from before, {run.reached}; to run it again, delete {folder}")
            return
        recipe = stage.recipe
        if before is not None:
            recipe = started(recipe, before.stage.recipe, before.run.path, offline=manner.offline)
        begun = run.begun
        own = {"out": str(folder), "resume": "auto" if begun else "never"}
        recipe = recipe.model_copy(update={"run": recipe.run.model_copy(update=own)})
        if run.run.recipe.is_file():
            # The folder's name says that it is the same recipe, wherever its model and data lie now.
            publish(run.run.recipe, dump_recipe(recipe))
        note(f"{stage.title}: {'going on' if begun else 'training'}, from {_start(recipe, before)}")
        _tell(ranks, stage, recipe)
        lead(Job(recipe, recipe), ranks, overwrite=False, offline=manner.offline, quiet=manner.quiet, note=note)
        _strip(run)
        note(f"{stage.title}: {run.reached}")


def _strip(run: Kept) -> None:
    """Delete the checkpoints of a finished stage: it is never gone on from, and its model is in best/."""
    if run.run.checkpoints.is_dir():
        shutil.rmtree(run.run.checkpoints)


def _start(recipe: Recipe, before: Kept | None) -> str:
    return before.stage.name if before is not None else recipe.model.name or "scratch"


def _tell(ranks: Ranks, stage: Stage, recipe: Recipe) -> None:
    ranks.share({"title": stage.title, "recipe": recipe.model_dump(mode="json")})


def _follow(ranks: Ranks, *, offline: bool) -> Result:
    """The chain as any other rank sees it: one recipe after the other, until that without a title is done."""
    while True:
        told: dict[str, Any] = ranks.share(None)
        with about(told["title"]):
            result = follow(Recipe.model_validate(_frozen(told["recipe"])), ranks, offline=offline)
        if not told["title"]:
            return result


def _frozen(value: Any) -> Any:
    """JSON with tuples for lists, as recipes have them."""
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _check_shared(ranks: Ranks) -> None:
    """Refuse machines that do not see rank 0's stages, which the next ones start from.

    Raises:
        UsageError: a file of its cache is not there on another machine (U106).
    """
    if ranks.world_size == ranks.place.local_size:
        return
    folder = cache_dir() / FOLDER
    if not ranks.is_main:
        seen = ranks.gather(Path(ranks.share(None)).is_file(), [])
    else:
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder, prefix=".tmp-") as file:
            seen = ranks.gather(Path(ranks.share(file.name)).is_file(), [])
    if not all(each.value for each in seen):
        raise UsageError(
            "U106",
            "the machines of this job do not share their cache, where the models of stages are",
            key="BERTCTL_CACHE",
            found=str(folder),
            allowed="a folder that every machine sees under the same name",
            help="set BERTCTL_CACHE to one on a shared disk, on every machine",
        )
