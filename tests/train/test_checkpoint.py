"""Checkpoints are whole or not there, and any damage to one is noticed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from bert_cli import seal
from bert_cli.errors import ModelError, ResourceError
from bert_cli.seal import MANIFEST
from bert_cli.train import checkpoint
from bert_cli.train.checkpoint import Checkpoint

FILES = ("model.safetensors", "optimizer.safetensors", "state.json", MANIFEST)


def some(step: int = 1) -> Checkpoint:
    generator = torch.Generator().manual_seed(step)
    tensors = {
        "model": {"a.weight": torch.randn(3, 4, generator=generator), "a.bias": torch.randn(3, generator=generator)},
        "optimizer": {"exp_avg/a.weight": torch.randn(3, 4, generator=generator), "step/a.weight": torch.tensor(7.0)},
    }
    return Checkpoint(tensors, {"step": step, "best": None, "text": "ü"})


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def equal(one: Checkpoint, other: Checkpoint) -> bool:
    return one.state == other.state and all(
        torch.equal(one.tensors[stem][name], other.tensors[stem][name])
        for stem in one.tensors | other.tensors
        for name in one.tensors[stem] | other.tensors[stem]
    )


def test_what_was_saved_is_loaded_bit_for_bit(tmp_path: Path) -> None:
    folder = checkpoint.save(tmp_path, "step-00000001", some(1))
    assert folder == tmp_path / "step-00000001"
    assert names(tmp_path) == ["step-00000001"]
    assert names(folder) == sorted(FILES)
    assert equal(checkpoint.load(folder), some(1))
    assert not equal(checkpoint.load(folder), some(2))


def test_a_checkpoint_of_the_same_name_is_replaced(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, "step-00000001", some(1))
    checkpoint.save(tmp_path, "step-00000001", some(2))
    assert names(tmp_path) == ["step-00000001"]
    assert equal(checkpoint.load(tmp_path / "step-00000001"), some(2))


def delete(file: Path) -> None:
    file.unlink()


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("harm", [delete, truncate, empty, flip_a_bit])
def test_every_kind_of_damage_to_every_file_is_noticed(tmp_path: Path, file: str, harm: Any) -> None:
    good = checkpoint.save(tmp_path, "step-00000001", some(1))
    folder = checkpoint.save(tmp_path, "step-00000002", some(2))
    assert checkpoint.damage(folder) is None
    harm(folder / file)
    assert checkpoint.damage(folder) is not None
    with pytest.raises(ModelError, match="step-00000002 is damaged") as caught:
        checkpoint.load(folder)
    assert (caught.value.code, caught.value.exit_code) == ("C001", 4)
    found, rejected = checkpoint.newest(tmp_path)
    assert found == good
    assert len(rejected) == 1 and rejected[0].startswith("step-00000002 is damaged")


def test_the_newest_is_the_highest_step_and_none_where_there_is_none(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path) == (None, [])
    for step in (9, 10, 2):
        checkpoint.save(tmp_path, f"step-{step:08d}", some(step))
    (tmp_path / ".tmp-step-00000099-abcd").mkdir()
    assert checkpoint.newest(tmp_path) == (tmp_path / "step-00000010", [])


@pytest.mark.parametrize("at", ["model", "optimizer", "state", "sync", "rename"])
def test_a_failure_in_the_middle_leaves_the_old_checkpoint_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    from safetensors import torch as safe

    checkpoint.save(tmp_path, "step-00000001", some(1))
    full = OSError(28, "No space left on device")
    save_file, write_text, rename = safe.save_file, Path.write_text, Path.rename

    def save(tensors: Any, path: str) -> None:
        if Path(path).stem == at:
            Path(path).write_bytes(b"half")
            raise full
        save_file(tensors, path)

    def write(self: Path, text: str, *args: Any, **kwargs: Any) -> int:
        if self.stem == at:
            raise full
        return write_text(self, text, *args, **kwargs)

    def move(self: Path, target: Path) -> Path:
        if self.name.startswith(".tmp-"):
            raise full
        return rename(self, target)

    def sync(path: Path) -> None:
        raise full

    monkeypatch.setattr(safe, "save_file", save)
    monkeypatch.setattr(Path, "write_text", write)
    if at == "rename":
        monkeypatch.setattr(Path, "rename", move)
    if at == "sync":
        monkeypatch.setattr(seal, "sync", sync)
    with pytest.raises(ResourceError, match="No space left") as caught:
        checkpoint.save(tmp_path, "step-00000002", some(2))
    monkeypatch.undo()
    assert (caught.value.code, caught.value.exit_code) == ("P010", 7)
    assert names(tmp_path) == ["step-00000001"]
    assert equal(checkpoint.load(tmp_path / "step-00000001"), some(1))


def test_an_interrupted_replacement_never_looks_like_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deletion that dies after its first file leaves nothing that `newest` reads or reports as damaged."""
    checkpoint.save(tmp_path, "step-00000001", some(1))

    def dies(folder: Path, **_: Any) -> None:
        next(iter(Path(folder).iterdir())).unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", dies)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.prune(tmp_path, keep=0, protect=[])
    monkeypatch.undo()
    assert checkpoint.newest(tmp_path) == (None, [])


def test_pruning_keeps_the_newest_and_the_best_and_clears_drafts(tmp_path: Path) -> None:
    for step in range(1, 6):
        checkpoint.save(tmp_path, f"step-{step:08d}", some(step))
    for leftover in (".tmp-step-00000009-aaaa", ".del-step-00000003-bbbb"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "model.safetensors").write_bytes(b"half")
    checkpoint.prune(tmp_path, keep=2, protect=["step-00000002"])
    assert names(tmp_path) == ["step-00000002", "step-00000004", "step-00000005"]
    assert all(checkpoint.damage(folder) is None for folder in tmp_path.iterdir())


def test_the_manifest_names_every_file_with_sha256_and_size(tmp_path: Path) -> None:
    import hashlib

    folder = checkpoint.save(tmp_path, "step-00000001", some(1))
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    assert set(manifest["files"]) == set(FILES) - {MANIFEST}
    for name, facts in manifest["files"].items():
        content = (folder / name).read_bytes()
        assert facts == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
