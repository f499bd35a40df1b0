"""Extractive question answering: the answer is a piece of a context, or there is none in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from bert_cli.data.question_splits import load_questions
from bert_cli.data.questions import Questions, given_questions
from bert_cli.data.read import Record
from bert_cli.data.split import Split
from bert_cli.data.store import EncodedChunk, SplitStore
from bert_cli.families.base import Answers, Head, Labelled, Loaded, Reading, Request
from bert_cli.families.question_answers import QuestionAnswers, decoded
from bert_cli.metrics import Scorer
from bert_cli.objectives.span import SpanObjective
from bert_cli.objectives.windows import Cutter, Windows, answer_tokens, null_place
from bert_cli.train.evaluate import Scored

CHARACTERS = 1_000_000
"""Of contexts, counted for each question: how many are tokenised at once."""

_TEXTS = pa.string()
_INTS = pa.list_(pa.int32())


class QuestionFamily(Labelled):
    """Questions with contexts, answered by a first and a last token."""

    head = Head("AutoModelForQuestionAnswering", "ForQuestionAnswering", "questions", named=False)

    def load(self, request: Request) -> Loaded:
        """Questions with their answers; see `load_questions`."""
        splits, columns, doubts = load_questions(
            request.task,
            request.recipe.data,
            sources=request.sources,
            seed=request.recipe.train.seed,
            splits=request.splits,
            labelled=request.labelled,
        )
        return Loaded(splits, None, columns, doubts)

    def records(
        self, records: Sequence[Record], reading: Reading, *, origin: str, columns: Mapping[str, str]
    ) -> Questions:
        """Questions without answers; a record of SQuAD's nested layout holds many."""
        return given_questions(records, reading.task.columns, origin=origin, columns=columns)

    def encode(self, rows: Questions, reading: Reading) -> Iterator[EncodedChunk]:
        """Windows of tokens, with the texts of a question in its first one."""
        section = reading.recipe.data
        cutter = Cutter.of(reading.tokenizer, max_length=section.max_length, stride=section.stride)
        sizes = np.cumsum([len(context) for context in rows.contexts])
        edges = np.searchsorted(sizes, np.arange(CHARACTERS, sizes[-1], CHARACTERS))
        for part in np.split(np.arange(len(rows)), np.unique(edges)):
            if len(part):
                yield _chunk(rows.take(part), cutter, from_=int(part[0]))

    def model_settings(self, reading: Reading) -> dict[str, Any]:
        """Two outputs, whatever the checkpoint's last task had."""
        return {"labels": ("LABEL_0", "LABEL_1"), "problem_type": None}

    def objective(
        self, reading: Reading, *, takes_type_ids: bool, training: bool = False, train: Split | None = None
    ) -> SpanObjective:
        """First and last token, learnt and scored alike."""
        return SpanObjective(pad_token_id=reading.tokenizer.pad_token_id, takes_type_ids=takes_type_ids)

    def answers(
        self, split: Split, scored: Scored, reading: Reading, *, threshold: float | None, scorer: Scorer | None = None
    ) -> Answers:
        """The best answers; the threshold for none is tuned where some questions have no answer."""
        assert isinstance(split, SplitStore)
        section = reading.recipe.eval
        spans = decoded(
            split,
            scored,
            null_at=null_place(reading.tokenizer),
            n_best=section.n_best,
            longest=section.max_answer_length,
        )
        return QuestionAnswers(split, spans, scored.losses, language=reading.task.language, threshold=threshold)


def _chunk(rows: Questions, cutter: Cutter, *, from_: int) -> EncodedChunk:
    """Windows of some questions, which are counted from `from_`."""
    windows = cutter.cut(rows.questions, rows.contexts)
    columns: dict[str, Any] = {
        "example": (windows.example + from_).astype(np.int32),
        **{name: getattr(windows, name).astype(np.int32) for name in ("at", "first", "size")},
        "question": _once(windows, rows.questions, _TEXTS),
        "context": _once(windows, rows.contexts, _TEXTS),
        "starts": _once(windows, windows.starts, _INTS),
        "ends": _once(windows, windows.ends, _INTS),
    }
    if rows.ids is not None:
        columns["id"] = _once(windows, rows.ids, _TEXTS)
    if len(rows.lines):
        columns["line"] = rows.lines[windows.example]
    if rows.golds is not None:
        columns["gold"] = _once(windows, rows.golds, pa.list_(_TEXTS))
        columns["target"] = answer_tokens(windows, rows.spans, null_at=null_place(cutter.tokenizer)).astype(np.int32)
    return EncodedChunk(windows.ids, windows.types, columns, windows.cut, windows.lost)


def _once(windows: Windows, values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Values of questions in their first windows, nothing in the others."""
    heads = np.flatnonzero(np.diff(windows.example, prepend=-1))
    cells: list[Any] = [None] * len(windows.example)
    for head, value in zip(heads.tolist(), values, strict=True):
        cells[head] = value
    return pa.array(cells, kind)


FAMILY = QuestionFamily()
