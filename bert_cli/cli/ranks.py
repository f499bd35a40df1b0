"""The flags of a run in several processes, and whether this command starts ranks, joins some, or works alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bert_cli.cli.console import note
from bert_cli.errors import RankError, UsageError
from bert_cli.launch import ALONE, Layout, Place, agree, joined, layout, tell_loss

if TYPE_CHECKING:
    from bert_cli.recipe.load import Loaded
    from bert_cli.recipe.schema import Recipe

Gpus = Annotated[
    int | None, typer.Option("--gpus", min=1, help="Train on N GPUs, one process each.", show_default=False)
]
Cpus = Annotated[
    int | None, typer.Option("--cpus", min=1, help="Train on the processor in N processes.", show_default=False)
]
Nodes = Annotated[
    int | None,
    typer.Option("--nodes", min=1, help="Machines; start the same command on each.", show_default=False),
]
NodeRank = Annotated[
    int | None, typer.Option("--node-rank", min=0, help="Which of the machines this is, from 0.", show_default=False)
]
Master = Annotated[
    str | None, typer.Option("--master", help="HOST:PORT of machine 0, with --nodes.", show_default=False)
]


def dist_flags(given: dict[str, Any]) -> dict[str, object]:
    """The recipe keys that `--gpus N` and `--cpus N` stand for.

    Raises:
        UsageError: both were given (U083).
    """
    gpus, cpus = given["gpus"], given["cpus"]
    if gpus is not None and cpus is not None:
        raise UsageError(
            "U083",
            "a run is either on GPUs or on the processor",
            key="--gpus",
            found=f"--gpus {gpus} --cpus {cpus}",
            allowed="one of them",
            help=f"--gpus {gpus}",
        )
    device = "cuda" if gpus is not None else "cpu" if cpus is not None else None
    return {"dist.device": device, "dist.processes": gpus if gpus is not None else cpus}


def place_of(loaded: Loaded, given: dict[str, Any]) -> tuple[Place, Layout]:
    """Which rank this process is, and which ranks are asked for.

    Raises:
        UsageError: the job at hand is another than asked for (U026), or flags do not go together (U080).
    """
    wanted = layout(loaded.recipe.dist.processes, nodes=given["nodes"], node=given["node_rank"], master=given["master"])
    place = joined()
    if place is None or (place.launcher == "srun" and place.local_size == 1 and wanted.nodes > 1):
        # One task of srun on each machine, told of the others by flags, is a parent and not a rank.
        return ALONE, wanted
    origins = {key: origin for key, _, origin in loaded.rows()}
    # A recipe that says 1 says nothing, as that of a run which one process made.
    wish = wanted.processes > 1 or given["gpus"] is not None or given["cpus"] is not None
    agree(place, wanted, asked=origins["dist.processes"] if wish else None)
    return place, wanted


@contextmanager
def telling_loss() -> Iterator[None]:
    """Let the process that started this rank, if one did, tell that the others were lost."""
    try:
        yield
    except RankError as error:
        if not tell_loss(error):
            raise
        raise typer.Exit(error.exit_code) from error


def train_in_ranks(context: typer.Context, recipe: Recipe, wanted: Layout, *, overwrite: bool) -> None:
    """Run this very command once for each rank, and end as they do.

    Raises:
        RankError: a rank died, or the ranks lost each other.
    """
    from bert_cli.run.several import run_ranks

    outcome = run_ranks(recipe, context.find_root().obj, wanted, overwrite=overwrite)
    if outcome.error is not None:
        raise outcome.error
    if outcome.message:
        note(outcome.message.rstrip())
    if outcome.code:
        raise typer.Exit(outcome.code)
