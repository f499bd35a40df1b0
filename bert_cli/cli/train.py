"""`bertctl finetune` and `bertctl pretrain`: the same flags, the same road, another kind of data."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bert_cli.cli.console import note, print_json, print_table, say
from bert_cli.errors import UsageError

if TYPE_CHECKING:
    from bert_cli.recipe.load import Loaded
    from bert_cli.run.dryrun import DryRun
    from bert_cli.run.state import Result

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
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Run folder. Default: runs/TASK-MODEL.", show_default=False)
]
Seed = Annotated[int | None, typer.Option("--seed", help="Root of all randomness.", show_default=False)]
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


def _verb(verb: str, doc: str) -> Callable[..., None]:
    """A command with the flags that both verbs take."""

    def command(
        words: Words = None,
        task: TaskName = None,
        model: Model = None,
        data: Data = None,
        out: Out = None,
        seed: Seed = None,
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
    ) -> None:
        given = dict(locals())
        _train(verb, given)

    command.__doc__ = doc
    return command


finetune = _verb(
    "finetune",
    """Fine-tune an encoder on a task, and publish the best model as a plain Hugging Face folder.

    bertctl finetune --task sst2 --model google-bert/bert-base-uncased
    """,
)
pretrain = _verb(
    "pretrain",
    """Train an encoder by masked language modelling on plain text, from scratch or continued.

    bertctl pretrain --data corpus.txt --model google-bert/bert-base-uncased
    """,
)


def _train(verb: str, given: dict[str, Any]) -> None:
    loaded = _load(verb, given)
    if given["print_config"]:
        _show_config(loaded, as_json=given["as_json"])
        return
    if given["offline"]:
        os.environ["HF_HUB_OFFLINE"] = "1"
    from bert_cli.run.find import find, require_task

    if (require_task(loaded.recipe).objective == "fill-mask") != (verb == "pretrain"):
        raise UsageError(
            "U002",
            f"the task {loaded.recipe.task} is not one of bertctl {verb}",
            key="task",
            found=loaded.recipe.task,
            allowed="fill-mask" if verb == "pretrain" else "any task but fill-mask",
            help=f"bertctl {'finetune' if verb == 'pretrain' else 'pretrain'} with the same words",
        )
    find(loaded.recipe, offline=given["offline"])
    if given["dry_run"]:
        from bert_cli.run.dryrun import dry_run

        _show_plan(dry_run(loaded.recipe, offline=given["offline"], note=note), as_json=given["as_json"])
        return
    from bert_cli.run.finetune import finetune as fit

    began = time.perf_counter()
    silent = given["quiet"]
    result = fit(
        loaded.recipe,
        offline=given["offline"],
        overwrite=given["overwrite"],
        quiet=silent,
        note=(lambda _: None) if silent else note,
    )
    _show_result(result, verb=verb, seconds=time.perf_counter() - began, as_json=given["as_json"])


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
    }
    return load_recipe(
        recipes[0] if recipes else None,
        task=task,
        overrides=overrides,
        flags=flags,
        verb=verb,
    )


def _show_config(loaded: Loaded, *, as_json: bool) -> None:
    rows = loaded.rows()
    if as_json:
        print_json({key: {"value": value, "origin": origin} for key, value, origin in rows})
    else:
        print_table([(key, _shown(value), origin) for key, value, origin in rows], ("key", "value", "origin"))


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "-"
    return str(value)


def _show_plan(plan: DryRun, *, as_json: bool) -> None:
    if as_json:
        print_json(plan.as_dict())
        return
    say(f"task {plan.task}  ·  model {plan.model}")
    if plan.columns:
        say("columns  " + ", ".join(f"{role} = {name}" for role, name in plan.columns.items()))
    names = ("rows", "mean_tokens", "longest", "truncated", "lost_tokens", "empty_texts")
    say("")
    print_table(
        [(name, facts["origin"], *(facts[key] for key in names)) for name, facts in plan.splits.items()],
        ("split", "file", "rows", "mean tokens", "longest", "truncated", "lost tokens", "empty"),
    )
    if plan.labels:
        say("")
        splits = list(plan.splits)
        counts = [[plan.splits[split].get("classes", {}).get(label, 0) for split in splits] for label in plan.labels]
        print_table(
            [(i, label, *row) for i, (label, row) in enumerate(zip(plan.labels, counts, strict=True))],
            ("id", "label", *splits),
        )
    say("")
    print_table(_plan_rows(plan.plan, plan.cost))


def _plan_rows(plan: dict[str, Any], cost: dict[str, Any]) -> list[tuple[str, str]]:
    from bert_cli.track import clock

    padding = plan["padding"]
    steps = f"{plan['steps']} of {plan['batch_size']} examples"
    parameters = f"{plan['parameters'] / 1e6:.1f}M, {plan['trainable'] / 1e6:.1f}M of them trained"
    seconds = f"{cost['seconds_per_step']:.3f} s a step"
    return [
        ("steps", f"{steps}, {plan['steps_per_epoch']} an epoch, {plan['warmup_steps']} warm-up"),
        ("parameters", parameters),
        ("tokens computed", f"{padding['here']}x the real ones"),
        (
            "  by padding",
            f"{padding['to_longest_of_batch']}x to a batch's longest, {padding['to_max_length']}x to max_length",
        ),
        ("forward passes", f"{plan['micro_batches_per_step']} a step"),
        ("device", f"{cost['device']}, {cost['precision']}"),
        ("time", f"{seconds}, about {clock(cost['training_seconds'])} of training steps"),
        ("memory", f"{cost['peak_memory_mb']} MB at most, measured over {cost['measured_steps']} steps"),
    ]


def _show_result(result: Result, *, verb: str, seconds: float, as_json: bool) -> None:
    if as_json:
        print_json(result.as_dict())
        return
    from bert_cli.track import clock

    facts = result.as_dict()
    rate, tokens = facts["train/examples_per_s"], facts["train/tokens_per_s"]
    rows = [
        (split, "  ".join(f"{name} {value:.4f}" for name, value in scores.items()))
        for split, scores in facts["scores"].items()
    ]
    rows += [
        ("best", f"step {facts['best_step']} of {facts['steps']}, by {facts['metric']}"),
        ("speed", f"{rate:.0f} examples/s, {tokens:.0f} tokens/s; {clock(seconds)} in all"),
        ("model", facts["model"]),
    ]
    if facts["stopped"] != "finished":
        rows.append(("stopped", facts["stopped"]))
    say("")
    print_table(rows)
    use = f"finetune --task TASK --model {facts['run']}" if verb == "pretrain" else f"predict {facts['run']} FILE"
    say(f"\nnext: bertctl eval {facts['run']}\n      bertctl {use}")
