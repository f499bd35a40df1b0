"""The runs in a folder: which there are, how each stands, and whether a process is at work on it.

Reads a few small files of each run, none of them twice; imports no torch.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_cli.errors import BertctlError, UsageError
from bert_cli.recipe.yaml import read_yaml
from bert_cli.run.rundir import MARKS, RunDir


@dataclass(frozen=True)
class Summary:
    """One line about a run.

    Attributes:
        state: done, running, preempted or failed; `killed` where nobody told how it ended; `damaged` where its status
            cannot be read.
        value: the score that `best/` was selected by, called `metric`; None before it ended, or where it is undefined.
        size: bytes of all its files.
        time: when its status was written, UTC in ISO 8601.
    """

    run: str
    state: str
    task: str
    model: str
    metric: str | None
    value: float | None
    size: int
    time: str | None


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run, finished or not."""
    return all((folder / name).is_file() for name in MARKS)


def runs_under(folder: Path) -> Iterator[RunDir]:
    """The run that a folder is, else all runs in it at any depth, by name; links are not followed."""
    if is_run(folder):
        yield RunDir(folder)
        return
    with os.scandir(folder) as entries:
        inner = sorted(
            entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
        )
    for name in inner:
        yield from runs_under(folder / name)


def runs_named(name: str) -> list[RunDir]:
    """The run that `name` is, or the runs of several seeds in it.

    Raises:
        UsageError: there is no run (U120).
    """
    folder = Path(name).expanduser()
    # The folder of several seeds has the recipe that they share, and no lock file.
    found = list(runs_under(folder)) if (folder / MARKS[0]).is_file() else []
    if not found:
        raise no_run(folder)
    return found


def no_run(folder: Path) -> UsageError:
    """The error for what is no run; it names the runs beside it."""
    beside = folder if folder.is_dir() else folder.parent
    there = [str(entry) for entry in sorted(beside.iterdir()) if is_run(entry)] if beside.is_dir() else []
    return UsageError(
        "U120",
        f"the folder '{folder}' is not that of a run" if folder.is_dir() else f"there is no run '{folder}'",
        key="RUN",
        found=str(folder),
        allowed=there or "a folder that bertctl finetune or pretrain has made",
        help=f"bertctl run ls {beside}",
    )


def busy(run: RunDir) -> bool:
    """Whether a process is at work on a run."""
    try:
        with (run.path / ".lock").open("r") as held:
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def status_of(run: RunDir) -> dict[str, Any]:
    """`status.json`; its `state` is `killed` where nobody told how the run ended, `damaged` where it cannot be read."""
    try:
        status = run.read_status()
        state = status.get("state", "running")
    except (OSError, ValueError, AttributeError):
        return {"state": "damaged"}
    if state == "running" and not busy(run):
        return {**status, "state": "killed"}
    return {**status, "state": state}


def summary(run: RunDir) -> Summary:
    """What `run ls` shows of a run."""
    status, recipe = status_of(run), _recipe(run)
    result = status.get("result")
    result = result if isinstance(result, Mapping) else {}
    model = recipe.get("model")
    model = model if isinstance(model, Mapping) else {}
    value = result.get("value")
    return Summary(
        run=str(run.path),
        state=str(status["state"]),
        task=str(recipe.get("task", "?")),
        model=str(model.get("name") or model.get("size") or "from scratch"),
        metric=str(result["metric"]) if "metric" in result else None,
        value=float(value) if isinstance(value, (int, float)) else None,
        size=size_of(run.path),
        time=str(status["time"]) if "time" in status else None,
    )


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder; links count nothing, and neither does what is deleted meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                info = os.lstat(os.path.join(place, name))
            except FileNotFoundError:
                continue
            total += info.st_size
    return total


def _recipe(run: RunDir) -> dict[str, Any]:
    """The values in its recipe file as they stand, whatever version wrote them; none of one that cannot be read."""
    try:
        values, _ = read_yaml(run.recipe, name=str(run.recipe))
    except BertctlError:
        return {}
    return dict(values)
