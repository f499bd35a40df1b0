"""The verb `run clean` as a function: what a finished run needs no more is deleted, its model never.

Of a finished run these are the optimizer's state, the checkpoints before the last one, and the last one too where
`best/` holds the same weights; of any other run, what a killed process left half written. A run that a process is at
work on, and one whose model is not what it was, are left alone.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bert_cli.run.rundir import RunDir, claimed
from bert_cli.run.runs import busy, size_of, status_of
from bert_cli.seal import damage, faults, recorded, take_out

OPTIMIZER = "optimizer.safetensors"
_DRAFT = re.compile(r"\.(tmp|del)-.+|\.[^.].*\.[0-9a-f]{8}")
"""Names of what is written beside its place, or on its way out."""


@dataclass(frozen=True)
class Cleaned:
    """What was deleted of a run, or would be.

    Attributes:
        removed: paths inside the run.
        freed: their bytes.
        left: why a run was left as it is, or the rest of it was; empty where it was not.
    """

    run: str
    removed: tuple[str, ...]
    freed: int
    left: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return dict(vars(self))


@dataclass(frozen=True)
class _Removal:
    """One thing to delete: a file or folder, and how."""

    path: Path
    remove: Callable[[], None]

    @property
    def size(self) -> int:
        return size_of(self.path) if self.path.is_dir() else self.path.stat().st_size


def clean(run: RunDir, *, dry_run: bool = False) -> Cleaned:
    """Delete what a run needs no more; with `dry_run`, only say what that would be."""
    if busy(run):
        return Cleaned(str(run.path), (), 0, "a process is at work on it")
    left = _reason_to_keep(run)
    if dry_run:
        return _done(run, list(_removals(run, drafts_only=bool(left))), left)
    with claimed(run, overwrite=False, fresh=False):
        removals = list(_removals(run, drafts_only=bool(left)))
        done = _done(run, removals, left)
        for removal in removals:
            removal.remove()
    return done


def _done(run: RunDir, removals: list[_Removal], left: str) -> Cleaned:
    names = tuple(str(removal.path.relative_to(run.path)) for removal in removals)
    return Cleaned(str(run.path), names, sum(removal.size for removal in removals), left)


def _reason_to_keep(run: RunDir) -> str:
    """Why the checkpoints of a run are still needed; empty where they are not."""
    state = str(status_of(run)["state"])
    if state != "done":
        return f"{state}: --resume auto goes on from its checkpoints"
    if not run.best.is_dir():
        return "best/ is missing: the checkpoints have its weights"
    wrong = damage(run.best)
    return f"best/ is damaged: {wrong}" if wrong else ""


def _removals(run: RunDir, *, drafts_only: bool) -> Iterator[_Removal]:
    for folder in (run.path, run.checkpoints, run.predictions):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if _DRAFT.fullmatch(path.name) and not path.is_symlink():
                yield _Removal(path, partial(_delete, path))
    if drafts_only:
        return
    checkpoints = sorted(run.checkpoints.glob("step-*"))
    if not checkpoints:
        return
    *old, last = checkpoints
    for folder in old:
        yield _Removal(folder, partial(_delete, folder))
    best_step = run.read_status()["result"]["best_step"]
    if last.name == f"step-{best_step:08d}" or next(faults(last), None) is not None:
        yield _Removal(last, partial(_delete, last))
    elif OPTIMIZER in recorded(last):
        yield _Removal(last / OPTIMIZER, partial(take_out, last, OPTIMIZER))


def _delete(path: Path) -> None:
    if path.is_dir():
        # Renamed first: what is half deleted must not look like a checkpoint.
        doomed = path if _DRAFT.fullmatch(path.name) else path.with_name(f".del-{path.name}")
        if doomed != path:
            path.rename(doomed)
        shutil.rmtree(doomed)
    else:
        path.unlink()
