"""A run made again from its folder: what it was made from is known by every byte, and it ends the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny import tiny_data, tiny_model, tiny_recipe, tiny_texts
from tiny_stages import staged, write_stages

from bert_cli.errors import BertctlError, ErrorGroup
from bert_cli.models.locate import locate
from bert_cli.recipe.load import load_recipe
from bert_cli.recipe.schema import Recipe
from bert_cli.run.compare import compare, compare_weights
from bert_cli.run.finetune import finetune
from bert_cli.run.inputs import data_facts, model_facts
from bert_cli.run.reproduce import check_inputs, plan_again, same_threads
from bert_cli.run.rundir import RunDir


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of stages and trained tokenizers are made anew."""
    monkeypatch.setenv("BERTCTL_CACHE", str(tmp_path / "cache"))


def again(run: Path, **places: Any) -> RunDir:
    rerun = plan_again(str(run), **places)
    check_inputs(rerun)
    with same_threads(rerun.lock):
        return finetune(rerun.recipe, quiet=True).run


def refused(run: Path) -> dict[str, str | None]:
    """Code and key of each difference."""
    with pytest.raises(BertctlError) as caught:
        check_inputs(plan_again(str(run)))
    error = caught.value
    return {str(one.key): one.code for one in (error.errors if isinstance(error, ErrorGroup) else (error,))}


def test_G1_a_pretraining_from_scratch_is_repeated_with_its_tokenizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "corpus.txt").write_text("\n\n".join(text for text, _ in tiny_texts(60)) + "\n")
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    recipe = Recipe.model_validate(
        {
            "task": "fill-mask",
            "model": {"config": {"model_type": "bert", "max_position_embeddings": 64, **sizes}},
            "tokenizer": {"vocab_size": 200},
            "data": {"source": str(tmp_path / "corpus.txt"), "max_length": 32},
            "train": {"epochs": 2.0, "batch_size": 8, "lr": 1e-3, "precision": "fp32"},
            "run": {"out": str(tmp_path / "run")},
            "dist": {"device": "cpu"},
        }
    )
    finetune(recipe, quiet=True)
    monkeypatch.setenv("BERTCTL_CACHE", str(tmp_path / "another cache"))
    compared = compare(RunDir(tmp_path / "run"), again(tmp_path / "run"))
    assert compared.same and compared.differences == () and compared.weights.tensors > 10
    with (tmp_path / "corpus.txt").open("a") as file:
        file.write("one more word\n")
    assert refused(tmp_path / "run") == {"data.corpus.txt": "D092"}


def test_G1_a_run_with_stages_is_repeated_and_knows_what_they_were_made_from(tiny_bert: Path, tmp_path: Path) -> None:
    folder = write_stages(tmp_path / "recipes")
    recipe = staged(folder, tiny_bert, ["pairs.yaml"], run__out=str(tmp_path / "run"), train__precision="auto")
    finetune(recipe, quiet=True)
    compared = compare(RunDir(tmp_path / "run"), again(tmp_path / "run"))
    assert compared.same and compared.differences == ()
    with (folder / "pairs" / "train.tsv").open("a") as file:
        file.write("a film\tthe film\tneutral\n")
    assert refused(tmp_path / "run") == {"stages.pairs": "C024"}


def test_G2_a_changed_byte_changes_its_own_sum_and_no_other(tiny_bert: Path, tmp_path: Path) -> None:
    data, model = tiny_data(tmp_path / "data"), Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    recipe = tiny_recipe(model, data, tmp_path / "run", model__tokenizer=str(tiny_bert))

    def sums() -> dict[str, str]:
        facts = model_facts(recipe, locate(str(model)))
        return {**data_facts(recipe), **facts["sha256"], "tokenizer": facts["tokenizer"]}

    before = sums()
    assert set(before) >= {"train", "validation", "config.json", "model.safetensors", "tokenizer.json", "tokenizer"}
    files = {"train": data / "train.tsv", "validation": data / "validation.tsv"}
    for name in set(before) - {"tokenizer"}:
        file = files.get(name, model / name)
        content = file.read_bytes()
        # A space at the end keeps JSON and weights what they mean.
        file.write_bytes(content + b" ")
        assert {key for key, value in sums().items() if value != before[key]} == {name}
        file.write_bytes(content)
    assert sums() == before


