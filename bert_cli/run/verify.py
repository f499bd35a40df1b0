"""The verb `run verify` as a function: every file that counts against the SHA-256 sum that was recorded of it.

Of a run these are recipe, lock file, status, records, predictions, the model in `best/` and every checkpoint; of a
model folder alone, its files. Only reads; costs about 0.6 ms per MB. Sums find damage and changes made by accident; who
changes a file on purpose can also change its sum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bert_cli.errors import ModelError, UsageError
from bert_cli.run.rundir import MARKS, RunDir
from bert_cli.run.runs import busy, is_run, runs_named, status_of
from bert_cli.seal import MANIFEST, Fault, faults, recorded, unrecorded

_STOPPED = ("killed", "failed", "preempted")


@dataclass(frozen=True)
class Verified:
    """What was found.

    Attributes:
        files: how many have a recorded sum.
        faults: those that are not as recorded, by their path inside `path`.
        state: of a run as `status_of` says it; None of a model folder. Of a run that is not done, only recipe, lock
            file and checkpoints have sums.
    """

    path: Path
    files: int
    faults: tuple[Fault, ...]
    state: str | None = None

    def errors(self) -> list[ModelError]:
        """A mistake for each file that is not as recorded."""
        return [_error(self, fault) for fault in self.faults]

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "path": str(self.path),
            "ok": not self.faults,
            "state": self.state,
            "files": self.files,
            "faults": [vars(fault) for fault in self.faults],
        }


def verify(name: str) -> list[Verified]:
    """Check a run, each run of several seeds, or a sealed folder: a published model or a checkpoint.

    Raises:
        UsageError: there is neither (U120), or a process is at work on the run (U121).
        ModelError: nothing has been recorded of the folder (C020).
    """
    folder = Path(name).expanduser()
    if (folder / MANIFEST).is_file():
        # Of a run, also where one of the files is missing by which runs are known.
        of_a_run = any((folder / name).is_file() for name in MARKS)
        return [_run(RunDir(folder)) if of_a_run else _sealed(folder)]
    if folder.is_dir() and (folder / "config.json").is_file():
        raise _unsealed(folder)
    return [_run(run) for run in runs_named(name)]


def _run(run: RunDir) -> Verified:
    if busy(run):
        raise UsageError(
            "U121",
            "a process is at work on this run",
            where=str(run.path),
            key="RUN",
            found="its .lock is held",
            allowed="a run that has ended",
            help="wait for it",
        )
    state = str(status_of(run)["state"])
    if not (run.path / MANIFEST).is_file():
        raise _unsealed(run.path)
    own = _sealed(run.path, strict=False)
    if state in _STOPPED:
        # One that was killed while it wrote down that it is done has the sum of a status that never came.
        own = replace(own, faults=tuple(fault for fault in own.faults if fault.file != run.status.name))
    folders = [run.best] if run.best.is_dir() or state == "done" else []
    parts = [own, *(_inside(run, folder) for folder in (*folders, *sorted(run.checkpoints.glob("step-*"))))]
    # The manifest of the model is named by that of the run; what is wrong with it is told once.
    found = {fault.file: fault for part in reversed(parts) for fault in reversed(part.faults)}
    return Verified(run.path, sum(part.files for part in parts), tuple(found.values()), state)


def _inside(run: RunDir, folder: Path) -> Verified:
    """A sealed folder of a run, its files called by their path inside the run."""
    part, place = _sealed(folder), folder.relative_to(run.path)
    return replace(part, faults=tuple(replace(fault, file=str(place / fault.file)) for fault in part.faults))


def _sealed(folder: Path, *, strict: bool = True) -> Verified:
    """A folder against its manifest; where it is `strict`, a file that the manifest does not name is a fault too."""
    found = tuple(faults(folder))
    if any(fault.file == MANIFEST for fault in found):
        return Verified(folder, 0, found)
    return Verified(folder, len(recorded(folder)), (*found, *(unrecorded(folder) if strict else ())))


def _error(verified: Verified, fault: Fault) -> ModelError:
    return ModelError(
        "C021",
        f"{fault.file} is not what was recorded",
        where=str(verified.path / fault.file),
        found=fault.found,
        allowed=fault.expected,
        help="put the file back from a copy, or train again: bertctl run reproduce "
        + (str(verified.path) if is_run(verified.path) else "RUN"),
    )


def _unsealed(folder: Path) -> ModelError:
    return ModelError(
        "C020",
        "no sums of this folder have been recorded",
        where=str(folder),
        found=f"no {MANIFEST}",
        allowed="a run of bertctl, its best/, or a checkpoint",
        help="without its sums nothing can be told; copy the whole folder again",
    )
