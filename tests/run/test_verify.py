"""Which files of a run are not what it recorded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny import tiny_data, tiny_recipe

from bert_cli.errors import BertctlError
from bert_cli.run import record
from bert_cli.run.finetune import finetune
from bert_cli.run.rundir import RunDir, claimed
from bert_cli.run.runs import summary
from bert_cli.run.verify import verify
from bert_cli.seal import MANIFEST


@pytest.fixture(scope="module")
def made(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with two checkpoints."""
    folder = tmp_path_factory.mktemp("verified")
    recipe = tiny_recipe(tiny_bert, tiny_data(folder / "data"), folder / "run", run__keep=2)
    finetune(recipe, quiet=True)
    return folder / "run"


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of it to be harmed."""
    return Path(shutil.copytree(made, tmp_path / "run"))


def faulty(run: Path) -> list[str]:
    return sorted(fault.file for one in verify(str(run)) for fault in one.faults)


def code(name: Path) -> str:
    with pytest.raises(BertctlError) as caught:
        verify(str(name))
    return caught.value.code


def sealed_files(run: Path) -> list[str]:
    return sorted(str(file.relative_to(run)) for file in run.rglob("*") if file.is_file())


def test_G7_a_run_as_it_was_left_has_no_fault_and_every_file_counts(made: Path) -> None:
    (found,) = verify(str(made))
    assert found.faults == () and found.state == "done"
    # Manifests are named by that of the run, or are what a checkpoint is read by.
    unnamed = [name for name in sealed_files(made) if name.endswith(MANIFEST) and name != f"best/{MANIFEST}"]
    assert found.files == len(sealed_files(made)) - len(unnamed)


def test_G7_a_touched_byte_of_any_file_is_named_with_both_sums(run: Path) -> None:
    names = sealed_files(run)
    assert len(names) > 15
    for name in names:
        file = run / name
        content = file.read_bytes()
        at = len(content) // 2
        file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        found, error = faulty(run), verify(str(run))[0].errors()[0]
        assert (error.code, error.exit_code) == ("C021", 4)
        if name.endswith(MANIFEST):
            # Itself, or the file whose sum it now says wrong.
            assert found and all((run / fault).is_relative_to(file.parent) for fault in found), name
        else:
            assert found == [name] and error.where == str(file)
            assert str(error.found).startswith("sha256 ") and str(error.allowed).startswith("sha256 ")
        file.write_bytes(content)
    assert faulty(run) == []


@pytest.mark.parametrize("name", ["lock.json", "best/config.json", "predictions/validation.jsonl", MANIFEST])
def test_G7_a_file_that_is_gone_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    assert code(run) == "C020" if name == MANIFEST else faulty(run) == [name]


def test_a_file_that_a_loader_would_read_may_not_be_added_to_the_model(run: Path) -> None:
    (run / "best" / "adapter_config.json").write_text("{}")
    (run / "predictions" / "test.jsonl").write_text("{}\n")
    assert faulty(run) == ["best/adapter_config.json"]


def test_a_model_whose_manifest_was_made_to_fit_is_told_by_the_run(run: Path) -> None:
    from bert_cli.seal import seal

    (run / "best" / "config.json").write_text("{}")
    seal(run / "best")
    assert faulty(run / "best") == []
    assert faulty(run) == [f"best/{MANIFEST}"]


def test_a_model_folder_is_checked_alone_and_wherever_it_lies(run: Path, tiny_bert: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run / "best", tmp_path / "copy"))
    assert faulty(copy) == [] and verify(str(copy))[0].state is None
    (copy / "tokenizer.json").write_bytes(b"")
    assert faulty(copy) == ["tokenizer.json"]
    assert code(tiny_bert) == "C020"
    assert code(tmp_path) == "U120"


def test_the_sums_do_not_disturb_who_loads_the_model(made: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, info = AutoModelForSequenceClassification.from_pretrained(made / "best", output_loading_info=True)
    assert not any(info.values()), info
    assert AutoTokenizer.from_pretrained(made / "best")("good")["input_ids"]
    assert model.config.id2label == {0: "bad", 1: "good"}


def test_a_run_that_has_not_ended_has_sums_of_recipe_lock_and_checkpoints(run: Path) -> None:
    status = json.loads((run / "status.json").read_text())
    lock = json.loads((run / "lock.json").read_text())
    record.begin(RunDir(run), (run / "recipe.yaml").read_text(), lock)
    (run / "status.json").write_text(json.dumps(status | {"state": "running"}))
    shutil.rmtree(run / "best")
    (found,) = verify(str(run))
    assert (found.faults, found.state, summary(RunDir(run)).state) == ((), "killed", "killed")
    (run / "recipe.yaml").write_text("task: sst2\n")
    assert faulty(run) == ["recipe.yaml"]


def test_a_run_killed_while_it_wrote_that_it_is_done_has_no_fault(run: Path) -> None:
    (run / "status.json").write_text('{"state": "running"}')
    assert faulty(run) == []


def test_a_run_at_work_is_not_checked(run: Path) -> None:
    with claimed(RunDir(run), overwrite=False, fresh=False):
        assert code(run) == "U121"


def test_each_run_of_several_seeds_is_checked(run: Path, tmp_path: Path) -> None:
    both = tmp_path / "seeds"
    for seed in (1, 2):
        shutil.copytree(run, both / f"seed-{seed}")
    (both / "recipe.yaml").write_text("task: text-classification\n")
    (both / "seed-2" / "best" / "README.md").write_text("")
    assert [(one.path.name, [fault.file for fault in one.faults]) for one in verify(str(both))] == [
        ("seed-1", []),
        ("seed-2", ["best/README.md"]),
    ]
