"""Tagged sentences from files of all forms: the same classes and entities, and every mistake with its place."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_cli.data.source import find_sources
from bert_cli.data.tag_splits import TaggedSplits, load_tagged
from bert_cli.data.tagged import TaggedRows
from bert_cli.errors import DataError
from bert_cli.metrics.entities import entity_types
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks import Task, find_task

REAL = Path(os.environ.get("BERTCTL_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
GENERIC = find_task("token-classification")

SENTENCES = (
    (["EU", "rejects", "German", "call"], ["B-ORG", "O", "B-MISC", "O"]),
    (["Peter", "Blackburn", "of", "New", "York"], ["B-PER", "I-PER", "O", "B-LOC", "I-LOC"]),
    (["nothing", "here"], ["O", "O"]),
)
CLASSES = ("O", "B-LOC", "I-LOC", "B-MISC", "I-MISC", "B-ORG", "I-ORG", "B-PER", "I-PER")
Row = dict[str, Any]


def jsonl(folder: Path, rows: Sequence[Row], name: str = "train.jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return folder


def load(
    folder: Path,
    *,
    splits: tuple[str, ...] = ("train",),
    labelled: tuple[str, ...] | None = None,
    model: tuple[str, ...] | None = None,
    task: Task = GENERIC,
    **data: Any,
) -> TaggedSplits:
    section = DataSection(source=str(folder), **data)
    return load_tagged(
        task,
        section,
        sources=find_sources(task, section),
        seed=1,
        splits=splits,
        labelled=splits if labelled is None else labelled,
        model=model,
    )


def tagged(rows: TaggedRows, classes: Sequence[str]) -> list[tuple[list[str], list[str]]]:
    assert rows.tags is not None
    return [
        ([text[start:end] for start, end in words.tolist()], [classes[tag] for tag in tags.tolist()])
        for text, words, tags in zip(rows.texts, rows.words, rows.tags, strict=True)
    ]


def marked(rows: TaggedRows, classes: Sequence[str]) -> list[list[tuple[str, str]]]:
    assert rows.spans is not None
    types = entity_types(classes)
    return [
        [(text[start:end], types[kind]) for start, end, kind in spans.tolist()]
        for text, spans in zip(rows.texts, rows.spans, strict=True)
    ]


def names(found: TaggedSplits) -> tuple[str, ...]:
    assert found.classes is not None
    return found.classes.names


def test_tokens_and_tags_are_read_from_json_lines(tmp_path: Path) -> None:
    found = load(jsonl(tmp_path / "d", [{"tokens": tokens, "ner_tags": tags} for tokens, tags in SENTENCES]))
    train = found.splits["train"]
    assert names(found) == CLASSES
    assert found.columns == {"tokens": "tokens", "tags": "ner_tags"} and found.doubts == ()
    assert tagged(train, CLASSES) == [(tokens, tags) for tokens, tags in SENTENCES]
    assert marked(train, CLASSES) == [
        [("EU", "ORG"), ("German", "MISC")],
        [("Peter Blackburn", "PER"), ("New York", "LOC")],
        [],
    ]
    assert train.lines.tolist() == [1, 2, 3] and train.tokenised and train.empty_texts == 0


def test_column_files_csv_parquet_and_ids_say_the_same(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    forms: dict[str, dict[str, Any]] = {"conll": {}, "csv": {}, "parquet": {"labels": CLASSES}}
    for form in forms:
        (tmp_path / form).mkdir()
    blocks = ["\n".join(f"{token} x {tag}" for token, tag in zip(*each, strict=True)) for each in SENTENCES]
    (tmp_path / "conll" / "train.conll").write_text("\n\n".join(blocks), encoding="utf-8")
    lines = [f"{' '.join(tokens)},{' '.join(tags)}" for tokens, tags in SENTENCES]
    (tmp_path / "csv" / "train.csv").write_text("\n".join(["words,labels", *lines]), encoding="utf-8")
    table = pa.table(
        {
            "tokens": [tokens for tokens, _ in SENTENCES],
            "tags": [[CLASSES.index(tag) for tag in tags] for _, tags in SENTENCES],
        }
    )
    pq.write_table(table, tmp_path / "parquet" / "train.parquet")
    for form, settings in forms.items():
        found = load(tmp_path / form, **settings)
        assert names(found) == CLASSES, form
        assert tagged(found.splits["train"], CLASSES) == [(tokens, tags) for tokens, tags in SENTENCES], form


def test_a_column_of_a_column_file_is_chosen_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "train.conll").write_text("EU NNP B-ORG\nrejects VBZ O\n", encoding="utf-8")
    found = load(tmp_path, columns={"tags": "2"}, scheme="plain")
    assert names(found) == ("NNP", "VBZ") and found.splits["train"].spans is None


@pytest.mark.parametrize(
    "tags",
    [
        [["I-ORG", "O", "I-MISC", "O"], ["I-PER", "I-PER", "O", "I-LOC", "I-LOC"], ["O", "O"]],
        [["S-ORG", "O", "S-MISC", "O"], ["B-PER", "E-PER", "O", "B-LOC", "E-LOC"], ["O", "O"]],
        [["U-ORG", "O", "U-MISC", "O"], ["B-PER", "L-PER", "O", "B-LOC", "L-LOC"], ["O", "O"]],
    ],
    ids=["iob1", "bioes", "bilou"],
)
def test_every_scheme_becomes_the_same_classes(tmp_path: Path, tags: list[list[str]]) -> None:
    rows = [{"tokens": tokens, "tags": row} for (tokens, _), row in zip(SENTENCES, tags, strict=True)]
    found = load(jsonl(tmp_path / "d", rows))
    assert names(found) == CLASSES
    assert tagged(found.splits["train"], CLASSES) == [(tokens, each) for tokens, each in SENTENCES]


def test_marked_passages_become_tags_of_words_and_characters(tmp_path: Path) -> None:
    rows = [
        {"text": "Angela Merkel's Paris.", "label": [[0, 13, "PER"], [16, 21, "LOC"]]},
        {"text": "浙商银行在2011年", "label": [[0, 4, "ORG"]]},
    ]
    found = load(jsonl(tmp_path / "d", rows))
    classes = names(found)
    assert classes == ("O", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-PER", "I-PER")
    assert tagged(found.splits["train"], classes) == [
        (["Angela", "Merkel", "'", "s", "Paris", "."], ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]),
        (["浙", "商", "银", "行", "在", "2011", "年"], ["B-ORG", "I-ORG", "I-ORG", "I-ORG", "O", "O", "O"]),
    ]
    assert marked(found.splits["train"], classes)[0] == [("Angela Merkel", "PER"), ("Paris", "LOC")]
    assert not found.splits["train"].tokenised and found.columns == {"text": "text", "spans": "label"}


def test_exports_of_label_studio_are_read_as_they_are(tmp_path: Path) -> None:
    result = {"type": "labels", "value": {"start": 0, "end": 2, "text": "EU", "labels": ["ORG"]}}
    rows = [{"id": 1, "data": {"text": "EU rejects"}, "annotations": [{"result": [result]}]}]
    found = load(jsonl(tmp_path / "d", rows))
    assert marked(found.splits["train"], names(found)) == [[("EU", "ORG")]]


def test_a_span_that_cuts_a_word_teaches_the_word_stays_gold_and_is_doubted(tmp_path: Path) -> None:
    found = load(jsonl(tmp_path / "d", [{"text": "at 8pm or in Parisian style", "spans": [[13, 18, "LOC"]]}]))
    train, classes = found.splits["train"], names(found)
    assert tagged(train, classes)[0][1] == ["O", "O", "O", "O", "B-LOC", "O"]
    assert marked(train, classes) == [[("Paris", "LOC")]]
    (doubt,) = found.doubts
    assert "1 of 1 spans of train.jsonl cut a word" in doubt and "'Paris' on line 1" in doubt


def test_overlapping_spans_are_refused_in_ones_own_data_and_doubted_in_published_ones(tmp_path: Path) -> None:
    rows = [{"text": "in an hour", "spans": [[0, 10, "time"], [6, 10, "date"], [0, 10, "time"]]}]
    folder = jsonl(tmp_path / "d", [*[{"text": "now", "spans": []}] * 2, *rows])
    with pytest.raises(DataError) as caught:
        load(folder)
    assert (caught.value.code, caught.value.where) == ("D113", "train.jsonl:3")
    found = load(folder, task=replace(GENERIC, folders=("known",)))
    train, classes = found.splits["train"], names(found)
    assert tagged(train, classes)[2][1] == ["B-time", "I-time", "I-time"]
    assert marked(train, classes)[2] == [("in an hour", "time"), ("hour", "date")]
    assert len(found.doubts) == 1 and "overlap" in found.doubts[0]


def test_recipe_task_and_model_settle_the_classes_in_their_order(tmp_path: Path) -> None:
    rows = [{"tokens": ["EU"], "tags": ["B-ORG"]}]
    folder = jsonl(tmp_path / "d", rows)
    given = ("B-ORG", "I-ORG", "O")
    assert names(load(folder, labels=given)) == given
    assert names(load(folder, labels=("S-ORG", "O"))) == ("O", "B-ORG", "I-ORG")
    assert names(load(folder, labels=("PER", "ORG"))) == ("O", "B-PER", "I-PER", "B-ORG", "I-ORG")
    assert names(load(folder, labels=given, model=("O", "B-org", "I-org"))) == ("O", "B-org", "I-org")
    found = load(folder, task=replace(GENERIC, labels=("O", "B-X", "I-X"), label_aliases={"B-ORG": "B-X"}))
    assert tagged(found.splits["train"], names(found))[0][1] == ["B-X"]


def test_ids_mean_what_the_recipe_says_also_for_a_model_of_another_order(tmp_path: Path) -> None:
    folder = jsonl(tmp_path / "d", [{"tokens": ["EU", "of"], "tags": [1, "0"]}])
    found = load(folder, labels=("O", "B-ORG", "I-ORG"), model=("I-ORG", "B-ORG", "O"))
    assert tagged(found.splits["train"], names(found))[0][1] == ["B-ORG", "O"]


def test_classes_come_from_the_training_split_also_where_only_another_is_read(tmp_path: Path) -> None:
    folder = jsonl(tmp_path / "d", [{"tokens": tokens, "tags": tags} for tokens, tags in SENTENCES])
    jsonl(folder, [{"tokens": ["EU"], "tags": ["B-ORG"]}], "test.jsonl")
    found = load(folder, splits=("test",))
    assert list(found.splits) == ["test"] and names(found) == CLASSES


def test_a_share_of_train_is_held_out_for_validation(tmp_path: Path) -> None:
    rows = [{"tokens": [f"w{i}", "x"], "tags": ["B-A", "O"]} for i in range(30)]
    found = load(jsonl(tmp_path / "d", rows), splits=("train", "validation"), validation="20%")
    train, held = found.splits["train"], found.splits["validation"]
    assert (len(train), len(held), train.held_out, held.held_out) == (24, 6, None, 0.2)
    assert sorted([*train.texts, *held.texts]) == sorted(f"w{i} x" for i in range(30))
    assert held.lines.tolist() == [int(text.split()[0][1:]) + 1 for text in held.texts]


def test_a_split_without_tags_is_read_where_none_are_needed(tmp_path: Path) -> None:
    folder = jsonl(tmp_path / "d", [{"tokens": tokens, "tags": tags} for tokens, tags in SENTENCES])
    for row in ({"tokens": ["EU"]}, {"tokens": ["EU"], "tags": None}, {"text": "EU"}):
        jsonl(folder, [row], "test.jsonl")
        found = load(folder, splits=("train", "test"), labelled=("train",))
        assert found.splits["test"].tags is None and found.splits["test"].texts == ["EU"]


def test_plain_tags_with_an_o_among_them_are_doubted(tmp_path: Path) -> None:
    found = load(jsonl(tmp_path / "d", [{"tokens": ["EU", "of"], "tags": ["ORG", "O"]}]))
    assert names(found) == ("O", "ORG") and found.splits["train"].spans is None
    assert len(found.doubts) == 1 and "'O' and 'ORG', but no B- and I-" in found.doubts[0]


def test_rows_can_be_taken_and_say_what_they_hold(tmp_path: Path) -> None:
    found = load(jsonl(tmp_path / "d", [{"tokens": tokens, "tags": tags} for tokens, tags in SENTENCES]))
    some = found.splits["train"].take(np.array([1]), name="validation", held_out=0.1)
    assert (some.name, some.texts, some.held_out) == ("validation", ["Peter Blackburn of New York"], 0.1)
    contents = some.contents(CLASSES)
    assert contents.classes == {"LOC": 1, "MISC": 0, "ORG": 0, "PER": 1} and contents.unit == "entities"
    assert list(contents.golds or ()) == ["B-PER I-PER O B-LOC I-LOC"]


BAD: dict[str, tuple[list[Row], dict[str, Any], str, str]] = {
    "an inside tag that begins": ([{"tokens": ["a", "b"], "tags": ["O", "I-X"]}], {}, "D106", ":2"),
    "a tag without a letter": ([{"tokens": ["a", "b", "c"], "tags": ["B-X", "X", "O"]}], {}, "D106", ":2"),
    "too few tags": ([{"tokens": ["a", "b"], "tags": ["O"]}], {}, "D101", ":2"),
    "no tokens": ([{"tokens": [], "tags": []}], {}, "D107", ":2"),
    "a number among tokens": ([{"tokens": ["a", 80], "tags": ["O", "O"]}], {}, "D108", ":2"),
    "null among tokens": ([{"tokens": [None], "tags": ["O"]}], {}, "D108", ":2"),
    "tokens that are no list": ([{"tokens": {"a": 1}, "tags": ["O"]}], {}, "D108", ":2"),
    "tags that are no list": ([{"tokens": ["a"], "tags": 3}], {}, "D109", ":2"),
    "null among tags": ([{"tokens": ["a"], "tags": [None]}], {}, "D109", ":2"),
    "truth among tags": ([{"tokens": ["a"], "tags": [True]}], {}, "D109", ":2"),
    "a fraction among tags": ([{"tokens": ["a"], "tags": [0.5]}], {}, "D109", ":2"),
    "ids without names": ([{"tokens": ["a"], "tags": [1]}], {}, "D102", ":2"),
    "an id below 0": ([{"tokens": ["a"], "tags": [-1]}], {"labels": ("O", "B-X", "I-X")}, "D102", ":2"),
    "an id out of range": ([{"tokens": ["a"], "tags": [3]}], {"labels": ("O", "B-X", "I-X")}, "D102", ":2"),
    "an unknown type": ([{"tokens": ["b", "a"], "tags": ["O", "B-Y"]}], {"labels": ("O", "B-X", "I-X")}, "D104", ":2"),
    "a type the model lacks": ([{"tokens": ["a"], "tags": ["B-Y"]}], {"model": ("O", "B-X", "I-X")}, "D105", ":2"),
    "a model of another scheme": ([{"tokens": ["a"], "tags": ["O"]}], {"model": ("O", "S-X")}, "D105", ""),
    "no tags in a row": ([{"tokens": ["a"], "tags": None}], {}, "D114", ":2"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_refused_with_code_and_place(tmp_path: Path, case: str) -> None:
    rows, settings, code, place = BAD[case]
    folder = jsonl(tmp_path / "d", [{"tokens": ["a", "fine", "X"], "tags": ["O", "O", "B-X"]}, *rows])
    with pytest.raises(DataError) as caught:
        load(folder, **settings)
    assert (caught.value.code, caught.value.where) == (code, f"train.jsonl{place}" if place else None)
    assert caught.value.help and len(caught.value.render().splitlines()) <= 6


def test_in_a_column_file_the_line_of_the_token_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.conll").write_text("EU B-ORG\n\nof O\nthe O\nUnion I-ORG\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert (caught.value.code, caught.value.where) == ("D106", "train.conll:5")
    assert "follows 'O'" in caught.value.message


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"text": "EU", "spans": [[0, 5, "X"]]}, "D111"),
        ({"text": "EU", "spans": "X"}, "D110"),
        ({"text": "EU", "spans": None}, "D114"),
        ({"text": 3, "spans": []}, "D042"),
        ({"words": ["EU"]}, "D100"),
        ({"text": "EU"}, "D100"),
        ({"sense": "EU"}, "D100"),
    ],
)
def test_what_is_wrong_with_texts_and_spans_is_named(tmp_path: Path, row: Row, code: str) -> None:
    folder = jsonl(tmp_path / "d", [row])
    with pytest.raises(DataError) as caught:
        load(folder)
    assert caught.value.code == code and (caught.value.where or "").startswith("train.jsonl")


def test_training_data_that_mark_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(jsonl(tmp_path / "d", [{"tokens": ["a"], "tags": ["O"]}]))
    assert (caught.value.code, caught.value.where) == ("D116", "train.jsonl")


def test_splits_must_have_the_same_columns(tmp_path: Path) -> None:
    folder = jsonl(tmp_path / "d", [{"tokens": ["a"], "tags": ["B-X"]}])
    jsonl(folder, [{"words": ["a"], "tags": ["B-X"]}], "test.jsonl")
    with pytest.raises(DataError) as caught:
        load(folder, splits=("train", "test"))
    assert caught.value.code == "D041"


COUNTS = {
    "wnut17": ({"train": 3_394, "validation": 1_009, "test": 1_287}, 13, 1_975),
    "ncbi_disease": ({"train": 5_424, "validation": 923, "test": 940}, 3, 5_134),
    "cluener": ({"train": 10_748, "validation": 1_343}, 21, 23_972),
    "restaurant8k": ({"train": 8_198, "test": 3_731}, 11, 7_635),
    "weibo_ner": ({"train": 1_350, "validation": 270, "test": 270}, 17, 1_895),
    "ud_ewt": ({"train": 12_544, "validation": 2_001, "test": 2_077}, 17, None),
}


@pytest.mark.parametrize("name", COUNTS)
def test_a_real_data_set_is_read_whole(name: str) -> None:
    if not (REAL / name).is_dir():
        pytest.skip(f"no folder '{name}' in BERTCTL_TEST_DATA")
    sizes, classes, entities = COUNTS[name]
    found = load(REAL, splits=tuple(sizes), task=find_task(name))
    assert {split: len(rows) for split, rows in found.splits.items()} == sizes
    assert len(names(found)) == classes
    spans = found.splits["train"].spans
    assert entities == (None if spans is None else sum(map(len, spans)))


def test_a_span_of_a_control_character_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(jsonl(tmp_path / "data", [{"text": "a b", "spans": []}, {"text": "a \u0007", "spans": [[2, 3, "X"]]}]))
    assert (caught.value.code, caught.value.where) == ("D119", "train.jsonl:2")
