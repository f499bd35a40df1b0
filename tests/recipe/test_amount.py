"""One grammar for how long a run is and how often something happens."""

from __future__ import annotations

import pytest

from bert_cli.errors import BertctlError
from bert_cli.recipe.amount import Amount
from bert_cli.recipe.load import load_recipe


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        (3, Amount(3, "epochs")),
        ("0.5", Amount(0.5, "epochs")),
        ("2 epochs", Amount(2, "epochs")),
        ("500 steps", Amount(500, "steps")),
        ("1 step", Amount(1, "steps")),
        ("1.5k steps", Amount(1_500, "steps")),
        ("1e6 steps", Amount(1_000_000, "steps")),
        ("2B tokens", Amount(2_000_000_000, "tokens")),
        ("10M tokens", Amount(10_000_000, "tokens")),
        ("90s", Amount(90, "seconds")),
        ("10m", Amount(600, "seconds")),
        ("1.5h", Amount(5_400, "seconds")),
        ("1d", Amount(86_400, "seconds")),
    ],
)
def test_an_amount_is_epochs_steps_tokens_or_time(text: str | float, amount: Amount) -> None:
    assert Amount.parse(text) == amount


@pytest.mark.parametrize(
    "text", ["", "steps", "-1 steps", "0", "0s", "10 M", "10M", "5 minutes", "2k epochs", "1,000 steps"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="epochs"):
        Amount.parse(text)


@pytest.mark.parametrize("key", ["train.budget", "eval.every", "run.save_every"])
def test_a_recipe_says_what_is_allowed(key: str) -> None:
    with pytest.raises(BertctlError) as caught:
        load_recipe(overrides=[f"{key}=soon"])
    assert caught.value.key == key and "500 steps" in caught.value.render()


def test_a_budget_stands_in_for_epochs() -> None:
    assert load_recipe(overrides=["train.epochs=4"]).recipe.train.amount == Amount(4, "epochs")
    both = load_recipe(overrides=["train.epochs=4", "train.budget=10m"]).recipe
    assert both.train.amount == Amount(600, "seconds")


def test_phases_of_a_recipe_are_replaced_whole() -> None:
    section = load_recipe(
        "pretrain/bert-base-paper", overrides=["data.lengths={32: 0.5, 64: 0.5}"], flags={"data.max_length": 64}
    )
    assert section.recipe.data.lengths == {32: 0.5, 64: 0.5}


def test_the_order_of_phases_is_that_of_their_values() -> None:
    written = load_recipe(overrides=["data.lengths={128: 0.1, 64: 0.9}"]).recipe
    assert list(written.data.lengths) == [64, 128]


def test_phases_are_shares_of_the_whole_run() -> None:
    section = load_recipe(overrides=["data.lengths={64: 0.9, 128: 0.1}"]).recipe.data
    assert section.lengths == {64: 0.9, 128: 0.1}
    for wrong in ("{64: 0.9, 128: 0.2}", "{0: 1.0}", "{64: 1.0}"):
        with pytest.raises(BertctlError):
            load_recipe(overrides=[f"data.lengths={wrong}"])
