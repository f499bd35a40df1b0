"""A run that was stopped and goes on ends in the same bits as one that was never stopped; dropout is on."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_data, tiny_recipe, tiny_texts

from bert_cli.data.order import Drawn
from bert_cli.data.plan import Plan
from bert_cli.errors import BertctlError, DataError, Interrupted, ModelError, Preempted, UsageError
from bert_cli.run import fit as fitting
from bert_cli.run.finetune import finetune
from bert_cli.run.state import Result
from bert_cli.train import checkpoint
from bert_cli.train.engine import StepRecord, train

STEPS, PER_EPOCH = 16, 8


class Crash(Exception):
    """The machine went away."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_data(tmp_path_factory.mktemp("resume") / "data")


@pytest.fixture(scope="module")
def whole(tiny_bert: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the run that was never stopped."""
    out = tmp_path_factory.mktemp("resume") / "whole"
    finetune(tiny_recipe(tiny_bert, data, out), quiet=True)
    return out


def pretraining(model: Path, corpus: Path, out: Path) -> Any:
    """17 steps: eight at length 10, four more in larger batches, five at length 16."""
    changes: dict[str, Any] = {
        "data__max_length": 16,
        "data__lengths": {10: 0.7, 16: 0.3},
        "train__batch_sizes": {5: 0.5, 7: 0.5},
        "train__budget": "17 steps",
        "mask__final_rate": 0.4,
        "eval__every": "5 steps",
        "run__save_every": "2 steps",
    }
    return tiny_recipe(model, corpus, out, task="fill-mask-nsp", mask={"rate": 0.1}, **changes)


@pytest.fixture(scope="module")
def pretrained(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a pretraining run that was never stopped, beside its corpus."""
    root = tmp_path_factory.mktemp("pretrained")
    texts = (text for text, _ in tiny_texts(30, longest=40))
    (root / "corpus.txt").write_text("\n\n".join(texts), encoding="utf-8")
    finetune(pretraining(tiny_bert, root / "corpus.txt", root / "whole"), quiet=True)
    return root / "whole"


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int, how: Callable[[], None]) -> None:
    """Let `how` happen between the update of `step` and everything the run does after it."""

    def stopping(*args: Any, **kwargs: Any) -> Iterator[StepRecord]:
        for record in train(*args, **kwargs):
            if record.step == step:
                how()
            yield record

    monkeypatch.setattr(fitting, "train", stopping)


def crash() -> None:
    raise Crash


