"""The best spans are those of a search over all of them, in all windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_cli.objectives import best_spans as module
from bert_cli.objectives.best_spans import Spans, best_spans


def made(seed: int, questions: int) -> dict[str, Any]:
    """Windows of random size and place, with logits that are all different."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 4, questions)
    example = np.repeat(np.arange(questions), counts)
    size = rng.integers(0, 9, len(example))
    at = rng.integers(1, 5, len(example))
    # Neighbouring windows share tokens of the context.
    first = np.concatenate([np.arange(count) * 4 for count in counts])
    lengths = at + size + 1
    logits = rng.permutation(np.arange(2 * lengths.sum())).astype(np.float32).reshape(-1, 2) / 7
    return {
        "logits": logits,
        "line_ends": np.cumsum(lengths),
        "example": example,
        "at": at,
        "first": first,
        "size": size,
    }


def searched(windows: dict[str, Any], *, n_best: int, longest: int) -> list[tuple[float, dict[tuple[int, int], float]]]:
    """Null score and the best spans of each question, by trying them all."""
    found = []
    for question in range(int(windows["example"].max()) + 1):
        null, spans = np.inf, dict[tuple[int, int], float]()
        for window in np.flatnonzero(windows["example"] == question):
            begin = 0 if window == 0 else windows["line_ends"][window - 1]
            logits = windows["logits"][begin : windows["line_ends"][window]]
            null = min(null, logits[0].sum())
            at, first, size = (int(windows[name][window]) for name in ("at", "first", "size"))
            for one in range(size):
                for last in range(one, min(one + longest, size)):
                    key = (first + one, first + last)
                    score = logits[at + one, 0] + logits[at + last, 1]
                    spans[key] = max(spans.get(key, -np.inf), score)
        best = sorted(spans, key=lambda key: -spans[key])[:n_best]
        found.append((float(null), {key: float(spans[key]) for key in best}))
    return found


def listed(spans: Spans) -> list[tuple[float, dict[tuple[int, int], float]]]:
    return [
        (
            float(spans.null[question]),
            {
                (int(first), int(last)): float(score)
                for (first, last), score in zip(
                    spans.tokens[spans.of(question)], spans.scores[spans.of(question)], strict=True
                )
            },
        )
        for question in range(len(spans.ends))
    ]


@given(seed=st.integers(0, 10_000), questions=st.integers(1, 6), n_best=st.integers(1, 30), longest=st.integers(1, 12))
@settings(max_examples=150, deadline=None)
def test_the_spans_are_those_of_a_search_over_all_of_them(seed: int, questions: int, n_best: int, longest: int) -> None:
    windows = made(seed, questions)
    wanted = searched(windows, n_best=n_best, longest=longest)
    with pytest.MonkeyPatch.context() as patch:
        for stack in (2, 64):
            patch.setattr(module, "STACK", stack)
            found = listed(best_spans(**windows, null_at=0, n_best=n_best, longest=longest))
            for (null, spans), (their_null, their_spans) in zip(found, wanted, strict=True):
                assert null == pytest.approx(their_null)
                # Sums of different logits may be equal; then which of them is the last is open.
                assert list(spans.values()) == pytest.approx(list(their_spans.values()))
                assert len(set(spans)) == len(spans)


def test_a_span_that_two_windows_share_counts_once_at_its_higher_score() -> None:
    logits = np.zeros((8, 2), dtype=np.float32)
    logits[1], logits[5] = (1, 1), (3, 3)
    ones = np.array([1, 1])
    spans = best_spans(
        logits,
        np.array([4, 8]),
        example=np.array([0, 0]),
        at=ones,
        first=np.array([0, 0]),
        size=ones,
        null_at=0,
        n_best=5,
        longest=3,
    )
    assert spans.tokens.tolist() == [[0, 0]]
    assert spans.scores.tolist() == [6.0]


def test_a_question_whose_context_has_no_token_has_no_span() -> None:
    zero, one = np.array([0, 0]), np.array([1, 1])
    spans = best_spans(
        np.ones((4, 2), dtype=np.float32),
        np.array([2, 4]),
        example=np.array([0, 1]),
        at=one,
        first=zero,
        size=zero,
        null_at=0,
        n_best=5,
        longest=3,
    )
    assert spans.ends.tolist() == [0, 0]
    assert spans.null.tolist() == [2.0, 2.0]


def test_no_answer_scores_as_in_the_window_that_believes_in_it_least() -> None:
    windows = made(3, 1)
    windows["logits"][:] = np.arange(len(windows["logits"]))[:, None]
    spans = best_spans(**windows, null_at=0, n_best=1, longest=1)
    assert spans.null.tolist() == [0.0]
