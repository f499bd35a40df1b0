"""`bertctl finetune` and `bertctl pretrain`: the same flags, the same road, another kind of data."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bert_cli.cli.config import show_config
from bert_cli.cli.console import note
from bert_cli.cli.plan import show_plan
from bert_cli.cli.ranks import Cpus, Gpus, Master, NodeRank, Nodes, dist_flags, place_of, train_in_ranks
from bert_cli.cli.result import show_result, show_seeds
from bert_cli.errors import RankError, UsageError
from bert_cli.launch import ALONE, tell_loss
from bert_cli.tasks.base import MINIMAL_PAIRS, PRETRAINING

if TYPE_CHECKING:
    from bert_cli.recipe.load import Loaded

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RECIPE] [KEY=VALUE]...",
        help="A recipe file or shipped recipe, and any recipe keys.",
        show_default=False,
    ),
]
TaskName = Annotated[str | None, typer.Option("--task", "-t", help="A name of `bertctl task ls`.", show_default=False)]
Model = Annotated[
    str | None, typer.Option("--model", "-m", help="Hub id, model folder or run folder.", show_default=False)
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data", "-d", help="Folder, file, or hub:OWNER/NAME. Default: BERTCTL_DATA, else the hub.", show_default=False
    ),
]
Corpus = Annotated[
    str | None,
    typer.Option(
        "--data",
        "-d",
        help="Text, JSONL or Parquet: a file, folder or 'GLOB'; a prepared folder; hub:OWNER/NAME.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Run folder. Default: runs/TASK-MODEL.", show_default=False)
]
Seed = Annotated[int | None, typer.Option("--seed", help="Root of all randomness.", show_default=False)]
Seeds = Annotated[
    int | None, typer.Option("--seeds", help="Train with N seeds side by side; report the spread.", show_default=False)
]
Epochs = Annotated[float | None, typer.Option("--epochs", help="Passes over the training split.", show_default=False)]
Rate = Annotated[float | None, typer.Option("--lr", help="Peak learning rate.", show_default=False)]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", help="Examples per step, over all devices.", show_default=False)
]
MaxLength = Annotated[int | None, typer.Option("--max-length", help="Longest sequence, tokens.", show_default=False)]
PrecisionName = Annotated[str | None, typer.Option("--precision", help="auto, fp32 or bf16.", show_default=False)]
Resume = Annotated[str | None, typer.Option("--resume", help="never, auto or a checkpoint's path.", show_default=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete what the run folder holds.")]
Limit = Annotated[
    int | None, typer.Option("--limit", help="Only the first N examples of each split.", show_default=False)
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Never use the network; fail at once if something is missing.")
]
AllowBin = Annotated[
    bool, typer.Option("--allow-bin", help="Accept a model with only pickled weights; they are converted once.")
]
DryRunFlag = Annotated[bool, typer.Option("--dry-run", help="Show what the run would do, then leave nothing behind.")]
PrintConfig = Annotated[
    bool, typer.Option("--print-config", help="Show every recipe key with its value and origin, and stop.")
]
Json = Annotated[bool, typer.Option("--json", help="Result as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]


def _verb(verb: str, doc: str, *, data_flag: Any) -> Callable[..., None]:
    """A command with the flags that both verbs take; only what `--data` may be differs."""

    def command(
        context: typer.Context,
        words: Words = None,
        task: TaskName = None,
        model: Model = None,
        data: Data = None,
        out: Out = None,
        seed: Seed = None,
        seeds: Seeds = None,
        epochs: Epochs = None,
        lr: Rate = None,
        batch_size: BatchSize = None,
        max_length: MaxLength = None,
        precision: PrecisionName = None,
        resume: Resume = None,
        overwrite: Overwrite = False,
        limit: Limit = None,
        offline: Offline = False,
        allow_bin: AllowBin = False,
        dry_run: DryRunFlag = False,
        print_config: PrintConfig = False,
        as_json: Json = False,
        quiet: Quiet = False,
        gpus: Gpus = None,
        cpus: Cpus = None,
        nodes: Nodes = None,
        node_rank: NodeRank = None,
        master: Master = None,
    ) -> None:
        given = dict(locals())
        _train(verb, given)

    command.__doc__ = doc
    command.__annotations__["data"] = data_flag
    return command


finetune = _verb(
    "finetune",
    """Fine-tune an encoder on a task and publish the best model.

    What is published is a plain Hugging Face folder.

    bertctl finetune --task sst2 --model google-bert/bert-base-uncased
    """,
    data_flag=Data,
)
pretrain = _verb(
    "pretrain",
    """Train an encoder on raw text, from scratch or further.

    It learns masked words, sentence pairs or replaced tokens (--task), and goes on from --model where one is given.

    bertctl pretrain bert-mini-wiki --data corpus.txt
    """,
    data_flag=Corpus,
)


def _train(verb: str, given: dict[str, Any]) -> None:
    loaded = _load(verb, given)
    _check_model(loaded)
    if given["print_config"]:
        show_config(loaded, as_json=given["as_json"])
        return
    if given["offline"]:
        os.environ["HF_HUB_OFFLINE"] = "1"
    from bert_cli.run.find import find, require_task

    task = require_task(loaded.recipe)
    if task.objective == MINIMAL_PAIRS:
        raise UsageError(
            "U006",
            f"the task {task.name} measures a model, and nothing is trained on it",
            key="task",
            found=task.name,
            allowed="a task to train on: bertctl task ls",
            help=f"bertctl eval MODEL --task {task.name}",
        )
    if task.pretrains != (verb == "pretrain"):
        raise UsageError(
            "U002",
            f"the task {loaded.recipe.task} is not one of bertctl {verb}",
            key="task",
            found=loaded.recipe.task,
            allowed=PRETRAINING if verb == "pretrain" else "any task that has labels",
            help=f"bertctl {'finetune' if verb == 'pretrain' else 'pretrain'} with the same words",
        )
    place, wanted = place_of(loaded, given)
    find(loaded.recipe, offline=given["offline"])
    if given["dry_run"]:
        from bert_cli.run.dryrun import dry_run

        show_plan(dry_run(loaded.recipe, offline=given["offline"], note=note), as_json=given["as_json"])
        return
    if given["seeds"] is not None:
        _train_seeds(verb, given, loaded, world_size=max(place.world_size, wanted.world_size))
        return
    if wanted.world_size > 1 and place == ALONE:
        train_in_ranks(given["context"], loaded, wanted, overwrite=given["overwrite"])
        return
    from bert_cli.run.finetune import finetune as fit

    began = time.time()
    silent = given["quiet"]
    try:
        result = fit(
            loaded.recipe,
            offline=given["offline"],
            overwrite=given["overwrite"],
            quiet=silent,
            note=(lambda _: None) if silent else note,
        )
    except RankError as error:
        if not tell_loss(error):
            raise
        raise typer.Exit(error.exit_code) from error
    if place.rank > 0:
        return
    show_result(result, verb=verb, began=began, as_json=given["as_json"])


def _train_seeds(verb: str, given: dict[str, Any], loaded: Loaded, *, world_size: int) -> None:
    if world_size > 1:
        raise UsageError(
            "U086",
            "each of several seeds trains in one process",
            key="--seeds",
            found=f"{world_size} processes a run",
            allowed="--seeds alone: it fills the cores or GPUs at hand itself",
            help="leave --gpus, --cpus, --nodes and any launcher out",
        )
    from bert_cli.run.seeds import run_seeds

    seeds = run_seeds(
        loaded.recipe,
        given["seeds"],
        verb=verb,
        offline=given["offline"],
        overwrite=given["overwrite"],
        note=(lambda _: None) if given["quiet"] else note,
    )
    show_seeds(seeds, as_json=given["as_json"])


def _load(verb: str, given: dict[str, Any]) -> Loaded:
    from bert_cli.recipe.keys import known_keys
    from bert_cli.recipe.load import load_recipe

    words = given["words"] or []
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
    if verb == "pretrain":
        overrides += _cleared(given, overrides)
    out = given["out"]
    task = given["task"]
    if verb == "pretrain" and task is None and not recipes:
        task = "fill-mask"
    flags = {
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
    recipe = recipes[0] if recipes else None
    if recipe is not None and task is not None:
        alone = load_recipe(recipe, overrides=overrides, flags={**flags, "task": None}, verb=verb)
        _check_task(recipe, alone.recipe.task, task, verb=verb)
    return load_recipe(recipe, task=task, overrides=overrides, flags=flags, verb=verb)


def _cleared(given: dict[str, Any], overrides: list[str]) -> list[str]:
    """What a recipe may say of the same thing under another key, which would win over what the command asks for."""
    pairs = (("epochs", "train.epochs", "train.budget"), ("batch_size", "train.batch_size", "train.batch_sizes"))
    words = [word.partition("=")[0] for word in overrides]
    return [
        f"{other}=" for flag, key, other in pairs if (given[flag] is not None or key in words) and other not in words
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


def _check_model(loaded: Loaded) -> None:
    """Refuse the shape of a new model beside the name of a trained one, which would win without a word.

    Raises:
        UsageError: both are given (U004).
    """
    model = loaded.recipe.model
    if model.name is None or not (model.config or model.size):
        return
    key = f"model.config.{next(iter(model.config))}" if model.config else "model.size"
    shape = [f"model.size {model.size}"] if model.size else []
    shape += [f"model.config with {', '.join(model.config)}"] if model.config else []
    undo = " ".join(f"model.{name}=" for name in ("config", "size") if getattr(model, name))
    raise UsageError(
        "U004",
        "model.name is a model to start from, model.size and model.config are one from scratch",
        where=loaded.origins[key].place or None,
        key=key,
        found=f"{model.name}, and {' and '.join(shape)}",
        allowed="one of the two",
        help=f"{undo} goes on from the model; leave the model out to make a new one",
    )
