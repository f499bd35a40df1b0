"""What `bertctl finetune` and `bertctl pretrain` were asked to do, as one recipe: words, flags and their mistakes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_cli.cli.ranks import dist_flags
from bert_cli.errors import UsageError
from bert_cli.tasks.base import PRETRAINING

if TYPE_CHECKING:
    from bert_cli.recipe.load import Loaded
    from bert_cli.recipe.schema import Recipe

# What a recipe may say under another key, which would win over what the command asks for.
_RIVALS = (("epochs", "train.epochs", "train.budget"), ("batch_size", "train.batch_size", "train.batch_sizes"))


def wanted_recipe(verb: str, given: dict[str, Any]) -> Loaded:
    """The recipe that the words and flags of a command make together.

    Raises:
        UsageError: two recipes (U001), one of another task than `--task` (U003), or mistakes in one.
    """
    from bert_cli.recipe.load import load_recipe

    recipe, overrides = _parted(given["words"] or [])
    if verb == "pretrain":
        overrides += _cleared(given, overrides)
    task = given["task"]
    if verb == "pretrain" and task is None and recipe is None:
        task = "fill-mask"
    flags = _flags(given, task)
    if recipe is not None and task is not None:
        alone = load_recipe(recipe, overrides=overrides, flags={**flags, "task": None}, verb=verb)
        _check_task(recipe, alone.recipe.task, task, verb=verb)
    return load_recipe(recipe, task=task, overrides=overrides, flags=flags, verb=verb)


def check_verb(verb: str, recipe: Recipe) -> None:
    """Refuse a task that the verb does not train.

    Raises:
        UsageError: it belongs to the other verb (U002), or nothing is learnt from it (U006).
    """
    from bert_cli.run.find import require_training

    if require_training(recipe).pretrains != (verb == "pretrain"):
        raise UsageError(
            "U002",
            f"the task {recipe.task} is not one of bertctl {verb}",
            key="task",
            found=recipe.task,
            allowed=PRETRAINING if verb == "pretrain" else "any task that has labels",
            help=f"bertctl {'finetune' if verb == 'pretrain' else 'pretrain'} with the same words",
        )


def check_place(loaded: Loaded) -> None:
    """Refuse a recipe file that sends its run out of the working folder: files from others must not say where to write.

    The folder that the recipe lies in is as good, so a run's own recipe may name the run.

    Raises:
        UsageError: it does (U125).
    """
    out, origin = loaded.recipe.run.out, loaded.origins["run.out"]
    if out is None or origin.kind not in ("file", "extends"):
        return
    here, place = Path.cwd().resolve(), Path(out).expanduser().resolve()
    own = Path(origin.place.rpartition(":")[0]).resolve().parent
    if here in place.parents or own in (place, *place.parents):
        return
    raise UsageError(
        "U125",
        "the recipe names a run folder outside of the working folder",
        where=origin.place,
        key="run.out",
        found=out,
        allowed="a folder below the working folder, or any that the command line names",
        help=f"where it is meant: --out {shlex.quote(out)}",
    )


def _parted(words: list[str]) -> tuple[str | None, list[str]]:
    """The recipe, and what is laid over it."""
    from bert_cli.recipe.keys import known_keys

    # A key that lacks its value is no recipe: the loader says what it should look like.
    overrides = [word for word in words if "=" in word or word in known_keys().fields]
    recipes = [word for word in words if word not in overrides]
    if len(recipes) > 1:
        raise UsageError(
            "U001",
            "only one recipe can be given",
            key="RECIPE",
            found=" ".join(recipes),
            allowed="one recipe, and any number of key=value",
            help=f"give {recipes[-1]} alone, with the line `extends: {recipes[0]}` in it",
        )
    return (recipes[0] if recipes else None), overrides


def _flags(given: dict[str, Any], task: str | None) -> dict[str, object]:
    """Recipe key -> value of the flag that stands for it; None where it was not given."""
    out = given["out"]
    return {
        "task": task,
        "model.name": given["model"],
        "model.allow_bin": True if given["allow_bin"] else None,
        "data.source": given["data"],
        "data.max_length": given["max_length"],
        "data.limit": given["limit"],
        "train.seed": given["seed"],
        "train.epochs": given["epochs"],
        "train.lr": given["lr"],
        "train.batch_size": given["batch_size"],
        "train.precision": given["precision"],
        "run.out": None if out is None else str(out),
        "run.resume": given["resume"],
        **dist_flags(given),
    }


def _cleared(given: dict[str, Any], overrides: list[str]) -> list[str]:
    """Keys to be emptied, as `key=`, because the command says the same under another key."""
    words = [word.partition("=")[0] for word in overrides]
    return [
        f"{other}=" for flag, key, other in _RIVALS if (given[flag] is not None or key in words) and other not in words
    ]


def _check_task(recipe: str, own: str | None, task: str, *, verb: str) -> None:
    """Refuse a recipe of one task with the name of another: half of its settings would be the other's.

    Raises:
        UsageError: `own` is the recipe's task and another than `task` (U003).
    """
    from bert_cli.recipe.files import shipped_recipes

    if own in (None, task):
        return
    leave_out = f"bertctl {verb} --task {task}, which brings its own recipe"
    raise UsageError(
        "U003",
        f"the recipe '{recipe}' is one of another task than --task",
        key="--task",
        found=f"{task}, and the recipe's task {own}",
        allowed=f"one of them, or --task {own}",
        help=leave_out if f"{verb}/{task}" in shipped_recipes() else f"leave --task {task} out",
    )
