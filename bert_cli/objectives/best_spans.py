"""The most probable answer spans of each question, over all windows of its context.

Every pair of first and last token up to the longest answer is looked at, not only the best ends of each kind, so the
result is that of a search over all spans. Windows are taken together in small stacks: a thousand take about a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

STACK = 64
"""Windows that are looked at together."""


@dataclass(frozen=True)
class Spans:
    """The best spans of `n` questions, one question after the other, best first.

    Attributes:
        tokens: first and last token of each span, counted in the context. Shape: `[S, 2]` int64.
        scores: logit of the first plus logit of the last token. Shape: `[S]` float32.
        ends: where the spans of each question end. Shape: `[n]` int64.
        null: the score of no answer, the lowest of a question's windows (Devlin et al. 2019). Shape: `[n]` float32.
    """

    tokens: np.ndarray
    scores: np.ndarray
    ends: np.ndarray
    null: np.ndarray

    def of(self, question: int) -> slice:
        """Where the spans of one question lie."""
        return slice(int(self.ends[question - 1]) if question else 0, int(self.ends[question]))


def best_spans(
    logits: np.ndarray,
    line_ends: np.ndarray,
    *,
    example: np.ndarray,
    at: np.ndarray,
    first: np.ndarray,
    size: np.ndarray,
    null_at: int,
    n_best: int,
    longest: int,
) -> Spans:
    """The `n_best` spans of each question.

    Args:
        logits: of first and last token, of all tokens of all windows. Shape: `[K, 2]`.
        line_ends: where the tokens of each window end. Shape: `[W]`.
        example: the question of each window, ascending. Shape: `[W]`.
        at, first, size: place of the first context token in each window, which token of the context it is, and how many
            there are. Shape: `[W]`.
        null_at: place of the token that stands for no answer.
        longest: most tokens of an answer.
    """
    begins = np.append(0, line_ends[:-1])
    no_answer = logits[begins + null_at].sum(axis=1, dtype=np.float32)
    questions = int(example[-1]) + 1
    null = np.full(questions, np.inf, dtype=np.float32)
    np.minimum.at(null, example, no_answer)
    found = [
        _stack(logits, (begins + at)[part], size[part], part, n_best=n_best, longest=longest)
        for part in np.array_split(np.arange(len(begins)), -(-len(begins) // STACK))
    ]
    window, scores = np.concatenate([each[0] for each in found]), np.concatenate([each[2] for each in found])
    tokens = np.concatenate([each[1] for each in found]) + first[window][:, None]
    return _merged(example[window], tokens, scores, null, n_best=n_best)


def _stack(
    logits: np.ndarray, begins: np.ndarray, size: np.ndarray, windows: np.ndarray, *, n_best: int, longest: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Window, tokens and score of the best spans of some windows."""
    width = max(int(size.max()), 1)
    real = np.arange(width) < size[:, None]
    padded = np.full((len(windows), width + longest - 1, 2), -np.inf, dtype=np.float32)
    padded[:, :width][real] = logits[(begins[:, None] + np.arange(width))[real]]
    # [windows, first token, tokens beyond it]
    every = padded[:, :width, 0, None] + sliding_window_view(padded[:, :, 1], longest, axis=1)
    flat = every.reshape(len(windows), -1)
    best = flat.shape[1] - min(n_best, flat.shape[1])
    chosen = (
        np.argpartition(flat, best, axis=1)[:, best:] if best else np.tile(np.arange(flat.shape[1]), (len(flat), 1))
    )
    row, place = np.repeat(np.arange(len(windows)), chosen.shape[1]), chosen.ravel()
    scores = flat[row, place]
    possible = scores > -np.inf
    row, place, scores = row[possible], place[possible], scores[possible]
    start, beyond = np.divmod(place, longest)
    return windows[row], np.stack([start, start + beyond], axis=1), scores


def _merged(question: np.ndarray, tokens: np.ndarray, scores: np.ndarray, null: np.ndarray, *, n_best: int) -> Spans:
    """The best of all windows, a span that two windows share counted once, at its higher score."""
    order = np.lexsort((-scores, tokens[:, 1], tokens[:, 0], question))
    question, tokens, scores = question[order], tokens[order], scores[order]
    keys = np.column_stack([question, tokens])
    once = np.flatnonzero(np.append(True, (keys[1:] != keys[:-1]).any(axis=1))[: len(keys)])
    # Of equal scores, the earlier and then the shorter span comes first.
    order = once[np.lexsort((-scores[once], question[once]))]
    question, tokens, scores = question[order], tokens[order], scores[order]
    counts = np.bincount(question, minlength=len(null))
    rank = np.arange(len(question)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = rank < n_best
    ends = np.cumsum(np.minimum(counts, n_best))
    return Spans(tokens[kept], scores[kept], ends, null)
