"""Files of texts, pairs and triplets: what their columns mean, what is refused, and how they become queries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_searches import write_lines

from bert_cli.data.compared import Compared, read_compared
from bert_cli.data.source import find_sources
from bert_cli.errors import BertctlError, DataError
from bert_cli.families import labelled
from bert_cli.families.base import Request
from bert_cli.recipe.schema import DataSection, Recipe
from bert_cli.tasks import find_task


def read(folder: Path, rows: Any, task: str = "sentence-similarity", **data: Any) -> Compared:
    write_lines(folder / "train.jsonl", rows)
    section = DataSection(source=str(folder), **data)
    found, _ = read_compared(find_task(task), section, find_sources(find_task(task), section)["train"], name="train")
    return found


def refused(folder: Path, rows: Any, task: str = "sentence-similarity") -> BertctlError:
    with pytest.raises(BertctlError) as caught:
        read(folder, rows, task)
    assert len(caught.value.render().splitlines()) <= 6
    return caught.value


def test_texts_pairs_and_triplets_are_told_by_their_columns(tmp_path: Path) -> None:
    texts = read(tmp_path, [{"text": "a"}, {"text": ""}])
    assert (texts.texts, texts.targets, texts.single, texts.empty_texts) == ([("a",), ("",)], None, True, 1)
    pairs = read(tmp_path, [{"anchor": "a", "positive": "b"}])
    assert (pairs.texts, pairs.targets, pairs.single) == ([("a", "b")], None, False)
    triplets = read(
        tmp_path,
        [
            {"anchor": "a", "positive": "b", "negative": "c"},
            {"anchor": "d", "positive": "e", "negative": ["f", "g"]},
            {"anchor": "h", "positive": "i", "negative": None},
        ],
    )
    assert triplets.texts == [("a", "b", "c"), ("d", "e", "f", "g"), ("h", "i")]


def test_scores_are_numbers_and_labels_say_who_means_the_same(tmp_path: Path) -> None:
    rows = [{"sentence1": "a", "sentence2": "b", "score": "4.2"}, {"sentence1": "c", "sentence2": "d", "score": 1}]
    scored = read(tmp_path, rows)
    assert scored.targets is not None and scored.targets.tolist() == pytest.approx([4.2, 1]) and not scored.labelled
    labelled = read(tmp_path, [{**row, "score": i} for i, row in enumerate(rows)])
    assert labelled.labelled
    named = [{"question1": "a", "question2": "b", "label": name} for name in ("duplicate", "not_duplicate", "1")]
    found = read(tmp_path, named, "quora_pairs")
    assert found.targets is not None and found.targets.tolist() == [1, 0, 1]
    hidden = read(tmp_path, [{"question1": "a", "question2": "b", "label": -1}], "quora_pairs")
    assert hidden.targets is None


@pytest.mark.parametrize(
    ("rows", "task", "code"),
    [
        ([{"text": "a", "text_pair": "b", "label": "much"}], "sentence-similarity", "D045"),
        ([{"text": "a", "text_pair": "b", "label": None}], "sentence-similarity", "D045"),
        ([{"sentence1": "a", "sentence2": "b", "score": 7}], "stsb_similarity", "D046"),
        ([{"sentence1": "a", "sentence2": "b", "score": "nan"}], "stsb_similarity", "D045"),
        ([{"question1": "a", "question2": "b", "label": "maybe"}], "quora_pairs", "D045"),
        ([{"question1": "a", "question2": "b", "label": 2}], "quora_pairs", "D046"),
        ([{"sentence1": "a", "score": 1}], "stsb_similarity", "D040"),
        ([{"words": "a"}], "sentence-similarity", "D040"),
        ([{"text": 3}], "sentence-similarity", "D042"),
        ([{"text": "a", "text_pair": None}], "sentence-similarity", "D042"),
        ([{"text": "a", "text_pair": "b", "negative": 3}], "sentence-similarity", "D158"),
        ([{"text": "a", "text_pair": "b", "negative": ["c", None]}], "sentence-similarity", "D158"),
        ([{"text": "a", "negative": "b"}], "sentence-similarity", "D158"),
        ([{"text": "a"}], "text-ranking", "D040"),
    ],
)
def test_what_is_wrong_is_refused(tmp_path: Path, rows: Any, task: str, code: str) -> None:
    assert refused(tmp_path, rows, task).code == code


def test_the_line_of_a_wrong_row_is_named(tmp_path: Path) -> None:
    rows = [{"text": "a", "text_pair": "b", "label": 1}, {"text": "a", "text_pair": "b", "label": "x"}]
    assert refused(tmp_path, rows).where == "train.jsonl:2"
    rows = [{"text": "a", "text_pair": "b", "negative": "c"}, {"text": "a", "text_pair": "b", "negative": {}}]
    assert refused(tmp_path, rows).where == "train.jsonl:2"


@pytest.mark.parametrize("task", ["sentence-similarity", "text-ranking"])
@pytest.mark.parametrize("role", ["label", "negative"])
def test_a_column_that_is_named_stands_in_some_split(tmp_path: Path, task: str, role: str) -> None:
    rows = [{"text": "a", "text_pair": pair, "unlike": "c", "gold": grade} for grade, pair in enumerate("bd")]
    write_lines(tmp_path / "train.jsonl", rows)
    write_lines(tmp_path / "validation.jsonl", [{"text": "a", "text_pair": "b"}])

    def load(column: str) -> Any:
        recipe = Recipe.model_validate({"task": task, "data": {"source": str(tmp_path), "columns": {role: column}}})
        known = find_task(task)
        return labelled(task).load(Request(recipe, known, find_sources(known, recipe.data), ("train",), ("train",)))

    assert load({"label": "gold", "negative": "unlike"}[role]).columns[role] != role
    with pytest.raises(DataError) as caught:
        load("golt")
    assert (caught.value.code, caught.value.key) == ("D040", f"data.columns.{role}")


def test_a_search_without_a_collection_is_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / "train.jsonl", [{"text": "a", "text_pair": "b"}])
    recipe, task = Recipe.model_validate({"task": "scifact", "data": {"source": str(tmp_path)}}), find_task("scifact")
    request = Request(recipe, task, find_sources(task, recipe.data), ("train",), ("train",))
    with pytest.raises(DataError) as caught:
        labelled(task.objective).load(request)
    assert caught.value.code == "D150"


@pytest.mark.parametrize("task", ["sentence-similarity", "text-ranking"])
def test_one_split_may_have_scores_and_another_negatives(tmp_path: Path, task: str) -> None:
    write_lines(tmp_path / "train.jsonl", [{"text": "a", "text_pair": "b", "negative": "c"}] * 3)
    scored = [{"text": "a", "text_pair": pair, "score": grade} for grade, pair in enumerate("bd")]
    write_lines(tmp_path / "validation.jsonl", scored)
    recipe, known = Recipe.model_validate({"task": task, "data": {"source": str(tmp_path)}}), find_task(task)
    both = ("train", "validation")
    loaded = labelled(task).load(Request(recipe, known, find_sources(known, recipe.data), both, both))
    assert set(loaded.columns) == {"text", "text_pair", "negative", "label"}


def test_pairs_become_queries_that_find_their_partners(tmp_path: Path) -> None:
    rows = [
        {"text": "a", "text_pair": "x", "negative": "n"},
        {"text": "b", "text_pair": "y", "negative": ["x", "m"]},
        {"text": "a", "text_pair": "y", "negative": None},
    ]
    queries, doubt = read(tmp_path, rows).queries(given=False)
    assert doubt is None and queries.texts == ["a", "b"] and queries.ids == ["1", "2"]
    assert queries.collection.texts == ["x", "n", "y", "m"] and queries.collection.ids == ["1", "1.1", "2", "2.2"]
    # `y` is a partner of both; `x` is that of the first text and unlike the second.
    assert queries.grades == [{0: 1, 1: 0, 2: 1}, {2: 1, 0: 0, 3: 0}]


def test_labels_become_grades_and_texts_without_a_partner_are_left_out(tmp_path: Path) -> None:
    rows = [
        {"text": "a", "text_pair": "x", "label": 0},
        {"text": "a", "text_pair": "y", "label": 2},
        {"text": "b", "text_pair": "x", "label": 0},
    ]
    queries, doubt = read(tmp_path, rows, "text-ranking").queries(given=True)
    assert queries.texts == ["a"] and queries.grades == [{0: 0, 1: 2}] and queries.given
    assert doubt == "train.jsonl: 1 query has no relevant text and is left out"
    with pytest.raises(DataError) as caught:
        read(tmp_path, rows[:1], "text-ranking").queries(given=True)
    assert caught.value.code == "D157"


@pytest.mark.parametrize("name", ["stsb_similarity", "stsb_zh"])
def test_real_scored_pairs_are_read_whole(name: str) -> None:
    from test_real_data import ROOT

    task = find_task(name)
    if not (ROOT / task.folders[0]).is_dir():
        pytest.skip(f"no folder '{task.folders[0]}' in BERTCTL_TEST_DATA")
    data = DataSection(source=str(ROOT))
    sizes = {}
    for split, source in find_sources(task, data).items():
        rows, _ = read_compared(task, data, source, name=split)
        assert rows.targets is not None and 0 <= rows.targets.min() < rows.targets.max() == 5 and not rows.labelled
        sizes[split] = len(rows)
    assert sizes == {"train": 5749, "validation": 1500, "test": 1379}


def test_what_a_check_of_data_sees(tmp_path: Path) -> None:
    contents = read(tmp_path, [{"text": "a", "text_pair": "x", "label": 2.5}]).contents(None)
    assert (
        dict(contents.parts) == {"text": ["a"], "text_pair": ["x"]} and contents.golds == ["2.5"] and contents.numeric
    )
    assert dict(read(tmp_path, [{"text": "a"}]).contents(None).parts) == {"text": ["a"]}