def send(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def interrupted(monkeypatch: pytest.MonkeyPatch, recipe: Any, *, step: int, how: Callable[[], None]) -> BaseException:
    with monkeypatch.context() as patch:
        stop_after(patch, step, how)
        with pytest.raises((Crash, BertctlError)) as caught:
            finetune(recipe, quiet=True)
    return caught.value


def resumed(recipe: Any, *, resume: str = "auto", notes: list[str] | None = None) -> Result:
    again = recipe.model_copy(update={"run": recipe.run.model_copy(update={"resume": resume})})
    return finetune(again, quiet=True, note=lambda text: None if notes is None else notes.append(text))


def records(out: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without what depends on the clock or on where a process began."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    clock = ("seconds", "_per_s", "_mean")
    return [{name: value for name, value in line.items() if not name.endswith(clock)} for line in lines]


def differences(one: Path, other: Path) -> list[str]:
    """Everything in which two finished runs differ."""
    last = max(folder.name for folder in (one / "checkpoints").iterdir())
    first, second = (checkpoint.load(out / "checkpoints" / last) for out in (one, other))
    found = [
        f"{stem}/{name}"
        for stem in ("model", "optimizer")
        for name in sorted(first.tensors[stem] | second.tensors[stem])
        if not torch.equal(first.tensors[stem][name], second.tensors[stem][name])
    ]
    states = [{k: v for k, v in loaded.state.items() if k != "seconds"} for loaded in (first, second)]
    found += ["state"] * (states[0] != states[1])
    found += ["metrics"] * (records(one) != records(other))
    files = ["best/model.safetensors", "best/config.json", "predictions/validation.jsonl", "recipe.yaml"]
    for file in (file for file in files if (one / file).exists()):
        contents = [(out / file).read_text(encoding="utf-8", errors="surrogateescape") for out in (one, other)]
        if file == "recipe.yaml":
            contents = [text.replace(str(out), "OUT") for text, out in zip(contents, (one, other), strict=True)]
            contents = [text.replace("resume: auto", "resume: never") for text in contents]
        found += [file] * (contents[0] != contents[1])
    return found


@pytest.mark.parametrize("step", [5, PER_EPOCH, PER_EPOCH + 1, STEPS - 1])
@pytest.mark.parametrize("how", [crash, send(signal.SIGTERM)], ids=["crash", "SIGTERM"])
def test_a_resumed_run_ends_in_the_same_bits(
    tiny_bert: Path, data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, how: Any
) -> None:
    recipe = tiny_recipe(tiny_bert, data, tmp_path / "run")
    interrupted(monkeypatch, recipe, step=step, how=how)
    before, _ = checkpoint.newest(tmp_path / "run" / "checkpoints")
    # A crash loses the steps since the last save (every second one); a signal loses none.
    assert before is not None and int(before.name[5:]) == (step if how is not crash else (step - 1) // 2 * 2)
    torch.manual_seed(999)
    resumed(recipe)
    assert differences(whole, tmp_path / "run") == []


@pytest.mark.parametrize(
    ("budget", "steps"), [("13 steps", 13), (1.4, 11), ("900 tokens", None)], ids=["steps", "epochs", "tokens"]
)
def test_a_run_of_any_budget_is_resumed_in_the_middle_of_an_epoch(
    tiny_bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: Any, steps: int | None
) -> None:
    changes = {"train__budget": budget, "eval__every": "4 steps", "run__save_every": "100 tokens"}
    unbroken = finetune(tiny_recipe(tiny_bert, data, tmp_path / "whole", **changes), quiet=True).state
    assert unbroken.step == steps or (steps is None and 900 <= unbroken.tokens < 900 + 8 * 32)
    recipe = tiny_recipe(tiny_bert, data, tmp_path / "run", **changes)
    interrupted(monkeypatch, recipe, step=7, how=crash)
    resumed(recipe)
    assert differences(tmp_path / "whole", tmp_path / "run") == []


@pytest.mark.parametrize("step", [6, 8, 9, 15])
def test_pretraining_is_resumed_within_and_between_its_phases(
    tiny_bert: Path, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    recipe = pretraining(tiny_bert, pretrained.parent / "corpus.txt", tmp_path / "run")
    interrupted(monkeypatch, recipe, step=step, how=crash)
    resumed(recipe)
    assert differences(pretrained, tmp_path / "run") == []


def test_a_run_stopped_twice_ends_in_the_same_bits(
    tiny_bert: Path, data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(tiny_bert, data, tmp_path / "run")
    interrupted(monkeypatch, recipe, step=3, how=send(signal.SIGTERM))
    again = recipe.model_copy(update={"run": recipe.run.model_copy(update={"resume": "auto"})})
    interrupted(monkeypatch, again, step=11, how=crash)
    resumed(recipe)
    assert differences(whole, tmp_path / "run") == []


@dataclasses.dataclass(frozen=True, eq=False)
class ShiftedPlan(Plan):
    """One step ahead of the plan."""

    def draw(self, step: int) -> Drawn:
        return super().draw(step + 1)


def test_a_plan_that_is_off_by_one_after_resuming_is_told_apart(
    tiny_bert: Path, data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control for every comparison above."""
    recipe = tiny_recipe(tiny_bert, data, tmp_path / "run")
    interrupted(monkeypatch, recipe, step=5, how=send(signal.SIGTERM))

    def shifted(*args: Any, plan: Plan, **kwargs: Any) -> Iterator[StepRecord]:
        return train(*args, plan=ShiftedPlan(**vars(plan)), **kwargs)

    monkeypatch.setattr(fitting, "train", shifted)
    resumed(recipe)
    found = differences(whole, tmp_path / "run")
    assert {"model/classifier.weight", "optimizer/exp_avg/classifier.weight", "metrics"} <= set(found)


@pytest.mark.parametrize(
    ("number", "kind", "code", "state"),
    [
        (signal.SIGTERM, Preempted, 75, "preempted"),
        (signal.SIGUSR1, Preempted, 75, "preempted"),
        (signal.SIGINT, Interrupted, 130, "preempted"),
    ],
)
def test_a_signal_ends_the_run_with_its_exit_code_and_a_checkpoint_of_that_step(
    tiny_bert: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type,
    code: int,
    state: str,
) -> None:
    before = signal.getsignal(number)
    error = interrupted(monkeypatch, tiny_recipe(tiny_bert, data, tmp_path / "run"), step=3, how=send(number))
    assert isinstance(error, kind) and isinstance(error, BertctlError) and error.exit_code == code
    status = json.loads((tmp_path / "run" / "status.json").read_text(encoding="utf-8"))
    assert (status["state"], status["exit_code"]) == (state, code)
    assert checkpoint.newest(tmp_path / "run" / "checkpoints")[0] == tmp_path / "run" / "checkpoints" / "step-00000003"
    assert not (tmp_path / "run" / "best").exists()
    assert signal.getsignal(number) is before


def test_a_damaged_newest_checkpoint_is_left_aside_for_the_one_before(
    tiny_bert: Path, data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(tiny_bert, data, tmp_path / "run", run__keep=3)
    interrupted(monkeypatch, recipe, step=7, how=crash)
    weights = tmp_path / "run" / "checkpoints" / "step-00000006" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 4
    weights.write_bytes(bytes(content))
    notes: list[str] = []
    resumed(recipe, notes=notes)
    assert any(note.startswith("step-00000006 is damaged and left aside") for note in notes)
    assert any(note.endswith("step-00000004") for note in notes)
    assert set(differences(whole, tmp_path / "run")) <= {"recipe.yaml"}


def test_a_checkpoint_named_by_its_path_is_the_one_gone_on_from(
    tiny_bert: Path, data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(tiny_bert, data, tmp_path / "run", run__keep=3)
    interrupted(monkeypatch, recipe, step=7, how=crash)
    resumed(recipe, resume=str(tmp_path / "run" / "checkpoints" / "step-00000002"))
    assert set(differences(whole, tmp_path / "run")) <= {"recipe.yaml"}
    with pytest.raises(ModelError) as caught:
        resumed(tiny_recipe(tiny_bert, data, tmp_path / "new"), resume=str(tmp_path / "nowhere"))
    assert caught.value.code == "C010"


def test_a_changed_recipe_is_refused(
    tiny_bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(tiny_bert, data, tmp_path / "run")
    interrupted(monkeypatch, recipe, step=3, how=crash)
    with pytest.raises(UsageError, match="the recipe has changed") as caught:
        resumed(tiny_recipe(tiny_bert, data, tmp_path / "run", train__lr=1e-3))
    assert (caught.value.code, caught.value.exit_code, caught.value.key) == ("U023", 2, "train.lr")
    resumed(tiny_recipe(tiny_bert, data, tmp_path / "run", run__log_every=4))


def test_changed_data_are_refused_and_the_old_ones_are_gone_on_with(
    tiny_bert: Path, data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(data, tmp_path / "data")
    recipe = tiny_recipe(tiny_bert, tmp_path / "data", tmp_path / "run")
    interrupted(monkeypatch, recipe, step=5, how=crash)
    train_file = tmp_path / "data" / "train.tsv"
    original = train_file.read_text(encoding="utf-8")
    train_file.write_text(original.replace("good", "great", 1), encoding="utf-8")
    with pytest.raises(DataError, match="the data have changed") as caught:
        resumed(recipe)
    assert (caught.value.code, caught.value.exit_code) == ("D090", 3)
    assert caught.value.found is not None and str(caught.value.found).startswith("train ")
    train_file.write_text(original, encoding="utf-8")
    resumed(recipe)
    assert set(differences(whole, tmp_path / "run")) <= {"recipe.yaml"}


def test_a_finished_run_gives_its_result_without_training(
    tiny_bert: Path, data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    recipe = tiny_recipe(tiny_bert, data, out)
    stored = json.loads((out / "status.json").read_text(encoding="utf-8"))["result"]
    files = {file: file.stat().st_mtime_ns for file in out.rglob("*")}

    def never(*_: Any, **__: Any) -> Iterator[StepRecord]:
        raise AssertionError("nothing is to be trained")

    monkeypatch.setattr(fitting, "train", never)
    notes: list[str] = []
    result = resumed(recipe, notes=notes)
    assert any("finished already" in note for note in notes)
    ours = result.as_dict()
    for name in ("steps", "stopped", "best_step", "metric", "value", "scores", "threshold", "train_seconds"):
        assert ours[name] == stored[name], name
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*")} == files


def test_resuming_where_there_is_nothing_starts_afresh(
    tiny_bert: Path, data: Path, whole: Path, tmp_path: Path
) -> None:
    notes: list[str] = []
    resumed(tiny_recipe(tiny_bert, data, tmp_path / "run"), notes=notes)
    assert any("starting afresh" in note for note in notes)
    assert differences(whole, tmp_path / "run") == []


def test_the_loss_between_two_records_is_the_same_when_a_run_stopped_between_them(
    tiny_bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training record averages the steps since the one before, whichever process made them."""
    outs = [tmp_path / "whole", tmp_path / "run"]
    finetune(tiny_recipe(tiny_bert, data, outs[0], run__log_every=4), quiet=True)
    recipe = tiny_recipe(tiny_bert, data, outs[1], run__log_every=4)
    interrupted(monkeypatch, recipe, step=6, how=send(signal.SIGTERM))
    resumed(recipe)
    assert records(outs[0]) == records(outs[1])
