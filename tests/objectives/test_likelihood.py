"""Pseudo-log-likelihoods are those of the papers, however the copies are batched."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import FAMILIES, tiny_config, tiny_tokenizer
from tiny_pairs import naive_likelihood

from bert_cli.errors import NonFiniteError
from bert_cli.objectives.likelihood import Sentence, encode_sentences, pseudo_log_likelihoods, shared_places
from bert_cli.runtime import Runtime

TEXTS = (
    "the film was good",
    "the film was bad",
    "a",
    "it seems that the zebra was very clever",
    "the film was good",
    "[MASK] [MASK] film",
)


def model_of(family: str) -> Any:
    from transformers import AutoModelForMaskedLM

    torch.manual_seed(0)
    return AutoModelForMaskedLM.from_config(tiny_config(family)).eval()


def score(model: Any, sentences: list[Sentence], family: str = "bert", **options: Any) -> np.ndarray:
    given_: dict[str, Any] = {"runtime": Runtime(device="cpu", precision="fp32"), "max_tokens": 64, **options}
    return pseudo_log_likelihoods(model, sentences, mask_token_id=tiny_tokenizer(family).mask_token_id, **given_)


def rows_seen(model: Any) -> list[torch.Size]:
    """Shapes of the token ids of each forward pass from now on."""
    seen: list[torch.Size] = []
    model.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append((*args, kwargs.get("input_ids"))[0].shape), with_kwargs=True
    )
    return seen


@pytest.mark.parametrize("whole_words", [False, True])
@pytest.mark.parametrize("family", [*FAMILIES, "albert", "deberta-v2"])
def test_a_score_is_that_of_one_padded_copy_at_a_time(family: str, whole_words: bool) -> None:
    model, tokenizer = model_of(family), tiny_tokenizer(family)
    texts = [text.replace("[MASK]", tokenizer.mask_token) for text in TEXTS]
    found = score(model, list(encode_sentences(tokenizer, texts, whole_words=whole_words)), family)
    expected = [naive_likelihood(model, tokenizer, text, whole_words=whole_words) for text in texts]
    assert found == pytest.approx(expected, abs=1e-5)
    assert found[0] == found[4]


def test_the_rest_of_a_word_is_masked_with_each_of_its_tokens() -> None:
    (sentence,) = encode_sentences(tiny_tokenizer(), ["a zoo is"], whole_words=True)
    # [CLS] a z ##o ##o is [SEP]
    assert sentence.places.tolist() == [1, 2, 3, 4, 5] and sentence.stops.tolist() == [2, 5, 5, 5, 6]
    (alone,) = encode_sentences(tiny_tokenizer(), ["a zoo is"])
    assert alone.stops.tolist() == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("max_tokens", [1, 7, 40, 10_000])
def test_the_size_of_the_batches_changes_nothing(max_tokens: int) -> None:
    model, sentences = model_of("bert"), list(encode_sentences(tiny_tokenizer(), TEXTS))
    seen = rows_seen(model)
    found = score(model, sentences, max_tokens=max_tokens)
    assert all(rows * length <= max(max_tokens, length) for rows, length in seen)
    assert found == pytest.approx(score(model, sentences, max_tokens=64), abs=1e-5)


def test_copies_that_are_equal_are_computed_once() -> None:
    model = model_of("bert")
    seen = rows_seen(model)
    # Four words each; they differ in the last, and masked there they are one.
    score(model, list(encode_sentences(tiny_tokenizer(), ["the film was good", "the film was bad"])))
    assert sum(rows for rows, _ in seen) == 7


def test_logits_are_taken_at_one_position_of_each_copy() -> None:
    model, shapes = model_of("bert"), []
    model.get_output_embeddings().register_forward_hook(lambda module, args, out: shapes.append(out.shape))
    score(model, list(encode_sentences(tiny_tokenizer(), ["the film was good"])))
    assert [tuple(shape) for shape in shapes] == [(4, 1, len(tiny_tokenizer()))]


def test_the_head_computes_in_fp32_and_the_region_is_left_as_it_was() -> None:
    model, sentences = model_of("bert"), list(encode_sentences(tiny_tokenizer(), TEXTS))
    kinds: list[torch.dtype] = []
    model.get_output_embeddings().register_forward_hook(lambda module, args, out: kinds.append(out.dtype))
    runtime = Runtime(device="cpu", precision="bf16")
    with runtime.autocast():
        found = score(model, sentences, runtime=runtime)
        assert torch.is_autocast_enabled("cpu")
    assert set(kinds) == {torch.float32} and not torch.is_autocast_enabled("cpu")
    exact = score(model, sentences)
    assert found == pytest.approx(exact, rel=0.02) and not np.array_equal(found, exact)


def test_dropout_is_off_while_scoring_and_the_mode_is_put_back() -> None:
    model, sentences = model_of("bert"), list(encode_sentences(tiny_tokenizer(), TEXTS))
    expected = score(model, sentences)
    assert np.array_equal(score(model.train(), sentences), expected)
    assert model.training


def test_only_the_places_asked_for_are_scored() -> None:
    model, tokenizer = model_of("bert"), tiny_tokenizer()
    (sentence,) = encode_sentences(tokenizer, ["the film was good"])
    some = [sentence.only(np.array([2, 4])), sentence.only(np.array([], dtype=np.int64))]
    found = score(model, some)
    assert found[0] == pytest.approx(naive_likelihood(model, tokenizer, "the film was good", only=[2, 4]), abs=1e-5)
    assert found[1] == 0.0


def test_progress_ends_at_one() -> None:
    shares: list[float] = []
    score(model_of("bert"), list(encode_sentences(tiny_tokenizer(), TEXTS)), max_tokens=8, progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) > 3


def test_a_model_that_gives_no_numbers_is_refused() -> None:
    model = model_of("bert")
    with torch.no_grad():
        model.get_output_embeddings().bias.fill_(torch.nan)
    with pytest.raises(NonFiniteError, match="N002"):
        score(model, list(encode_sentences(tiny_tokenizer(), ["the film"])))


@given(st.lists(st.integers(0, 5), max_size=30), st.lists(st.integers(0, 5), max_size=30))
def test_shared_tokens_are_the_equal_parts_of_an_alignment(one: list[int], other: list[int]) -> None:
    here, there = shared_places(np.array(one, dtype=np.int64), np.array(other, dtype=np.int64))
    assert [one[i] for i in here] == [other[i] for i in there]
    assert (np.diff(here) > 0).all() and (np.diff(there) > 0).all()
    # As in the code of the paper: strings of the ids, difflib's own settings, its equal spans.
    spans = SequenceMatcher(None, list(map(str, one)), list(map(str, other))).get_opcodes()
    assert here.tolist() == [i for kind, start, end, _, _ in spans if kind == "equal" for i in range(start, end)]


def test_a_sentence_shares_all_tokens_with_itself() -> None:
    ids = np.array([2, 7, 7, 9, 3])
    here, there = shared_places(ids, ids)
    assert here.tolist() == there.tolist() == [0, 1, 2, 3, 4]
