"""Question and context as windows of tokens: [CLS] question [SEP] a stretch of the context [SEP].

The question stands whole in each window; one that is longer than half of a window is cut. Neighbouring windows share
`stride` tokens of the context, as a tokenizer's own overflow does, or fewer beside a question that leaves little room.
A context that several questions share is tokenised once; 100,000 windows take a minute on one core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bert_cli.errors import ModelError, UsageError
from bert_cli.objectives.frame import Frame
from bert_cli.objectives.strides import stride_of, three_quarters, window_starts

Row = np.ndarray


@dataclass(frozen=True)
class Windows:
    """Windows of some questions, in their order.

    Attributes:
        ids, types: tokens and segments of each window.
        example: which question each window is of. Shape: `[W]`.
        at: place of the first context token in each window. Shape: `[W]`.
        first: which token of the context that is. Shape: `[W]`.
        size: context tokens in each window. Shape: `[W]`.
        starts, ends: characters of every context token, from and to, for each question.
        cut, lost: questions that were cut, and tokens cut from them.
    """

    ids: list[Row]
    types: list[Row]
    example: np.ndarray
    at: np.ndarray
    first: np.ndarray
    size: np.ndarray
    starts: list[Row]
    ends: list[Row]
    cut: int
    lost: int


@dataclass(frozen=True)
class Cutter:
    """Cuts questions and contexts into windows.

    Attributes:
        stride: tokens of the context that neighbouring windows share.
    """

    tokenizer: Any
    frame: Frame
    max_length: int
    stride: int

    @classmethod
    def of(cls, tokenizer: Any, *, max_length: int, stride: int | None) -> Cutter:
        """A cutter for this tokenizer.

        Args:
            stride: None means a third of `max_length`.

        Raises:
            ModelError: the tokenizer does not tell which characters a token stands for (L039), or its special tokens
                cannot be told from the text (L032).
            UsageError: a length that leaves no room for the context (D129), and see `stride_of`.
        """
        if not tokenizer.is_fast:
            raise ModelError(
                "L039",
                "the tokenizer does not tell which characters its tokens stand for",
                key="model.tokenizer",
                found=type(tokenizer).__name__,
                allowed="a tokenizer with a tokenizer.json, or one that transformers can turn into it",
                help="name another one with model.tokenizer=FOLDER",
            )
        frame = Frame.of(tokenizer)
        room = max_length - frame.two.size
        if room <= max_length // 2:
            raise UsageError(
                "D129",
                "windows leave no room for the context",
                key="data.max_length",
                found=max_length,
                allowed=f"{2 * frame.two.size + 1} or more",
                help="data.max_length=384 data.stride=128",
            )
        stride = stride_of(stride, max_length=max_length, room=room, most=three_quarters(room))
        return cls(tokenizer, frame, max_length, stride)

    def cut(self, questions: Sequence[str], contexts: Sequence[str]) -> Windows:
        """Windows of these questions, each about its context."""
        asked: list[list[int]] = self._tokens(list(questions))["input_ids"]
        unlike = {context: number for number, context in enumerate(dict.fromkeys(contexts))}
        read = self._tokens(list(unlike), return_offsets_mapping=True)
        tokens = [np.array(ids, dtype=np.int32) for ids in read["input_ids"]]
        offsets = [np.array(pairs, dtype=np.int32).reshape(-1, 2) for pairs in read["offset_mapping"]]
        numbers = [unlike[context] for context in contexts]
        most = self.max_length // 2
        made = [self._windows(ids[:most], tokens[number]) for ids, number in zip(asked, numbers, strict=True)]
        counts = [len(windows) for windows in made]
        flat = [window for windows in made for window in windows]
        over = [len(ids) - most for ids in asked if len(ids) > most]
        return Windows(
            ids=[window.ids for window in flat],
            types=[window.types for window in flat],
            example=np.repeat(np.arange(len(asked)), counts),
            at=np.array([window.at for window in flat]),
            first=np.array([window.first for window in flat]),
            size=np.array([window.size for window in flat]),
            starts=[offsets[number][:, 0] for number in numbers],
            ends=[offsets[number][:, 1] for number in numbers],
            cut=len(over),
            lost=sum(over),
        )

    def _tokens(self, texts: list[str], **options: bool) -> Any:
        return self.tokenizer(
            texts,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
            **options,
        )

    def _windows(self, question: list[int], context: Row) -> list[_Window]:
        """The windows of one question, one at least."""
        around = self.frame.two
        head = np.array([*around.pieces[0], *question, *around.pieces[1]], dtype=np.int32)
        tail = np.array(around.pieces[2], dtype=np.int32)
        head_types = np.array(
            [*around.piece_types[0], *[around.text_types[0]] * len(question), *around.piece_types[1]], dtype=np.int8
        )
        tail_types = np.array(around.piece_types[2], dtype=np.int8)
        room = self.max_length - len(head) - len(tail)
        stride = min(self.stride, three_quarters(room))
        made = []
        for first in window_starts(len(context), room=room, stride=stride):
            part = context[first : first + room]
            own = np.full(len(part), around.text_types[1], dtype=np.int8)
            made.append(
                _Window(
                    np.concatenate([head, part, tail]),
                    np.concatenate([head_types, own, tail_types]),
                    len(head),
                    first,
                    len(part),
                )
            )
        return made


@dataclass(frozen=True, slots=True)
class _Window:
    ids: Row
    types: Row
    at: int
    first: int
    size: int


def null_place(tokenizer: Any) -> int:
    """Where the token that stands for no answer lies in a window: the tokenizer's [CLS], else the first one."""
    before = Frame.of(tokenizer).two.pieces[0]
    return before.index(tokenizer.cls_token_id) if tokenizer.cls_token_id in before else 0


def answer_tokens(windows: Windows, spans: np.ndarray, *, null_at: int) -> np.ndarray:
    """First and last token of each window's answer, as places in the window. Shape: `[W, 2]` int64.

    `null_at` twice where the answer does not lie in the window, or there is none; -1 twice where it is not known.

    Args:
        spans: characters of each question's answer, from and to; (0, 0) for none, (-1, -1) where it has no known place.
            Shape: `[n, 2]`.
    """
    tokens = np.full((len(spans), 2), -1)
    for row, (start, end) in enumerate(spans):
        if end > start:
            # Tokens may share characters (bytes of one character) or leave some out (space between words).
            tokens[row, 0] = np.searchsorted(windows.ends[row], start, side="right")
            tokens[row, 1] = np.searchsorted(windows.starts[row], end, side="left") - 1
    found = tokens[:, 0] <= tokens[:, 1]
    known = (spans[:, 0] >= 0) & (found | (spans[:, 1] == 0))
    within = tokens[windows.example] - windows.first[:, None]
    inside = (spans[:, 1] > 0)[windows.example] & (within[:, 0] >= 0) & (within[:, 1] < windows.size)
    targets = np.where(inside[:, None], within + windows.at[:, None], null_at)
    return np.where(known[windows.example, None], targets, -1)
