"""Mistakes that are found before anything heavy is imported."""

from __future__ import annotations

import pytest

from bert_cli.errors import UsageError
from bert_cli.recipe.load import load_recipe
from bert_cli.run.find import check_keys
from bert_cli.tasks import all_tasks


@pytest.mark.parametrize(
    ("task", "override"),
    [
        ("sst2", "mask.rate=0.3"),
        ("sst2", "eval.threshold=0.4"),
        ("stsb", "train.label_smoothing=0.1"),
        ("fill-mask", "train.class_weights=balanced"),
        ("fill-mask", "mask.rtd_weight=10"),
    ],
)
def test_a_key_that_the_task_never_reads_is_refused(task: str, override: str) -> None:
    recipe = load_recipe(None, task=task, overrides=[override]).recipe
    with pytest.raises(UsageError) as caught:
        check_keys(recipe)
    assert caught.value.code == "U016"
    assert override.startswith(str(caught.value.key))


@pytest.mark.parametrize("task", sorted(all_tasks()))
def test_shipped_recipes_say_nothing_that_is_never_read(task: str) -> None:
    recipe = load_recipe(None, task=task).recipe
    check_keys(recipe)
    assert recipe.task == task
