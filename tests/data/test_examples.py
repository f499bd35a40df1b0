"""From files to checked splits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from bert_cli.data.examples import Examples, load_examples, no_labels
from bert_cli.data.source import find_sources
from bert_cli.errors import BertctlError
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks.base import Task


def make_task(**changes: object) -> Task:
    fields: dict[str, object] = {
        "name": "toy",
        "objective": "text-classification",
        "summary": "a toy",
        "splits": {
            "train": ("train",),
            "validation": ("validation",),
            "validation_hard": ("validation_hard",),
            "test": ("test",),
        },
        "columns": {"text": ("sentence", "text"), "text_pair": ("text_pair", "second"), "label": ("label",)},
        "labels": ("negative", "positive"),
        "optional": frozenset({"text_pair"}),
        "metrics": ("accuracy",),
        "primary": "accuracy",
    }
    return Task(**{**fields, **changes})  # type: ignore[arg-type]


def load(folder: Path, files: Mapping[str, object], task: Task | None = None, **options: object) -> Examples:
    """Examples from files given as text, or as a list of JSON rows."""
    for name, content in files.items():
        text = content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content)  # type: ignore[attr-defined]
        (folder / name).write_text(text, encoding="utf-8")
    data = DataSection(source=str(folder), **options.pop("data", {}))  # type: ignore[arg-type]
    task = task or make_task()
    options.setdefault("seed", 1)
    return load_examples(task, data, sources=find_sources(task, data), **options)  # type: ignore[arg-type]


def refusal(*args: object, **options: object) -> BertctlError:
    with pytest.raises(BertctlError) as caught:
        load(*args, **options)  # type: ignore[arg-type]
    assert len(caught.value.render().splitlines()) <= 6
    return caught.value


TRAIN = "text,label\n" + "".join(f"row {i},{i % 2}\n" for i in range(40))
VALIDATION = "text,label\ngood,1\nbad,negative\n"


def test_texts_targets_and_lines_of_each_split(tmp_path: Path) -> None:
    examples = load(tmp_path, {"train.csv": TRAIN, "validation.csv": VALIDATION, "test.csv": VALIDATION})
    assert list(examples.splits) == ["train", "validation"]
    assert examples.labels == ("negative", "positive")
    assert examples.columns == {"text": "text", "label": "label"}
    split = examples.splits["validation"]
    assert (split.texts, split.pairs, split.origin) == (["good", "bad"], None, "validation.csv")
    assert split.targets is not None and split.targets.dtype == np.int64
    np.testing.assert_array_equal(split.targets, [1, 0])
    np.testing.assert_array_equal(split.lines, [2, 3])


def test_texts_that_look_like_missing_values_pass_unchanged(tmp_path: Path) -> None:
    texts = ["None", "NA", "", "123", "null"]
    body = "text,label\n" + "".join(f'"{text}",1\n' for text in texts)
    split = load(tmp_path, {"validation.csv": body}).splits["validation"]
    assert split.texts == texts and split.empty_texts == 1


def test_without_a_validation_file_a_tenth_of_train_is_held_out_by_class(tmp_path: Path) -> None:
    splits = load(tmp_path, {"train.csv": TRAIN}).splits
    held = splits["validation"]
    assert (len(splits["train"]), len(held), held.origin) == (36, 4, "train.csv")
    assert held.targets is not None and held.targets.sum() == 2
    assert not set(held.texts) & set(splits["train"].texts)
    assert [f"row {line - 2}" for line in held.lines] == held.texts
    alone = load(tmp_path, {}, splits=("validation",)).splits
    assert list(alone) == ["validation"] and alone["validation"].texts == held.texts


def test_a_share_leaves_the_validation_file_unused(tmp_path: Path) -> None:
    files = {"train.csv": TRAIN, "validation.csv": "not,read\n"}
    splits = load(tmp_path, files, data={"validation": "25%"}).splits
    assert (len(splits["train"]), len(splits["validation"])) == (30, 10)


@pytest.mark.parametrize("name", ["validation_hard", "other"])
def test_a_named_split_or_file_serves_as_validation(tmp_path: Path, name: str) -> None:
    files = {"train.csv": TRAIN, "validation.csv": TRAIN, f"{name}.csv": VALIDATION}
    splits = load(tmp_path, files, data={"validation": name}).splits
    assert list(splits) == ["train", "validation"] and splits["validation"].origin == f"{name}.csv"
    assert refusal(tmp_path, {}, data={"validation": "absent"}).code == "D043"


def test_further_validation_splits_are_read_and_test_splits_only_on_request(tmp_path: Path) -> None:
    files = {f"{name}.csv": VALIDATION for name in ("train", "validation", "validation_hard", "test")}
    assert list(load(tmp_path, files).splits) == ["train", "validation", "validation_hard"]
    assert list(load(tmp_path, {}, splits=("test",)).splits) == ["test"]


def test_a_split_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"train.csv": TRAIN}, splits=("test",))
    assert (error.code, error.found) == ("D043", "test")
    (tmp_path / "train.csv").unlink()
    assert refusal(tmp_path, {"test.csv": TRAIN}, splits=("validation",)).found == "validation"


def test_a_missing_column_is_refused_with_what_is_there_and_what_was_meant(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"train.csv": TRAIN.replace("text,", "txet,")})
    assert (error.code, error.key, error.where) == ("D040", "data.columns.text", "train.csv:2")
    assert "txet, label" in str(error.found) and error.help == "data.columns.text=txet"
    error = refusal(tmp_path, {"train.csv": TRAIN.replace("label", "lable")})
    assert (error.code, error.help) == ("D040", "data.columns.label=lable")
    assert refusal(tmp_path, {"train.csv": TRAIN}, data={"columns": {"text_pair": "b"}}).code == "D040"


def test_columns_may_be_named_by_role(tmp_path: Path) -> None:
    files = {"train.csv": TRAIN.replace("text,label", "body,mood")}
    examples = load(tmp_path, files, data={"columns": {"text": "body", "label": "mood"}})
    assert examples.columns == {"text": "body", "label": "mood"}
    error = refusal(tmp_path, {}, data={"columns": {"txt": "body"}})
    assert (error.code, error.exit_code, error.suggestion()) == ("U063", 2, "text")


def test_pairs_are_read_where_the_data_have_them(tmp_path: Path) -> None:
    split = load(tmp_path, {"validation.csv": "text,second,label\na,b,1\n"}).splits["validation"]
    assert split.pairs == ["b"]


@pytest.mark.parametrize("header", ["sentence,label", "text,second,label"])
def test_splits_with_other_columns_are_refused_naming_both_files(tmp_path: Path, header: str) -> None:
    row = "a,b,1" if "second" in header else "a,1"
    error = refusal(tmp_path, {"train.csv": TRAIN, "validation.csv": f"{header}\n{row}\n"})
    assert error.code == "D041"
    assert "train.csv" in error.message and "validation.csv" in error.message


@pytest.mark.parametrize("text", [3, None, ["a"]])
def test_json_texts_must_be_strings(tmp_path: Path, text: object) -> None:
    error = refusal(tmp_path, {"validation.jsonl": [{"text": "a", "label": 1}, {"text": text, "label": 0}]})
    assert (error.code, error.where) == ("D042", "validation.jsonl:2")


def test_every_json_row_needs_the_columns(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"validation.jsonl": [{"text": "a", "label": 1}, {"text": "b"}]})
    assert (error.code, error.where) == ("D040", "validation.jsonl:2")


def test_classes_are_read_from_train_where_nothing_names_them(tmp_path: Path) -> None:
    files = {"train.csv": "text,label\na,up\nb,down\n", "validation.csv": "text,label\nc,up\n"}
    task = make_task(labels=None)
    examples = load(tmp_path, files, task)
    assert examples.labels == ("down", "up")
    assert load(tmp_path, {}, task, splits=("validation",)).labels == ("down", "up")
    error = refusal(tmp_path, {"validation.csv": "text,label\nc,upp\n"}, task)
    assert (error.code, error.where, error.suggestion()) == ("D033", "validation.csv:2", "up")
    (tmp_path / "train.csv").unlink()
    assert refusal(tmp_path, {}, task).code == "D048"


def test_names_of_the_recipe_come_before_those_of_the_task(tmp_path: Path) -> None:
    files = {"validation.csv": "text,label\na,up\nb,0\n"}
    examples = load(tmp_path, files, data={"labels": ("down", "up")})
    assert examples.labels == ("down", "up")
    np.testing.assert_array_equal(examples.splits["validation"].targets, [1, 0])


def test_the_classes_of_a_model_are_matched_by_name_not_by_place(tmp_path: Path) -> None:
    examples = load(tmp_path, {"validation.csv": VALIDATION}, labels=("neutral", "positive", "Negative"))
    assert examples.labels == ("neutral", "positive", "Negative")
    np.testing.assert_array_equal(examples.splits["validation"].targets, [1, 2])


def test_names_that_only_the_model_knows_are_its_classes(tmp_path: Path) -> None:
    files = {"validation.csv": "text,label\na,bad\nb,good\n"}
    np.testing.assert_array_equal(load(tmp_path, files, labels=("good", "bad")).splits["validation"].targets, [1, 0])


def test_a_class_that_the_model_lacks_is_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"validation.csv": VALIDATION}, labels=("positive", "neutral"))
    assert (error.code, error.found, error.where) == ("D038", "negative", "validation.csv:3")
    error = refusal(tmp_path, {"validation.csv": "text,label\na,2\n"}, labels=("a", "b", "negative", "positive"))
    assert error.code == "D032"


def test_a_split_of_minus_ones_says_that_it_has_no_labels(tmp_path: Path) -> None:
    files = {"train.csv": TRAIN, "test.csv": "text,label\na,-1\nb,-1\n"}
    split = load(tmp_path, files, splits=("train", "test")).splits["test"]
    assert split.targets is None
    assert no_labels(split).message == "split 'test' has no labels (all are -1)"
    assert refusal(tmp_path, {}, splits=("test",), require_labels=("test",)).code == "D044"
    split = load(tmp_path, {"test.csv": "text\na\n"}, splits=("train", "test")).splits["test"]
    assert split.targets is None and "no column" in str(split.unlabelled)
    assert refusal(tmp_path, {}, splits=("test",), require_labels=("test",)).code == "D040"


def test_a_train_split_of_minus_ones_teaches_no_classes(tmp_path: Path) -> None:
    files = {"train.csv": "text,label\na,-1\nb,-1\n"}
    assert refusal(tmp_path, files, make_task(labels=None)).message == "split 'train' has no labels (all are -1)"


MULTI = make_task(objective="multi-label-classification", labels=("joy", "fear", "love"))


def test_multi_label_rows_come_as_lists_or_as_strings(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": ["joy", 2]}, {"text": "b", "label": []}, {"text": "c", "label": "fear, love"}]
    targets = load(tmp_path, {"validation.jsonl": rows}, MULTI).splits["validation"].targets
    assert targets is not None and targets.dtype == np.float32
    np.testing.assert_array_equal(targets, [[1, 0, 1], [0, 0, 0], [0, 1, 1]])
    (tmp_path / "validation.jsonl").unlink()
    body = "text,label\na,joy|fear\nb,\n"
    split = load(tmp_path, {"validation.csv": body}, MULTI, data={"label_separator": "|"}).splits["validation"]
    np.testing.assert_array_equal(split.targets, [[1, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(
        load(tmp_path, {}, MULTI, data={"label_separator": "|"}, labels=("fear", "joy")).splits["validation"].targets,
        [[1, 1], [0, 0]],
    )


@pytest.mark.parametrize(
    ("label", "code"), [("joyy", "D033"), ([9], "D032"), (None, "D039"), (1, "D039"), ([["joy"]], "D036")]
)
def test_multi_label_cells_of_another_form_are_refused(tmp_path: Path, label: object, code: str) -> None:
    rows = [{"text": "a", "label": ["joy"]}, {"text": "b", "label": label}]
    error = refusal(tmp_path, {"validation.jsonl": rows}, MULTI)
    assert (error.code, error.where) == (code, "validation.jsonl:2")


def test_multi_label_classes_are_read_from_train(tmp_path: Path) -> None:
    rows = [{"text": str(i), "label": label} for i, label in enumerate([["b"], [], ["a", "b"], []])]
    task = make_task(objective="multi-label-classification", labels=None)
    assert load(tmp_path, {"train.jsonl": rows}, task).labels == ("a", "b")


SCORES = make_task(objective="text-regression", labels=None, score_range=(0.0, 5.0))


def test_scores_are_numbers_in_their_range(tmp_path: Path) -> None:
    files = {"validation.csv": "text,label\na,0\nb,2.5\nc,5e0\n"}
    examples = load(tmp_path, files, SCORES)
    targets = examples.splits["validation"].targets
    assert examples.labels is None and targets is not None and targets.dtype == np.float32
    np.testing.assert_array_equal(targets, [0.0, 2.5, 5.0])


@pytest.mark.parametrize(
    ("label", "code"),
    [("5.1", "D046"), ("-1", "D046"), ("nan", "D045"), ("inf", "D045"), ("", "D045"), ("1_0", "D045")],
)
def test_other_scores_are_refused_with_their_line(tmp_path: Path, label: str, code: str) -> None:
    error = refusal(tmp_path, {"validation.csv": f"text,label\na,1\nb,{label}\n"}, SCORES)
    assert (error.code, error.where) == (code, "validation.csv:3")


@pytest.mark.parametrize("label", [True, None, "high", 10**400, [1]])
def test_json_scores_must_be_numbers(tmp_path: Path, label: object) -> None:
    assert refusal(tmp_path, {"validation.jsonl": [{"text": "a", "label": label}]}, SCORES).code == "D045"


def test_scores_of_minus_one_throughout_are_no_labels(tmp_path: Path) -> None:
    files = {"test.csv": "text,label\na,-1\nb,-1.0\n"}
    assert load(tmp_path, files, SCORES, splits=("test",)).splits["test"].targets is None


def test_a_task_may_change_its_rows_first(tmp_path: Path) -> None:
    task = make_task(prepare=lambda row: {**row, "text": f"<{row['text']}>", "text_pair": "pair"})
    split = load(tmp_path, {"validation.csv": VALIDATION}, task).splits["validation"]
    assert split.texts == ["<good>", "<bad>"] and split.pairs == ["pair", "pair"]


def test_tasks_without_a_label_role_need_none(tmp_path: Path) -> None:
    task = make_task(objective="fill-mask", columns={"text": ("text",)}, labels=None)
    splits = load(tmp_path, {"train.txt": "a\nb\nc\n"}, task).splits
    assert splits["train"].targets is None and len(splits["validation"]) == 1


def test_one_row_cannot_be_parted(tmp_path: Path) -> None:
    assert refusal(tmp_path, {"train.csv": "text,label\na,1\n"}).code == "D047"
