"""`bertctl run`: which runs there are, whether their files are what was recorded, the same again, and room on the disk.

Results go to stdout; nothing heavy is imported before a command runs, and torch by `reproduce` alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bert_cli.cli.console import note, print_json, print_table, say
from bert_cli.errors import UsageError, printable, raise_all
from bert_cli.launch import ALONE, joined

if TYPE_CHECKING:
    from bert_cli.run.clean import Cleaned
    from bert_cli.run.compare import Compared
    from bert_cli.run.reproduce import Rerun

app = typer.Typer(
    help="List, prove, repeat and strip runs.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)

SHOWN = 20
"""Mistakes of one command that are told on a terminal."""

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run folder.")]
Json = Annotated[bool, typer.Option("--json", help="Result as JSON on stdout.")]


@app.command("ls")
def ls(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to look, at any depth.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List the runs in a folder, the newest first.

    What is `running` but has no process is `killed`: --resume auto goes on with it.
    """
    from bert_cli.run.runs import runs_under, summary

    found = [summary(run) for run in runs_under(folder)] if folder.is_dir() else []
    found.sort(key=lambda run: run.time or "", reverse=True)
    if as_json:
        print_json([vars(run) for run in found])
    elif not found:
        note(f"no runs in {printable(folder)}")
    else:
        rows = [
            (
                run.run,
                run.state,
                run.task,
                _short(run.model),
                "" if run.value is None else f"{run.metric} {run.value:.4f}",
                _size(run.size),
                (run.time or "").replace("T", " ").removesuffix("Z"),
            )
            for run in found
        ]
        print_table(rows, ("run", "status", "task", "model", "score", "size", "date (UTC)"))


def _short(model: str) -> str:
    """The end of a path, which tells models apart; a name on the hub as it is."""
    parts = Path(model).parts
    return str(Path(*parts[-2:])) if len(parts) > 2 else model


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


@app.command("verify")
def verify(
    run: Annotated[str, typer.Argument(metavar="RUN|best", help="A run folder, a model of bertctl or a checkpoint.")],
    as_json: Json = False,
) -> None:
    """Check every file against its recorded SHA-256 sum.

    Names each recorded file that is missing or changed, and new ones in best/ and in checkpoints; exit code 4 if there
    is any.
    """
    from bert_cli.run.verify import verify as check

    found = check(run)
    errors = [error for one in found for error in one.errors()]
    if as_json:
        print_json([one.as_dict() for one in found])
        if errors:
            raise typer.Exit(errors[0].exit_code)
        return
    for one in found:
        if not one.faults:
            unfinished = "" if one.state in (None, "done") else f"  ({one.state}: what it has recorded so far)"
            say(f"ok  {printable(one.path)}  {one.files} files{unfinished}")
    if len(errors) > SHOWN:
        note(f"{len(errors)} files are not as recorded; the first {SHOWN}:")
    raise_all(errors[:SHOWN])


@app.command("reproduce")
def reproduce(
    context: typer.Context,
    run: Run,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="New run folder. Default: RUN-again.", show_default=False)
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="Where its data are by now.", show_default=False)
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Where its first model is by now.", show_default=False)
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Train a finished run again as its folder says, and compare.

    Data and first model must be those of the run. On the same processor with the same software the weights are the same
    bits, exit code 4 if they are not; on a GPU, or with a budget in time, it tells what differs.
    """
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    from bert_cli.run.compare import compare
    from bert_cli.run.reproduce import check_inputs, plan_again, same_threads
    from bert_cli.run.rundir import RunDir

    rerun = plan_again(run, out=out, data=data, model=model)
    place = joined() or ALONE
    if place == ALONE:
        check_inputs(rerun, offline=offline)
    with same_threads(rerun.lock):
        again = _train(context, rerun, place.world_size, offline=offline, quiet=quiet)
    if again is not None and place.rank == 0:
        _show(compare(rerun.run, RunDir(again)), as_json=as_json)


def _train(context: typer.Context, rerun: Rerun, ranks: int, *, offline: bool, quiet: bool) -> Path | None:
    """Train, here or in as many ranks as the run had; the new folder, None where those ranks have shown the result."""
    from bert_cli.cli.ranks import telling_loss, train_in_ranks
    from bert_cli.launch import Layout
    from bert_cli.run.finetune import finetune

    wanted = Layout(rerun.recipe.dist.processes)
    if wanted.world_size > 1 and ranks == 1:
        train_in_ranks(context, rerun.recipe, wanted, overwrite=False)
        return None
    with telling_loss():
        return finetune(rerun.recipe, offline=offline, quiet=quiet, note=(lambda _: None) if quiet else note).run.path


def _show(compared: Compared, *, as_json: bool) -> None:
    if as_json:
        print_json(compared.as_dict())
    else:
        weights = compared.weights
        print_table(
            [(name, _number(then), _number(now)) for name, then, now in compared.rows()],
            ("", compared.run.path.name, compared.again.path.name),
        )
        say("")
        if compared.same:
            say(f"the same bits in all {weights.tensors} tensors of {printable(compared.again.best)}")
        else:
            say(f"{weights.differing} of {weights.tensors} tensors differ, by at most {weights.largest:.3g}")
        if compared.differences:
            print_table([(one.key, one.then, one.now) for one in compared.differences], ("differs", "then", "now"))
    compared.check()


def _number(value: Any) -> str:
    return f"{value:.6f}" if isinstance(value, float) else "undefined" if value is None else str(value)


@app.command("clean")
def clean(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="Run folders.", show_default=False)
    ] = None,
    all_under: Annotated[
        Path | None, typer.Option("--all-under", metavar="DIR", help="All runs in a folder.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    as_json: Json = False,
) -> None:
    """Delete what finished runs need no more: optimizer state, old checkpoints, drafts.

    Never touches best/. A run that is not finished keeps its checkpoints.
    """
    from bert_cli.run.clean import clean as strip
    from bert_cli.run.runs import no_run, runs_named, runs_under

    if not runs and all_under is None:
        raise UsageError(
            "U123",
            "no run is named",
            key="RUN",
            allowed="run folders, or --all-under DIR",
            help="bertctl run clean --all-under runs --dry-run",
        )
    found = {run.path.resolve(): run for name in runs or () for run in runs_named(name)}
    if all_under is not None:
        if not all_under.is_dir():
            raise no_run(all_under)
        found = {run.path.resolve(): run for run in runs_under(all_under)} | found
    done = [strip(run, dry_run=dry_run) for run in found.values()]
    if as_json:
        freed = sum(one.freed for one in done)
        print_json({"dry_run": dry_run, "freed": freed, "runs": [one.as_dict() for one in done]})
    else:
        _show_cleaned(done, dry_run=dry_run)


def _show_cleaned(done: list[Cleaned], *, dry_run: bool) -> None:
    rows = [
        (one.run, _size(one.freed), ", ".join(filter(None, [", ".join(one.removed), one.left and f"left: {one.left}"])))
        for one in done
        if one.removed or one.left
    ]
    if rows:
        print_table(rows, ("run", "freed", "deleted" if not dry_run else "would be deleted"))
        say("")
    freed, what = sum(one.freed for one in done), "would be freed" if dry_run else "freed"
    say(f"{_size(freed)} ({freed} bytes) {what} in {len(done)} run{'' if len(done) == 1 else 's'}")
