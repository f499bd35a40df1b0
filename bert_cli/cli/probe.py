"""`bertctl probe`: what an encoder is worth on a few tasks after a short fine-tuning, as one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bert_cli.cli import scoring
from bert_cli.cli.console import note, print_json, print_table, say

if TYPE_CHECKING:
    from bert_cli.run.probe import Probe


def probe(
    model: Annotated[str, typer.Argument(metavar="MODEL|RUN", help="Hub id, model folder or run folder.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Any recipe keys, for every task.", show_default=False),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option("--tasks", "-t", help="Default: cola,sst2,mrpc,rte,stsb.", show_default=False),
    ] = None,
    recipe: Annotated[
        str, typer.Option("--recipe", help="Settings for all tasks: a shipped recipe or a file.")
    ] = "probe/small",
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            help="Folder with a folder for each task. Default: BERTCTL_DATA, else the hub.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="One run a task goes here. Default: runs/probe-MODEL.", show_default=False),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Train each task with N seeds.")] = 1,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=1, help="Only the first N examples of each split. Default: the recipe's.", show_default=False
        ),
    ] = None,
    epochs: Annotated[
        float | None, typer.Option("--epochs", help="Passes over each training split.", show_default=False)
    ] = None,
    device: scoring.Device = None,
    precision: scoring.PrecisionName = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Train finished tasks again.")] = False,
    revision: scoring.Revision = None,
    allow_bin: scoring.AllowBin = False,
    offline: scoring.Offline = False,
    as_json: Annotated[bool, typer.Option("--json", help="Result as JSON on stdout.")] = False,
    quiet: scoring.Quiet = False,
) -> None:
    """Fine-tune an encoder shortly on a few tasks; print one table.

    bertctl probe runs/bert-mini-wiki --data DIR

    The same command again goes on where it was stopped.
    """
    from bert_cli.run import probe as work

    found = work.probe(
        model,
        tasks=work.TASKS if tasks is None else [name.strip() for name in tasks.split(",") if name.strip()],
        recipe=recipe,
        overrides=tuple(overrides or ()),
        flags={
            "data.source": data,
            "data.limit": limit,
            "train.epochs": epochs,
            "dist.device": device,
            "train.precision": precision,
        },
        seeds=seeds,
        out=out,
        overwrite=overwrite,
        quiet=quiet,
        note=scoring.silent if quiet else note,
        revision=revision,
        allow_bin=allow_bin,
        offline=offline,
    )
    if as_json:
        print_json(found.as_dict())
    else:
        _show(found)


def _show(found: Probe) -> None:
    several = found.seeds > 1
    rows: list[tuple[object, ...]] = []
    for name, task in found.tasks.items():
        deviation = [_number(task.std)] if several else []
        rows.append((name, task.metric, _number(task.value), *deviation, task.n, round(task.seconds)))
    seconds = round(sum(task.seconds for task in found.tasks.values()))
    rows.append(("mean", "", _number(found.mean), *([""] if several else []), "", seconds))
    say("")
    print_table(rows, ("task", "metric", "score", *(["std"] if several else []), "rows", "seconds"))
    say("")
    say(f"{found.model}, {found.seeds} seed{'s' if several else ''} a task; seconds of training steps")
    say(f"runs: {found.folder}")


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
