"""Equal examples have equal numbers, in all splits: against loops over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peak import peak
from small_splits import small

from bert_cli.inspect.equal import keys_of, normalised, repeated, shared

TEXTS = st.lists(st.text("aB .!ä", max_size=3), max_size=8)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("A  Fine film!", "a fine film"),
        ("do n't stop .", "don't stop"),
        ("ＡＢＣ１２３", "abc 123"),
        ("Straße", "STRASSE"),
        ("电影 很好！", "电影很好。"),
        ("caf\u0065\u0301", "café"),
        ("word\u200bword", "word word"),
        ("“quoted”", '"quoted"'),
    ],
)
def test_case_spaces_punctuation_and_forms_of_characters_make_no_difference(text: str, same: str) -> None:
    assert normalised(text) == normalised(same) != ""


@pytest.mark.parametrize(
    ("text", "other"),
    [("good", "goods"), ("!!!", "???"), ("great 😀", "great 😡"), ("5 $", "5 €"), ("résumé", "resume"), ("...", "")],
)
def test_letters_symbols_and_texts_of_nothing_but_punctuation_do(text: str, other: str) -> None:
    assert normalised(text) != normalised(other)


@given(st.text())
def test_normalising_twice_changes_nothing_and_only_blank_texts_become_nothing(text: str) -> None:
    once = normalised(text)
    assert normalised(once) == once or not text.isascii()
    assert (once == "") == (not text.split())


@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_rows_have_one_number_exactly_when_they_are_equal(splits: list[list[str]]) -> None:
    keys = keys_of([small(f"split{place}", texts) for place, texts in enumerate(splits)])
    rows = [(text, *numbers) for texts, key in zip(splits, keys, strict=True) for text, *numbers in _rows(texts, key)]
    for text, exact, loose in rows:
        assert (exact == -1) == (loose == -1) == (not text.split())
        for other, its_exact, its_loose in rows:
            if text.split() and other.split():
                assert (exact == its_exact) == (text == other)
                assert (loose == its_loose) == (normalised(text) == normalised(other))


def _rows(texts: list[str], key: object) -> list[tuple[str, int, int]]:
    return list(zip(texts, key.exact.tolist(), key.loose.tolist(), strict=True))  # type: ignore[attr-defined]


def test_pairs_are_equal_where_both_texts_are() -> None:
    one = small("train", ["a", "a", ""], parts={"text_pair": ["b", "c", "b"]})
    other = small("test", ["a", "ab", ""], parts={"text_pair": ["b", "", ""]})
    train, test = keys_of([one, other])
    assert train.exact[0] == test.exact[0] and len({*train.exact.tolist(), *test.exact.tolist()}) == 5
    assert test.exact[2] == -1 and train.exact[2] != -1


@given(st.lists(st.integers(-1, 3), max_size=8), st.lists(st.integers(-1, 3), min_size=1, max_size=8))
def test_repeats_and_shared_rows_are_those_of_a_loop(mine: list[int], others: list[int]) -> None:
    numbers, those = np.array(mine, dtype=np.int64), np.array(others, dtype=np.int64)
    found = dict(zip(*(part.tolist() for part in repeated(numbers)), strict=True))
    assert found == {row: mine.index(n) for row, n in enumerate(mine) if n >= 0 and mine.index(n) < row}
    both = dict(zip(*(part.tolist() for part in shared(numbers, those)), strict=True))
    assert both == {row: others.index(n) for row, n in enumerate(mine) if n >= 0 and n in others}


def test_answers_differ_by_name_and_scores_by_distance() -> None:
    by_name = keys_of([small("train", ["x", "x", "x"], ["a", "b", "a"])])[0]
    assert by_name.differ(np.array([1, 2]), by_name, np.array([0, 0])).tolist() == [True, False]
    scored = [
        small("train", ["x", "y", "x"], ["0", "5", "0.4"], numeric=True),
        small("test", ["x"], ["1"], numeric=True),
    ]
    train, test = keys_of(scored)
    assert train.differ(np.array([1, 2]), train, np.array([0, 0])).tolist() == [True, False]
    assert test.differ(np.array([0]), train, np.array([0])).tolist() == [True]
    unlabelled = keys_of([small("train", ["x"], ["a"]), small("test", ["x"])])[1]
    assert not unlabelled.differ(np.array([0]), by_name, np.array([0])).any()


def test_no_second_form_of_the_texts_is_kept() -> None:
    texts = ["ab, " * 2500 + str(number) for number in range(100)]
    assert peak(lambda: keys_of([small("train", texts), small("test", texts)])) < 200_000
