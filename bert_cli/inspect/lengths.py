"""How long examples are, what a limit cuts off, and what padding would cost.

A length is counted in tokens where the tokenizer is known, else in words, or in characters for scripts that write no
spaces between words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bert_cli.inspect.contents import Contents
from bert_cli.inspect.finding import PLACES, Finding, of_rows, percent, verb

Unit = Literal["tokens", "words", "characters"]

QUANTILES = {"p5": 0.05, "median": 0.5, "p95": 0.95, "p99": 0.99}
LIMITS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
"""Lengths that `max_length` usually has."""
MANY_CUT = 0.05
"""Share of rows, or of tokens, beyond the limit that is worth a warning."""
MANY_UNKNOWN = 0.01
"""Share of tokens that the tokenizer does not know that is worth a warning."""
BINS = 40
"""Most bars of a histogram."""


@dataclass(frozen=True, eq=False)
class Lengths:
    """How long the examples of a split are, whole.

    Attributes:
        values: length of each example (of the longest of its sequences where it has several), the special tokens
            included; of each sequence where examples share them. Shape: `[n]` int64.
        sequences: what the model reads: length of each sequence, cut or in windows as `max_length` asks for; None
            where tokens are not counted. Shape: `[N]` int64.
        truncated: examples that `max_length` cuts.
        lost: tokens cut from them.
        unknown: tokens that the tokenizer does not know; None where it knows everything.
    """

    unit: Unit
    values: npt.NDArray[np.int64]
    sequences: npt.NDArray[np.int64] | None = None
    truncated: int = 0
    lost: int = 0
    unknown: int | None = None


def lengths_of_text(split: Contents, unit: Unit) -> Lengths:
    """Words (between spaces) or characters of all parts of each example."""
    values = np.zeros(len(split), dtype=np.int64)
    for texts in split.parts.values():
        counts = map(len, texts if unit == "characters" else map(str.split, texts))
        values += np.fromiter(counts, dtype=np.int64, count=len(split))
    return Lengths(unit, values)


def summary(values: npt.NDArray[np.int64]) -> dict[str, float]:
    """Count, mean, min, quantiles and max; a quantile is the least length that so many reach at most."""
    found = np.quantile(values, list(QUANTILES.values()), method="inverted_cdf").tolist()
    mean, least, most = float(values.mean()), int(values.min()), int(values.max())
    quantiles = {name: int(value) for name, value in zip(QUANTILES, found, strict=True)}
    return {"count": len(values), "mean": mean, "min": least, **quantiles, "max": most}


def histogram(values: npt.NDArray[np.int64], *, longest: int | None = None, bins: int = BINS) -> dict[str, list[int]]:
    """Bars of one width that is easy to read, longer ones counted in the last: `edges` (one more) and `counts`.

    Args:
        longest: where the bars end; default: the longest value.
    """
    longest = max(1, int(values.max()) if longest is None else longest)
    width = next(width for width in _widths() if width * bins > longest)
    n = longest // width + 1
    counts = np.bincount(np.minimum(values // width, n - 1), minlength=n)
    return {"edges": [width * place for place in range(n + 1)], "counts": counts.tolist()}


def beyond(values: npt.NDArray[np.int64], limits: Sequence[int]) -> dict[int, dict[str, float]]:
    """Of each limit: the share of `rows` that are longer, and the share of `tokens` beyond it."""
    whole = max(1, int(values.sum()))
    return {
        limit: {
            "rows": float((values > limit).mean()),
            "tokens": float(np.maximum(values - limit, 0).sum() / whole),
        }
        for limit in limits
    }


def usual_limits(longest: int, max_length: int) -> list[int]:
    """`max_length` and the usual limits below the longest example."""
    return sorted({max_length, *(limit for limit in LIMITS if limit < longest)})


def padding(sequences: npt.NDArray[np.int64], *, batch_size: int, max_length: int, seed: int) -> dict[str, float]:
    """Tokens that would be computed for each real one: padded `to_max_length`, `to_longest_of_batch`, or `none`.

    Args:
        sequences: real tokens of each. Shape: `[N]`.
        seed: of the order that batches are taken in.
    """
    whole = max(1, int(sequences.sum()))
    shuffled = sequences[np.random.default_rng(seed).permutation(len(sequences))]
    begins = np.arange(0, len(shuffled), batch_size)
    sizes = np.diff(begins, append=len(shuffled))
    longest = np.maximum.reduceat(shuffled, begins)
    return {
        "to_max_length": len(sequences) * max_length / whole,
        "to_longest_of_batch": float((longest * sizes).sum() / whole),
        "none": 1.0,
    }


def length_findings(
    splits: Sequence[Contents], lengths: Sequence[Lengths], *, max_length: int, room: int | None = None
) -> Iterator[Finding]:
    """What `max_length` cuts off, and tokens that the tokenizer does not know; of lengths in tokens only.

    Args:
        room: the longest sequence that the model can read, where that is known.
    """
    counted = [(split, length) for split, length in zip(splits, lengths, strict=True) if length.sequences is not None]
    if not counted:
        return
    values = np.concatenate([length.values for _, length in counted])
    cut = [(split, length) for split, length in counted if length.truncated]
    windowed = [pair for pair in counted if not pair[1].truncated and (pair[1].values > max_length).any()]
    if cut:
        rows, lost = sum(length.truncated for _, length in cut), sum(length.lost for _, length in cut)
        often = [max(one.truncated / len(split), one.lost / max(1, one.values.sum())) for split, one in cut]
        yield Finding(
            "warning" if max(often) >= MANY_CUT else "note",
            "truncated",
            f"{of_rows(rows, sum(map(len, splits)))} {verb(rows, 'is', 'are')} longer than {max_length} tokens and "
            f"{verb(rows, 'loses', 'lose')} {percent(lost, values.sum())} of all tokens"
            + _by_split([(split.name, one.truncated, len(split)) for split, one in counted]),
            count=rows,
            where=_longer_than(*cut[0], max_length),
            help=_longer(values, max_length, room),
        )
    if windowed:
        rows = sum(int((length.values > max_length).sum()) for _, length in windowed)
        yield Finding(
            "note",
            "windows",
            f"{of_rows(rows, sum(map(len, splits)))} {verb(rows, 'is', 'are')} longer than {max_length} tokens and "
            "read in several windows",
            count=rows,
            where=_longer_than(*windowed[0], max_length),
        )
    yield from _unknown(counted)


def _unknown(counted: Sequence[tuple[Contents, Lengths]]) -> Iterator[Finding]:
    unknown = [(split.name, one.unknown or 0, int(one.values.sum())) for split, one in counted]
    count, whole = sum(one for _, one, _ in unknown), sum(tokens for _, _, tokens in unknown)
    if not count:
        return
    many = any(one >= MANY_UNKNOWN * tokens for _, one, tokens in unknown)
    yield Finding(
        "warning" if many else "note",
        "unknown-tokens",
        f"the tokenizer does not know {of_rows(count, whole, 'tokens')}{_by_split(unknown)}",
        count=count,
        help="another model may know the characters of this language" if many else None,
    )


def _by_split(counts: Sequence[tuple[str, int, int]]) -> str:
    """`: train 57.2 %, test 0.0 %` of several splits; nothing of one."""
    shares = ", ".join(f"{name} {percent(count, whole)}" for name, count, whole in counts)
    return f": {shares}" if len(counts) > 1 else ""


def _longer_than(split: Contents, lengths: Lengths, max_length: int) -> tuple[str, ...]:
    """Where the first examples are that are too long, if each example has a length of its own."""
    if len(lengths.values) != len(split):
        return ()
    return tuple(map(split.place, np.flatnonzero(lengths.values > max_length)[:PLACES].tolist()))


def _longer(values: npt.NDArray[np.int64], max_length: int, room: int | None) -> str:
    """What would cut less: the length that 99 % of the rows keep within, a multiple of 8."""
    wanted = int(-(-summary(values)["p99"] // 8) * 8)
    if room is not None and wanted > room:
        if max_length >= room:
            return "data.aggregate=mean reads long texts in windows"
        wanted = room
    if wanted <= max_length:
        return "so few hardly matter"
    return f"--max-length {wanted} cuts {percent(float((values > wanted).sum()), len(values))} of the rows"


def _widths() -> Iterator[int]:
    """1, 2, 5, 10, 20, 50, …"""
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10
