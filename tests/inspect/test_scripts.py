"""Scripts of letters: against the names that Unicode gives the characters."""

from __future__ import annotations

import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peak import peak
from small_splits import small

from bert_cli.inspect import scripts
from bert_cli.inspect.scripts import NAMES, NONE, script_findings, scripts_of

_BY_NAME = {
    "LATIN": "Latin",
    "FULLWIDTH LATIN": "Latin",
    "GREEK": "Greek",
    "CYRILLIC": "Cyrillic",
    "HEBREW": "Hebrew",
    "ARABIC": "Arabic",
    "DEVANAGARI": "Devanagari",
    "THAI": "Thai",
    "HANGUL": "Hangul",
    # Rows in either are mostly Japanese.
    "HIRAGANA": "Han",
    "KATAKANA": "Han",
    "CJK UNIFIED": "Han",
    "CJK COMPATIBILITY IDEOGRAPH": "Han",
    "ETHIOPIC": "Ethiopic",
    "GEORGIAN": "Georgian",
}


def test_letters_are_of_the_script_in_their_names() -> None:
    letters = [chr(code) for code in range(0x30000) if chr(code).isalpha()]
    named = [
        next((_BY_NAME[start] for start in _BY_NAME if unicodedata.name(char, "").startswith(start)), "")
        for char in letters
    ]
    found = [NAMES[place] for place in scripts_of(small("train", letters)).main.tolist()]
    pairs = Counter(pair for pair in zip(named, found, strict=True) if pair[0])
    wrong = {pair: count for pair, count in pairs.items() if pair[0] != pair[1]}
    # Rare letters of old scripts lie in blocks of their own, and some phonetic ones among those of another script.
    assert sum(count for (_, script), count in wrong.items() if script != "other") < 20, wrong
    for script in set(_BY_NAME.values()):
        missed = sum(count for (its, _), count in wrong.items() if its == script)
        assert missed < 0.15 * pairs[script, script], (script, missed)
    assert sum(pairs.values()) - sum(wrong.values()) > 100_000


@pytest.mark.parametrize(
    ("text", "main"),
    [
        ("hello", "Latin"),
        ("привет мир ok", "Cyrillic"),
        ("电影很好 OK", "Han"),
        ("これは映画です", "Han"),
        ("영화", "Hangul"),
        ("123 ... 😀", None),
        ("", None),
    ],
)
def test_the_main_script_of_a_row(text: str, main: str | None) -> None:
    place = int(scripts_of(small("train", [text])).main[0])
    assert place == (NONE if main is None else NAMES.index(main))


@given(st.lists(st.text("aé电ひя1 .", max_size=6), min_size=1))
def test_letters_are_counted_as_one_by_one(texts: list[str]) -> None:
    scripts = {"a": "Latin", "é": "Latin", "电": "Han", "ひ": "Kana", "я": "Cyrillic"}
    found = scripts_of(small("train", texts))
    expected = {name: sum(scripts.get(char) == name for text in texts for char in text) for name in scripts.values()}
    assert found.letters == {name: count for name, count in expected.items() if count}
    assert list(found.letters.values()) == sorted(found.letters.values(), reverse=True)
    assert len(found.main) == len(texts)
    if found.letters:
        assert sum(found.shares.values()) == pytest.approx(1)


def test_words_cannot_be_counted_where_no_spaces_are_written() -> None:
    assert scripts_of(small("train", ["电影很好", "ok"])).spaceless
    assert not scripts_of(small("train", ["a good film", "电影"])).spaceless
    assert not scripts_of(small("train", ["123"])).spaceless


def test_rows_in_another_script_are_a_note_and_another_split_a_warning() -> None:
    train = small("train", ["a film"] * 20 + ["фильм", "电影", "42"])
    (note,) = script_findings([train], [scripts_of(train)])
    assert note.severity == "note" and note.where == ("train.csv:22", "train.csv:23")
    assert note.what == ("2 of 23 rows (8.7 %) of train are mostly in Cyrillic or Han letters, the others in Latin")
    test = small("test", ["电影"] * 9 + ["film"])
    shift = next(
        one
        for one in script_findings([train, test], [scripts_of(train), scripts_of(test)])
        if one.split == "test" and one.name == "script-shift"
    )
    assert shift.severity == "warning"
    assert shift.what == "90.0 % of the rows of test are in Han letters, of train 4.5 %"


def test_a_few_rows_are_no_shift() -> None:
    train, test = small("train", ["a film"] * 9 + ["фильм"]), small("test", ["film", "films"])
    assert [one.name for one in script_findings([train, test], [scripts_of(train), scripts_of(test)])] == [
        "other-script"
    ]


def test_long_splits_are_counted_in_parts() -> None:
    texts = ["film", "电影x"] * 5000
    found = scripts_of(small("train", texts))
    assert found.letters == {"Latin": 25_000, "Han": 10_000}
    assert np.count_nonzero(found.main == NAMES.index("Han")) == 5000


def test_parts_of_any_size_have_the_same_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    split = small("train", ["abc", "", "это", "映画です", "1", "x" * 300, "好" * 300, "a好ж"] * 3)
    whole = scripts_of(split)
    for size in (1, 40, 500):
        monkeypatch.setattr(scripts, "CHUNK", size)
        found = scripts_of(split)
        assert found.letters == whole.letters and found.main.tolist() == whole.main.tolist()


def test_memory_is_that_of_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    split = small("train", ["好" * 1000] * 200)
    scripts_of(split)
    monkeypatch.setattr(scripts, "CHUNK", 10_000)
    assert peak(lambda: scripts_of(split)) < 1_000_000
