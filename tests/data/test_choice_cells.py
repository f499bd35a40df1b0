"""Choices are the strings that the data hold, in whichever of the usual forms; all else is refused with its line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_cli.data.choice_cells import Choices, columns_of, read_choices
from bert_cli.errors import DataError

TEXTS = st.lists(st.text(min_size=1), min_size=2, max_size=7)


def refused(*cells: tuple[str, Any]) -> DataError:
    with pytest.raises(DataError) as caught:
        read_choices(cells, where="train.jsonl:7")
    assert caught.value.where == "train.jsonl:7" and caught.value.help
    return caught.value


@given(TEXTS)
def test_every_usual_form_of_the_same_choices_is_read_alike(texts: list[str]) -> None:
    names = [chr(ord("A") + place) for place in range(len(texts))]
    listed: tuple[Any, ...] = (
        texts,
        json.dumps(texts),
        {"text": texts},
        {"text": texts, "label": names},
        [{"text": text, "label": name} for text, name in zip(texts, names, strict=True)],
        {"stem": "?", "choices": [{"text": text, "label": name} for text, name in zip(texts, names, strict=True)]},
    )
    for cell in listed:
        found = read_choices([("choices", cell)], where="")
        assert found.texts == tuple(texts)
        assert found.names in (None, tuple(names))
    apart = [(f"ending{place}", text) for place, text in enumerate(texts)]
    assert read_choices(apart, where="") == Choices(tuple(texts), tuple(name for name, _ in apart))


def test_columns_are_found_by_number_and_letter_in_their_order() -> None:
    found = ["ending10", "label", "ending2", "ending0", "ending1"]
    assert columns_of("ending*", found) == ("ending0", "ending1", "ending2", "ending10")
    assert columns_of("answer*", ["answerC", "answerA", "answer", "answerB"]) == ("answerA", "answerB", "answerC")
    assert columns_of("option*", ["option_2", "option_1"]) == ("option_1", "option_2")
    assert columns_of("choice*", ["choices", "choice1"]) == (), "one column is none of several"
    assert columns_of("good, bad", ["bad", "good"]) == ("good", "bad")
    assert columns_of("good,worse", ["bad", "good"]) == ()
    assert columns_of("choices", ["choices"]) == ("choices",) and columns_of("choices", ["x"]) == ()


def test_empty_columns_behind_the_last_choice_are_no_choices() -> None:
    cells = [("option1", "a"), ("option2", "b"), ("option3", ""), ("option4", None)]
    assert read_choices(cells, where="").texts == ("a", "b")


@pytest.mark.parametrize("cell", [[], ["only one"], {"text": [], "label": []}])
def test_fewer_than_two_choices_are_refused(cell: Any) -> None:
    assert refused(("choices", cell)).code == "D140"
    assert refused(("sol1", "a"), ("sol2", "")).code == "D140"


def test_a_choice_that_is_no_string_is_refused_with_its_place() -> None:
    error = refused(("choices", ["a", 3]))
    assert error.code == "D142" and error.message.startswith("choice 2 of this row is a int")
    assert refused(("choices", [None, "b"])).code == "D142"


@pytest.mark.parametrize("cell", [None, 3, "a, b", "[a", {"text": ["a", "b"], "label": ["A"]}, {"b": 1}])
def test_what_is_no_list_is_refused(cell: Any) -> None:
    assert refused(("choices", cell)).code == "D144"


def test_a_hole_between_columns_is_refused() -> None:
    error = refused(("ending0", "a"), ("ending1", ""), ("ending2", "c"))
    assert error.code == "D145" and "choice 2" in error.message and error.found == "values in ending0, ending2"
