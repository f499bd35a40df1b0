"""Entities against conlleval's rules written out tag by tag, and their scores against counting sets."""

from __future__ import annotations

import numpy as np
import pytest
from entity_reference import Chunk, lenient, scores, strict
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import classification_report, confusion_matrix  # type: ignore[import-untyped, unused-ignore]

from bert_cli.metrics.entities import (
    NO_TAG,
    Chunks,
    count_entities,
    entity_scores,
    entity_types,
    find_entities,
    marks_entities,
    tag_parts,
    word_accuracy,
)
from bert_cli.metrics.tag_report import entity_report, tag_report

BIO = ("O", "B-PER", "I-PER", "B-creative-work", "I-creative-work")
BIOES = ("O", *(f"{letter}-{kind}" for kind in ("PER", "LOC") for letter in "BIES"))

sentences_of = {
    names: st.lists(st.lists(st.sampled_from(names), max_size=8), min_size=1, max_size=5) for names in (BIO, BIOES)
}


def ids(sentences: list[list[str]], names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    flat = np.array([names.index(tag) for tags in sentences for tag in tags], dtype=np.int64)
    return flat, np.array([len(tags) for tags in sentences])


def chunks(found: Chunks, names: tuple[str, ...], sentence: int) -> list[Chunk]:
    types = entity_types(names)
    mine = found.sequence == sentence
    return [
        (types[kind], first, end - 1)
        for kind, first, end in zip(found.kind[mine], found.first[mine], found.end[mine], strict=True)
    ]


def table(found: Chunks) -> np.ndarray:
    return np.stack([found.sequence, found.first, found.end, found.kind], axis=1)


def scored(gold: list[list[str]], predicted: list[list[str]], names: tuple[str, ...]) -> dict[str, float]:
    wanted, answered = (find_entities(*ids(each, names), names) for each in (gold, predicted))
    n = len(entity_types(names))
    strictly = count_entities(table(wanted), table(answered)[answered.strict], n)
    return entity_scores(count_entities(table(wanted), table(answered), n), strictly)


@pytest.mark.parametrize("names", [BIO, BIOES], ids=["bio", "bioes"])
def test_any_tags_are_read_as_conlleval_reads_them(names: tuple[str, ...]) -> None:
    @settings(max_examples=200, deadline=None)
    @given(sentences_of[names])
    def check(sentences: list[list[str]]) -> None:
        found = find_entities(*ids(sentences, names), names)
        for i, tags in enumerate(sentences):
            mine = chunks(found, names, i)
            assert set(mine) == lenient(tags)
            assert len(mine) == len(set(mine)) and mine == sorted(mine, key=lambda chunk: chunk[1])

    check()


@settings(max_examples=200, deadline=None)
@given(sentences_of[BIO])
def test_strict_entities_are_those_that_begin_as_bio_asks(sentences: list[list[str]]) -> None:
    found = find_entities(*ids(sentences, BIO), BIO)
    for i, tags in enumerate(sentences):
        kept = found.strict[found.sequence == i]
        assert {chunk for chunk, keep in zip(chunks(found, BIO, i), kept, strict=True) if keep} == strict(tags)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_scores_equal_those_of_sets_of_entities(data: st.DataObject) -> None:
    predicted = data.draw(sentences_of[BIO])
    # Gold obeys BIO, as everything that was read as gold does.
    raw = [data.draw(st.lists(st.sampled_from(BIO), min_size=len(tags), max_size=len(tags))) for tags in predicted]
    gold = []
    for tags in raw:
        sentence = ["O"] * len(tags)
        for kind, first, last in lenient(tags):
            sentence[first : last + 1] = [f"B-{kind}", *[f"I-{kind}"] * (last - first)]
        gold.append(sentence)
    ours = scored(gold, predicted, BIO)
    default, strictly = scores(gold, predicted), scores(gold, predicted, read_strictly=True)
    assert ours == {
        "entity_precision": pytest.approx(default["precision"], abs=1e-12),
        "entity_recall": pytest.approx(default["recall"], abs=1e-12),
        "entity_f1": pytest.approx(default["f1"], abs=1e-12),
        "entity_f1_strict": pytest.approx(strictly["f1"], abs=1e-12),
    }


def test_the_example_of_seqevals_readme() -> None:
    names = ("O", "B-MISC", "I-MISC", "B-PER", "I-PER")
    gold = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    predicted = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    found = scored(gold, predicted, names)
    assert found == {"entity_precision": 0.5, "entity_recall": 0.5, "entity_f1": 0.5, "entity_f1_strict": 0.5}
    flat_gold, flat_predicted = ids(gold, names)[0], ids(predicted, names)[0]
    assert word_accuracy(flat_gold, flat_predicted) == 0.8


def test_an_inside_tag_that_begins_an_entity_counts_in_default_mode_alone() -> None:
    names = ("O", "B-PER", "I-PER")
    found = scored([["B-PER", "I-PER", "O"]], [["I-PER", "I-PER", "O"]], names)
    assert (found["entity_f1"], found["entity_f1_strict"]) == (1.0, 0.0)


def test_words_without_a_prediction_are_outside_and_end_entities() -> None:
    names = ("O", "B-PER", "I-PER")
    found = find_entities(np.array([1, NO_TAG, 2, 2]), np.array([4]), names)
    assert chunks(found, names, 0) == [("PER", 0, 0), ("PER", 2, 3)]


def test_nothing_found_and_nothing_to_find_is_0() -> None:
    assert scored([["O"]], [["O"]], ("O", "B-PER", "I-PER")) == dict.fromkeys(
        ("entity_precision", "entity_recall", "entity_f1", "entity_f1_strict"), 0.0
    )
    assert np.isnan(word_accuracy(np.empty(0), np.empty(0)))


def test_an_entity_given_twice_counts_once() -> None:
    gold = np.array([[0, 3, 5, 1], [0, 3, 5, 1], [0, 3, 5, 0]])
    counts = count_entities(gold, gold[:1], 2)
    assert (counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist()) == ([0, 1], [0, 0], [1, 0])


@pytest.mark.parametrize(
    ("tag", "parts"),
    [
        ("O", ("O", "")),
        ("B-PER", ("B", "PER")),
        ("I-creative-work", ("I", "creative-work")),
        ("M-LOC", ("I", "LOC")),
        ("L-LOC", ("E", "LOC")),
        ("U-LOC", ("S", "LOC")),
        ("W-LOC", ("S", "LOC")),
        ("PER", None),
        ("B-", None),
        ("B", None),
        ("NN-SHORT", None),
        ("-LRB-", None),
        ("o", None),
    ],
)
def test_letters_of_all_schemes_are_known(tag: str, parts: tuple[str, str] | None) -> None:
    assert tag_parts(tag) == parts


def test_classes_mark_entities_where_all_of_them_do() -> None:
    assert marks_entities(BIO) and marks_entities(BIOES)
    assert not marks_entities(("O",)) and not marks_entities(("NOUN", "VERB")) and not marks_entities((*BIO, "PER"))
    assert entity_types(("B-PER", "O", "I-LOC", "I-PER")) == ("PER", "LOC")


def test_the_report_of_entities_has_every_type_and_its_averages_are_the_scores() -> None:
    gold = [["B-PER", "I-PER", "O", "B-creative-work"], ["B-PER", "O"]]
    predicted = [["B-PER", "O", "O", "B-creative-work"], ["B-PER", "O"]]
    wanted, answered = (table(find_entities(*ids(each, BIO), BIO)) for each in (gold, predicted))
    found = entity_report(count_entities(wanted, answered, 2), ("PER", "creative-work"))
    assert found["classes"] == [
        {"label": "PER", "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2},
        {"label": "creative-work", "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1},
    ]
    assert found["micro"]["f1"] == pytest.approx(scored(gold, predicted, BIO)["entity_f1"])
    assert found["macro"]["f1"] == 0.75 and found["weighted"]["f1"] == pytest.approx(2 / 3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3)), min_size=1, max_size=40))
def test_the_report_of_plain_tags_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    gold, predicted = np.array(pairs).T
    names = ("A", "B", "C", "D")
    found = tag_report(gold, predicted, names)
    theirs = classification_report(
        gold, predicted, labels=[0, 1, 2, 3], target_names=names, output_dict=True, zero_division=0
    )
    for row in found["classes"]:
        other = theirs[row["label"]]
        assert (row["precision"], row["recall"]) == pytest.approx((other["precision"], other["recall"]))
        assert row["f1"] == pytest.approx(other["f1-score"]) and row["support"] == other["support"]
    assert found["weighted"]["f1"] == pytest.approx(theirs["weighted avg"]["f1-score"])
    assert found["confusion_matrix"] == confusion_matrix(gold, predicted, labels=[0, 1, 2, 3]).tolist()
