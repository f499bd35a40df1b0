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
from bert_cli.cli.ranks import Cpus, Gpus, Master, NodeRank, Nodes, place_of, telling_loss, train_in_ranks
from bert_cli.cli.result import show_result, show_seeds
from bert_cli.cli.wanted import check_place, check_verb, wanted_recipe
from bert_cli.errors import UsageError
from bert_cli.launch import ALONE, Place

if TYPE_CHECKING:
    from bert_cli.recipe.schema import Recipe

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
    int | None,
    typer.Option(
        "--limit", help="Only the first N examples of each split, or documents of each corpus.", show_default=False
    ),
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
    """Refuse what can be refused early, then show, plan or train."""
    loaded = wanted_recipe(verb, given)
    if given["print_config"]:
        show_config(loaded, as_json=given["as_json"])
        return
    if given["offline"]:
        os.environ["HF_HUB_OFFLINE"] = "1"
    from bert_cli.run.stages import find_all

    check_verb(verb, loaded.recipe)
    check_place(loaded)
    place, wanted = place_of(loaded, given)
    find_all(loaded, offline=given["offline"])
    if given["dry_run"]:
        from bert_cli.run.dryrun import dry_run

        show_plan(dry_run(loaded.recipe, offline=given["offline"], note=note), as_json=given["as_json"])
    elif given["seeds"] is not None:
        _train_seeds(verb, given, loaded.recipe, world_size=max(place.world_size, wanted.world_size))
    elif wanted.world_size > 1 and place == ALONE:
        train_in_ranks(given["context"], loaded.recipe, wanted, overwrite=given["overwrite"])
    else:
        _train_here(verb, given, loaded.recipe, place)


def _train_here(verb: str, given: dict[str, Any], recipe: Recipe, place: Place) -> None:
    """Train in this process, alone or as one rank of several."""
    from bert_cli.run.finetune import finetune as fit

    began = time.time()
    with telling_loss():
        result = fit(recipe, **_manner(given), quiet=given["quiet"])
    if place.rank == 0:
        show_result(result, verb=verb, began=began, as_json=given["as_json"])


def _train_seeds(verb: str, given: dict[str, Any], recipe: Recipe, *, world_size: int) -> None:
    """Train with several seeds, each in a process of its own."""
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

    seeds = run_seeds(recipe, given["seeds"], verb=verb, **_manner(given))
    show_seeds(seeds, as_json=given["as_json"])


def _manner(given: dict[str, Any]) -> dict[str, Any]:
    """How runs are made, as the functions behind the commands take it."""
    return {
        "offline": given["offline"],
        "overwrite": given["overwrite"],
        "note": (lambda _: None) if given["quiet"] else note,
    }
