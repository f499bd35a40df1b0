"""What a model answers to questions about contexts, put together from the windows that each context was read in.

A question is left unanswered where the probability of no answer is above the threshold. That is tuned for F1 on a split
with such questions; where a split has none, everything is answered. The probability is the logistic function of how far
the best span's score lies below that of no answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bert_cli.data.gold_answers import trimmed
from bert_cli.data.store import SplitStore
from bert_cli.files import rounded
from bert_cli.metrics.answers import NAMES, best_threshold, score_answers
from bert_cli.metrics.scores import check_finite
from bert_cli.objectives.best_spans import Spans, best_spans
from bert_cli.train.evaluate import Scored

ALWAYS_ANSWER = 1.0
"""The threshold of models that never leave a question unanswered: no probability is above it."""


@dataclass(frozen=True)
class Answer:
    """A piece of a context, from and to which character, and its score."""

    text: str
    start: int
    end: int
    score: float


NOTHING = Answer("", 0, 0, -np.inf)


def decoded(split: SplitStore, scored: Scored, *, null_at: int, n_best: int, longest: int) -> Spans:
    """The best spans of each question.

    Raises:
        NonFiniteError: a logit is nan or infinite (M005).
    """
    check_finite(scored.scores)
    places = {name: _column(split, name) for name in ("example", "at", "first", "size")}
    return best_spans(scored.scores, scored.ends, **places, null_at=null_at, n_best=n_best, longest=longest)


def _column(split: SplitStore, name: str) -> np.ndarray:
    column = split.column(name)
    assert column is not None, f"windows have a column {name}"
    return column.astype(np.int64)


class QuestionAnswers:
    """Answers to the questions of a split.

    Args:
        spans: of each question, best first.
        losses: of the split's windows.
        language: of the questions, which decides how answers are compared.
        threshold: probability of no answer above which nothing is answered; None tunes it on this split.
    """

    def __init__(
        self,
        split: SplitStore,
        spans: Spans,
        losses: Mapping[str, float],
        *,
        language: str | None,
        threshold: float | None,
    ) -> None:
        self.split, self.spans = split, spans
        self.heads = np.flatnonzero(np.diff(_column(split, "example"), prepend=-1))
        """Row of each question's first window, which holds its texts."""
        self.best = [next(self._candidates(question), NOTHING) for question in range(self.n)]
        odds = spans.null.astype(np.float64) - np.array([answer.score for answer in self.best])
        self.no_answer: np.ndarray = np.exp(-np.logaddexp(0.0, -odds))
        """Probability that there is no answer. Shape: `[n]`."""
        self.golds: list[list[str]] | None = None
        self._raw = np.zeros((self.n, len(NAMES)))
        if split.targets is not None:
            self.golds = [split.value("gold", int(row)) for row in self.heads]
            self._raw = score_answers(
                [answer.text for answer in self.best], self.golds, language=language, impossible=self.impossible
            )
        self.threshold = self._tuned() if threshold is None else threshold
        self.scores: dict[str, float] = {}
        if self.golds is not None:
            self.scores = {**losses, **self._means(np.ones(self.n, dtype=bool))}

    @property
    def n(self) -> int:
        """Questions."""
        return len(self.heads)

    @cached_property
    def answerable(self) -> np.ndarray:
        """Whether a question has a gold answer. Shape: `[n]` bool."""
        assert self.golds is not None, "there is nothing to compare with"
        return np.array([len(texts) > 0 for texts in self.golds], dtype=bool)

    @property
    def impossible(self) -> bool:
        """Whether some question has no answer."""
        return not self.answerable.all()

    @cached_property
    def unanswered(self) -> np.ndarray:
        """Whether a question is left unanswered. Shape: `[n]` bool."""
        empty = np.array([not answer.text for answer in self.best], dtype=bool)
        silent: np.ndarray = (self.no_answer > self.threshold) | empty
        return silent

    def report(self) -> dict[str, Any]:
        """Scores of all questions; where some have no answer, also of those that have one and of the others."""
        parts = {"has_answer": self.answerable, "no_answer": ~self.answerable} if self.impossible else {}
        return {
            "n": self.n,
            "windows": len(self.split),
            **self._means(np.ones(self.n, dtype=bool)),
            **{name: {"n": int(rows.sum()), **self._means(rows)} for name, rows in parts.items() if rows.any()},
            "unanswered": int(self.unanswered.sum()),
            "threshold": self.threshold,
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """Question, gold answers where they are known, answer, and the best candidates with their probabilities."""
        for question, head in enumerate(self.heads.tolist()):
            record = {name: self.split.value(name, head) for name in ("line", "id", "question")}
            record = {name: value for name, value in record.items() if value is not None}
            if self.golds is not None:
                record["gold"] = self.golds[question]
            yield record | self._described(question)

    def files(self) -> Mapping[str, Any]:
        """What the official scorers read: answers by id, and probabilities of no answer where that is possible."""
        ids = [self.split.value("id", int(head)) or str(question) for question, head in enumerate(self.heads, 1)]
        answers = self._answered()
        files: dict[str, Any] = {".json": dict(zip(ids, (answer.text for answer in answers), strict=True))}
        if self.threshold < ALWAYS_ANSWER:
            files[".na_prob.json"] = dict(zip(ids, self.no_answer.tolist(), strict=True))
        return files

    def _answered(self) -> list[Answer]:
        """What is answered to each question, `NOTHING` where it is left unanswered."""
        return [NOTHING if silent else answer for silent, answer in zip(self.unanswered, self.best, strict=True)]

    def _tuned(self) -> float:
        if self.golds is None or not self.impossible:
            return ALWAYS_ANSWER
        answered = np.array([bool(answer.text) for answer in self.best])
        return best_threshold(self.no_answer, self._raw[:, 1], answerable=self.answerable, answered=answered)

    def _means(self, rows: np.ndarray) -> dict[str, float]:
        silent = np.repeat(~self.answerable[:, None], len(NAMES), axis=1)
        values = np.where(self.unanswered[:, None], silent, self._raw)[rows].mean(axis=0)
        return dict(zip(NAMES, values.tolist(), strict=True))

    def _candidates(self, question: int) -> Iterator[Answer]:
        """The best answers with their scores, without those that are only space."""
        head, part = int(self.heads[question]), self.spans.of(question)
        context = self.split.value("context", head)
        starts, ends = self.split.values("starts", head), self.split.values("ends", head)
        for (first, last), score in zip(self.spans.tokens[part], self.spans.scores[part], strict=True):
            start, end = trimmed(context, int(starts[first]), int(ends[last]))
            if start < end:
                yield Answer(context[start:end], start, end, float(score))

    def _described(self, question: int) -> dict[str, Any]:
        """Answer and candidates; probabilities are shares among the candidates, no answer being one where it may be."""
        candidates = list(self._candidates(question))
        may_be_silent = self.threshold < ALWAYS_ANSWER
        logits = [answer.score for answer in candidates] + [float(self.spans.null[question])] * may_be_silent
        weights = np.exp(np.array(logits) - max(logits, default=0.0))
        shares = [rounded(share) for share in (weights / weights.sum()).tolist()] if logits else []
        named = [
            {"answer": answer.text, "start": answer.start, "end": answer.end, "score": share}
            for answer, share in zip(candidates, shares, strict=False)
        ]
        nothing = {"answer": "", "start": None, "end": None, "score": shares[-1] if may_be_silent else 0.0}
        chosen = nothing if self.unanswered[question] or not named else named[0]
        found = {**chosen, "n_best": named}
        return {**found, "no_answer": rounded(float(self.no_answer[question]))} if may_be_silent else found
