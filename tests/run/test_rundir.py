"""Whose folder a run writes to, and what it may delete there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny import tiny_data, tiny_recipe

from bert_cli.errors import BertctlError, UsageError
from bert_cli.run import rundir
from bert_cli.run.finetune import finetune
from bert_cli.run.rundir import RunDir, claimed
from bert_cli.train import checkpoint


def test_two_processes_cannot_work_on_one_run(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    with (
        claimed(run, overwrite=False, fresh=False),
        pytest.raises(UsageError) as caught,
        claimed(run, overwrite=False, fresh=False),
    ):
        pass
    assert caught.value.code == "U024"
    with claimed(run, overwrite=False, fresh=False) as again:
        assert again.path == run.path
    assert list(run.path.iterdir()) == []


def test_runs_without_a_name_get_folders_of_their_own(tmp_path: Path) -> None:
    """The second process chose before the first one made its folder."""
    chosen = RunDir(tmp_path / "run")
    with claimed(chosen, overwrite=False, fresh=True) as one, claimed(chosen, overwrite=False, fresh=True) as other:
        assert (one.path.name, other.path.name) == ("run", "run-2")


def test_only_a_run_is_overwritten(tiny_bert: Path, tmp_path: Path) -> None:
    mine = tmp_path / "project"
    mine.mkdir()
    (mine / "recipe.yaml").write_text("task: sst2\n")
    recipe = tiny_recipe(tiny_bert, tmp_path, mine)
    with pytest.raises(UsageError) as caught:
        rundir.choose(recipe, fallback=mine, overwrite=True)
    assert caught.value.code == "U022"
    assert (mine / "recipe.yaml").exists()


def test_a_checkpoint_is_gone_on_from_in_its_own_run_only(tiny_bert: Path, tmp_path: Path) -> None:
    data = tiny_data(tmp_path / "data")
    finetune(tiny_recipe(tiny_bert, data, tmp_path / "run", run__keep=9), quiet=True)
    place = next((tmp_path / "run" / "checkpoints").glob("step-*"))
    with pytest.raises(BertctlError) as caught:
        finetune(tiny_recipe(tiny_bert, data, tmp_path / "other", run__resume=str(place)), quiet=True)
    assert caught.value.code == "U025"
    assert not (tmp_path / "other").exists()


def test_checkpoints_left_aside_do_not_push_out_new_ones(tmp_path: Path) -> None:
    for step in (100, 200, 300):
        checkpoint.save(tmp_path, f"step-{step:08d}", checkpoint.Checkpoint({}, {"step": step}))
    (tmp_path / "step-00000300" / "state.json").write_text("{}")
    found, rejected = checkpoint.newest(tmp_path)
    assert found is not None and found.name == "step-00000200" and len(rejected) == 1
    checkpoint.forget_after(tmp_path, 200)
    checkpoint.save(tmp_path, "step-00000250", checkpoint.Checkpoint({}, {"step": 250}))
    checkpoint.prune(tmp_path, keep=1, protect=())
    assert [folder.name for folder in tmp_path.iterdir()] == ["step-00000250"]


def test_a_finished_run_whose_checkpoints_were_deleted_is_still_finished(tiny_bert: Path, tmp_path: Path) -> None:
    data = tiny_data(tmp_path / "data")
    recipe = tiny_recipe(tiny_bert, data, tmp_path / "run", run__resume="auto")
    first = finetune(recipe, quiet=True)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert finetune(recipe, quiet=True).as_dict() == first.as_dict()
    assert not (tmp_path / "run" / "checkpoints").exists()
