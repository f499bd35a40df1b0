"""The run folder: everything a run leaves, and nothing half written.

`recipe.yaml` (resolved), `lock.json` (what it ran on), `status.json` (how it stands), `metrics.jsonl`, `checkpoints/`,
`predictions/` and `best/`, a plain model folder published once by one rename. No pickle, no secret, no second copy.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_cli import __version__
from bert_cli.env import Runtime, cpu_name, versions
from bert_cli.errors import BertctlError, UsageError
from bert_cli.files import publish, sync
from bert_cli.recipe.schema import Recipe


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
        publish(self.status, json.dumps({"state": state, "time": _now(), **facts}, ensure_ascii=False, indent=1) + "\n")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def default_out(task: str, model: str) -> Path:
    """`runs/TASK-MODEL`, with characters that a file name should not have left out."""
    source = Path(model)
    name = source.parent.name if source.name in {"best", "model"} else source.name
    return Path("runs") / re.sub(r"[^\w.-]+", "-", f"{task}-{name}").strip("-")


def choose(recipe: Recipe, *, fallback: Path, overwrite: bool) -> RunDir:
    """The folder this run will use; nothing is created or deleted yet.

    A named folder that holds anything is refused unless the run resumes or overwrites; without a name the next free
    number is taken, and `--resume auto` takes the newest.

    Raises:
        UsageError: the folder is in use (U020), or it is a file (U021).
    """
    resuming = recipe.run.resume != "never"
    if recipe.run.out is None:
        numbered = [fallback, *(fallback.with_name(f"{fallback.name}-{n}") for n in range(2, 1000))]
        taken = [path for path in numbered if path.exists()]
        if overwrite or resuming:
            return RunDir(taken[-1] if taken else fallback)
        return RunDir(next(path for path in numbered if not path.exists()))
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
    if overwrite and path.is_dir() and any(path.iterdir()) and not (path / "recipe.yaml").is_file():
        raise UsageError(
            "U022",
            "this folder is not a run of bertctl, so it is not overwritten",
            where=str(path),
            key="--overwrite",
            found="no recipe.yaml",
            allowed="a run folder, or a new one",
            help="name another --out, or delete the folder yourself",
        )
    return RunDir(path)


def create(run: RunDir, recipe_text: str, lock: dict[str, Any], *, overwrite: bool) -> None:
    """Make the folder with its recipe and lock file."""
    if overwrite and run.path.exists():
        shutil.rmtree(run.path)
    run.path.mkdir(parents=True, exist_ok=True)
    publish(run.recipe, recipe_text)
    publish(run.lock, json.dumps(lock, ensure_ascii=False, indent=1) + "\n")


def lock_facts(
    recipe_hash: str, runtime: Runtime, *, fingerprints: dict[str, str], model: dict[str, Any]
) -> dict[str, Any]:
    """What the run ran on: versions, code state, data, model, hardware and arithmetic."""
    import torch

    hardware: dict[str, Any] = {"cpu": cpu_name(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    if runtime.device_type == "cuda":
        hardware["gpu"] = torch.cuda.get_device_name()
    return {
        "bertctl": __version__,
        "recipe_sha256": recipe_hash,
        "versions": versions(),
        "git": git_state(),
        "data": fingerprints,
        "model": model,
        "hardware": hardware,
        "device": runtime.device_type,
        "precision": {
            "name": runtime.precision.name,
            "reason": runtime.precision.reason,
            "onednn": runtime.precision.onednn,
        },
        "created": _now(),
    }


def git_state() -> dict[str, Any] | None:
    """Commit of the working folder's repository and whether files differ from it; None outside one."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


@contextmanager
def drafted(final: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `final` in one rename when the block ends without an error."""
    draft = final.with_name(f".tmp-{final.name}-{uuid.uuid4().hex[:8]}")
    draft.mkdir(parents=True)
    try:
        yield draft
        for file in draft.iterdir():
            sync(file)
        if final.exists():
            old = final.with_name(f".del-{final.name}-{uuid.uuid4().hex[:8]}")
            final.rename(old)
            draft.rename(final)
            shutil.rmtree(old, ignore_errors=True)
        else:
            draft.rename(final)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def recorded(run: RunDir) -> Iterator[None]:
    """Leave the outcome of the block in `status.json`, whatever it is."""
    run.write_status("running", pid=os.getpid())
    try:
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
