"""Lengths, what lies beyond a limit, and what padding costs: against loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_splits import small

from bert_cli.inspect.lengths import (
    Lengths,
    beyond,
    histogram,
    length_findings,
    lengths_of_text,
    padding,
    summary,
    usual_limits,
)

VALUES = st.lists(st.integers(0, 3000), min_size=1, max_size=60).map(lambda values: np.array(values, dtype=np.int64))


def test_words_and_characters_of_all_parts_are_counted() -> None:
    split = small("train", ["a fine film", "电影"], parts={"text_pair": ["yes", ""]})
    assert lengths_of_text(split, "words").values.tolist() == [4, 1]
    assert lengths_of_text(split, "characters").values.tolist() == [14, 2]


@given(VALUES)
def test_a_quantile_is_the_least_length_that_so_many_reach(values: np.ndarray) -> None:
    found = summary(values)
    assert (found["count"], found["min"], found["max"]) == (len(values), values.min(), values.max())
    assert found["mean"] == pytest.approx(values.mean())
    for name, share in (("p5", 0.05), ("median", 0.5), ("p95", 0.95), ("p99", 0.99)):
        reached = [value for value in sorted(values.tolist()) if (values <= value).mean() >= share - 1e-12]
        assert found[name] == reached[0]


@given(VALUES, st.one_of(st.none(), st.integers(1, 4000)))
def test_a_histogram_counts_every_value_once(values: np.ndarray, longest: int | None) -> None:
    found = histogram(values, longest=longest)
    edges, counts = found["edges"], found["counts"]
    assert sum(counts) == len(values) and len(edges) == len(counts) + 1 <= 41
    assert len(set(np.diff(edges))) == 1 and str(edges[1]).strip("0") in ("1", "2", "5")
    for place, count in enumerate(counts[:-1]):
        assert count == ((values >= edges[place]) & (values < edges[place + 1])).sum()


@given(VALUES, st.integers(1, 3000))
def test_what_lies_beyond_a_limit(values: np.ndarray, limit: int) -> None:
    found = beyond(values, [limit])[limit]
    assert found["rows"] == pytest.approx(np.mean([value > limit for value in values]))
    lost = sum(max(0, int(value) - limit) for value in values)
    assert found["tokens"] == pytest.approx(lost / max(1, int(values.sum())))


def test_limits_shown_are_the_usual_ones_below_the_longest_and_the_own() -> None:
    assert usual_limits(300, 100) == [32, 64, 100, 128, 256]
    assert usual_limits(20, 128) == [128]


@given(VALUES.filter(lambda values: values.sum() > 0), st.integers(1, 20), st.integers(0, 5))
def test_padding_is_that_of_batches_one_by_one(values: np.ndarray, batch_size: int, seed: int) -> None:
    found = padding(values, batch_size=batch_size, max_length=3000, seed=seed)
    order = np.random.default_rng(seed).permutation(len(values))
    batches = [values[order[start : start + batch_size]] for start in range(0, len(values), batch_size)]
    padded = sum(int(batch.max()) * len(batch) for batch in batches)
    assert found["to_longest_of_batch"] == pytest.approx(padded / values.sum())
    assert found["to_max_length"] == pytest.approx(3000 * len(values) / values.sum())
    assert found["to_max_length"] >= found["to_longest_of_batch"] >= found["none"] == 1


def _tokens(values: list[int], *, limit: int, unknown: int | None = 0) -> Lengths:
    whole = np.array(values)
    cut = np.minimum(whole, limit)
    return Lengths("tokens", whole, cut, int((whole > limit).sum()), int((whole - cut).sum()), unknown)


def test_what_is_cut_is_told_with_a_length_that_cuts_less() -> None:
    train, test = small("train", ["x"] * 100), small("test", ["x"] * 10)
    lengths = [_tokens([10] * 90 + [50] * 10, limit=32), _tokens([10] * 10, limit=32)]
    (finding,) = length_findings([train, test], lengths, max_length=32, room=512)
    assert finding.what == (
        "10 of 110 rows (9.1 %) are longer than 32 tokens and lose 12.0 % of all tokens: train 10.0 %, test 0.0 %"
    )
    assert (finding.severity, finding.count) == ("warning", 10)
    assert finding.where == ("train.csv:92", "train.csv:93", "train.csv:94")
    assert finding.help == "--max-length 56 cuts 0.0 % of the rows"


def test_few_cut_rows_are_a_note() -> None:
    (finding,) = length_findings([small("train", ["x"] * 200)], [_tokens([10] * 199 + [50], limit=32)], max_length=32)
    assert (finding.severity, finding.help) == ("note", "so few hardly matter")
    assert finding.what.endswith("1.5 % of all tokens") or "loses 0.9 %" in finding.what


def test_beyond_the_model_only_windows_help() -> None:
    lengths = [_tokens([900] * 10, limit=512)]
    (finding,) = length_findings([small("train", ["x"] * 10)], lengths, max_length=512, room=512)
    assert "data.aggregate=mean" in str(finding.help)
    (finding,) = length_findings([small("train", ["x"] * 10)], [_tokens([900] * 10, limit=64)], max_length=64, room=512)
    assert finding.help == "--max-length 512 cuts 100.0 % of the rows"


def test_long_examples_that_lose_nothing_are_read_in_windows() -> None:
    lengths = Lengths("tokens", np.array([10, 50]), np.array([10, 32, 30]), unknown=0)
    (finding,) = length_findings([small("train", ["x", "y"])], [lengths], max_length=32)
    assert (finding.severity, finding.name, finding.where) == ("note", "windows", ("train.csv:3",))


def test_tokens_that_the_tokenizer_does_not_know() -> None:
    split = small("train", ["x"] * 10)
    (finding,) = length_findings([split], [_tokens([10] * 10, limit=32, unknown=5)], max_length=32)
    assert finding.what == "the tokenizer does not know 5 of 100 tokens (5.0 %)" and finding.severity == "warning"
    (few,) = length_findings([split], [_tokens([100] * 10, limit=128, unknown=5)], max_length=128)
    assert few.severity == "note"
    assert not list(length_findings([split], [_tokens([10] * 10, limit=32, unknown=None)], max_length=32))


def test_lengths_in_words_say_nothing_of_a_limit_in_tokens() -> None:
    split = small("train", ["x y z"])
    assert not list(length_findings([split], [lengths_of_text(split, "words")], max_length=4))
