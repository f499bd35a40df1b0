"""Questions with choices from files of every usual layout: the same rows, and every mistake with its file and line."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_cli.data.choices import LoadedChoices, given_choices, load_choices
from bert_cli.data.source import find_sources
from bert_cli.data.stream import Record
from bert_cli.errors import DataError, UsageError
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks import find_task

DATA = Path(os.environ.get("BERTCTL_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
QUESTIONS = [("where is it?", ["here", "there", "nowhere"], 2), ("who?", ["me", "you"], 0), ("why?", ["so", "no"], 1)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def load(
    path: Path, task: str = "multiple-choice", *, splits: tuple[str, ...] | None = ("train",), **data: Any
) -> LoadedChoices:
    section = DataSection(source=str(path), **data)
    known = find_task(task)
    sources = find_sources(known, section)
    return load_choices(known, section, sources=sources, splits=splits, require_labels=splits or ("train",), seed=1)


def refused(path: Path, task: str = "multiple-choice", **data: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        load(path, task, **data)
    assert caught.value.help
    return caught.value


def shown(loaded: LoadedChoices, split: str = "train") -> list[tuple[str, list[str], int]]:
    rows = loaded.splits[split]
    assert rows.targets is not None
    return [
        (question, list(choices.texts), int(target))
        for question, choices, target in zip(rows.questions, rows.choices, rows.targets, strict=True)
    ]


def _letters(count: int) -> list[str]:
    return [chr(ord("A") + place) for place in range(count)]


def question(label: Any, *choices: str) -> dict[str, Any]:
    return {"question": "?", "choices": list(choices or ("a", "b", "c")), "label": label}


LAYOUTS: dict[str, Any] = {
    "list": lambda q, c, t: {"question": q, "choices": c, "label": t},
    "letters": lambda q, c, t: {"question": q, "options": c, "answer": _letters(5)[t]},
    "small letters": lambda q, c, t: {"question": q, "choices": c, "label": _letters(5)[t].lower()},
    "from one": lambda q, c, t: {"question": q, "choices": c, "label": t + 1},
    "hub": lambda q, c, t: {"question": q, "choices": {"text": c, "label": _letters(len(c))}, "answerKey": "ABC"[t]},
    "named by number": lambda q, c, t: {
        "question": q,
        "choices": {"text": c, "label": [str(i + 1) for i in range(len(c))]},
        "answerKey": str(t + 1),
    },
    "nested": lambda q, c, t: {
        "question": {"stem": q, "choices": [{"text": x, "label": n} for x, n in zip(c, "ABC", strict=False)]},
        "answerKey": "ABC"[t],
    },
    "text": lambda q, c, t: {"question": q, "choices": c, "answer": c[t]},
    "columns of JSON rows": lambda q, c, t: {"question": q, **{f"ending{i}": x for i, x in enumerate(c)}, "label": t},
    "column names": lambda q, c, t: {
        "question": q,
        **{f"choice{i + 1}": x for i, x in enumerate(c)},
        "label": f"choice{t + 1}",
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_rows(layout: str, tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", [LAYOUTS[layout](*row) for row in QUESTIONS])
    loaded = load(path)
    assert shown(loaded) == QUESTIONS
    assert loaded.doubts == ()
    assert loaded.splits["train"].heads == [question for question, _, _ in QUESTIONS]
    assert loaded.splits["train"].tails == [tuple(choices) for _, choices, _ in QUESTIONS]


def test_a_table_has_a_column_for_each_choice_or_a_list_as_json(tmp_path: Path) -> None:
    apart = [
        {"question": q, **{f"option{i + 1}": (*c, "", "")[i] for i in range(3)}, "label": t} for q, c, t in QUESTIONS
    ]
    assert shown(load(write(tmp_path / "a" / "train.csv", apart))) == QUESTIONS
    listed = [{"question": q, "choices": json.dumps(c), "label": t} for q, c, t in QUESTIONS]
    assert shown(load(write(tmp_path / "b" / "train.csv", listed))) == QUESTIONS


def test_choices_are_read_behind_the_question_and_both_behind_the_context(tmp_path: Path) -> None:
    row = {"context": "It rained.", "question": "So what?", "choices": ["wet", "dry"], "label": 0}
    rows = load(write(tmp_path / "train.jsonl", [row, {**row, "context": None}, {**row, "question": ""}])).splits[
        "train"
    ]
    assert rows.heads == ["It rained.", "So what?", "It rained."]
    assert rows.tails == [("So what? wet", "So what? dry"), ("wet", "dry"), ("wet", "dry")]
    assert rows.empty_texts == 0


def test_names_of_data_labels_say_what_numbers_mean(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", [{"question": "?", "choices": ["a", "b", "c"], "label": n} for n in (1, 2)])
    doubted = load(path)
    assert [target for _, _, target in shown(doubted)] == [1, 2]
    assert len(doubted.doubts) == 1 and "data.labels=[1,2,3]" in doubted.doubts[0]
    sure = load(path, labels=("1", "2", "3"))
    assert [target for _, _, target in shown(sure)] == [0, 1] and sure.doubts == ()


def test_a_label_is_the_text_of_a_choice_in_data_whose_labels_are_texts(tmp_path: Path) -> None:
    mixed = [question("3", "2", "3", "5"), question("A", "B", "C", "A"), question("no", "yes", "no")]
    assert [target for _, _, target in shown(load(write(tmp_path / "train.jsonl", mixed)))] == [1, 2, 1]
    numbers = [question("2", "2", "3", "5"), question("0", "1", "7", "0")]
    assert [target for _, _, target in shown(load(write(tmp_path / "train.jsonl", numbers)))] == [2, 0]


def test_one_split_shows_the_other_from_where_labels_count(tmp_path: Path) -> None:
    for name, labels in (("train", (1, 3)), ("validation", (2, 2))):
        write(tmp_path / f"{name}.jsonl", [{"question": "?", "choices": ["a", "b", "c"], "label": n} for n in labels])
    loaded = load(tmp_path, splits=("train", "validation"))
    assert [target for _, _, target in shown(loaded, "validation")] == [1, 1]


def test_labels_count_alike_whatever_part_of_the_data_is_read(tmp_path: Path) -> None:
    rows = [question(1 + (number == 0) * 3 + number % 3, *"abcd") for number in range(30)]
    write(tmp_path / "train.jsonl", rows)
    both, alone = (load(tmp_path, splits=splits) for splits in (("train", "validation"), ("validation",)))
    assert shown(alone, "validation") == shown(both, "validation")
    write(tmp_path / "test.jsonl", rows[1:])
    assert {place for *_, place in shown(load(tmp_path, splits=("test",)), "test")} == {0, 1, 2}


def test_rows_held_out_of_the_training_split_are_not_in_it(tmp_path: Path) -> None:
    rows = [{"question": f"{i}?", "choices": ["a", "b"], "label": i % 2} for i in range(20)]
    loaded = load(write(tmp_path / "train.jsonl", rows).parent, splits=None)
    train, held = loaded.splits["train"], loaded.splits["validation"]
    assert sorted([*train.questions, *held.questions]) == sorted(f"{i}?" for i in range(20))
    assert (len(train), len(held), held.held_out, held.origin) == (18, 2, 0.1, "train.jsonl")
    assert held.targets is not None
    assert [rows[line - 1]["label"] for line in held.lines] == held.targets.tolist()


@pytest.mark.parametrize("cell", [-1, "-1", "", None])
def test_a_split_without_labels_says_so(cell: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "test.jsonl", [{"question": "?", "choices": ["a", "b"], "label": cell}] * 2)
    task, section = find_task("multiple-choice"), DataSection(source=str(tmp_path))
    sources = find_sources(task, section)
    loaded = load_choices(task, section, sources=sources, splits=("test",), require_labels=(), seed=1)
    assert loaded.splits["test"].targets is None
    assert refused(path).code == "D044"


@pytest.mark.parametrize(
    ("rows", "line", "allowed"),
    [
        ([question(0), question(3)], 2, "0 to 2; train.jsonl:1 shows this"),
        ([question(3), question(4)], 2, "1 to 3; train.jsonl:1 shows this"),
        ([question(0), question(-2)], 2, "A to C, a number, or the text of one choice"),
        ([question("A"), question("D")], 2, "A to C, a number, or the text of one choice"),
        ([question("a"), question("who")], 2, "A to C, a number, or the text of one choice"),
        ([question("x y", "x y", "x y")], 1, "A to B, a number, or the text of one choice"),
        ([question(True)], 1, "A to C, a number, or the text of one choice"),
    ],
)
def test_a_label_beyond_the_choices_is_refused(rows: list[Any], line: int, allowed: str, tmp_path: Path) -> None:
    error = refused(write(tmp_path / "train.jsonl", rows))
    assert (error.code, error.where, error.allowed) == ("D141", f"train.jsonl:{line}", allowed)


def test_a_label_that_is_no_name_of_the_choices_is_refused(tmp_path: Path) -> None:
    row = {"question": "?", "choices": {"text": ["a", "b"], "label": ["1", "2"]}, "answerKey": "0"}
    error = refused(write(tmp_path / "train.jsonl", [row]))
    assert (error.code, error.allowed) == ("D141", "1, 2")


def test_missing_labels_are_counted(tmp_path: Path) -> None:
    error = refused(write(tmp_path / "train.jsonl", [question(0), question(None), question(-1)]))
    assert (error.code, error.where) == ("D143", "train.jsonl:2") and "2 rows" in error.message


def test_mistakes_in_choices_name_their_line(tmp_path: Path) -> None:
    for code, row in (
        ("D140", {**question(0), "choices": ["a"]}),
        ("D142", {**question(0), "choices": ["a", 2]}),
        ("D144", {**question(0), "choices": "a"}),
        ("D147", {**question(0), "question": 5}),
        ("D040", {"question": "?", "choices": ["a", "b"]}),
    ):
        error = refused(write(tmp_path / "train.jsonl", [question(0), row]))
        assert (error.code, error.where) == (code, "train.jsonl:2"), row


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted as Linux lists them")
def test_a_mistake_leaves_no_file_open(tmp_path: Path) -> None:
    file = write(tmp_path / "train.jsonl", [question(0), {"question": "?"}, *[question(0)] * 9])
    kept = refused(file)
    opened = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    assert kept.__traceback__ is not None and str(file.resolve()) not in opened


def test_columns_that_are_not_there_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", [{"question": "?", "alternatives": ["a", "b"], "label": 0}])
    error = refused(path)
    assert error.code == "D040" and error.key == "data.columns.choices" and "alternatives" in str(error.allowed)
    assert len(shown(load(path, columns={"choices": "alternatives"}))) == 1
    path = write(tmp_path / "x" / "train.jsonl", [{"asked": "?", "choices": ["a", "b"], "label": 0}])
    assert refused(path).code == "D146"
    assert refused(path, columns={"question": "askd"}).code == "D040"
    with pytest.raises(UsageError) as caught:
        load(path, columns={"questions": "asked"})
    assert caught.value.code == "U063"


def test_predict_needs_no_label_and_takes_the_names_a_user_gives() -> None:
    records = [Record(1, {"asked": "?", "good": "a", "bad": "b"}), Record(2, {"asked": "!", "good": "c", "bad": "d"})]
    columns = {"question": "asked", "choices": "good,bad"}
    rows = given_choices(records, find_task("multiple-choice"), origin="stdin", columns=columns)
    assert (rows.questions, [c.texts for c in rows.choices]) == (["?", "!"], [("a", "b"), ("c", "d")])
    assert rows.targets is None and rows.cells is None and rows.name == ""
    with pytest.raises(DataError) as caught:
        given_choices([Record(9, {"question": "?", "choices": ["a"]})], find_task("arc_easy"), origin="stdin")
    assert (caught.value.code, caught.value.where) == ("D140", "stdin:9")
    with pytest.raises(DataError) as caught:
        given_choices([Record(9, {"question": "?", "answers": "a"})], find_task("arc_easy"), origin="stdin")
    assert (caught.value.code, caught.value.key) == ("D040", "--column")
    assert (caught.value.help or "").startswith("--column choices=COLUMN")


def test_contents_are_questions_choices_and_the_right_answer(tmp_path: Path) -> None:
    rows = load(write(tmp_path / "train.jsonl", [LAYOUTS["list"](*row) for row in QUESTIONS])).splits["train"]
    contents = rows.contents(None)
    assert dict(contents.parts) == {
        "question": ["where is it?", "who?", "why?"],
        "choices": ["here\nthere\nnowhere", "me\nyou", "so\nno"],
    }
    assert contents.golds == ["nowhere", "me", "no"]
    assert contents.classes == {"choice 0": 1, "choice 1": 1, "choice 2": 1}
    part = rows.take(np.array([2, 0]), name="x").contents(None)
    assert (part.name, part.golds, list(part.lines)) == ("x", ["no", "nowhere"], [3, 1])


# Rows as the hub has them: values of ClassLabel columns are names there.
HUB: Mapping[str, tuple[dict[str, Any], str, tuple[str, ...], int]] = {
    "swag": (
        {
            "sent1": "She opens the door.",
            "sent2": "She",
            **{f"ending{i}": text for i, text in enumerate(("runs.", "sits.", "eats.", "flies."))},
            "label": "1",
        },
        "She opens the door.",
        ("She runs.", "She sits.", "She eats.", "She flies."),
        1,
    ),
    "hellaswag": (
        {"ctx_a": "A man sits.", "ctx_b": "he", "ctx": "A man sits. he", "endings": ["runs", "eats"], "label": "0"},
        "A man sits.",
        ("he runs", "he eats"),
        0,
    ),
    "commonsenseqa": (
        {"question": "Where?", "choices": {"label": ["A", "B"], "text": ["bank", "mall"]}, "answerKey": "B"},
        "Where?",
        ("bank", "mall"),
        1,
    ),
    "arc_easy": (
        {"question": "Which?", "choices": {"text": ["air", "ice"], "label": ["1", "2"]}, "answerKey": "2"},
        "Which?",
        ("air", "ice"),
        1,
    ),
    "race": (
        {"article": "A story.", "question": "Tom is _ .", "options": ["old", "ill"], "answer": "A"},
        "A story.",
        ("Tom is old .", "Tom is ill ."),
        0,
    ),
    "copa": (
        {"premise": "It fell.", "choice1": "I cried.", "choice2": "I pushed.", "question": "cause", "label": "choice2"},
        "It fell.",
        ("What was the cause of this? I cried.", "What was the cause of this? I pushed."),
        1,
    ),
    "xcopa": (
        {"premise": "它碎了。", "choice1": "我哭了。", "choice2": "我推了它。", "question": "effect", "label": 0},
        "它碎了。",
        ("What happened as a result? 我哭了。", "What happened as a result? 我推了它。"),
        0,
    ),
}


@pytest.mark.parametrize("task", HUB)
def test_rows_of_the_hub_are_read_as_their_publishers_mean_them(task: str, tmp_path: Path) -> None:
    row, head, tails, target = HUB[task]
    # A second row shows from where numbers count.
    rows = load(write(tmp_path / "train.jsonl", [row, row]), task).splits["train"]
    assert (rows.heads[0], rows.tails[0]) == (head, tails)
    assert rows.targets is not None and rows.targets.tolist() == [target, target]


def test_a_question_without_a_single_blank_is_asked_as_it_is(tmp_path: Path) -> None:
    row = {"article": "A story.", "question": "Who _ and _ ?", "options": ["a", "b"], "answer": "A"}
    assert load(write(tmp_path / "train.jsonl", [row]), "race").splits["train"].tails == [
        ("Who _ and _ ? a", "Who _ and _ ? b")
    ]


def test_copa_asks_for_a_cause_or_an_effect(tmp_path: Path) -> None:
    row = {"premise": "It fell.", "choice1": "a", "choice2": "b", "question": "why", "label": 0}
    error = refused(write(tmp_path / "train.jsonl", [row]), "copa")
    assert (error.code, error.where, error.found) == ("D148", "train.jsonl:1", "'why'")


LOCAL = {
    "commonsenseqa": ("commonsenseqa", 9741, 5),
    "arc_easy": ("arc_easy", 2147, 4),
    "arc_challenge": ("arc_challenge", 1096, 4),
    "copa": ("balanced_copa", 1000, 2),
}


@pytest.mark.skipif(not (DATA / "commonsenseqa").is_dir(), reason="no local mirror of the data sets")
@pytest.mark.parametrize("task", LOCAL)
def test_local_data_are_read_whole(task: str) -> None:
    folder, count, most = LOCAL[task]
    found = load(DATA / folder, task, splits=("train",))
    rows = found.splits["train"]
    assert rows.targets is not None and found.doubts == ()
    raw = [json.loads(line) for line in (DATA / folder / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows.targets.tolist() == [row["label"] for row in raw]
    assert [list(choices.texts) for choices in rows.choices] == [row["choices"] for row in raw]
    assert (len(rows), max(len(choices.texts) for choices in rows.choices)) == (count, most)
    premise = rows.contexts if task == "copa" else rows.questions
    assert premise == [row["question"] for row in raw]
    assert load(DATA, task).splits["train"].questions == rows.questions, "also found inside a mirror of many tasks"
