"""Sentence pairs: half of them true, foreign ones from other documents, and nothing but the text to tell them by."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from objective_checks import (
    assert_rows_alone_give_the_same,
    assert_same_without_padding,
    calm,
    collate,
    options,
    totals,
)
from small_store import FIRST, SmallStore, blocks

from bert_cli.errors import DataError
from bert_cli.objectives.pairs import UNLABELLED, SentencePairs, check_documents
from bert_cli.objectives.terms import measured

NAMES = ("fill-mask-nsp", "fill-mask-sop")
STORE = blocks(60, vocab_size=40)
ONE_SENTENCE = SmallStore([[list(range(6, 6 + n))] for n in (9, 2, 12, 1)], [0, 1, 2, 3])


def objective_of(name: str, **changes: Any) -> SentencePairs:
    return SentencePairs(name, **options("bert", **changes))


def model_of(family: str) -> Any:
    torch.manual_seed(0)
    return transformers.AutoModelForPreTraining.from_config(calm(family))


def many(name: str, store: SmallStore, epochs: int) -> Any:
    """Segments and relations of every row in so many epochs."""
    rows = np.arange(len(store))
    for epoch in range(epochs):
        segments, relations = objective_of(name).pairs(store, rows, epochs=np.full(len(rows), epoch))
        yield from zip(rows, segments, relations, strict=True)


@pytest.mark.parametrize("name", NAMES)
def test_half_of_the_pairs_are_true(name: str) -> None:
    labels = [label for _, _, label in many(name, blocks(400, vocab_size=40), 50)]
    assert np.mean(labels) == pytest.approx(0.5, abs=0.01)
    assert set(labels) == {0, 1}


@pytest.mark.parametrize("name", NAMES)
def test_true_pairs_cover_their_block_and_are_cut_at_a_sentence_end(name: str) -> None:
    cuts: dict[int, set[int]] = {}
    for row, (first, second), label in many(name, STORE, 40):
        if label == 0:
            assert (first.row, first.begin, second.row, second.end) == (row, 0, row, len(STORE.rows[row]))
            assert first.end == second.begin
            cuts.setdefault(row, set()).add(first.end)
    assert all(cuts[row] == set(STORE.ends[row][:-1].tolist()) for row in range(len(STORE)) if len(STORE.ends[row]) > 1)


def test_the_second_text_has_a_segment_of_its_own_whatever_the_tokenizer_gives() -> None:
    for family in ("bert", "roberta"):
        batch = collate(SentencePairs("fill-mask-nsp", **options(family)), STORE, range(8))
        segments, _ = objective_of("fill-mask-nsp").pairs(STORE, np.arange(8), epochs=np.zeros(8, dtype=np.int64))
        seconds = batch.inputs["token_type_ids"].sum(dim=1).tolist()
        assert seconds == [second.size + 1 for _, second in segments], "the text and the token behind it"


def test_a_foreign_segment_is_never_of_the_same_document() -> None:
    store = blocks(40, vocab_size=40, per_document=20)
    found = [(row, second) for row, (_, second), label in many("fill-mask-nsp", store, 60) if label == 1]
    assert len(found) > 1_000
    assert all(store.documents[second.row] != store.documents[row] for row, second in found)


def test_one_foreign_document_among_many_blocks_is_found() -> None:
    store = blocks(3_000, vocab_size=40)
    store.documents = [0] * 2_999 + [1]
    rows = np.arange(50)
    segments, labels = objective_of("fill-mask-nsp").pairs(store, rows, epochs=np.zeros(50, dtype=np.int64))
    assert {second.row for (_, second), label in zip(segments, labels, strict=True) if label == 1} == {2_999}


def test_foreign_segments_are_whole_sentences_of_any_place() -> None:
    """Beginning and end of a segment must not tell whether it is foreign."""
    begins, whole = set(), []
    for _, (first, second), label in many("fill-mask-nsp", STORE, 60):
        if label == 1 and len(STORE.ends[first.row]) > 1:
            bounds = {0, *STORE.ends[second.row].tolist()}
            whole.append(second.end in bounds)
            begins.add((second.row, second.begin))
            assert second.begin in bounds
    assert np.mean(whole) > 0.97
    possible = {(row, int(end)) for row in range(60) for end in (0, *STORE.ends[row][:-1])}
    assert begins <= possible and len(begins) > 0.8 * len(possible)


def test_lengths_hardly_tell_a_foreign_segment_from_a_true_one() -> None:
    """The best rule of the form "shorter than n is foreign" is little better than a coin."""
    store = blocks(500, vocab_size=40, room=125)
    lengths, labels = [], []
    for _, (first, second), label in many("fill-mask-nsp", store, 20):
        lengths.append(first.size + second.size)
        labels.append(label)
    found, truth = np.array(lengths), np.array(labels) == 1
    best = max(((found < n) == truth).mean() for n in range(1, 127))
    assert best < 0.54
    assert all(size <= 125 for size in lengths)


def test_a_pair_is_never_longer_than_its_block() -> None:
    for row, (first, second), _ in many("fill-mask-nsp", STORE, 30):
        assert 0 < first.size + second.size <= len(STORE.rows[row])
        assert second.size > 0


def test_sentence_order_swaps_the_two_parts() -> None:
    for row, (first, second), label in many("fill-mask-sop", STORE, 10):
        before, after = (second, first) if label == 1 else (first, second)
        assert (before.row, before.begin, after.row, after.end) == (row, 0, row, len(STORE.rows[row]))
        assert before.end == after.begin


@pytest.mark.parametrize("name", NAMES)
def test_a_block_of_one_sentence_is_cut_in_the_middle_and_one_token_is_not_asked_about(name: str) -> None:
    seen = set()
    for row, (first, second), label in many(name, ONE_SENTENCE, 40):
        seen.add((int(row), int(label)))
        if row == 3:
            assert (label, first.size, second.size) == (UNLABELLED, 1, 0)
        elif label == 0:
            assert first.size == len(ONE_SENTENCE.rows[row]) // 2
        elif name == "fill-mask-nsp":
            assert second.begin == len(ONE_SENTENCE.rows[second.row]) // 2, "in the middle, as a true one"
    assert seen == {(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, UNLABELLED)}
    objective = objective_of(name, scoring=True)
    batch = collate(objective, ONE_SENTENCE, range(4))
    counts = objective.counts(batch)
    assert counts[objective.term] == counts[f"{objective.term}_accuracy"] == 3
    assert all(total.isfinite() for total in totals(objective, model_of("bert").eval(), batch).values())


@pytest.mark.parametrize("name", NAMES)
def test_pairs_are_a_function_of_seed_epoch_and_row(name: str) -> None:
    objective = objective_of(name)
    together, labels = objective.pairs(STORE, np.arange(20), epochs=np.full(20, 3))
    for row in range(20):
        alone, label = objective.pairs(STORE, np.array([row]), epochs=np.array([3]))
        assert alone[0] == together[row] and label[0] == labels[row]
    other, _ = objective.pairs(STORE, np.arange(20), epochs=np.full(20, 4))
    seeded, _ = objective_of(name, seed=2).pairs(STORE, np.arange(20), epochs=np.full(20, 3))
    assert other != together and seeded != together


@pytest.mark.parametrize("name", NAMES)
def test_batches_hold_the_segments_between_separators_with_their_segment_ids(name: str) -> None:
    objective = objective_of(name)
    rows = np.arange(30)
    segments, relations = objective.pairs(STORE, rows, epochs=np.zeros(30, dtype=np.int64))
    batch = collate(objective, STORE, rows)
    original = batch.inputs["input_ids"].flatten().clone()
    original[batch.positions] = batch.targets
    original = original.view_as(batch.inputs["input_ids"])
    for row in range(30):
        first, second = (STORE.rows[part.row][part.begin : part.end] for part in segments[row])
        wanted = [2, *first, 3, *second, 3]
        assert original[row, : len(wanted)].tolist() == wanted
        assert int(batch.inputs["attention_mask"][row].sum()) == len(wanted)
        types = batch.inputs["token_type_ids"][row].tolist()
        assert types[: len(wanted)] == [0] * (len(first) + 2) + [1] * (len(second) + 1)
    assert batch.relations.tolist() == relations.tolist()
    inside = original.flatten()[batch.positions]
    assert (inside >= FIRST).all(), "separators are never masked"
    where = batch.positions // original.shape[1]
    second_text = batch.inputs["token_type_ids"].flatten()[batch.positions]
    assert len(where.unique()) == 30 and set(second_text.tolist()) == {0, 1}


def test_a_text_of_one_document_is_refused_for_next_sentences() -> None:
    store = blocks(8, vocab_size=40, per_document=8)
    with pytest.raises(DataError) as caught:
        check_documents(store)  # type: ignore[arg-type]
    assert caught.value.code == "D089"
    with pytest.raises(DataError):
        objective_of("fill-mask-nsp").pairs(store, np.arange(8), epochs=np.zeros(8, dtype=np.int64))
    check_documents(blocks(8, vocab_size=40, per_document=7))  # type: ignore[arg-type]
    objective_of("fill-mask-sop").pairs(store, np.arange(8), epochs=np.zeros(8, dtype=np.int64))


class TwoPhases(SmallStore):
    """Each half of the rows has neighbours in that half alone."""

    def neighbours(self, row: int) -> tuple[int, int]:
        half = len(self) // 2
        return (0, half) if row < half else (half, len(self))


def test_every_phase_needs_two_documents_and_draws_from_its_own_blocks() -> None:
    base = blocks(40, vocab_size=40, per_document=4)
    store = TwoPhases([[row] for row in base.rows], base.documents)
    check_documents(store)  # type: ignore[arg-type]
    for row, (_, second), _ in many("fill-mask-nsp", store, 20):
        assert (row < 20) == (second.row < 20)
    store.documents = [*base.documents[:20], *[99] * 20]
    with pytest.raises(DataError):
        check_documents(store)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ["bert", "albert", "ernie", "mobilebert", "megatron-bert"])
@pytest.mark.parametrize("name", NAMES)
def test_each_family_answers_with_its_own_head(family: str, name: str) -> None:
    objective, model = objective_of(name, scoring=True), model_of(family).eval()
    batch = collate(objective, STORE, range(9))
    with torch.inference_mode():
        outputs = objective.forward(model, batch)
        full = model(**batch.inputs)
        found = objective.totals(outputs, batch)
    relation = full["sop_logits"] if family == "albert" else full["seq_relationship_logits"]
    torch.testing.assert_close(outputs.relation, relation)
    at_masks = full.prediction_logits.flatten(0, 1)[batch.positions]
    torch.testing.assert_close(outputs.tokens, at_masks, rtol=1e-4, atol=1e-5)
    term = objective.term
    wanted = -relation.log_softmax(-1)[torch.arange(9), batch.relations].sum()
    torch.testing.assert_close(found[term], wanted)
    assert float(found[f"{term}_accuracy"]) == int((relation.argmax(-1) == batch.relations).sum())
    assert objective.counts(batch)[term] == 9


@pytest.mark.parametrize("family", ["bert", "albert", "ernie"])
@pytest.mark.parametrize("name", NAMES)
def test_padded_and_unpadded_losses_are_equal(family: str, name: str) -> None:
    objective = objective_of(name)
    assert_same_without_padding(objective, model_of(family), collate(objective, STORE, range(12)))


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_scored_the_same_in_any_batch(name: str) -> None:
    assert_rows_alone_give_the_same(objective_of(name, scoring=True), model_of("bert"), STORE, [2, 5, 40])


def test_terms_become_the_whole_loss_and_its_parts() -> None:
    losses = {"mlm": 2.0, "mlm_accuracy": 0.25, "nsp": 0.5, "nsp_accuracy": 0.75}
    found = measured(losses, objective_of("fill-mask-nsp", scoring=True).weights)
    assert found == {
        "loss": 2.5,
        "perplexity": pytest.approx(math.exp(2.0)),
        "accuracy": 0.25,
        "nsp_accuracy": 0.75,
        "mlm_loss": 2.0,
        "nsp_loss": 0.5,
    }
