"""What is deleted of a run that has ended, and what never is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny import tiny_data, tiny_recipe

from bert_cli.errors import ModelError
from bert_cli.run.clean import clean
from bert_cli.run.finetune import finetune
from bert_cli.run.rundir import RunDir, claimed
from bert_cli.run.verify import verify
from bert_cli.seal import MANIFEST
from bert_cli.train import checkpoint


@pytest.fixture(scope="module")
def made(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with three checkpoints."""
    folder = tmp_path_factory.mktemp("cleaned")
    finetune(tiny_recipe(tiny_bert, tiny_data(folder / "data"), folder / "run", run__keep=3), quiet=True)
    return folder / "run"


@pytest.fixture
def run(made: Path, tmp_path: Path) -> RunDir:
    return RunDir(Path(shutil.copytree(made, tmp_path / "run")))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def as_if_best_was(run: RunDir, step: int) -> None:
    status = json.loads(run.status.read_text())
    status["result"]["best_step"] = step
    run.status.write_text(json.dumps(status))


def test_only_the_weights_of_the_last_step_stay_beside_the_best(run: RunDir) -> None:
    """And those too go where best/ holds the same."""
    steps = sorted(folder.name for folder in run.checkpoints.iterdir())
    as_if_best_was(run, 1)
    before, best = contents(run.path), contents(run.best)
    planned = clean(run, dry_run=True)
    assert contents(run.path) == before
    done = clean(run)
    after = contents(run.path)
    assert done == planned and contents(run.best) == best
    assert [folder.name for folder in run.checkpoints.iterdir()] == steps[-1:]
    assert set(before) - set(after) == {
        name for name in before if any(name.startswith(gone) for gone in done.removed)
    } and done.freed == sum(len(before[name]) for name in set(before) - set(after))
    last = run.checkpoints / steps[-1]
    assert sorted(file.name for file in last.iterdir()) == ["MANIFEST.json", "model.safetensors", "state.json"]
    assert list(checkpoint.load(last).tensors) == ["model"]
    as_if_best_was(run, int(steps[-1].removeprefix("step-")))
    assert clean(run).removed == (f"checkpoints/{steps[-1]}",)
    assert clean(run).removed == () and contents(run.best) == best


def test_a_cleaned_run_is_still_what_was_recorded_and_finished(made: Path, tmp_path: Path) -> None:
    run = RunDir(Path(shutil.copytree(made, tmp_path / "run")))
    clean(run)
    assert verify(str(run.path))[0].faults == ()


def test_a_checkpoint_without_its_optimizer_is_not_gone_on_from(run: RunDir, tiny_bert: Path, made: Path) -> None:
    as_if_best_was(run, 1)
    clean(run)
    shutil.rmtree(run.best)
    recipe = tiny_recipe(tiny_bert, made.parent / "data", run.path, run__keep=3)
    again = recipe.model_copy(update={"run": recipe.run.model_copy(update={"resume": "auto"})})
    with pytest.raises(ModelError) as caught:
        finetune(again, quiet=True)
    assert (caught.value.code, caught.value.exit_code) == ("C022", 4)


def test_drafts_go_whatever_became_of_the_run(run: RunDir) -> None:
    run.write_status("failed", exit_code=9)
    kept = contents(run.path)
    for name in (".tmp-best-0123abcd/x", "checkpoints/.del-step-00000001-0123abcd/x", "predictions/.a.jsonl.0123abcd"):
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).write_bytes(b"12345")
    (run.path / ".mine").write_bytes(b"")
    done = clean(run)
    assert (done.freed, len(done.removed)) == (15, 3)
    assert "failed" in done.left and "--resume auto" in done.left
    assert contents(run.path) == kept | {".mine": b""}


def test_a_run_at_work_and_one_with_a_damaged_model_keep_everything(run: RunDir) -> None:
    with claimed(run, overwrite=False, fresh=False):
        assert clean(run).left == "a process is at work on it"
    file = run.best / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    before = contents(run.path)
    done = clean(run)
    assert (done.removed, contents(run.path)) == ((), before) and "best/ is damaged" in done.left
    (run.best / MANIFEST).unlink()
    assert "best/ is damaged" in clean(run).left and run.checkpoints.is_dir()
    shutil.rmtree(run.best)
    assert "best/ is missing" in clean(run).left and run.checkpoints.is_dir()


def test_links_to_other_places_are_not_followed(run: RunDir, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine").write_bytes(b"x")
    (run.path / ".tmp-other-0123abcd").symlink_to(other)
    clean(run)
    assert (other / "mine").is_file()
