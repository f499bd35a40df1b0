"""The verbs `finetune` and `pretrain` as functions: one road, two ways to prepare.

Nothing is created on disk before recipe, model, data and labels have been found right. Returns what was reached; prints
nothing itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from bert_cli.errors import DataError, UsageError
from bert_cli.metrics import Scorer, check_metrics
from bert_cli.recipe.load import dump_recipe, recipe_hash
from bert_cli.recipe.schema import Recipe
from bert_cli.run import rundir
from bert_cli.run.build import build
from bert_cli.run.corpus import prepare_corpus
from bert_cli.run.find import check_keys, require_task
from bert_cli.run.fit import Fit
from bert_cli.run.prepare import Prepared, prepare_sequence
from bert_cli.run.rundir import RunDir
from bert_cli.run.state import Best, Result, TrainState
from bert_cli.runtime import Runtime
from bert_cli.track import Tracker, check_trackers, forget_after
from bert_cli.train import checkpoint

Note = Callable[[str], None]

# These may differ between a checkpoint and the run that goes on from it: they change no step.
_MAY_DIFFER = ("run.", "dist.", "data.source", "eval.batch_tokens")


def prepare(recipe: Recipe, *, offline: bool = False, note: Note = lambda _: None, keep: bool = True) -> Prepared:
    """Find model and data and tokenise them, for training; without `keep` nothing stays in the cache."""
    if require_task(recipe).objective == "fill-mask":
        return prepare_corpus(recipe, offline=offline, note=note, keep=keep)
    return prepare_sequence(recipe, offline=offline, note=note, keep=keep)


def finetune(
    recipe: Recipe, *, offline: bool = False, overwrite: bool = False, quiet: bool = False, note: Note = lambda _: None
) -> Result:
    """Train a recipe to the end, from the start or from a checkpoint.

    Raises:
        BertctlError: any of the tree; the exit code says which kind.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "U026",
            "a launcher started several processes, and this version trains in one",
            key="WORLD_SIZE",
            found=os.environ["WORLD_SIZE"],
            allowed="1",
            help="start bertctl finetune itself, without torchrun or accelerate launch",
        )
    check_keys(recipe)
    recipe = with_source(recipe)
    task = require_task(recipe)
    model = recipe.model.name or str(recipe.model.config.get("model_type", "scratch"))
    run = rundir.choose(recipe, fallback=rundir.default_out(task.name, model), overwrite=overwrite)
    check_trackers(recipe.run.trackers)
    if recipe.run.resume != "never" and not overwrite and (finished := _finished(recipe, run)):
        note(f"{run.path} is finished already")
        return finished
    resume_from = None if overwrite else _checkpoint(recipe, run, note=note)
    prepared = prepare(recipe, offline=offline, note=note)
    if resume_from is not None:
        _same_data(resume_from, prepared)
    scorer = make_scorer(prepared)
    runtime = _runtime(recipe, run if resume_from else None)
    built = build(prepared, note=note)
    lock = rundir.lock_facts(
        recipe_hash(recipe),
        runtime,
        fingerprints=prepared.store.facts["fingerprints"],
        model=_model_facts(prepared),
    )
    if recipe.run.trackers:
        # Trackers ask accelerate which process they are in, and the first to ask decides the device.
        _ = runtime.accelerator
    fresh = recipe.run.out is None and recipe.run.resume == "never" and not overwrite
    with rundir.claimed(run, overwrite=overwrite, fresh=fresh) as held:
        rundir.create(held, dump_recipe(recipe), lock)
        arithmetic = f"{runtime.precision.name} ({runtime.precision.reason})"
        note(f"run folder {held.path}  ·  {runtime.device_type}, {arithmetic}")
        forget_after(held.metrics, checkpoint.read_state(resume_from)["step"] if resume_from else 0)
        with (
            rundir.recorded(held),
            Tracker(
                held.metrics,
                total_steps=built.plan.total_steps,
                log_every=recipe.run.log_every,
                trackers=recipe.run.trackers,
                folder=held.path,
                settings=recipe.model_dump(mode="json"),
                quiet=quiet,
            ) as tracker,
        ):
            fit = Fit(prepared, run=held, runtime=runtime, tracker=tracker, scorer=scorer)
            result = fit.run(built, resume_from=resume_from)
            tracker.summary(result.state.step, result.state.step / built.plan.steps_per_epoch)
        held.write_status("done", exit_code=0, result=result.as_dict())
    return result


