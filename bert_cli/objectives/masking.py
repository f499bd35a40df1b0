"""Which tokens of a text are hidden, and behind what (Devlin et al. 2019, section 3.1).

Single tokens, whole words or spans of words are chosen, so that each token is hidden with the same probability. A row's
mask is a function of (seed, epoch, row, rate) alone, and for tokens and words the mask at a smaller rate is a part of
that at a larger one. A batch of 4,096 tokens takes about half a millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

import numpy as np

from bert_cli.objectives.draws import Keys, row_keys, uniforms
from bert_cli.objectives.texts import Texts

Unit = Literal["token", "word", "span"]

LONGEST_SPAN = 10
SPAN_SHARE = 0.2
"""Parameter of the geometric distribution of span lengths, which is cut off at the longest (Joshi et al. 2020)."""


@dataclass(frozen=True)
class Masked:
    """Texts with some tokens hidden.

    Attributes:
        ids: tokens as the model sees them. Shape: `[T]` int64.
        chosen: places of the tokens that are to be predicted, in order. Shape: `[M]` int64.
    """

    ids: np.ndarray
    chosen: np.ndarray


@dataclass(frozen=True)
class Rows:
    """What the draws of a batch depend on: rows `[B]` int64 and how often each has come before, `[B]` int64."""

    rows: np.ndarray
    epochs: np.ndarray


class Masking:
    """How tokens are chosen and what becomes of them.

    Args:
        vocab_size: ids below it may be drawn as random tokens.
        special_ids: never chosen and never drawn.
        unit: what is chosen as a whole.
        rate: share of the other tokens that is chosen; at least one unit of each row that has any.
        final_rate: share at the end of the run, reached linearly; None: `rate` stays.
        masked, random: share of the chosen tokens that become the mask token, and a random one; the rest stays.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        mask_token_id: int,
        special_ids: Sequence[int],
        unit: Unit,
        rate: float,
        final_rate: float | None,
        masked: float,
        random: float,
        seed: int,
    ) -> None:
        self.mask_token_id = mask_token_id
        self.special_ids = np.array(sorted(special_ids), dtype=np.int64)
        self.ordinary_ids = np.setdiff1d(np.arange(vocab_size), self.special_ids)
        self.unit = unit
        self.first_rate, self.final_rate = rate, rate if final_rate is None else final_rate
        self.masked, self.random = masked, random
        self.seed = seed

    def rate(self, progress: float) -> float:
        """Share of the tokens chosen when this share of the run is done."""
        return self.first_rate + (self.final_rate - self.first_rate) * progress

    def hide(self, texts: Texts, of: Rows, *, progress: float) -> Masked:
        """Choose tokens and change them."""
        chosen = np.flatnonzero(self.choose(texts, of, rate=self.rate(progress)))
        ids = texts.ids.astype(np.int64)
        fate = self.draw("fate", texts, of, chosen)
        ids[chosen[fate < self.masked]] = self.mask_token_id
        random = chosen[(fate >= self.masked) & (fate < self.masked + self.random)]
        drawn = self.draw("random token", texts, of, random)
        ids[random] = self.ordinary_ids[(drawn * len(self.ordinary_ids)).astype(np.int64)]
        return Masked(ids, chosen)

    def draw(self, stream: str, texts: Texts, of: Rows, tokens: np.ndarray) -> np.ndarray:
        """One number in [0, 1) for each of these tokens. Shapes: `[M]` int64 to `[M]` float64."""
        return uniforms(self._keys(stream, texts, of)[texts.part[tokens]], texts.place[tokens])

    def choose(self, texts: Texts, of: Rows, *, rate: float) -> np.ndarray:
        """Whether each token is to be predicted. Shape: `[T]` bool."""
        possible = ~np.isin(texts.ids, self.special_ids)
        begins = np.ones_like(possible) if self.unit == "token" else texts.begins
        unit_of = np.cumsum(begins) - 1
        part = texts.part[begins]
        counts = np.bincount(part, minlength=texts.lengths.size)
        place = np.arange(len(part)) - (np.cumsum(counts) - counts)[part]
        # Places before the first are those of words in front of the text, from which a span may reach into it.
        draws = uniforms(self._keys("choice", texts, of)[part], place + LONGEST_SPAN)
        if self.unit == "span":
            hits = self._covered(draws < span_start_rate(rate), texts, of, counts=counts, rate=rate)
        else:
            hits = draws < rate
        chosen: np.ndarray = possible & hits[unit_of]
        for tokens in _without(chosen, possible, texts):
            units = unit_of[tokens]
            first = units[np.argmin(draws[units])]
            chosen[tokens[units == first]] = True
        return chosen

    def _covered(self, hits: np.ndarray, texts: Texts, of: Rows, *, counts: np.ndarray, rate: float) -> np.ndarray:
        """Which words lie in a span; `hits` says where one starts. Shapes: `[W]` bool, counts `[B * k]`, `[W]` bool."""
        choices, lengths = self._keys("choice", texts, of), self._keys("span", texts, of)
        ends = np.cumsum(counts)
        starts = ends - counts
        part = np.repeat(np.arange(len(counts)), counts)[hits]
        begin = np.flatnonzero(hits)
        end = begin + span_lengths(uniforms(lengths[part], begin - starts[part] + LONGEST_SPAN))
        # Words in front of the text, the nearest one last.
        before = np.arange(1, LONGEST_SPAN)
        reach = span_lengths(uniforms(lengths[:, None], before)) - (LONGEST_SPAN - before)
        reach[uniforms(choices[:, None], before) >= span_start_rate(rate)] = 0
        begin = np.concatenate([begin, starts])
        end = np.concatenate([end, starts + np.maximum(reach.max(axis=1), 0)])
        end = np.minimum(end, np.concatenate([ends[part], ends]))
        open_spans = np.bincount(begin, minlength=len(hits) + 1) - np.bincount(end, minlength=len(hits) + 1)
        covered: np.ndarray = np.cumsum(open_spans)[:-1] > 0
        return covered

    def _keys(self, stream: str, texts: Texts, of: Rows) -> Keys:
        """Where the numbers of each part begin. Shape: `[B * k]`."""
        parts = range(texts.lengths.shape[1])
        keys = [row_keys(self.seed, f"mask {stream} {part}", of.epochs, of.rows) for part in parts]
        return np.stack(keys, axis=1).ravel()


