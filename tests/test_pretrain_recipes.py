"""The shipped recipes for pretraining: each is sound, each builds its model, each trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bert_cli.cli.app import run as run_command
from bert_cli.recipe.files import shipped_recipes
from bert_cli.recipe.load import load_recipe
from bert_cli.recipe.schema import Recipe
from bert_cli.toyworld.documents import documents

RECIPES = [name for name in shipped_recipes() if name.startswith("pretrain/")]


def recipe_of(name: str) -> Recipe:
    return load_recipe(name).recipe


def test_there_are_recipes_for_each_way_to_pretrain() -> None:
    tasks = {recipe_of(name).task for name in RECIPES}
    assert {"fill-mask", "fill-mask-nsp", "replaced-token-detection"} <= tasks
    assert {recipe_of(name).tokenizer.kind for name in RECIPES} >= {"wordpiece", "bpe"}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_nothing_that_changes_nothing(name: str) -> None:
    from bert_cli.data.budget import check_timed, merged
    from bert_cli.run.find import check_keys

    recipe = recipe_of(name)
    check_keys(recipe)
    assert recipe.data.source is None and recipe.run.out is None
    stages = merged(
        recipe.data.lengths or {recipe.data.max_length: 1.0}, recipe.train.batch_sizes or {recipe.train.batch_size: 1.0}
    )
    check_timed(recipe.train.amount, stages=len(stages), warmup=recipe.train.warmup)
    # The batch that the recipe names is the one that it ends with.
    assert stages[-1][:2] == (recipe.data.max_length, recipe.train.batch_size)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_opens_with_what_it_is(name: str) -> None:
    first, second, *_ = shipped_recipes()[name].read_text(encoding="utf-8").splitlines()
    assert first.startswith("# ") and first.endswith(".") and len(first) < 100 and second.startswith("# ")


def meta_model(recipe: Recipe, auto_class: str) -> Any:
    """The recipe's model without memory for its weights."""
    import torch
    import transformers

    from bert_cli.run.build import shape_of

    shape = {"vocab_size": recipe.tokenizer.vocab_size, "pad_token_id": 0, **shape_of(recipe)}
    config = transformers.AutoConfig.for_model(shape.pop("model_type"), **shape)
    with torch.device("meta"):
        return getattr(transformers, auto_class).from_config(config)


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "pretrain/domain-adapt"])
def test_a_recipe_builds_its_model_with_a_position_for_each_token(name: str) -> None:
    from bert_cli.models.build import positions

    recipe = recipe_of(name)
    model = meta_model(recipe, "AutoModelForMaskedLM" if recipe.task == "fill-mask" else "AutoModelForPreTraining")
    assert model.get_input_embeddings().num_embeddings == recipe.tokenizer.vocab_size
    assert positions(model) >= recipe.data.max_length


def test_the_recipe_that_adapts_a_model_names_none() -> None:
    model = recipe_of("pretrain/domain-adapt").model
    assert (model.name, model.size, model.config) == (None, None, {})


def small(recipe: Recipe) -> list[str]:
    """What makes a recipe of any size one of seconds: its own ways to train, on next to nothing."""
    keys = ["data.max_length=48", "data.validation=20%", "train.batch_size=8", "train.budget=4 steps"]
    keys += ["train.warmup=0.5", "train.precision=fp32", "eval.every=4 steps", "run.save_every=4 steps"]
    if recipe.data.lengths:
        keys += ["data.lengths=null", "data.lengths={24: 0.5, 48: 0.5}"]
    if recipe.train.batch_sizes:
        keys += ["train.batch_sizes=null", "train.batch_sizes={4: 0.5, 8: 0.5}"]
    if recipe.model.size is not None:
        shape = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
        if recipe.task == "replaced-token-detection":
            shape["embedding_size"] = 16
        keys += ["tokenizer.vocab_size=300", *(f"model.config.{key}={value}" for key, value in shape.items())]
    return keys


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_when_it_is_made_small(name: str, tmp_path: Path, tiny_bert: Path) -> None:
    recipe, corpus, out = recipe_of(name), tmp_path / "corpus.txt", tmp_path / "run"
    corpus.write_text("\n\n".join("\n".join(lines) for lines in documents(30, seed=3)), encoding="utf-8")
    start = [] if recipe.model.size is not None else ["--model", str(tiny_bert)]
    words = ["pretrain", name, "--data", str(corpus), "--out", str(out), "--quiet", *start, *small(recipe)]
    assert run_command(words) == 0
    status = json.loads((out / "status.json").read_text())
    assert status["state"] == "done" and (out / "best").is_dir()
