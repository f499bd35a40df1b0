"""Recipes with stages, trained: equal to their commands given one by one, kept, gone on with, and found wrong early."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_data
from tiny_stages import CLASSES, staged, write, write_stages

from bert_cli.errors import BertctlError, DataError, NonFiniteError, Preempted, UsageError
from bert_cli.launch import Place
from bert_cli.ranks import Gathered
from bert_cli.recipe.load import dump_recipe, load_recipe
from bert_cli.run import fit as fitting
from bert_cli.run.chain import Manner, train_chain
from bert_cli.run.dryrun import dry_run
from bert_cli.run.evaluate import evaluate
from bert_cli.run.finetune import finetune
from bert_cli.train.engine import StepRecord, train

BOTH = ["words.yaml", "pairs.yaml"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the runs of stages go."""
    monkeypatch.setenv("BERTCTL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "stages"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_stages(tmp_path / "recipes")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many steps each run made that was trained since the last look; `clear()` it."""
    found: list[int] = []

    def counted(*args: Any, **kwargs: Any) -> Iterator[StepRecord]:
        found.append(0)
        for record in train(*args, **kwargs):
            found[-1] += 1
            yield record

    monkeypatch.setattr(fitting, "train", counted)
    return found


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "best" / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    return (one / "best" / "model.safetensors").read_bytes() == (other / "best" / "model.safetensors").read_bytes()


def folder_of(cache: Path, name: str) -> Path:
    """The only run of a stage."""
    (found,) = cache.glob(f"{name}-*")
    return found


def train_quietly(recipe: Any, **options: Any) -> list[str]:
    """Train, and return what was said."""
    told: list[str] = []
    finetune(recipe, quiet=True, note=told.append, **options)
    return told


def alone(file: Path, model: Path, out: Path, **changes: Any) -> Any:
    """A recipe file as a run of its own."""
    flags = {"model.name": str(model), "run.out": str(out), "train.precision": "fp32", "dist.device": "cpu"}
    recipe = load_recipe(str(file), flags=flags | changes).recipe
    data = recipe.data.model_copy(update={"source": str(file.parent / str(recipe.data.source))})
    return recipe.model_copy(update={"data": data})


def test_a_chain_gives_the_bits_of_its_commands_given_one_by_one(
    folder: Path, tiny_bert: Path, tmp_path: Path, cache: Path
) -> None:
    recipe = staged(folder, tiny_bert, BOTH, run__out=str(tmp_path / "run"))
    told = train_quietly(recipe)
    finetune(alone(folder / "words.yaml", tiny_bert, tmp_path / "1"), quiet=True)
    finetune(alone(folder / "pairs.yaml", tmp_path / "1", tmp_path / "2"), quiet=True)
    reset = {"model.reset_head": True}
    finetune(alone(folder / "texts.yaml", tmp_path / "2", tmp_path / "3", **reset), quiet=True)
    assert same(folder_of(cache, "words"), tmp_path / "1") and same(folder_of(cache, "pairs"), tmp_path / "2")
    assert same(tmp_path / "run", tmp_path / "3")
    assert any(line.startswith("stage 1 of 2 (words): training, from ") for line in told)
    assert "stage 2 of 2 (pairs): training, from words" in told
    lock = json.loads((tmp_path / "run" / "lock.json").read_text())
    assert [stage["name"] for stage in lock["stages"]] == ["words", "pairs"]
    assert all(folder_of(cache, stage["name"]).name.endswith(stage["fingerprint"][:16]) for stage in lock["stages"])
    # The run's recipe is what was asked for, so that it can be run again.
    kept = load_recipe(str(tmp_path / "run")).recipe
    assert (kept.stages, kept.model.name, kept.model.reset_head) == (recipe.stages, str(tiny_bert), False)
    # A finished stage is never gone on with.
    assert not list(cache.glob("*/checkpoints")) and not list(cache.glob(".*"))
    found = evaluate(str(tmp_path / "run"))
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert found.scores == status["result"]["scores"]["validation"]


def test_finished_stages_are_not_run_again(
    folder: Path, tiny_bert: Path, tmp_path: Path, steps: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    finetune(staged(folder, tiny_bert, BOTH, run__out=str(tmp_path / "one")), quiet=True)
    assert len(steps) == 3
    steps.clear()
    # Another place, other data and settings of the last recipe, and of the stages nothing that changes a step.
    shutil.copytree(tiny_bert, tmp_path / "copy")
    folder = folder.rename(tmp_path / "moved")
    write(folder, "pairs", (folder / "pairs.yaml").read_text() + "dist: {timeout: 60}\n")
    changes = {"train__lr": 1e-4, "data__limit": 16, "run__out": str(tmp_path / "two")}
    told = train_quietly(staged(folder, tmp_path / "copy", BOTH, **changes))
    assert len(steps) == 1
    (line,) = [line for line in told if line.startswith("stage ")]
    assert "stage 2 of 2 (pairs): kept from before, accuracy " in line and "to run it again, delete " in line
    told = train_quietly(staged(folder, tiny_bert, BOTH, run__out=str(tmp_path / "one")), overwrite=True)
    assert len(steps) == 2 and any("kept from before" in line for line in told)


@pytest.mark.parametrize(
    ("change", "trained"),
    [("data of the first", 3), ("data of the second", 2), ("a setting", 2), ("the seed", 3), ("the first model", 3)],
)
def test_what_went_into_a_stage_decides_whether_it_is_run(
    folder: Path, tiny_bert: Path, tmp_path: Path, steps: list[int], change: str, trained: int
) -> None:
    finetune(staged(folder, tiny_bert, BOTH, run__out=str(tmp_path / "one")), quiet=True)
    steps.clear()
    model, changes = tiny_bert, {}
    if change == "data of the first":
        with (folder / "corpus.txt").open("a") as file:
            file.write("\n\na good film\n")
    elif change == "data of the second":
        with (folder / "pairs" / "train.tsv").open("a") as file:
            file.write("a good film\tthe film is bad\tcontradiction\n")
    elif change == "a setting":
        write(folder, "pairs", (folder / "pairs.yaml").read_text().replace("lr: 1e-3", "lr: 2e-3"))
    elif change == "the seed":
        changes = {"train__seed": 5}
    else:
        model = shutil.copytree(tiny_bert, tmp_path / "other")
        tensors = load_file(model / "model.safetensors")
        from safetensors.torch import save_file

        save_file({name: tensor * 1.01 for name, tensor in tensors.items()}, model / "model.safetensors")
    finetune(staged(folder, model, BOTH, run__out=str(tmp_path / "two"), **changes), quiet=True)
    assert len(steps) == trained


def test_a_finished_stage_needs_none_of_those_before_it(
    folder: Path, tiny_bert: Path, tmp_path: Path, steps: list[int], cache: Path
) -> None:
    finetune(staged(folder, tiny_bert, BOTH, run__out=str(tmp_path / "one")), quiet=True)
    shutil.rmtree(folder_of(cache, "words"))
    steps.clear()
    finetune(staged(folder, tiny_bert, BOTH, run__out=str(tmp_path / "two")), quiet=True)
    assert len(steps) == 1


def stop_in(monkeypatch: pytest.MonkeyPatch, run: int, how: Callable[[], None]) -> None:
    """Let `how` happen after the second step of the run of that number."""
    runs = []

    def stopping(*args: Any, **kwargs: Any) -> Iterator[StepRecord]:
        runs.append(None)
        for record in train(*args, **kwargs):
            if len(runs) == run and record.step == 2:
                how()
            yield record

    monkeypatch.setattr(fitting, "train", stopping)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("run", [1, 2, 3])
def test_a_chain_that_was_stopped_goes_on_where_it_was(
    folder: Path, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path, run: int
) -> None:
    recipe = staged(folder, tiny_bert, BOTH, run__out=str(tmp_path / "run"), run__resume="auto")
    with monkeypatch.context() as patch:
        stop_in(patch, run, terminate)
        with pytest.raises(Preempted) as caught:
            train_quietly(recipe)
    title = {1: "stage 1 of 2 (words): ", 2: "stage 2 of 2 (pairs): ", 3: ""}[run]
    assert caught.value.exit_code == 75 and caught.value.message.startswith(f"{title}stopped by SIGTERM after step 2")
    assert (tmp_path / "run").exists() == (run == 3)
    told = train_quietly(recipe)
    assert any(line.startswith("going on from ") for line in told)
    assert any(line.startswith(f"{title}going on, ") for line in told) == (run < 3)
    monkeypatch.setenv("BERTCTL_CACHE", str(tmp_path / "fresh"))
    finetune(staged(folder, tiny_bert, BOTH, run__out=str(tmp_path / "whole")), quiet=True)
    assert same(tmp_path / "run", tmp_path / "whole")


def test_a_stage_that_was_stopped_goes_on_without_being_asked_and_wherever_things_lie_now(
    folder: Path, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_in(patch, 1, terminate)
        with pytest.raises(Preempted):
            train_quietly(staged(folder, tiny_bert, BOTH, run__out=str(tmp_path / "one")))
    folder = folder.rename(tmp_path / "moved")
    model = shutil.copytree(tiny_bert, tmp_path / "copy")
    told = train_quietly(staged(folder, model, BOTH, run__out=str(tmp_path / "two")))
    assert any("step-00000002" in line for line in told)


def test_a_stage_that_fails_ends_the_chain_with_its_exit_code(folder: Path, tiny_bert: Path, tmp_path: Path) -> None:
    write(folder, "wild", "extends: pairs.yaml\ntrain: {lr: 1e30, max_grad_norm: null}\n")
    with pytest.raises(NonFiniteError) as caught:
        train_quietly(staged(folder, tiny_bert, ["words.yaml", "wild.yaml"], run__out=str(tmp_path / "run")))
    assert caught.value.exit_code == 8 and caught.value.message.startswith("stage 2 of 2 (wild): ")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("stage", "changes", "code"),
    [
        ("words", {"eval__metric": "nothing"}, "M001"),
        ("words", {"data__max_length": 100}, "R032"),
        ("words", {"train__class_weights": (1.0, 2.0, 3.0)}, "U031"),
        ("words", {"run__trackers": ("nobody",)}, "U040"),
        ("bad", {}, "D"),
    ],
)
def test_what_is_wrong_with_a_later_recipe_is_found_before_the_first_stage_is_trained(
    folder: Path, tiny_bert: Path, tmp_path: Path, cache: Path, stage: str, changes: dict[str, Any], code: str
) -> None:
    tiny_data(folder / "bad")
    (folder / "bad" / "validation.tsv").write_text("text\tlabel\na film\tstrange\n")
    write(folder, "bad", "extends: texts.yaml\ndata: {source: bad}\n")
    stages = ["words.yaml", f"{stage}.yaml"]
    with pytest.raises(BertctlError) as caught:
        train_quietly(staged(folder, tiny_bert, stages, run__out=str(tmp_path / "run"), **changes))
    assert caught.value.code.startswith(code), caught.value.render()
    assert isinstance(caught.value, DataError) == (stage == "bad")
    assert not list(cache.glob("*")) and not (tmp_path / "run").exists()


def test_a_run_folder_that_is_in_use_is_refused_before_any_stage(
    folder: Path, tiny_bert: Path, tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").touch()
    with pytest.raises(UsageError) as caught:
        train_quietly(staged(folder, tiny_bert, BOTH, run__out=str(tmp_path / "run")))
    assert caught.value.code == "U020" and not cache.exists()


def head(run: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in weights(run).items() if name.startswith("classifier")}


def test_a_head_is_kept_where_it_has_the_classes_and_new_where_not(
    folder: Path, tiny_bert: Path, tmp_path: Path, cache: Path
) -> None:
    # The same classes, which the last recipe names in another order; and too small a rate to move anything.
    rows = [f"the film was {CLASSES[i % 3][:4]}\ta plot\t{CLASSES[2 - i % 3]}" for i in range(12)]
    for split in ("train", "validation"):
        file = folder / "turned" / f"{split}.tsv"
        file.parent.mkdir(exist_ok=True)
        file.write_text("text\ttext_pair\tlabel\n" + "\n".join(rows) + "\n")
    still = {"train__lr": 1e-12, "train__weight_decay": 0.0}
    order = ("neutral", "contradiction", "entailment")
    turned = {"data__source": str(folder / "turned"), "data__labels": order, "run__out": str(tmp_path / "kept")}
    train_quietly(staged(folder, tiny_bert, ["pairs.yaml"], **still, **turned))
    trained = head(folder_of(cache, "pairs"))
    assert all(torch.allclose(tensor, head(tmp_path / "kept")[name], atol=1e-6) for name, tensor in trained.items())
    train_quietly(staged(folder, tiny_bert, ["pairs.yaml"], **still, run__out=str(tmp_path / "new")))
    assert len(head(tmp_path / "new")["classifier.bias"]) == 2
    # The encoder below goes on all the same.
    one, other = weights(folder_of(cache, "pairs")), weights(tmp_path / "new")
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one if name.startswith("bert."))


def test_a_head_for_another_kind_of_answer_is_new(folder: Path, tiny_bert: Path, tmp_path: Path, cache: Path) -> None:
    tiny_data(folder / "marks", n_train=16, n_validation=8, kind="multi-label")
    text = (folder / "pairs.yaml").read_text().replace("task: text-classification", "task: multi-label-classification")
    write(folder, "marks", text.replace("source: pairs", "source: marks"))
    rows = (folder / "pairs" / "train.tsv").read_text()
    for split in ("train", "validation"):
        # As many classes, and the same names, of which one is now right.
        table = rows
        for name, topic in zip(CLASSES, ("camera", "music", "story"), strict=True):
            table = table.replace(name, topic)
        (folder / "topics").mkdir(exist_ok=True)
        (folder / "topics" / f"{split}.tsv").write_text(table)
    changes = {"train__lr": 1e-12, "data__source": str(folder / "topics"), "run__out": str(tmp_path / "run")}
    train_quietly(staged(folder, tiny_bert, ["marks.yaml"], **changes))
    one, other = head(folder_of(cache, "marks")), head(tmp_path / "run")
    assert one["classifier.weight"].shape == other["classifier.weight"].shape
    assert not torch.allclose(one["classifier.weight"], other["classifier.weight"], atol=1e-3)


def test_pretraining_after_fine_tuning_goes_on_with_the_encoder(
    folder: Path, tiny_bert: Path, tmp_path: Path, cache: Path
) -> None:
    told = train_quietly(staged(folder, tiny_bert, ["pairs.yaml", "words.yaml"], run__out=str(tmp_path / "run")))
    assert "stage 2 of 2 (words): training, from pairs" in told
    config = json.loads((folder_of(cache, "words") / "best" / "config.json").read_text())
    assert config["architectures"] == ["BertForMaskedLM"]


def test_a_first_stage_from_scratch_gives_its_tokenizer_to_all(
    folder: Path, tmp_path: Path, cache: Path, steps: list[int]
) -> None:
    shape = "model_type: bert, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 32"
    model = f"model: {{config: {{{shape}, max_position_embeddings: 64}}}}\ntokenizer: {{vocab_size: 120}}\n"
    write(folder, "new", f"extends: words.yaml\n{model}")
    train_quietly(staged(folder, None, ["new.yaml", "pairs.yaml"], run__out=str(tmp_path / "run")))
    names = [folder_of(cache, "new"), folder_of(cache, "pairs"), tmp_path / "run"]
    vocabularies = [json.loads((run / "best" / "tokenizer.json").read_text())["model"]["vocab"] for run in names]
    assert vocabularies[0] == vocabularies[1] == vocabularies[2] and len(vocabularies[0]) <= 120
    assert load_recipe(str(tmp_path / "run")).recipe.model.name is None
    # What the run has recorded is a recipe that can be run again.
    steps.clear()
    again = load_recipe(str(tmp_path / "run"), flags={"run.out": str(tmp_path / "again")}).recipe
    finetune(again, quiet=True)
    assert len(steps) == 1 and same(tmp_path / "run", tmp_path / "again")


def test_a_mixture_that_has_moved_is_the_same_stage(
    folder: Path, tiny_bert: Path, tmp_path: Path, steps: list[int]
) -> None:
    text = (folder / "corpus.txt").read_text()
    recipe = (folder / "words.yaml").read_text().replace("source: corpus.txt", "mix: {a.txt: 1, b.txt: 3}")
    write(folder, "mixed", recipe)
    (folder / "a.txt").write_text(text)
    (folder / "b.txt").write_text(text + "\n\none more document\n")
    finetune(staged(folder, tiny_bert, ["mixed.yaml"], run__out=str(tmp_path / "one")), quiet=True)
    assert len(steps) == 2
    (folder / "moved").mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).rename(folder / "moved" / name)
    for weights, trained in (("moved/b.txt: 3, moved/a.txt: 1", 1), ("moved/b.txt: 1, moved/a.txt: 3", 2)):
        steps.clear()
        write(folder, "mixed", recipe.replace("a.txt: 1, b.txt: 3", weights))
        out = str(tmp_path / f"{trained}")
        finetune(staged(folder, tiny_bert, ["mixed.yaml"], run__out=out), quiet=True)
        assert len(steps) == trained


def test_checkpoints_that_a_killed_chain_left_go_with_the_next_one(
    folder: Path, tiny_bert: Path, tmp_path: Path, cache: Path
) -> None:
    finetune(staged(folder, tiny_bert, ["pairs.yaml"], run__out=str(tmp_path / "one")), quiet=True)
    left = folder_of(cache, "pairs") / "checkpoints" / "step-00000001"
    left.mkdir(parents=True)
    finetune(staged(folder, tiny_bert, ["pairs.yaml"], run__out=str(tmp_path / "two")), quiet=True)
    assert not left.parent.exists() and (left.parent.parent / "best").is_dir()


def test_a_finished_run_needs_its_stages_no_more(
    folder: Path, tiny_bert: Path, tmp_path: Path, cache: Path, steps: list[int]
) -> None:
    recipe = staged(folder, tiny_bert, BOTH, run__out=str(tmp_path / "run"), run__resume="auto")
    first = finetune(recipe, quiet=True)
    shutil.rmtree(cache)
    steps.clear()
    again = finetune(recipe, quiet=True)
    assert not steps and again.as_dict() == first.as_dict()


def test_a_run_does_not_go_on_from_other_stages(folder: Path, tiny_bert: Path, tmp_path: Path, cache: Path) -> None:
    recipe = staged(folder, tiny_bert, BOTH, run__out=str(tmp_path / "run"), run__resume="auto")
    finetune(recipe, quiet=True)
    before = sorted(cache.iterdir())
    with (folder / "pairs" / "train.tsv").open("a") as file:
        file.write("a good film\tthe film is bad\tcontradiction\n")
    with pytest.raises(UsageError) as caught:
        finetune(recipe, quiet=True)
    assert caught.value.code == "U107" and str(caught.value.found).startswith("pairs:")
    assert sorted(cache.iterdir()) == before
    finetune(recipe, overwrite=True, quiet=True)
    with pytest.raises(UsageError) as caught:
        finetune(recipe.model_copy(update={"stages": ()}), quiet=True)
    assert caught.value.code == "U023"


def test_a_dry_run_shows_the_stages_and_leaves_nothing(
    folder: Path, tiny_bert: Path, tmp_path: Path, cache: Path
) -> None:
    recipe = staged(folder, tiny_bert, BOTH, run__out=str(tmp_path / "run"))
    before = sorted(tmp_path.rglob("*"))
    found = dry_run(recipe)
    assert sorted(tmp_path.rglob("*")) == before
    assert [(stage["name"], stage["state"], stage["task"]) for stage in found.stages] == [
        ("words", "new", "fill-mask"),
        ("pairs", "new", "text-classification"),
    ]
    assert found.stages[1]["plan"]["steps"] == 24 / 8 and found.plan["steps"] == 32 / 8
    assert found.stages[1]["labels"] == sorted(CLASSES) and found.labels == ["bad", "good"]
    assert (found.stages[0]["model"], found.model) == (str(tiny_bert), "of stage 2 (pairs)")
    finetune(staged(folder, tiny_bert, ["words.yaml"], run__out=str(tmp_path / "run")), quiet=True)
    assert [stage["state"] for stage in dry_run(recipe).stages] == ["finished", "new"]
    finetune(recipe.model_copy(update={"run": recipe.run.model_copy(update={"out": str(tmp_path / "2")})}), quiet=True)
    shutil.rmtree(folder_of(cache, "words"))
    assert [stage["state"] for stage in dry_run(recipe).stages] == ["not needed", "finished"]


class Elsewhere:
    """Rank 0 of two machines, the other of which has a cache of its own."""

    place = Place(0, 2, 0, 1, "tcp://first:1", "a launcher")
    world_size, is_main = 2, True

    def share(self, value: Any) -> Any:
        assert Path(value).is_file()
        return value

    def gather(self, value: Any, arrays: list[Any]) -> list[Gathered]:
        return [Gathered(value, arrays), Gathered(False, arrays)]


def test_machines_that_do_not_share_their_cache_are_refused(folder: Path, tiny_bert: Path, cache: Path) -> None:
    ranks: Any = Elsewhere()
    with pytest.raises(UsageError) as caught:
        train_chain(staged(folder, tiny_bert, BOTH), ranks, overwrite=False, manner=Manner())
    assert (caught.value.code, caught.value.key) == ("U106", "BERTCTL_CACHE")
    assert list(cache.iterdir()) == []


def test_stages_are_run_by_all_ranks(folder: Path, tiny_bert: Path, tmp_path: Path, cache: Path) -> None:
    write(folder, "mine", dump_recipe(staged(folder, tiny_bert, BOTH, run__out=str(tmp_path / "run"))))
    command = [sys.executable, "-m", "bert_cli", "finetune", str(folder / "mine.yaml"), "--cpus", "2", "--quiet"]
    command += ["--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    runs = [folder_of(cache, "words"), folder_of(cache, "pairs"), tmp_path / "run"]
    assert [json.loads((run / "lock.json").read_text())["world_size"] for run in runs] == [2, 2, 2]
    # What one process has trained serves several, and the other way round.
    told = train_quietly(staged(folder, tiny_bert, BOTH, run__out=str(tmp_path / "one")))
    assert any("stage 2 of 2 (pairs): kept from before" in line for line in told)
