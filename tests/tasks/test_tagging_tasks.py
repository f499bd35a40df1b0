"""The tasks of tagging: classes that a tagger can have, and the ids of the hub's copies."""

from __future__ import annotations

import pytest

from bert_cli.errors import DataError
from bert_cli.metrics.entities import entity_types, marks_entities
from bert_cli.tasks import Task, all_tasks, find_task

TASKS = [task for task in all_tasks().values() if task.objective == "token-classification"]
TYPES = {"conll2003": 4, "wnut17": 6, "ontonotes5": 18, "ncbi_disease": 1, "cluener": 10, "weibo_ner": 8, "msra_ner": 3}


def test_the_tasks_of_the_plan_are_there() -> None:
    assert {task.name for task in TASKS} == {"token-classification", "ud_ewt", "restaurant8k", *TYPES}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_role_may_be_absent_because_there_are_two_forms(task: Task) -> None:
    assert set(task.columns) <= task.optional
    assert {"tokens", "tags"} <= set(task.columns)
    for form in (("tokens", "tags"), ("text", "spans")):
        names = [name for role in form for name in task.columns.get(role, ())]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", TYPES)
def test_classes_are_bio_of_so_many_types(name: str) -> None:
    labels = find_task(name).labels
    assert labels is not None and marks_entities(labels)
    assert len(labels) == 2 * TYPES[name] + 1 and len(entity_types(labels)) == TYPES[name]
    assert set(labels) == {"O", *(f"{letter}-{kind}" for kind in entity_types(labels) for letter in "BI")}


def test_ids_are_those_of_the_hubs_copies() -> None:
    assert (find_task("conll2003").labels or ())[:4] == ("O", "B-PER", "I-PER", "B-ORG")
    assert (find_task("ontonotes5").labels or ()).index("I-LANGUAGE") == 36
    assert (find_task("weibo_ner").labels or ()).index("O") == 16
    assert (find_task("msra_ner").labels or ())[3] == "B-ORG"


@pytest.mark.parametrize("tags", [[8, 0], ["8", "NOUN"], "8 0"])
def test_ids_of_parts_of_speech_are_refused(tags: object) -> None:
    prepare = find_task("ud_ewt").prepare
    assert prepare is not None
    with pytest.raises(DataError) as caught:
        prepare({"tokens": ["The", "dog"], "tags": tags})
    assert caught.value.code == "D148"


def test_lines_of_multiword_tokens_are_left_out_of_the_treebank() -> None:
    prepare = find_task("ud_ewt").prepare
    assert prepare is not None
    row = {"tokens": ["don't", "do", "n't"], "tags": ["_", "AUX", "PART"]}
    assert prepare(row) == {"tokens": ["do", "n't"], "tags": ["AUX", "PART"]}
    for kept in ({"tokens": ["_"], "tags": ["PUNCT"]}, {"tokens": ["a"]}, {"tokens": "a b", "tags": "X X"}):
        assert prepare(kept) == kept
