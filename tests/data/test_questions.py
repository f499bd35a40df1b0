"""Questions are read whole or refused with their place; what cannot be learnt is counted and left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_questions import flat, nested, tiny_paragraphs, tiny_squad, write_json, write_rows

from bert_cli.data.question_splits import load_questions
from bert_cli.data.questions import Questions, given_questions
from bert_cli.data.read import Record
from bert_cli.data.source import find_sources
from bert_cli.errors import BertctlError, DataError, UsageError
from bert_cli.inspect.texts import text_findings
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks import find_task

TASK = find_task("question-answering")
Loaded = tuple[dict[str, Questions], dict[str, str], tuple[str, ...]]


def load(folder: Path, *, seed: int = 42, splits: tuple[str, ...] | None = None, **data: Any) -> Loaded:
    section = DataSection(source=str(folder), **data)
    sources = find_sources(TASK, section)
    return load_questions(TASK, section, sources=sources, seed=seed, splits=splits)


def load_rows(tmp_path: Path, rows: list[dict[str, Any]], **data: Any) -> Loaded:
    """Rows as training split, with a sound validation split beside."""
    write_rows(tmp_path / "train.jsonl", rows)
    write_rows(tmp_path / "validation.jsonl", flat(tiny_paragraphs(2, seed=9)))
    return load(tmp_path, **data)


def refusal(tmp_path: Path, rows: list[dict[str, Any]]) -> BertctlError:
    with pytest.raises(BertctlError) as caught:
        load_rows(tmp_path, rows)
    return caught.value


def test_nested_and_flat_files_are_the_same_questions(tmp_path: Path) -> None:
    paragraphs = tiny_paragraphs(5)
    write_json(tmp_path / "train.json", nested(paragraphs))
    write_rows(tmp_path / "validation.jsonl", [{**row, "id": f"v{i}"} for i, row in enumerate(flat(paragraphs))])
    splits, columns, doubts = load(tmp_path)
    train, validation = splits["train"], splits["validation"]
    assert (train.questions, train.contexts, train.golds) == (
        validation.questions,
        validation.contexts,
        validation.golds,
    )
    np.testing.assert_array_equal(train.spans, validation.spans)
    assert columns["context"] == "context" and doubts == ()
    for context, span, gold in zip(train.contexts, train.spans, train.golds or [], strict=True):
        assert context[slice(*span)] == (gold[0] if gold else "")


@pytest.mark.parametrize("role", ["id", "is_impossible"])
def test_a_column_that_is_named_stands_in_some_row(tmp_path: Path, role: str) -> None:
    rows = flat(tiny_paragraphs(2))
    assert load_rows(tmp_path, rows, columns={"id": "id"})[1]["id"] == "id"
    with pytest.raises(DataError) as caught:
        load_rows(tmp_path, rows, columns={role: "other"})
    assert (caught.value.code, caught.value.key) == ("D040", f"data.columns.{role}")


def test_parquet_of_the_hubs_layout_is_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = flat(tiny_paragraphs(4))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    splits, _, _ = load(tmp_path, splits=("train",))
    assert splits["train"].ids == [row["id"] for row in rows]


def test_the_limit_counts_questions_not_files(tmp_path: Path) -> None:
    splits, _, _ = load(tiny_squad(tmp_path), limit=7)
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 7, "validation": 7}


def test_whole_contexts_are_held_out_and_the_same_ones_each_time(tmp_path: Path) -> None:
    write_json(tmp_path / "train.json", nested(tiny_paragraphs(20)))
    splits, _, _ = load(tmp_path, validation="20%")
    train, validation = splits["train"], splits["validation"]
    assert not set(train.contexts) & set(validation.contexts)
    assert (len(train), len(validation)) == (48, 12)
    assert (train.held_out, validation.held_out) == (None, 0.2)
    again, _, _ = load(tmp_path, validation="20%")
    other, _, _ = load(tmp_path, validation="20%", seed=7)
    assert again["validation"].ids == validation.ids != other["validation"].ids


def test_a_single_context_cannot_be_divided(tmp_path: Path) -> None:
    write_json(tmp_path / "train.json", nested(tiny_paragraphs(1)))
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert caught.value.code == "D047"


def test_questions_whose_answer_has_no_place_are_scored_and_not_trained_on(tmp_path: Path) -> None:
    rows = flat(tiny_paragraphs(4, impossible=False))
    rows[1]["answers"] = {"text": ["nowhere"], "answer_start": [0]}
    rows[5]["answers"]["answer_start"] = [3]
    rows[7]["question"] = "  "
    write_rows(tmp_path / "validation.jsonl", rows)
    splits, _, doubts = load_rows_of(tmp_path, rows)
    assert len(splits["train"]) == len(rows) - 2
    assert "nowhere" not in str(splits["train"].golds)
    assert len(splits["validation"]) == len(rows)
    assert splits["validation"].spans[1].tolist() == [-1, -1]
    assert doubts[:3] == (
        "train: 1 question without a word (first: train.jsonl:8): scored, but not learnt from",
        "train: 2 of 12 answers do not stand where answer_start says (first: train.jsonl:2); "
        "1 of them occur once in their context and are taken from there",
        "train: 1 question whose answers have no certain place: scored, but not learnt from",
    )
    assert len(doubts) == 6


def test_questions_without_an_answer_are_a_class_of_their_own(tmp_path: Path) -> None:
    rows = load_rows(tmp_path, flat(tiny_paragraphs(4)))[0]["train"]
    contents = rows.contents(None)
    assert contents.classes is not None and contents.classes["unanswerable"] > 0
    assert [finding.name for finding in text_findings([contents])] == []


def test_the_first_wrong_answer_is_the_one_that_is_named(tmp_path: Path) -> None:
    rows = flat(tiny_paragraphs(4, impossible=False))
    rows[0] |= {"context": "it is it", "answers": {"text": ["it"]}}
    rows[2]["answers"]["answer_start"] = [3]
    assert "(first: train.jsonl:3)" in load_rows_of(tmp_path, rows)[2][0]


def load_rows_of(tmp_path: Path, rows: list[dict[str, Any]]) -> Loaded:
    write_rows(tmp_path / "train.jsonl", rows)
    return load(tmp_path)


def test_answers_that_mostly_have_no_place_are_refused(tmp_path: Path) -> None:
    rows = flat(tiny_paragraphs(4, impossible=False))
    for row in rows[:7]:
        row["answers"] = {"text": ["nowhere"], "answer_start": [0]}
    error = refusal(tmp_path, rows)
    assert (error.code, error.found) == ("D128", "7 of 12 questions without a certain place")


def changed(**values: Any) -> list[dict[str, Any]]:
    """Sound rows whose fourth says something else; a value of ... takes the key out."""
    rows = flat(tiny_paragraphs(3))
    rows[3] = {name: value for name, value in {**rows[3], **values}.items() if value is not ...}
    return rows


@pytest.mark.parametrize(
    ("rows", "code", "where"),
    [
        (changed(question=None), "D042", "train.jsonl:4"),
        (changed(question=7), "D042", "train.jsonl:4"),
        (changed(question=...), "D040", "train.jsonl:4"),
        (changed(context=["a"]), "D042", "train.jsonl:4"),
        (changed(context=" \n"), "D124", "train.jsonl:4"),
        (changed(answers=3), "D121", "train.jsonl:4"),
        (changed(answers=None), "D127", "train.jsonl:4"),
        (changed(answers=...), "D127", "train.jsonl:4"),
        (changed(id=None), "D125", "train.jsonl:4"),
        (changed(id=1.5), "D125", "train.jsonl:4"),
        (changed(id=...), "D125", "train.jsonl"),
        (changed(id="0-0-1"), "D126", "train.jsonl:4"),
        ([{"text": "a", "label": 1}], "D040", "train.jsonl:1"),
    ],
)
def test_mistakes_are_refused_with_file_and_line(
    tmp_path: Path, rows: list[dict[str, Any]], code: str, where: str
) -> None:
    error = refusal(tmp_path, rows)
    errors = getattr(error, "errors", (error,))
    assert {(each.code, each.where) for each in errors} == {(code, where)}


def test_a_mistake_in_a_nested_file_has_its_path(tmp_path: Path) -> None:
    paragraphs = tiny_paragraphs(4)
    paragraphs[3]["qas"][1]["id"] = paragraphs[0]["qas"][2]["id"]
    write_json(tmp_path / "train.json", nested(paragraphs))
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert (caught.value.code, caught.value.where) == ("D126", "train.json: data[1].paragraphs[1].qas[1]")
    assert "data[0].paragraphs[0].qas[2]" in str(caught.value.found)


@pytest.mark.parametrize("answers", [None, [], {"text": [], "answer_start": []}])
def test_a_split_without_any_answer_has_none(tmp_path: Path, answers: Any) -> None:
    rows = [{**row, "answers": answers} for row in flat(tiny_paragraphs(2))]
    assert refusal(tmp_path, rows).code == "D044"
    write_rows(tmp_path / "test.jsonl", rows)
    write_rows(tmp_path / "train.jsonl", flat(tiny_paragraphs(3)))
    splits, _, _ = load(tmp_path, splits=("test",))
    assert splits["test"].golds is None and (splits["test"].spans == -1).all()


def test_a_split_of_impossible_questions_is_labelled(tmp_path: Path) -> None:
    rows = [{**row, "answers": [], "is_impossible": True} for row in flat(tiny_paragraphs(2))]
    splits, _, _ = load_rows(tmp_path, rows)
    assert splits["train"].golds == [()] * len(rows)


def test_columns_may_be_named_and_ids_may_be_missing_or_numbers(tmp_path: Path) -> None:
    rows = [
        {"ask": row["question"], "body": row["context"], "gold": row["answers"]} for row in flat(tiny_paragraphs(3))
    ]
    for file in ("train.jsonl", "validation.jsonl"):
        write_rows(tmp_path / file, rows)
    splits, columns, _ = load(tmp_path, columns={"question": "ask", "context": "body", "answers": "gold"})
    assert splits["train"].ids is None
    assert columns == {"question": "ask", "context": "body", "answers": "gold"}
    numbered, _, _ = load_rows(tmp_path / "ids", [{**row, "id": i} for i, row in enumerate(flat(tiny_paragraphs(3)))])
    assert numbered["train"].ids == [str(i) for i in range(9)]
    with pytest.raises(UsageError, match="U063"):
        load(tmp_path, columns={"text": "ask"})


def test_questions_without_answers_need_only_the_two_texts() -> None:
    records = [Record(1, {"question": "q", "context": "c"}), Record(2, {"query": "q", "passage": "c", "answers": 7})]
    rows = given_questions(records, TASK.columns, origin="in.jsonl", columns={})
    assert (rows.questions, rows.contexts, rows.golds, rows.ids) == (["q", "q"], ["c", "c"], None, None)
    many = given_questions([Record(1, nested(tiny_paragraphs(3)))], TASK.columns, origin="in.json", columns={})
    assert len(many) == 9 and many.ids is not None
    named = given_questions(
        [Record(1, {"q": "a", "c": "b"})], TASK.columns, origin="x", columns={"question": "q", "context": "c"}
    )
    assert (named.questions, named.contexts) == (["a"], ["b"])
    for values, code in (
        ({"question": "q"}, "D096"),
        ({"question": 1, "context": "c"}, "D095"),
        ({"question": "q", "context": ""}, "D124"),
    ):
        with pytest.raises(DataError) as caught:
            given_questions([Record(5, values)], TASK.columns, origin="in.jsonl", columns={})
        assert (caught.value.code, caught.value.where) == (code, "in.jsonl:5")


def test_checks_of_data_see_questions_contexts_and_whether_there_is_an_answer(tmp_path: Path) -> None:
    splits, _, _ = load(tiny_squad(tmp_path, 4, 2))
    contents = splits["train"].contents(None)
    assert set(contents.parts) == {"question", "context"} and len(contents) == 12
    assert contents.classes == {"answerable": 8, "unanswerable": 4}
    assert contents.golds is not None and contents.golds[2] == "(no answer)"
