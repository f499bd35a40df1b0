"""Windows are those of the tokenizer's own overflow, and answers lie in them where their characters do."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_questions import KINDS, TEXTS

from bert_cli.errors import UsageError
from bert_cli.objectives.windows import Cutter, Windows, answer_tokens, null_place

TOKENIZERS = {name: make() for name, make in KINDS.items()}
LONG = " ".join(TEXTS)
QUESTIONS = ("Where was Beyoncé born?", "متى بني البرج؟", "", LONG[:30])


@cache
def windows_about(kind: str, context: str) -> Windows:
    return windows_of(kind, ["what?"], [context], max_length=48, stride=12)


def windows_of(kind: str, questions: list[str], contexts: list[str], **options: Any) -> Windows:
    return Cutter.of(TOKENIZERS[kind], **{"max_length": 64, "stride": 16, **options}).cut(questions, contexts)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stride", [0, 7, 16])
def test_windows_are_the_tokenizers_own_overflow(kind: str, stride: int) -> None:
    pairs = [(question, context) for question in QUESTIONS for context in (*TEXTS, LONG)]
    windows = windows_of(kind, *map(list, zip(*pairs, strict=True)), stride=stride)
    theirs = TOKENIZERS[kind](
        [question for question, _ in pairs],
        [context for _, context in pairs],
        truncation="only_second",
        max_length=64,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    assert [ids.tolist() for ids in windows.ids] == theirs["input_ids"]
    if kind == "word pieces":
        assert [types.tolist() for types in windows.types] == theirs["token_type_ids"], "the others have one segment"
    assert windows.example.tolist() == theirs["overflow_to_sample_mapping"]
    for window, offsets in enumerate(theirs["offset_mapping"]):
        at, first, size = (int(each[window]) for each in (windows.at, windows.first, windows.size))
        row = int(windows.example[window])
        own = zip(windows.starts[row][first : first + size], windows.ends[row][first : first + size], strict=True)
        assert [(int(start), int(end)) for start, end in own] == offsets[at : at + size]
        # Nothing of the context stands elsewhere in the window.
        sequence = theirs.sequence_ids(window)
        assert [place for place, which in enumerate(sequence) if which == 1] == list(range(at, at + size))
    assert (windows.cut, windows.lost) == (0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_question_longer_than_half_of_a_window_is_cut_and_counted(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    question = tokenizer(LONG, add_special_tokens=False)["input_ids"]
    windows = windows_of(kind, [LONG, "a"], [LONG, "b"], max_length=40, stride=20)
    assert (windows.cut, windows.lost) == (1, len(question) - 20)
    assert max(len(ids) for ids in windows.ids) == 40
    assert all(ids[1:21].tolist() == question[:20] for ids in windows.ids[:-1])
    # Every token of the context is in some window, and each window brings new ones.
    context = len(windows.starts[0])
    reads = [
        range(first, first + size)
        for first, size in zip(windows.first[:-1].tolist(), windows.size[:-1].tolist(), strict=True)
    ]
    assert sorted({token for window in reads for token in window}) == list(range(context))
    assert all(after.stop > before.stop for before, after in zip(reads, reads[1:], strict=False))


def test_each_context_is_tokenised_once() -> None:
    calls: list[int] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(TOKENIZERS["word pieces"], name)

        def __call__(self, texts: Any, *rest: Any, **options: Any) -> Any:
            if isinstance(texts, list):
                calls.append(len(texts))
            return TOKENIZERS["word pieces"](texts, *rest, **options)

    Cutter.of(Counting(), max_length=64, stride=16).cut(list("abcdef"), [TEXTS[0], TEXTS[1]] * 3)
    assert calls == [6, 2]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_an_answer_is_the_tokens_that_share_its_characters(kind: str, data: st.DataObject) -> None:
    context = data.draw(st.sampled_from([*TEXTS, LONG]))
    start = data.draw(st.integers(0, len(context) - 1))
    end = data.draw(st.integers(start + 1, len(context)))
    windows = windows_about(kind, context)
    targets = answer_tokens(windows, np.array([[start, end]]), null_at=0)
    overlapping = [
        token
        for token, (begin, stop) in enumerate(zip(windows.starts[0], windows.ends[0], strict=True))
        if begin < end and stop > start
    ]
    if not overlapping:
        assert (targets == -1).all(), "characters that no token stands for, as space"
        return
    for window, target in enumerate(targets.tolist()):
        first, size, at = (int(each[window]) for each in (windows.first, windows.size, windows.at))
        inside = first <= overlapping[0] and overlapping[-1] < first + size
        wanted = [overlapping[0] - first + at, overlapping[-1] - first + at] if inside else [0, 0]
        assert target == wanted


def test_windows_without_the_answer_point_at_the_first_token_and_unknown_ones_nowhere() -> None:
    windows = windows_of("word pieces", ["a", "b", "c"], [LONG] * 3, max_length=48, stride=12)
    spans = np.array([[0, 7], [0, 0], [-1, -1]])
    targets = answer_tokens(windows, spans, null_at=0)
    first, absent, unknown = (targets[windows.example == row] for row in range(3))
    assert len(first) > 2
    assert first[0].min() >= 1 and (first[1:] == 0).all()
    assert (absent == 0).all()
    assert (unknown == -1).all()


def test_no_answer_stands_where_the_tokenizer_puts_its_cls_token() -> None:
    for tokenizer in TOKENIZERS.values():
        ids = tokenizer("a", "b")["input_ids"]
        assert ids[null_place(tokenizer)] == tokenizer.cls_token_id


@pytest.mark.parametrize(
    ("max_length", "stride", "code", "key"),
    [(6, None, "D129", "data.max_length"), (64, 46, "D118", "data.stride"), (64, 64, "D118", "data.stride")],
)
def test_windows_without_room_for_new_tokens_are_refused(
    max_length: int, stride: int | None, code: str, key: str
) -> None:
    with pytest.raises(UsageError) as caught:
        windows_of("word pieces", ["a"], [LONG], max_length=max_length, stride=stride)
    assert (caught.value.code, caught.value.key) == (code, key)


def test_the_shortest_windows_that_are_allowed_read_a_whole_context() -> None:
    windows = windows_of("word pieces", [LONG], [LONG], max_length=7, stride=None)
    covered = {
        token for first, size in zip(windows.first, windows.size, strict=True) for token in range(first, first + size)
    }
    assert covered == set(range(len(windows.starts[0])))
