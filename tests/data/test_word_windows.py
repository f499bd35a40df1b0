"""Windows of long sentences: every word once, where it has most context."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from peak import peak

from bert_cli.data.word_windows import word_windows

ROOM = 12


@st.composite
def sentences(draw: st.DrawFn) -> np.ndarray:
    return np.array(draw(st.lists(st.integers(0, ROOM), max_size=60)), dtype=np.int64)


@settings(max_examples=300, deadline=None)
@given(sentences(), st.integers(0, ROOM // 2))
def test_windows_fit_cover_the_sentence_and_score_each_word_once(counts: np.ndarray, stride: int) -> None:
    windows = word_windows(counts, room=ROOM, stride=stride)
    assert windows[0].first == 0 and windows[-1].end == len(counts)
    for window in windows:
        assert counts[window.first : window.end].sum() <= ROOM
        assert ((window.scored >= window.first) & (window.scored < window.end)).all()
    for one, other in zip(windows, windows[1:], strict=False):
        assert one.first < other.first <= one.end < other.end
        assert counts[other.first : one.end].sum() <= stride
    assert sorted(np.concatenate([window.scored for window in windows]).tolist()) == list(range(len(counts)))


@settings(max_examples=200, deadline=None)
@given(sentences(), st.integers(0, ROOM // 2))
def test_a_word_is_scored_where_its_shorter_side_is_longest(counts: np.ndarray, stride: int) -> None:
    windows = word_windows(counts, room=ROOM, stride=stride)
    for word in range(len(counts)):
        sides = {
            number: min(counts[window.first : word].sum(), counts[word + 1 : window.end].sum())
            for number, window in enumerate(windows)
            if window.first <= word < window.end
        }
        (taken,) = (number for number, window in enumerate(windows) if word in window.scored)
        assert taken == max(sides, key=lambda number: (sides[number], -number))


def test_a_sentence_that_fits_is_one_window_and_an_empty_one_too() -> None:
    (window,) = word_windows(np.array([3, 4, 5]), room=ROOM, stride=4)
    assert (window.first, window.end, window.scored.tolist()) == (0, 3, [0, 1, 2])
    (empty,) = word_windows(np.array([], dtype=np.int64), room=ROOM, stride=4)
    assert (empty.first, empty.end, len(empty.scored)) == (0, 0, 0)


def test_windows_of_single_pieces_share_the_stride_and_part_in_its_middle() -> None:
    windows = word_windows(np.ones(20, dtype=np.int64), room=10, stride=4)
    assert [(window.first, window.end) for window in windows] == [(0, 10), (6, 16), (12, 20)]
    assert [window.scored.tolist() for window in windows] == [
        list(range(8)),
        list(range(8, 14)),
        list(range(14, 20)),
    ]


def test_memory_grows_with_the_words_alone() -> None:
    assert peak(lambda: word_windows(np.ones(20_000, dtype=np.int64), room=128, stride=64)) < 200 * 20_000
