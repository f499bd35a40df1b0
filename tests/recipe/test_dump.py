"""A recipe written out is read back equal; its hash and its JSON Schema say what they should."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_cli.recipe.keys import known_keys
from bert_cli.recipe.load import dump_recipe, load_recipe, recipe_hash, schema_json
from bert_cli.recipe.schema import Recipe

FINITE = st.floats(0.001, 1e9, exclude_max=True)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
RECIPES = st.fixed_dictionaries(
    {},
    optional={
        "model": st.fixed_dictionaries(
            {},
            optional={
                "name": st.none() | TEXT,
                "freeze": st.integers(0, 99) | st.just("encoder"),
                "dropout": st.none() | st.floats(0, 1, exclude_max=True),
                "config": st.dictionaries(NAMES, st.booleans() | st.integers() | FINITE | TEXT, max_size=4),
            },
        ),
        "data": st.fixed_dictionaries(
            {},
            optional={
                "columns": st.dictionaries(NAMES, TEXT, max_size=3),
                "labels": st.just("auto") | st.lists(TEXT, min_size=2, max_size=5, unique=True).map(tuple),
                "label_separator": NAMES,
            },
        ),
        "train": st.fixed_dictionaries(
            {},
            optional={
                "lr": FINITE,
                "epochs": FINITE | st.integers(1, 100),
                "seed": st.integers(0, 2**32 - 1),
                "schedule": st.sampled_from(["linear", "cosine", "constant", "wsd"]),
                "max_grad_norm": st.none() | FINITE,
            },
        ),
        "eval": st.fixed_dictionaries({}, optional={"metrics": st.lists(TEXT, max_size=3).map(tuple)}),
    },
)


@given(RECIPES)
@settings(max_examples=60, deadline=None)
def test_a_dumped_recipe_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]
) -> None:
    recipe = Recipe.model_validate(values)
    file = tmp_path_factory.getbasetemp() / "dumped.yaml"
    file.write_bytes(dump_recipe(recipe).encode())
    again = load_recipe(str(file)).recipe
    assert again == recipe
    assert recipe_hash(again) == recipe_hash(recipe)
    assert dump_recipe(again) == dump_recipe(recipe)


def test_the_hash_changes_with_any_value_and_with_nothing_else() -> None:
    recipe = load_recipe(overrides=["data.columns={a: x, b: y}"]).recipe
    same = load_recipe(overrides=["data.columns={b: y, a: x}"]).recipe
    other = load_recipe(overrides=["data.columns={b: y, a: z}"]).recipe
    assert recipe_hash(recipe) == recipe_hash(same) != recipe_hash(other)
    assert len(recipe_hash(recipe)) == 64


def test_the_json_schema_describes_every_key_and_refuses_others() -> None:
    schema = schema_json()
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["additionalProperties"] is False
    assert list(schema["properties"])[:2] == ["extends", "task"]
    assert all(node.get("description") for node in known_keys().fields.values())
    assert all(section["additionalProperties"] is False for section in schema["$defs"].values())
    assert json.loads(json.dumps(schema)) == schema