def with_source(recipe: Recipe) -> Recipe:
    """The recipe with the place of its data written out, so that it means the same in another shell and folder."""
    source = recipe.data.source or os.environ.get("BERTCTL_DATA") or None
    if source is not None and not source.startswith("hub:"):
        source = str(Path(source).expanduser().resolve())
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"source": source})})


def _runtime(recipe: Recipe, resumed: RunDir | None) -> Runtime:
    """Device and arithmetic; a resumed run goes on in the one it began with, whatever a new probe would say."""
    if resumed is not None and resumed.lock.is_file():
        chosen = json.loads(resumed.lock.read_text(encoding="utf-8"))["precision"]
        return Runtime(device=recipe.dist.device, precision=chosen["name"], onednn=chosen["onednn"])
    return Runtime(device=recipe.dist.device, precision=recipe.train.precision)


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


def _model_facts(prepared: Prepared) -> dict[str, object]:
    located = prepared.located
    if located is None:
        return {"from": "scratch", "config": dict(prepared.recipe.model.config)}
    weights = sorted(located.folder.glob("*.safetensors"))
    from bert_cli.files import digest

    return {
        "from": located.hub_id or "folder",
        "revision": located.revision,
        "sha256": {w.name: digest(w) for w in weights},
    }


def _finished(recipe: Recipe, run: RunDir) -> Result | None:
    status = run.read_status()
    if status.get("state") != "done" or not run.best.is_dir():
        return None
    _same_recipe(recipe, run)
    done = status["result"]
    best = Best(done["best_step"], done["value"], done["threshold"], done["scores"])
    stopped = "" if done["stopped"] == "finished" else done["stopped"]
    state = TrainState(step=done["steps"], best=best, stopped=stopped, examples=done["examples"], tokens=done["tokens"])
    state.seconds = done["train_seconds"]
    return Result(run, state, done["metric"])


def _checkpoint(recipe: Recipe, run: RunDir, *, note: Note) -> Path | None:
    """The checkpoint to go on from; None to start afresh."""
    wanted = recipe.run.resume
    if wanted == "never":
        return None
    if wanted == "auto":
        found, rejected = checkpoint.newest(run.checkpoints)
        for sentence in rejected:
            note(sentence)
        if found is None:
            note(f"no checkpoint in {run.path}; starting afresh")
            return None
    else:
        found = Path(wanted).expanduser()
        checkpoint.verify(found)
    _same_recipe(recipe, run)
    note(f"going on from {found}")
    return found


def _same_recipe(recipe: Recipe, run: RunDir) -> None:
    from bert_cli.recipe.load import load_recipe

    if not run.recipe.is_file():
        return
    old, new = _flat(load_recipe(str(run.recipe)).recipe), _flat(recipe)
    changed = [key for key in new if old.get(key) != new[key] and not key.startswith(_MAY_DIFFER)]
    if changed:
        shown = ", ".join(f"{key}: {old.get(key)} → {new[key]}" for key in changed[:4])
        raise UsageError(
            "U023",
            "the recipe has changed since this run began",
            where=str(run.recipe),
            key=changed[0],
            found=shown,
            allowed="the recipe of the run; run.* and dist.* may differ",
            help="give the old values, or start afresh with --overwrite or another --out",
        )


def _same_data(folder: Path, prepared: Prepared) -> None:
    then: dict[str, str] = checkpoint.read_state(folder)["data"]
    now: dict[str, str] = prepared.store.facts["fingerprints"]
    changed = sorted(name for name in {**then, **now} if then.get(name) != now.get(name))
    if changed:
        raise DataError(
            "D090",
            f"the data have changed since this checkpoint: {', '.join(changed)}",
            where=str(folder),
            key="run.resume",
            found=", ".join(f"{name} {now.get(name, 'absent')[:12]}" for name in changed),
            allowed=", ".join(f"{name} {then.get(name, 'absent')[:12]}" for name in changed),
            help="put the old data back, or start afresh with --overwrite",
        )


def _flat(recipe: Recipe) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in recipe.model_dump().items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": item for key, item in value.items()}
        else:
            flat[name] = value
    return flat
