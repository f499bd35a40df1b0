"""What single keys may hold, and the forms in which it may be written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_cli.errors import BertctlError
from bert_cli.recipe.load import load_recipe, recipe_hash, schema_json
from bert_cli.recipe.schema import DataSection


def with_key(override: str) -> Any:
    return load_recipe(overrides=[override]).recipe


def refusal(override: str) -> BertctlError:
    with pytest.raises(BertctlError) as caught:
        load_recipe(overrides=[override])
    assert (caught.value.exit_code, caught.value.where) == (2, override)
    return caught.value


def test_a_share_is_the_same_as_number_and_as_percentage() -> None:
    number, percentage = with_key("data.validation=0.3"), with_key("data.validation=30%")
    assert number == percentage and recipe_hash(number) == recipe_hash(percentage)
    assert number.data.validation_share == 0.3 and number.data.validation_split is None


@given(st.floats(1e-6, 1 - 1e-6))
def test_a_share_is_kept_to_ten_digits(share: float) -> None:
    assert DataSection(validation=share).validation_share == pytest.approx(share, rel=1e-10)  # type: ignore[arg-type]


@pytest.mark.parametrize("written", ["1", "0", "1.5", "0.0", "1.0", "-0.1", "0%", "100%", "ten%", "[10%]", "test"])
def test_another_share_is_refused_with_both_forms(written: str) -> None:
    error = refusal(f"data.validation={written}")
    assert (error.code, error.key) == ("R023", "data.validation")
    assert "auto" in str(error.allowed) and "'10%' or 0.1" in str(error.allowed) and "split" in str(error.allowed)


def test_a_name_is_a_split_and_auto_is_neither() -> None:
    assert with_key("data.validation=dev").data.validation_split == "dev"
    auto = with_key("data.validation=auto").data
    assert (auto.validation_split, auto.validation_share) == (None, None)


@pytest.mark.parametrize(("written", "warmup"), [("0", 0.0), ("0.06", 0.06), ("1", 1.0), ("500", 500.0), ("2.0", 2.0)])
def test_a_warm_up_is_a_share_or_whole_steps(written: str, warmup: float) -> None:
    assert with_key(f"train.warmup={written}").train.warmup == warmup


@pytest.mark.parametrize("written", ["1.5", "1.0001", "100.5"])
def test_a_fraction_of_a_step_is_no_warm_up(written: str) -> None:
    error = refusal(f"train.warmup={written}")
    assert (error.code, error.allowed) == ("R023", "a share of all steps below 1, or a whole number of steps")


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        ("eval.metrics=accuracy", "[accuracy]"),
        ("eval.metrics=accuracy, f1_macro", "[accuracy, f1_macro]"),
        ("eval.metrics=evaluate:./mine", '["evaluate:./mine"]'),
        ("run.trackers=wandb", "[wandb]"),
    ],
)
def test_a_word_where_a_list_is_wanted_is_shown_as_a_list(override: str, shown: str) -> None:
    error = refusal(override)
    assert (error.code, error.allowed) == ("R023", f"a list, as {shown}")
    key = override.partition("=")[0]
    load_recipe(overrides=[f"{key}={shown}"])


def test_editors_are_told_that_a_share_may_be_a_number() -> None:
    data = schema_json()["$defs"]["DataSection"]["properties"]
    kinds = [kind["type"] for kind in data["validation"]["anyOf"]]
    assert kinds == ["string", "number"] and "0.1" in data["validation"]["description"]
