"""Rows as their tasks change them: words marked, keywords joined, disputed pairs left out, mistakes with their line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_cli.data.columns import read_columns
from bert_cli.data.source import find_sources
from bert_cli.errors import DataError
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks import find_task
from bert_cli.tasks.base import Mark, marked


def read(folder: Path, task: str, *rows: dict[str, Any], split: str = "train") -> Any:
    file = folder / f"{split}.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    section = DataSection(source=str(folder))
    known = find_task(task)
    return read_columns(known, section, find_sources(known, section)[split])


def refused(folder: Path, task: str, *rows: dict[str, Any]) -> DataError:
    with pytest.raises(DataError) as caught:
        read(folder, task, *rows)
    assert caught.value.code == "D148" and caught.value.help
    return caught.value


@given(st.text(min_size=1, max_size=20), st.data())
def test_marks_are_the_only_change(text: str, data: st.DataObject) -> None:
    edges = (
        data.draw(st.lists(st.integers(0, len(text)), min_size=4, max_size=4, unique=True).map(sorted))
        if len(text) > 3
        else None
    )
    if edges is None:
        return
    a, b, c, d = edges
    wanted = f"{text[:a]}\x01{text[a:b]}\x02{text[b:c]}\x03{text[c:d]}\x04{text[d:]}"
    one, two = Mark(a, b, "\x01", "\x02"), Mark(c, d, "\x03", "\x04")
    assert marked(text, one, two) == marked(text, two, one) == wanted


def test_marks_may_touch_but_not_lie_outside() -> None:
    assert marked("abc", Mark(0, 1, "_", "_"), Mark(1, 3, "[", "]")) == "_a_[bc]"
    for start, end in ((0, 4), (2, 2), (-1, 1), (3, 4)):
        with pytest.raises(DataError):
            marked("abc", Mark(start, end, "*", "*"))


WIC = {
    "word": "place",
    "sentence1": "Do you want to come over to my place later?",
    "sentence2": "A political system with no place for the less prominent groups.",
    "start1": 31,
    "end1": 36,
    "start2": 27,
    "end2": 32,
    "label": False,
}


def test_wic_has_asterisks_around_the_word(tmp_path: Path) -> None:
    table = read(tmp_path, "wic", WIC, {**WIC, "start1": "31", "end1": "36"})
    assert set(table.cells) == {"text", "text_pair", "label"}
    assert table.cells["text"] == ["Do you want to come over to my *place* later?"] * 2
    assert table.cells["text_pair"][0] == "A political system with no *place* for the less prominent groups."


@pytest.mark.parametrize("change", [{"end1": 99}, {"start2": None}, {"start1": "x"}, {"start1": 36}, {"end2": True}])
def test_wic_refuses_places_outside_of_the_sentence(change: dict[str, Any], tmp_path: Path) -> None:
    assert refused(tmp_path, "wic", WIC, {**WIC, **change}).where == "train.jsonl:2"


WSC = {
    "target": {"span2_index": 37, "span1_index": 5, "span1_text": "床", "span2_text": "它"},
    "label": "false",
    "text": "这时候放在床上枕头旁边的手机响了，我感到奇怪，因为欠费已被停机两个月，现在它突然响了。",
}


def test_cluewsc_marks_noun_and_pronoun(tmp_path: Path) -> None:
    table = read(tmp_path, "cluewsc", WSC)
    assert table.cells["text"] == [
        "这时候放在_床_上枕头旁边的手机响了，我感到奇怪，因为欠费已被停机两个月，现在[它]突然响了。"
    ]
    assert set(table.cells) == {"text", "label"}


@pytest.mark.parametrize(
    "target",
    [
        {**WSC["target"], "span1_index": 6},
        {**WSC["target"], "span2_text": "他"},
        {},
        None,
        {**WSC["target"], "span1_text": ""},
    ],
)
def test_cluewsc_refuses_spans_that_are_not_there(target: Any, tmp_path: Path) -> None:
    assert refused(tmp_path, "cluewsc", {**WSC, "target": target}).where == "train.jsonl:1"


def test_csl_reads_abstract_and_keywords_as_a_pair(tmp_path: Path) -> None:
    row = {"id": 1, "abst": "水稻的产量。", "keyword": ["水稻", "产量"], "label": "1"}
    table = read(tmp_path, "csl", row, {**row, "keyword": "水稻 产量"})
    assert table.cells == {"text": ["水稻的产量。"] * 2, "text_pair": ["水稻 产量"] * 2, "label": ["1", "1"]}
    for keywords in (None, 3, ["水稻", 3]):
        assert refused(tmp_path, "csl", row, {**row, "keyword": keywords}).where == "train.jsonl:2"


@pytest.mark.parametrize("task", ["cmnli", "ocnli"])
def test_pairs_without_a_verdict_are_left_out(task: str, tmp_path: Path) -> None:
    rows = [
        {"sentence1": str(i), "sentence2": "b", "label": label}
        for i, label in enumerate(("-", "neutral", "-", "entailment"))
    ]
    table = read(tmp_path, task, *rows)
    assert (table.cells["text"], table.cells["label"], table.lines) == (["1", "3"], ["neutral", "entailment"], [2, 4])
    with pytest.raises(DataError) as caught:
        read(tmp_path, task, rows[0])
    assert caught.value.code == "D006" and caught.value.where == "train.jsonl"
