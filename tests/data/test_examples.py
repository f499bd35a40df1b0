"""From files to checked splits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from bert_cli.data import labels, targets
from bert_cli.data.examples import Examples, load_examples, no_labels
from bert_cli.data.source import find_sources
from bert_cli.errors import BertctlError, ErrorGroup
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


@pytest.mark.parametrize("role", ["label", "text_pair"])
def test_a_role_of_some_rows_only_is_refused(tmp_path: Path, role: str) -> None:
    rows: list[dict[str, object]] = [{"text": "a", "text_pair": "b", "label": 0} for _ in range(3)]
    without = {name: value for name, value in rows[0].items() if name != role}
    for line, given in ((1, [without, *rows]), (4, [*rows, without])):
        error = refusal(tmp_path, {"validation.jsonl": given}, require_labels=())
        assert (error.code, error.key, error.where) == ("D040", f"data.columns.{role}", f"validation.jsonl:{line}")
    # Other columns may come and go.
    assert len(load(tmp_path, {"validation.jsonl": [{**rows[0], "note": 1}, *rows]}).splits["validation"]) == 4


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


@pytest.mark.parametrize("share", ["25%", 0.25])
def test_a_held_out_split_says_of_what_it_is_which_share(tmp_path: Path, share: object) -> None:
    splits = load(tmp_path, {"train.csv": TRAIN}, data={"validation": share}).splits
    held = splits["validation"]
    assert (held.held_out, held.origin, len(held)) == (0.25, "train.csv", 10)
    assert splits["train"].held_out is None
    assert load(tmp_path, {}).splits["validation"].held_out == 0.1
    whole = load(tmp_path, {"validation.csv": VALIDATION}).splits["validation"]
    assert whole.held_out is None


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
    assert (error.code, error.key, error.where) == ("D040", "data.columns.text", "train.csv:1")
    assert (error.message, error.found) == ("there is no column for 'text'", "none of sentence, text")
    assert (error.allowed, error.help) == ("txet, label (did you mean 'txet'?)", "data.columns.text=txet")
    error = refusal(tmp_path, {"train.csv": TRAIN.replace("label", "lable")})
    assert (error.code, error.help) == ("D040", "data.columns.label=lable")
    error = refusal(tmp_path, {"train.csv": TRAIN}, data={"columns": {"text_pair": "b"}})
    assert (error.code, error.found, error.allowed) == ("D040", "b", ["text", "label"])


def test_all_missing_columns_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ErrorGroup) as caught:
        load(tmp_path, {"train.csv": "a,b\n1,2\n"}, data={"columns": {"text_pair": "second"}})
    assert [(error.code, error.key) for error in caught.value.errors] == [
        ("D040", f"data.columns.{role}") for role in ("text", "text_pair", "label")
    ]
    assert all(len(error.render().splitlines()) <= 6 for error in caught.value.errors)


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("train.tsv", "a\tb\n1\t2\n", "train.tsv:1"),
        ("train.jsonl", '\n{"label": 1}\n', "train.jsonl:2"),
        ("train.txt", "a\n", "train.txt"),
    ],
)
def test_a_missing_column_is_placed_where_the_columns_get_their_names(
    tmp_path: Path, name: str, text: str, where: str
) -> None:
    (tmp_path / name).write_text(text)
    task = make_task(columns={"text": ("sentence",)}, labels=None)
    assert refusal(tmp_path, {}, task, splits=("train",)).where == where


def test_columns_may_be_named_by_role(tmp_path: Path) -> None:
    files = {"train.csv": TRAIN.replace("text,label", "body,mood")}
    examples = load(tmp_path, files, data={"columns": {"text": "body", "label": "mood"}})
    assert examples.columns == {"text": "body", "label": "mood"}
    error = refusal(tmp_path, {}, data={"columns": {"txt": "body"}})
    assert (error.code, error.exit_code, error.suggestion()) == ("U063", 2, "text")
    assert error.help == "data.columns.text=body"
    assert refusal(tmp_path, {}, data={"columns": {"labels": "mood"}}).help == "data.columns.label=mood"


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


def hardly_recurring(classes: int, rows: int, *, label: str = "name {}") -> str:
    cells = (label.format(row % classes) for row in range(rows))
    return "text,label,id\n" + "".join(f"row {row},{cell},{row}\n" for row, cell in enumerate(cells))


def test_a_label_of_its_own_in_every_row_is_refused_with_the_columns_there_are(tmp_path: Path) -> None:
    files = {"train.csv": hardly_recurring(60, 60), "validation.csv": hardly_recurring(1, 2)}
    error = refusal(tmp_path, files, make_task(labels=None))
    assert (error.code, error.exit_code, error.key) == ("D049", 3, "data.columns.label")
    assert error.found == "60 classes in 60 rows of the column 'label'"
    assert "text, label, id" in str(error.allowed) and error.help == "data.columns.label=COLUMN"
    error = refusal(tmp_path, {}, make_task(labels=None), data={"columns": {"label": "id"}})
    assert "--task text-regression" in str(error.help)


@pytest.mark.parametrize(
    ("classes", "rows", "doubted"), [(31, 60, True), (12, 12, True), (30, 60, False), (9, 9, False)]
)
def test_labels_that_hardly_recur_are_doubted(tmp_path: Path, classes: int, rows: int, doubted: bool) -> None:
    files = {"train.csv": hardly_recurring(classes, rows), "validation.csv": hardly_recurring(classes, classes)}
    doubts = load(tmp_path, files, make_task(labels=None)).doubts
    assert len(doubts) == doubted
    if doubted:
        assert f"the column 'label' of train.csv has {classes} classes in {rows} rows" in doubts[0]
        assert "data.columns.label=COLUMN" in doubts[0]


def test_classes_that_somebody_named_are_not_doubted(tmp_path: Path) -> None:
    files = {"train.csv": hardly_recurring(60, 60), "validation.csv": hardly_recurring(2, 2)}
    names = tuple(f"name {i}" for i in range(60))
    assert load(tmp_path, files, data={"labels": names}).doubts == ()


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
    ("label", "code"),
    [("joyy", "D033"), ([9], "D032"), (None, "D039"), (1, "D039"), ([["joy"]], "D036"), ("joy, ", "D050")],
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


@pytest.mark.parametrize("multi", [False, True])
def test_each_label_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, multi: bool) -> None:
    looked = []
    for module, name in ((labels, "_kind"), (targets, "class_ids")):
        known = getattr(module, name)
        watched = lambda *given, known=known, **options: (looked.append(given), known(*given, **options))[1]  # noqa: E731
        monkeypatch.setattr(module, name, watched)
    body = "text,label\n" + "".join(f"row {i},{i % 3}\n" for i in range(300))
    task = make_task(objective="multi-label-classification" if multi else "text-classification", labels=None)
    assert load(tmp_path, {"train.csv": body}, task).labels == ("0", "1", "2")
    known = make_task(objective=task.objective, labels=("a", "b", "c"))
    split = load(tmp_path, {}, known, labels=("c", "b", "a")).splits["train"]
    assert split.targets is not None and len(looked) < 20
    ids = split.targets.argmax(axis=1) if multi else split.targets
    assert [("c", "b", "a")[place] for place in ids.tolist()[:2]] == [
        "abc"[int(split.texts[row].split()[1]) % 3] for row in range(2)
    ]