def test_G2_the_bytes_count_and_not_the_place(tiny_bert: Path, tmp_path: Path) -> None:
    data = tiny_data(tmp_path / "data")
    train = {"epochs": 1.0, "batch_size": 16, "lr": 1e-3, "precision": "fp32"}
    finetune(tiny_recipe(tiny_bert, data, tmp_path / "run", train=train), quiet=True)
    moved, model = Path(shutil.copytree(data, tmp_path / "moved")), Path(shutil.copytree(tiny_bert, tmp_path / "copy"))
    shutil.rmtree(data)
    compared = compare(RunDir(tmp_path / "run"), again(tmp_path / "run", data=str(moved), model=str(model)))
    assert compared.same
    kept = load_recipe(str(compared.again.recipe)).recipe
    assert (kept.data.source, kept.model.name) == (str(moved), str(model))


def test_the_generator_counts_only_where_it_is_trained_further(tmp_path: Path) -> None:
    pair = tmp_path / "pair"
    for name in ("generator", "discriminator"):
        shutil.copytree(tiny_model(tmp_path / f"one {name}", "electra"), pair / name)
    located = locate(str(pair))
    facts = {
        task: model_facts(Recipe.model_validate({"task": task}), located)["sha256"]
        for task in ("fill-mask", "replaced-token-detection")
    }
    assert "config.json" in facts["fill-mask"]
    assert {f"generator/{name}" for name in facts["fill-mask"]} == set(facts["replaced-token-detection"]) - set(
        facts["fill-mask"]
    )


def test_weights_compare_by_their_bits(tmp_path: Path) -> None:
    for name, value in (("one", 0.0), ("other", -0.0)):
        (tmp_path / name).mkdir()
        tensors = {"a": torch.tensor([value]), "b": torch.tensor(float("nan"))}
        save_file(tensors, tmp_path / name / "model.safetensors")
    found = compare_weights(tmp_path / "one", tmp_path / "other")
    assert (found.tensors, found.differing, found.largest) == (2, 1, 0.0)
    save_file({"a": torch.zeros(1), "b": torch.tensor(0.0).half()}, tmp_path / "other" / "model.safetensors")
    with pytest.raises(BertctlError) as caught:
        compare_weights(tmp_path / "one", tmp_path / "other")
    assert caught.value.code == "C025" and "float16" in str(caught.value.found)


def test_a_mixture_is_not_replaced_by_one_place(tmp_path: Path, tiny_bert: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text("\n\n".join(text for text, _ in tiny_texts(40)), encoding="utf-8")
    mix = {str(tmp_path / "a.txt"): 1.0, str(tmp_path / "b.txt"): 2.0}
    recipe = Recipe.model_validate(
        {
            "task": "fill-mask",
            "model": {"name": str(tiny_bert)},
            "data": {"mix": mix, "max_length": 16},
            "train": {"budget": "2 steps", "batch_size": 4, "lr": 1e-3, "precision": "fp32"},
            "run": {"out": str(tmp_path / "run")},
        }
    )
    finetune(recipe, quiet=True)
    with pytest.raises(BertctlError) as caught:
        plan_again(str(tmp_path / "run"), data=str(tmp_path))
    assert caught.value.code == "U124" and "a.txt" in str(caught.value.help)


def test_a_run_without_a_word_about_memory_is_repeated_all_the_same(tiny_bert: Path, tmp_path: Path) -> None:
    train = {"epochs": 1.0, "batch_size": 16, "lr": 1e-3, "precision": "fp32"}
    result = finetune(tiny_recipe(tiny_bert, tiny_data(tmp_path / "data"), tmp_path / "run", train=train), quiet=True)
    status = json.loads(result.run.status.read_text())
    del status["result"]["micro_batch_tokens"]
    result.run.status.write_text(json.dumps(status))
    compared = compare(result.run, again(tmp_path / "run"))
    assert compared.same and [one.key for one in compared.differences] == ["train.micro_batch_tokens"]


def test_a_budget_of_time_explains_other_weights(tiny_bert: Path, tmp_path: Path) -> None:
    train = {"budget": "1s", "batch_size": 16, "lr": 1e-3, "precision": "fp32", "warmup": 0}
    result = finetune(tiny_recipe(tiny_bert, tiny_data(tmp_path / "data"), tmp_path / "run", train=train), quiet=True)
    compared = compare(result.run, again(tmp_path / "run"))
    assert "train.budget" in [one.key for one in compared.differences]
    compared.check()
