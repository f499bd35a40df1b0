"""Checkpoints that are whole or not there.

A checkpoint is written beside its place, synced, sealed with a manifest of SHA-256 sums and published by one rename;
the newest one whose manifest verifies is the one to resume from. Tensors are safetensors, the rest is JSON: no pickle.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bert_cli.errors import ModelError, ResourceError
from bert_cli.files import sync
from bert_cli.seal import damage, seal


@dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on as if it had never stopped.

    Attributes:
        tensors: file stem (`model`, `optimizer`) -> named tensors.
        state: JSON values: step, best score so far and the like.
    """

    tensors: dict[str, dict[str, torch.Tensor]]
    state: dict[str, Any]


def save(folder: Path, name: str, checkpoint: Checkpoint) -> Path:
    """Publish `folder/name`; on any failure nothing is published and what was there stays.

    Raises:
        ResourceError: the disk is full or cannot be written (P010).
    """
    from safetensors.torch import save_file

    draft = folder / f".tmp-{name}-{uuid.uuid4().hex[:8]}"
    try:
        draft.mkdir(parents=True)
        for stem, tensors in checkpoint.tensors.items():
            save_file(tensors, str(draft / f"{stem}.safetensors"))
        (draft / "state.json").write_text(json.dumps(checkpoint.state, indent=1), encoding="utf-8")
        seal(draft)
        final = folder / name
        if final.exists():
            _remove(final)
        draft.rename(final)
        sync(folder)
    except Exception as error:
        shutil.rmtree(draft, ignore_errors=True)
        # safetensors raises its own exception type, with the system's message inside.
        if isinstance(error, OSError) or type(error).__name__ == "SafetensorError":
            free = shutil.disk_usage(folder if folder.exists() else folder.parent).free
            size = sum(tensor.nbytes for tensors in checkpoint.tensors.values() for tensor in tensors.values())
            raise ResourceError(
                "P010",
                f"checkpoint {name} could not be written: {error}",
                where=str(folder),
                found=f"{free / 1e6:.0f} MB free, {size / 1e6:.0f} MB needed",
                help="free some space, then go on with --resume auto",
            ) from error
        raise
    return final


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint after verifying it.

    Raises:
        ModelError: the checkpoint is damaged (C001).
    """
    from safetensors.torch import load_file

    verify(folder)
    tensors = {file.stem: load_file(str(file)) for file in sorted(folder.glob("*.safetensors"))}
    return Checkpoint(tensors, read_state(folder))


def read_state(folder: Path) -> dict[str, Any]:
    """The JSON values of a verified checkpoint."""
    state: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    return state


def verify(folder: Path) -> None:
    """Refuse a checkpoint that is not what its manifest says.

    Raises:
        ModelError: the checkpoint is damaged (C001).
    """
    wrong = damage(folder)
    if wrong:
        raise ModelError(
            "C001",
            f"checkpoint {folder.name} is damaged: {wrong}",
            where=str(folder),
            help="--resume auto takes the newest undamaged one",
        )


def newest(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest verified checkpoint of a run, and one sentence for each newer one that is damaged."""
    rejected: list[str] = []
    for candidate in sorted(folder.glob("step-*"), reverse=True):
        wrong = damage(candidate)
        if wrong is None:
            return candidate, rejected
        rejected.append(f"{candidate.name} is damaged and left aside: {wrong}")
    return None, rejected


def forget_after(folder: Path, step: int) -> None:
    """Delete checkpoints of later steps, which a run that goes on from `step` has left aside as damaged or unwanted."""
    for later in folder.glob("step-*"):
        if int(later.name.removeprefix("step-")) > step:
            _remove(later)


def prune(folder: Path, *, keep: int, protect: Iterable[str]) -> None:
    """Delete all but the newest `keep` checkpoints and the protected ones, and drafts that a killed run left."""
    kept = set(protect)
    for old in sorted(folder.glob("step-*"), reverse=True)[keep:]:
        if old.name not in kept:
            _remove(old)
    for leftover in [*folder.glob(".tmp-*"), *folder.glob(".del-*")]:
        shutil.rmtree(leftover, ignore_errors=True)


def _remove(folder: Path) -> None:
    # Renamed first: a deletion that is interrupted must not leave something that looks like a checkpoint.
    doomed = folder.with_name(f".del-{folder.name}-{uuid.uuid4().hex[:8]}")
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
