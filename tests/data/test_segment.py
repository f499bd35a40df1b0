"""Words of texts in any script, and texts of tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_cli.data.segment import join, segment


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in segment(text).tolist()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don't know.", ["I", "don", "'", "t", "know", "."]),
        ("U.S. GDP fell 3.5%", ["U", ".", "S", ".", "GDP", "fell", "3", ".", "5", "%"]),
        ("浙商银行的CSOL，2011年", ["浙", "商", "银", "行", "的", "CSOL", "，", "2011", "年"]),
        ("カタカナーです", list("カタカナーです")),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("cafe\u0301 noir", ["cafe\u0301", "noir"]),
        ("ไทยนี้", ["ไ", "ท", "ย", "นี้"]),
        ("한국어 단어", ["한국어", "단어"]),
        ("אבג דהו", ["אבג", "דהו"]),
        ("hi 👩‍💻!", ["hi", "👩\u200d", "💻", "!"]),
        ("a\u00a0b\u3000c\td\ne", ["a", "b", "c", "d", "e"]),
        ("  ", []),
        ("", []),
    ],
)
def test_a_text_is_cut_into_words_and_characters(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text(max_size=60))
def test_words_come_in_order_do_not_overlap_and_leave_nothing_visible_out(text: str) -> None:
    places = segment(text)
    assert places.dtype == np.int32 and places.shape == (len(places), 2)
    flat = places.ravel()
    assert (np.diff(flat) >= 0).all() and (places[:, 0] < places[:, 1]).all()
    left = list(text)
    for start, end in places.tolist():
        left[start:end] = " " * (end - start)
    assert not [character for character in left if character.isprintable() and not character.isspace()]


@given(st.lists(st.text(max_size=8), max_size=10))
def test_tokens_stand_in_their_text_where_it_says(tokens: list[str]) -> None:
    text, places = join(tokens)
    assert [text[start:end] for start, end in places.tolist()] == tokens
    assert len({tuple(place) for place in places.tolist()}) == len(tokens)


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (["New", "York", "."], "New York ."),
        (list("我在北京。好，"), "我在北京。好，"),
        (["我", "用", "iPhone", "写"], "我用 iPhone 写"),
        (["I", "love", "北京", "!"], "I love 北京!"),
        ([], ""),
    ],
)
def test_spaces_stand_between_tokens_but_not_between_chinese_characters(tokens: list[str], text: str) -> None:
    assert join(tokens)[0] == text
