"""Marked passages in the forms of annotation tools, and what is wrong with those that mark nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_cli.data.read import Record
from bert_cli.data.spans import Span, read_spans, unwrapped
from bert_cli.errors import DataError

TEXT = "Angela Merkel 😀 visited Paris."
MERKEL, PARIS = Span(0, 13, "PER"), Span(24, 29, "LOC")


def spans(cell: object, text: str = TEXT) -> list[Span]:
    return read_spans(cell, text, where="d.jsonl:3")


@pytest.mark.parametrize(
    "cell",
    [
        [[0, 13, "PER"], [24, 29, "LOC"]],
        [{"start": 0, "end": 13, "label": "PER"}, {"start": 24, "end": 29, "label": "LOC", "text": "Paris"}],
        [
            {"id": 1, "start_offset": 0, "end_offset": 13, "label": "PER"},
            {"id": 2, "start_offset": 24, "end_offset": 29, "label": "LOC"},
        ],
        [{"start": 0, "end": 13, "labels": ["PER"]}, {"start": 24, "end": 29, "labels": ["LOC"]}],
        [{"slot": "PER", "start": 0, "end": 13}, {"type": "LOC", "start": 24, "end": 29}],
        {"PER": {"Angela Merkel": [[0, 12]]}, "LOC": {"Paris": [[24, 28]]}},
        {"PER": {"Angela Merkel": [[0, 13]]}, "LOC": {"Paris": [[24, 29]]}},
    ],
    ids=["doccano", "objects", "doccano-relations", "label-studio-min", "slots-and-types", "cluener", "nested"],
)
def test_every_form_says_the_same(cell: object) -> None:
    assert spans(cell) == [MERKEL, PARIS]


def test_nothing_marked_is_an_empty_list() -> None:
    assert spans([]) == [] and spans({}) == []


@given(st.text(min_size=1, max_size=30), st.data())
def test_a_passage_says_which_way_its_places_were_counted(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    passage = text[start:end]
    if not passage.strip():
        return
    units = len(text[:start].encode("utf-16-le")) // 2
    wide = units, units + len(passage.encode("utf-16-le")) // 2
    for given_start, given_end in ((start, end), (start, end - 1), wide):
        (found,) = spans([{"start": given_start, "end": given_end, "label": "X", "text": passage}], text)
        assert text[found.start : found.end] == passage.strip()


def test_places_of_javascript_are_understood_from_the_passage() -> None:
    assert spans([{"start": 25, "end": 30, "label": "LOC", "text": "Paris"}]) == [PARIS]


def test_spaces_at_the_ends_are_left_out() -> None:
    assert spans([[0, 8, "X"]], "  to 8  ") == [Span(2, 6, "X")]


def test_a_passage_with_several_labels_is_one_span_each() -> None:
    assert spans([{"start": 24, "end": 29, "labels": ["LOC", "GPE"]}]) == [PARIS, Span(24, 29, "GPE")]


@pytest.mark.parametrize(
    ("cell", "code", "found"),
    [
        ("PER", "D110", "'PER'"),
        (None, "D110", "null"),
        ([[0, 13]], "D110", "[0, 13]"),
        ([["0", "13", "PER"]], "D110", "['0', '13', 'PER']"),
        ([[0, 13, ""]], "D110", "[0, 13, '']"),
        ([[0, True, "PER"]], "D110", "[0, True, 'PER']"),
        ([{"start": 0, "end": 13}], "D110", "{'start': 0, 'end': 13}"),
        ({"PER": ["Angela"]}, "D110", "{'PER': ['Angela']}"),
        ({"PER": {"Angela": [[0]]}}, "D110", "{'Angela': [[0]]}"),
        ([[24, 99, "LOC"]], "D111", "24 to 99"),
        ([[-1, 5, "PER"]], "D111", "-1 to 5"),
        ([[13, 3, "PER"]], "D111", "13 to 3"),
        ([[5, 5, "PER"]], "D119", "5 to 5: ''"),
        ([[6, 7, "PER"]], "D119", "6 to 7: ' '"),
        ([{"start": 0, "end": 5, "label": "LOC", "text": "Paris"}], "D112", "'Angel'"),
    ],
)
def test_what_marks_nothing_is_refused_with_its_line(cell: object, code: str, found: str) -> None:
    with pytest.raises(DataError) as caught:
        spans(cell)
    assert (caught.value.code, caught.value.where, caught.value.found) == (code, "d.jsonl:3", found)
    assert caught.value.help and len(caught.value.render().splitlines()) <= 6


def test_a_passage_that_stands_elsewhere_is_named_with_its_place() -> None:
    with pytest.raises(DataError) as caught:
        spans([{"start": 0, "end": 5, "label": "LOC", "text": "Paris"}])
    assert caught.value.help == "it stands at 24 to 29"


def task(*results: dict[str, Any], **annotation: Any) -> Record:
    return Record(7, {"id": 1, "data": {"text": TEXT}, "annotations": [{"result": list(results), **annotation}]})


def test_a_task_of_label_studio_becomes_a_row() -> None:
    value = {"start": 0, "end": 13, "text": "Angela Merkel", "labels": ["PER"]}
    choice = {"type": "choices", "value": {"choices": ["politics"]}}
    found = unwrapped(task({"type": "labels", "value": value}, choice))
    assert found == Record(7, {"text": TEXT, "spans": [value]})
    assert spans(found.values["spans"]) == [MERKEL]


def test_cancelled_annotations_and_other_rows_are_left_alone() -> None:
    assert unwrapped(task({"value": {"labels": ["PER"]}}, was_cancelled=True)).values["spans"] == []
    row = Record(1, {"data": "x", "annotations": []})
    assert unwrapped(row) is row
    named = unwrapped(Record(1, {"data": {"review": "Paris", "score": 3}, "annotations": []}))
    assert named.values == {"text": "Paris", "spans": []}
