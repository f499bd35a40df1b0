"""An answer is learnt only from where it really stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_cli.data.gold_answers import NO_ANSWER, UNKNOWN, Gold, read_gold
from bert_cli.errors import DataError

CONTEXT = "The Norman dukes ruled Normandy; the dukes spoke Norman. 🎉 Ende"


def gold(answers: object, impossible: object = None, context: str = CONTEXT) -> Gold | None:
    return read_gold(answers, context, impossible=impossible, where="t.json:1", key="data.columns.answers")


FORMS = [
    [{"text": "ruled", "answer_start": 17}],
    [{"text": "ruled", "start": 17.0}],
    {"text": ["ruled"], "answer_start": [17]},
    {"text": "ruled", "answer_start": 17},
    {"text": ["ruled"]},
    ["ruled"],
    "ruled",
]


@pytest.mark.parametrize("answers", FORMS, ids=repr)
def test_answers_may_be_written_in_many_ways(answers: object) -> None:
    assert gold(answers) == Gold(("ruled",), (17, 22))


def test_the_first_answer_at_its_own_start_is_learnt_and_all_count() -> None:
    found = gold(
        [
            {"text": "dukes", "answer_start": 12},
            {"text": "Normandy", "answer_start": 23},
            {"text": "x", "answer_start": -1},
        ]
    )
    # `dukes` stands twice, so it has no certain place; `x` stands nowhere.
    assert found == Gold(("dukes", "Normandy", "x"), (23, 31), wrong=2, moved=0)


@pytest.mark.parametrize(
    ("text", "start", "span", "moved"),
    [
        ("ruled", 16, (17, 22), 1),
        ("ruled", 4000, (17, 22), 1),
        ("ruled", -5, (17, 22), 1),
        ("dukes", 12, UNKNOWN, 0),
        ("Saxon", 3, UNKNOWN, 0),
        ("Ende", len(CONTEXT.encode()) - 4, (59, 63), 1),
    ],
)
def test_a_wrong_start_is_moved_where_the_text_occurs_once(
    text: str, start: int, span: tuple[int, int], moved: int
) -> None:
    assert gold([{"text": text, "answer_start": start}]) == Gold((text,), span, wrong=1, moved=moved)


def test_a_start_that_holds_is_kept_where_the_text_occurs_twice() -> None:
    assert gold([{"text": "dukes", "answer_start": 37}]) == Gold(("dukes",), (37, 42))


def test_space_around_an_answer_is_not_learnt() -> None:
    assert gold([{"text": " ruled ", "answer_start": 16}]) == Gold((" ruled ",), (17, 22))


def test_no_answer_is_an_empty_list_in_every_form() -> None:
    for answers in ([], {"text": [], "answer_start": []}, ""):
        assert gold(answers) == gold(answers, True) == Gold((), NO_ANSWER)
    assert gold(None) is None


@given(context=st.text("ab ", min_size=1, max_size=30), data=st.data())
def test_the_span_that_is_learnt_reads_as_one_of_the_answers(context: str, data: st.DataObject) -> None:
    answers = data.draw(
        st.lists(
            st.fixed_dictionaries(
                {"text": st.text("ab ", min_size=1, max_size=4).filter(str.strip), "answer_start": st.integers(-2, 40)}
            ),
            min_size=1,
            max_size=3,
        )
    )
    found = gold(answers, context=context)
    assert found is not None and found.texts == tuple(answer["text"] for answer in answers)
    standing = [answer for answer in answers if context[max(answer["answer_start"], 0) :].startswith(answer["text"])]
    standing = [answer for answer in standing if answer["answer_start"] >= 0]
    assert found.wrong == len(answers) - len(standing)
    if found.span == UNKNOWN:
        assert not standing
        assert all(context.count(text) != 1 or _overlaps(context, text) for text in found.texts)
    else:
        assert context[slice(*found.span)] in [text.strip() for text in found.texts]
    if standing:
        start, text = standing[0]["answer_start"], standing[0]["text"]
        assert found.span == (start + len(text) - len(text.lstrip()), start + len(text.rstrip()))


def _overlaps(context: str, text: str) -> bool:
    return context.find(text, context.find(text) + 1) >= 0


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        (7, "D121"),
        ([7], "D121"),
        ({"text": ["a", "b"], "answer_start": [1]}, "D121"),
        ({"start": [1]}, "D121"),
        ([{"text": "ruled", "answer_start": "17"}], "D121"),
        ([{"text": "ruled", "answer_start": True}], "D121"),
        ([{"text": "ruled", "answer_start": 1.5}], "D121"),
        ([{"text": "", "answer_start": 0}], "D122"),
        (["  "], "D122"),
    ],
    ids=repr,
)
def test_other_forms_and_empty_answers_are_refused(answers: object, code: str) -> None:
    with pytest.raises(DataError) as caught:
        gold(answers)
    assert (caught.value.code, caught.value.where, caught.value.key) == (code, "t.json:1", "data.columns.answers")


@pytest.mark.parametrize(
    ("answers", "impossible"), [(["ruled"], True), ([], False), (["ruled"], 1), ([], "false"), ([], "maybe")]
)
def test_answers_and_is_impossible_must_agree(answers: object, impossible: object) -> None:
    with pytest.raises(DataError) as caught:
        gold(answers, impossible)
    assert caught.value.code == "D123"


@pytest.mark.parametrize("impossible", [None, False, 0, "False"])
def test_answers_may_be_said_to_be_there(impossible: object) -> None:
    assert gold(["ruled"], impossible) == Gold(("ruled",), (17, 22))
