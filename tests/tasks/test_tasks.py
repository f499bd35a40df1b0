"""Contract of every task and of the recipe shipped for it.

Tasks are found by scanning, so one that is added without distinct labels, fitting metrics or a recipe fails here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bert_cli.errors import UsageError
from bert_cli.metrics.names import check_metrics, larger_is_better
from bert_cli.recipe.schema import Recipe
from bert_cli.tasks import Task, all_tasks, find_task
from bert_cli.tasks.base import MINIMAL_PAIRS

RECIPES = Path(__file__).parents[2] / "recipes"
GENERIC = {"text-classification", "multi-label-classification", "text-regression"}
ROLES = {"text", "text_pair", "label"}
TASKS = [task for task in all_tasks().values() if not task.pretrains and task.objective != MINIMAL_PAIRS]
TEXTS = [task for task in TASKS if task.objective in GENERIC]
TRAINED = [task for task in TASKS if "train" in task.splits]

each_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
each_of_texts = pytest.mark.parametrize("task", TEXTS, ids=lambda task: task.name)
each_trained = pytest.mark.parametrize("task", TRAINED, ids=lambda task: task.name)


def _recipe(task: Task) -> Path:
    return RECIPES / "finetune" / f"{task.name}.yaml"


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def test_the_tasks_of_the_plan_are_there() -> None:
    glue = {"cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte", "wnli"}
    others = {"ag_news", "trec", "trec_fine", "imdb", "chnsenticorp", "tweeteval_emotion", "goemotions"}
    superglue = {"boolq", "cb", "copa", "wic"}
    clue = {"tnews", "afqmc", "iflytek", "ocnli", "cmnli", "csl", "cluewsc"}
    choices = {"multiple-choice", "swag", "hellaswag", "commonsenseqa", "arc_easy", "arc_challenge", "race", "xcopa"}
    assert glue | others | {"banking77", "clinc150"} | GENERIC <= set(all_tasks())
    searches = {"sentence-similarity", "text-ranking", "scifact", "nfcorpus", "cranfield"}
    pairs = {"stsb_similarity", "stsb_zh", "quora_pairs", "simcse"}
    assert searches | pairs <= set(all_tasks())
    assert superglue | clue | choices | {"xnli", "pawsx"} <= set(all_tasks())


@each_task
def test_a_task_is_found_by_its_name(task: Task) -> None:
    assert find_task(task.name) is task
    assert all_tasks()[task.name] is task


def test_an_unknown_task_names_a_near_one() -> None:
    with pytest.raises(UsageError) as caught:
        find_task("sts2b")
    assert caught.value.code == "U010"
    assert caught.value.suggestion() == "stsb"


@each_of_texts
def test_labels_are_at_least_two_distinct_names(task: Task) -> None:
    if task.objective == "text-regression":
        assert task.labels is None
        return
    if task.name in GENERIC:
        assert task.labels is None and task.hub is None and not task.folders
        return
    assert task.labels is not None
    assert len(task.labels) >= 2
    assert len(set(task.labels)) == len(task.labels)
    assert all(label and label == label.strip() for label in task.labels)


@each_of_texts
def test_aliases_lead_to_labels_and_are_none_themselves(task: Task) -> None:
    labels = set(task.labels or ())
    assert set(task.label_aliases.values()) <= labels
    assert not set(task.label_aliases) & labels


@each_task
def test_the_metrics_fit_and_the_primary_one_grows_with_quality(task: Task) -> None:
    assert task.primary in task.metrics
    assert larger_is_better(task.primary)
    check_metrics(task.metrics, task.objective, None if task.labels is None else len(task.labels))


@each_of_texts
def test_roles_have_columns_and_no_column_serves_two_roles(task: Task) -> None:
    assert {"text", "label"} <= set(task.columns)
    assert set(task.columns) <= ROLES or task.prepare is not None
    assert task.optional <= set(task.columns) - {"text", "label"}
    names = [name for aliases in task.columns.values() for name in aliases]
    if task.name in GENERIC:
        assert not set(task.columns["text"]) & (set(task.columns["text_pair"]) | set(task.columns["label"]))
    else:
        assert len(set(names)) == len(names)


@each_task
def test_splits_share_no_file_stem_and_start_with_train(task: Task) -> None:
    assert "train" not in task.splits or next(iter(task.splits)) == "train"
    stems = [stem for names in task.splits.values() for stem in names]
    assert len(set(stems)) == len(stems)
    if task.hub is not None:
        assert "train" in task.hub.splits or task not in TEXTS
        assert set(task.hub.splits) <= set(task.splits)


@each_trained
def test_a_valid_recipe_of_the_same_name_is_shipped(task: Task) -> None:
    path = _recipe(task)
    text = path.read_text(encoding="utf-8")
    recipe = Recipe.model_validate(_frozen(YAML(typ="safe").load(text)))
    assert recipe.task == task.name
    assert recipe.model.name is not None
    assert recipe.run.out is None
    assert ("chinese" in recipe.model.name) == (task.language == "zh") or task not in TEXTS
    assert text.startswith("# ") and text.splitlines()[0].endswith((".", "?"))


def test_every_recipe_for_finetuning_belongs_to_a_task() -> None:
    shipped = {path.stem for path in (RECIPES / "finetune").glob("*.yaml")}
    assert {task.name for task in TRAINED} <= shipped <= {task.name for task in TASKS}


def test_clinc150_leaves_out_only_the_class_of_the_hub_copy_that_is_out_of_scope() -> None:
    inside, outside = find_task("clinc150").labels, find_task("clinc_oos").labels
    assert inside is not None and outside is not None
    assert len(inside) == 150
    assert outside.index("oos") == 42
    assert tuple(label for label in outside if label != "oos") == inside


def test_the_numbers_of_classes_are_those_of_the_papers() -> None:
    counts = {"banking77": 77, "goemotions": 28, "trec": 6, "trec_fine": 50, "mnli": 3, "tweeteval_emotion": 4}
    assert {name: len(find_task(name).labels or ()) for name in counts} == counts


def test_entailment_is_id_0_in_rte_and_qnli_and_id_1_in_wnli() -> None:
    assert [find_task(name).labels for name in ("rte", "qnli")] == [("entailment", "not_entailment")] * 2
    assert find_task("wnli").labels == ("not_entailment", "entailment")


def test_mnli_selects_on_the_matched_genres_and_scores_both() -> None:
    task = find_task("mnli")
    validations = [split for split in task.splits if split.startswith("validation")]
    assert validations == ["validation", "validation_mismatched"]
    assert "validation_matched" in task.splits["validation"]
    assert task.hub is not None and task.hub.splits["validation"] == "validation_matched"


def test_the_ids_of_superglue_and_clue_are_those_of_their_hub_copies() -> None:
    first = {
        "boolq": "False",
        "cb": "entailment",
        "wic": "False",
        "tnews": "news_story",
        "iflytek": "打车",
        "ocnli": "neutral",
        "cmnli": "neutral",
        "cluewsc": "true",
        "xnli": "entailment",
    }
    assert {name: (find_task(name).labels or ("",))[0] for name in first} == first
    assert {name: len(find_task(name).labels or ()) for name in ("tnews", "iflytek")} == {"tnews": 15, "iflytek": 119}
    assert (find_task("iflytek").labels or ())[118] == "其他"
    assert find_task("tnews").label_aliases["116"] == "news_game"