def _without(found: np.ndarray, possible: np.ndarray, texts: Texts) -> list[np.ndarray]:
    """Tokens that could have been chosen, `[n]` each, of every row in which none was found."""
    rows = len(texts.lengths)
    has, could = (np.bincount(texts.row[mask], minlength=rows) > 0 for mask in (found, possible))
    lacking = (texts.tokens_of(int(row)) for row in np.flatnonzero(could & ~has))
    return [np.flatnonzero(possible[tokens]) + tokens.start for tokens in lacking]


def span_lengths(draws: np.ndarray) -> np.ndarray:
    """Span lengths in words, 1 to 10, 3.8 on average. Shapes: any float64 in [0, 1), the same int64."""
    lengths: np.ndarray = 1 + np.searchsorted(_cumulative(), draws, side="right")
    return lengths


@lru_cache(maxsize=16)
def span_start_rate(rate: float) -> float:
    """With which probability a span starts at each word, so that a word lies in one with probability `rate`.

    Spans may overlap: a word is free when none of the last ten words has started a span that reaches it.
    """
    reaches = 1.0 - np.concatenate([[0.0], _cumulative()[:-1]])
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 1.0 - np.prod(1.0 - middle * reaches) < rate else (low, middle)
    return high


@cache
def _cumulative() -> np.ndarray:
    """Probability of a length of at most 1, 2 … 10 words. Shape: `[10]`."""
    share = SPAN_SHARE * (1 - SPAN_SHARE) ** np.arange(LONGEST_SPAN)
    cumulative: np.ndarray = np.cumsum(share) / share.sum()
    cumulative[-1] = 1.0
    return cumulative
