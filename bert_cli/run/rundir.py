"""The run folder: everything a run leaves, and nothing half written.

`recipe.yaml` (resolved), `lock.json` (what it ran on), `status.json` (how it stands), `metrics.jsonl`, `checkpoints/`,
`predictions/`, `best/`, a plain model folder published once by one rename, and `MANIFEST.json`, the sums of them all.
No pickle, no secret, no second copy.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bert_cli import __version__
from bert_cli.env import cpu_name, versions
from bert_cli.errors import BertctlError, ModelError, ResourceError, UsageError
from bert_cli.files import finite, publish
from bert_cli.recipe.schema import Recipe
from bert_cli.run.git import git_state
from bert_cli.runtime import Runtime

MARKS = ("recipe.yaml", "lock.json")
"""What a run folder has from its beginning on."""


@dataclass(frozen=True)
class RunDir:
    """Paths inside one run folder."""

    path: Path

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def lock(self) -> Path:
        return self.path / "lock.json"

    @property
    def status(self) -> Path:
        return self.path / "status.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions"

    @property
    def best(self) -> Path:
        return self.path / "best"

    def read_status(self) -> dict[str, Any]:
        """`status.json`, or an empty mapping where there is none yet."""
        try:
            status: dict[str, Any] = json.loads(self.status.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return status

    def write_status(self, state: str, **facts: Any) -> None:
        """Replace `status.json`; `state` is running, done, preempted or failed."""
        publish(self.status, status_text(state, **facts))


def status_text(state: str, **facts: Any) -> str:
    """What `status.json` says."""
    status = finite({"state": state, "time": _now(), **facts})
    return json.dumps(status, ensure_ascii=False, indent=1) + "\n"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def default_out(task: str, model: str) -> Path:
    """`runs/TASK-MODEL`, with characters that a file name should not have left out."""
    source = Path(model)
    name = source.parent.name if source.name in {"best", "model"} else source.name
    return Path("runs") / re.sub(r"[^\w.-]+", "-", f"{task}-{name}").strip("-")


def fallback_out(recipe: Recipe, task: str) -> Path:
    """Where a run goes whose recipe names no folder."""
    model = recipe.model
    return default_out(task, model.name or model.size or str(model.config.get("model_type", "scratch")))


def choose(recipe: Recipe, *, fallback: Path, overwrite: bool, marks: tuple[str, str] = MARKS) -> RunDir:
    """The folder this run will use; nothing is created or deleted yet.

    A named folder that holds anything is refused unless the run resumes or overwrites; without a name the next free
    number is taken, and `--resume auto` takes the newest.

    Args:
        marks: files that tell a folder of bertctl's from others, the one that is written first last.

    Raises:
        UsageError: the folder is in use (U020), it is a file (U021) or not bertctl's (U022).
    """
    resuming = recipe.run.resume != "never"
    if recipe.run.resume not in ("never", "auto"):
        return _run_of_checkpoint(recipe)
    if recipe.run.out is None:
        taken = [path for path in numbered(fallback) if path.exists()]
        if overwrite or resuming:
            path = taken[-1] if taken else fallback
            _check_ours(path, overwrite=overwrite, marks=marks)
            return RunDir(path)
        return RunDir(next(path for path in numbered(fallback) if not path.exists()))
    path = Path(recipe.run.out).expanduser()
    for part in (path, *path.parents):
        if part.exists() and not part.is_dir():
            raise UsageError(
                "U021",
                f"'{part}' is a file where a folder is expected",
                key="run.out",
                found=str(path),
                allowed="a new or empty folder",
                help="name another --out",
            )
    if path.is_dir() and any(path.iterdir()) and not (overwrite or resuming):
        raise UsageError(
            "U020",
            "the run folder is not empty",
            where=str(path),
            key="run.out",
            found=", ".join(sorted(entry.name for entry in path.iterdir())[:6]),
            allowed="an empty or new folder",
            help="--resume auto goes on with that run, --overwrite deletes it, or name another --out",
        )
    _check_ours(path, overwrite=overwrite, marks=marks)
    return RunDir(path)


def numbered(first: Path) -> list[Path]:
    """`first`, then `first-2`, `first-3` …"""
    return [first, *(first.with_name(f"{first.name}-{n}") for n in range(2, 1000))]


def _run_of_checkpoint(recipe: Recipe) -> RunDir:
    """The run that a checkpoint's path lies in; going on from it elsewhere would tear the run's records apart."""
    path = Path(recipe.run.resume).expanduser()
    run = RunDir(path.resolve().parent.parent)
    if not path.is_dir() or not run.recipe.is_file():
        raise ModelError(
            "C010",
            f"there is no checkpoint of a run at '{path}'",
            key="run.resume",
            found=recipe.run.resume,
            allowed="never, auto, or a folder of RUN/checkpoints",
            help="--resume auto",
        )
    if recipe.run.out is not None and Path(recipe.run.out).expanduser().resolve() != run.path:
        raise UsageError(
            "U025",
            "a run goes on in its own folder",
            key="run.out",
            found=recipe.run.out,
            allowed=str(run.path),
            help="leave --out away, or start a new run with --model RUN",
        )
    return run


def _check_ours(path: Path, *, overwrite: bool, marks: tuple[str, str]) -> None:
    """Only what bertctl wrote is ever deleted or written over."""
    held = {entry.name for entry in path.iterdir() if not entry.name.startswith(".")} if path.is_dir() else set()
    # A run that was killed at its very beginning has left the last of the marks at most.
    if held <= {marks[-1]} or held >= set(marks):
        return
    raise UsageError(
        "U022",
        "this folder is not one of bertctl's, so nothing in it is written over",
        where=str(path),
        key="--overwrite" if overwrite else "run.resume",
        found=f"no {' with '.join(marks)}",
        allowed="a folder that the same command has made, or a new one",
        help="name another --out, or delete the folder yourself",
    )


@contextmanager
def claimed(run: RunDir, *, overwrite: bool, fresh: bool) -> Iterator[RunDir]:
    """The run folder, made, and held against other processes until the block ends.

    Args:
        overwrite: delete what it holds.
        fresh: take the next free number when another process has made the folder meanwhile.

    Raises:
        UsageError: another process is at work on this run (U024).
    """
    for path in numbered(run.path) if fresh else [run.path]:
        try:
            path.mkdir(parents=True, exist_ok=not fresh)
        except FileExistsError:
            continue
        break
    run = RunDir(path)
    with (path / ".lock").open("w") as held:
        if not _held(held):
            raise UsageError(
                "U024",
                "another process is at work on this run",
                where=str(path),
                key="run.out",
                found="its .lock is held",
                allowed="one process for each run folder",
                help="wait for it, or name another --out",
            )
        try:
            if overwrite:
                for entry in path.iterdir():
                    if entry.is_dir() and not entry.is_symlink():
                        shutil.rmtree(entry)
                    elif entry.name != ".lock":
                        entry.unlink()
            yield run
        finally:
            (path / ".lock").unlink(missing_ok=True)


def _held(lock: IO[str]) -> bool:
    """Whether the lock could be taken; who only looks whether it is held has it for an instant, which is waited for."""
    for _ in range(20):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.01)
    return False


def create(run: RunDir, recipe_text: str, lock: dict[str, Any]) -> None:
    """Write the lock file and the recipe of a claimed run."""
    publish(run.lock, json.dumps(lock, ensure_ascii=False, indent=1) + "\n")
    publish(run.recipe, recipe_text)


def lock_facts(recipe_hash: str, runtime: Runtime, *, data: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    """What the run ran on: versions, code state, data, model, hardware and arithmetic.

    Args:
        data: the facts of the store: `fingerprints` of the bytes and, of labelled rows, the digest of the `rows`.
    """
    import torch

    hardware: dict[str, Any] = {"cpu": cpu_name(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    if runtime.device_type == "cuda":
        hardware["gpu"] = torch.cuda.get_device_name()
    return {
        "bertctl": __version__,
        "recipe_sha256": recipe_hash,
        "versions": versions(),
        "git": git_state(),
        "data": data["fingerprints"],
        "rows": data.get("rows", {}),
        "model": model,
        "hardware": hardware,
        "device": runtime.device_type,
        "world_size": runtime.ranks.world_size,
        "precision": {
            "name": runtime.precision.name,
            "reason": runtime.precision.reason,
            "onednn": runtime.precision.onednn,
        },
        "created": _now(),
    }


@contextmanager
def recorded(run: RunDir) -> Iterator[None]:
    """Leave the outcome of the block in `status.json`, whatever it is."""
    run.write_status("running", pid=os.getpid())
    try:
        with named_shortage(run):
            yield
    except BertctlError as error:
        state = "preempted" if error.exit_code in (75, 130) else "failed"
        run.write_status(state, exit_code=error.exit_code, error=error.as_dict())
        raise
    except BaseException as error:
        run.write_status(
            "failed", exit_code=130 if isinstance(error, KeyboardInterrupt) else 1, error={"message": repr(error)}
        )
        raise


@contextmanager
def named_shortage(run: RunDir) -> Iterator[None]:
    """Tell memory or disk that ran out inside the block from other errors.

    Raises:
        ResourceError: memory (P020) or disk (P021) ran out.
    """
    try:
        yield
    except (MemoryError, OSError, RuntimeError) as error:
        shortage = _out_of_resources(error, run)
        if shortage is None:
            raise
        raise shortage from error


def _out_of_resources(error: BaseException, run: RunDir) -> ResourceError | None:
    """Memory or disk that ran out, as the error that says so; None for anything else."""
    from bert_cli.train.memory import ran_out

    if ran_out(error):
        return ResourceError(
            "P020",
            "memory ran out",
            where=str(run.path),
            key="train.micro_batch_tokens",
            found=(str(error).splitlines() or [""])[0],
            allowed="what fits beside the model; the batch stays the same",
            help="the same command with train.micro_batch_tokens=4096 --resume auto",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return ResourceError(
            "P021",
            f"the disk is full: {error.strerror}",
            where=str(error.filename or run.path),
            found=f"{shutil.disk_usage(run.path).free / 1e6:.0f} MB free",
            help="free some space, then go on with --resume auto",
        )
    return None
