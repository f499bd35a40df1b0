"""The verb `run reproduce`, up to the training: what a finished run was made of, from its folder alone.

Data and model must be those that its lock file names. What the first run found out about the machine (arithmetic,
threads, tokens computed at once) is taken from the run and not found out again, so that on the same machine, with the
same software, the weights are the same bits. Trackers are left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_cli.env import cores
from bert_cli.errors import BertctlError, DataError, ModelError, UsageError, raise_all
from bert_cli.models.locate import locate
from bert_cli.recipe.load import load_recipe
from bert_cli.recipe.schema import Recipe
from bert_cli.run.compare import Difference, differences
from bert_cli.run.inputs import data_facts, model_facts
from bert_cli.run.rundir import RunDir, numbered
from bert_cli.run.runs import is_run, no_run, status_of
from bert_cli.run.stage_cache import kept
from bert_cli.run.stages import chain_of


@dataclass(frozen=True)
class Rerun:
    """A run that is to be made again.

    Attributes:
        recipe: its own, with another folder and with what the first run found out about the machine.
        lock: its lock file.
    """

    run: RunDir
    recipe: Recipe
    lock: dict[str, Any]


def plan_again(name: str, *, out: Path | None = None, data: str | None = None, model: str | None = None) -> Rerun:
    """Read a finished run.

    Args:
        out: where the new run goes; default: beside the old one.
        data, model: where its data and its model lie by now.

    Raises:
        UsageError: there is no run (U120), none that ended well (U122), or one place for the data of a mixture (U124);
            and mistakes in its recipe.
    """
    run = RunDir(Path(name).expanduser())
    if not is_run(run.path):
        raise no_run(run.path)
    status = status_of(run)
    if status["state"] != "done" or not run.best.is_dir():
        raise UsageError(
            "U122",
            "this run has not ended well, so there is nothing to compare with",
            where=str(run.path),
            key="RUN",
            found=status["state"],
            allowed="a run that is done",
            help="let it finish: the same command with --resume auto",
        )
    lock = json.loads(run.lock.read_text(encoding="utf-8"))
    recipe = _as_then(load_recipe(str(run.recipe)).recipe, lock, status["result"])
    folder = out if out is not None else _free(run.path.with_name(f"{run.path.name}-again"))
    changes: dict[str, Any] = {
        "run": recipe.run.model_copy(update={"out": str(folder), "resume": "never", "trackers": ()})
    }
    if data is not None:
        _check_single(recipe, data)
        changes["data"] = recipe.data.model_copy(update={"source": data})
    if model is not None:
        changes["model"] = recipe.model.model_copy(update={"name": model, "revision": None})
    return Rerun(run, recipe.model_copy(update=changes), lock)


def _check_single(recipe: Recipe, data: str) -> None:
    if recipe.data.mix:
        raise UsageError(
            "U124",
            "the run was trained on a mixture, and --data names one place",
            key="--data",
            found=data,
            allowed="its corpora where they were",
            help=f"put them back: {', '.join(recipe.data.mix)}",
        )


def _free(first: Path) -> Path:
    return next(path for path in numbered(first) if not path.exists())


def _as_then(recipe: Recipe, lock: Mapping[str, Any], result: Mapping[str, Any]) -> Recipe:
    """The recipe with the run's own answers to what depends on time, memory or the state of the hub."""
    # Stages share the precision, and are known by what their recipes say.
    train: dict[str, Any] = {} if recipe.stages else {"precision": lock["precision"]["name"]}
    if result.get("micro_batch_tokens") is not None:
        train["micro_batch_tokens"] = result["micro_batch_tokens"]
    # A GPU that is not here any more is a difference, and no reason to give up.
    dist = {"processes": lock["world_size"], "device": "cpu" if lock["device"] == "cpu" else "auto"}
    model = {"revision": lock["model"]["revision"]} if lock["model"].get("revision") else {}
    return recipe.model_copy(
        update={
            "train": recipe.train.model_copy(update=train),
            "dist": recipe.dist.model_copy(update=dist),
            "model": recipe.model.model_copy(update=model),
        }
    )


def check_inputs(rerun: Rerun, *, offline: bool = False) -> None:
    """Refuse data, a model or stages that are not those that the run began with, each with both sums.

    Raises:
        DataError: the data (D092).
        ModelError: the model, its tokenizer or what a stage was made from (C024).
    """
    recipe, lock = rerun.recipe, rerun.lock
    found = differences(lock["data"], dict(data_facts(recipe, offline=offline)), "data")
    if recipe.stages:
        then = {stage["name"]: stage["fingerprint"] for stage in lock.get("stages", ())}
        now = {stage.stage.name: stage.fingerprint for stage in kept(chain_of(recipe), offline=offline)}
        found += differences(then, now, "stages")
    else:
        found += differences(_bytes_of(lock["model"]), _bytes_of(_model_now(recipe, offline=offline)), "model")
    raise_all([_changed(rerun, difference) for difference in found])


def _model_now(recipe: Recipe, *, offline: bool) -> Mapping[str, Any]:
    section = recipe.model
    if section.name is None:
        return model_facts(recipe, None, offline=offline)
    located = locate(section.name, revision=section.revision, allow_bin=section.allow_bin, offline=offline)
    return model_facts(recipe, located, offline=offline)


def _bytes_of(model: Mapping[str, Any]) -> dict[str, Any]:
    """The facts but for the place: a copy of a model is the model."""
    return {key: value for key, value in model.items() if key not in ("from", "revision")}


def _changed(rerun: Rerun, difference: Difference) -> BertctlError:
    facts: dict[str, Any] = {
        "where": str(rerun.run.lock),
        "key": difference.key,
        "found": "nothing" if difference.now is None else difference.now,
        "allowed": "nothing" if difference.then is None else str(difference.then),
    }
    if difference.key.startswith("data."):
        help = "put the old data back, or name where they are: --data PLACE"
        return DataError("D092", "the data are not those of the run", help=help, **facts)
    if difference.key.startswith("stages."):
        help = "put the data and the first model of the stage back where its recipe names them"
    elif difference.key == "model.tokenizer":
        help = "put the old tokenizer back where model.tokenizer of the recipe names it"
    else:
        help = "put the old model back, or name where it is: --model FOLDER"
    return ModelError("C024", "what the run began with is not the same any more", help=help, **facts)


@contextmanager
def same_threads(lock: Mapping[str, Any]) -> Iterator[None]:
    """Compute inside the block with as many threads as the run did, where there are as many cores."""
    import torch

    name, wanted = "OMP_NUM_THREADS", lock["hardware"]["threads"]
    threads, variable = torch.get_num_threads(), os.environ.get(name)
    if wanted > cores():
        yield
        return
    try:
        # The variable is for the ranks that are started from here.
        os.environ[name] = str(wanted)
        torch.set_num_threads(wanted)
        yield
    finally:
        torch.set_num_threads(threads)
        if variable is None:
            del os.environ[name]
        else:
            os.environ[name] = variable
