"""Answers of a tagger: windows put together, entities with their characters, scores over the whole gold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from entity_reference import scores as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_tokenizer
from tiny_tags import CLASSES, Sentence, tagged_rows, tiny_tagged

from bert_cli.data.read import Record
from bert_cli.data.store import SplitStore
from bert_cli.errors import DataError, NonFiniteError, UsageError
from bert_cli.families.base import Reading
from bert_cli.families.tagging import FAMILY
from bert_cli.metrics import Scorer
from bert_cli.recipe.schema import Recipe
from bert_cli.tasks import find_task
from bert_cli.train.evaluate import Scored

TASK = find_task("token-classification")
SCORER = Scorer(TASK.metrics, TASK.objective, labels=CLASSES)
SENTENCES = tiny_tagged(8, seed=5)
SENTENCES[3] = (["film", "\u200b", "good", "bad"], ["O", "B-BAD", "B-GOOD", "B-BAD"])
SENTENCES[5] = (["good"] * 40, ["B-GOOD"] * 40)


def reading(labels: Sequence[str] = CLASSES, **data: Any) -> Reading:
    recipe = Recipe.model_validate({"data": {"max_length": 16, **data}})
    return Reading(recipe, TASK, tiny_tokenizer(), tuple(labels))


def encoded(rows: Any, read: Reading) -> SplitStore:
    return SplitStore.of(FAMILY.encode(rows, read), {"origin": "d.jsonl"})


def said(store: SplitStore, tags: Sequence[Sequence[str]], labels: Sequence[str] = CLASSES) -> Scored:
    """What a model would say of each row that is sure of these tags, more or less."""
    rng = np.random.default_rng(0)
    lines, example = [], store.column("example")
    assert example is not None
    for row in range(len(store)):
        for word in store.values("word", row):
            probabilities = np.full(len(labels), 0.1, dtype=np.float32) * rng.random(len(labels), dtype=np.float32)
            probabilities[labels.index(tags[example[row]][word])] = 0.5 + 0.5 * rng.random()
            lines.append(probabilities)
    ends = np.cumsum([len(store.values("word", row)) for row in range(len(store))])
    return Scored(np.stack(lines), ends, {"loss": 0.25}, 100)


def answers(tags: Sequence[Sequence[str]], sentences: Sequence[Sentence] = SENTENCES, **options: Any) -> Any:
    store = encoded(tagged_rows(sentences), reading(**options))
    return FAMILY.answers(store, said(store, tags), reading(**options), threshold=None, scorer=SCORER)


def seen(tags: Sequence[str], tokens: Sequence[str]) -> list[str]:
    """Tags as they come out, which are `O` where the tokenizer sees nothing."""
    return ["O" if token == "\u200b" else tag for tag, token in zip(tags, tokens, strict=True)]


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_scores_are_those_of_whole_sentences_whatever_the_windows(data: st.DataObject) -> None:
    predicted = [
        data.draw(st.lists(st.sampled_from(CLASSES), min_size=len(tags), max_size=len(tags))) for _, tags in SENTENCES
    ]
    found = answers(predicted, stride=data.draw(st.integers(0, 7)))
    gold = [tags for _, tags in SENTENCES]
    given_out = [seen(tags, tokens) for tags, (tokens, _) in zip(predicted, SENTENCES, strict=True)]
    default, strictly = reference(gold, given_out), reference(gold, given_out, read_strictly=True)
    right = [one == two for a, b in zip(gold, given_out, strict=True) for one, two in zip(a, b, strict=True)]
    assert found.scores == {
        "loss": 0.25,
        "entity_precision": pytest.approx(default["precision"], abs=1e-12),
        "entity_recall": pytest.approx(default["recall"], abs=1e-12),
        "entity_f1": pytest.approx(default["f1"], abs=1e-12),
        "entity_f1_strict": pytest.approx(strictly["f1"], abs=1e-12),
        "accuracy": pytest.approx(np.mean(right), abs=1e-12),
    }
    assert [row["tags"] for row in found.rows()] == given_out


def test_a_word_that_the_tokenizer_does_not_see_is_a_miss() -> None:
    found = answers([tags for _, tags in SENTENCES])
    total = sum(tag.startswith("B") for _, tags in SENTENCES for tag in tags)
    assert found.scores["entity_recall"] == (total - 1) / total and found.scores["entity_precision"] == 1.0


def test_the_report_counts_sentences_words_and_entities_of_each_type() -> None:
    report = answers([tags for _, tags in SENTENCES]).report()
    assert (report["n"], report["words"]) == (8, sum(len(tokens) for tokens, _ in SENTENCES))
    assert [row["label"] for row in report["classes"]] == ["BAD", "GOOD"]
    counts = [sum(tag == f"B-{kind}" for _, tags in SENTENCES for tag in tags) for kind in ("BAD", "GOOD")]
    assert [row["support"] for row in report["classes"]] == counts
    json.dumps(report)


def test_rows_have_entities_with_their_characters_and_mean_probability() -> None:
    found = answers([tags for _, tags in SENTENCES])
    for row, (tokens, tags) in zip(found.rows(), SENTENCES, strict=True):
        assert list(row) == ["line", "text", "tokens", "gold", "tags", "entities"]
        assert row["tokens"] == tokens and row["text"].split() == [token for token in tokens]
        for entity in (*row["gold"], *row["entities"]):
            assert row["text"][entity["start"] : entity["end"]] == entity["text"]
        golds = [{name: entity[name] for name in ("start", "end", "label", "text")} for entity in row["entities"]]
        assert golds == [entity for entity in row["gold"] if entity["text"] != "\u200b"]
        assert sum(tag.startswith("B") for tag in tags) == len(row["gold"])
        assert all(0.5 <= entity["score"] <= 1 for entity in row["entities"])


def test_the_score_of_an_entity_is_the_mean_over_its_words() -> None:
    sentence = (["good", "bright", "film"], ["B-GOOD", "I-GOOD", "O"])
    store = encoded(tagged_rows([sentence]), reading())
    scored = said(store, [sentence[1]])
    (row,) = FAMILY.answers(store, scored, reading(), threshold=None).rows()
    assert row["entities"][0]["score"] == pytest.approx(float(scored.scores[:2].max(axis=1).mean()), rel=1e-6)
    assert "gold" not in row


def test_gold_that_no_tags_can_say_is_missed_and_shown() -> None:
    rows = tagged_rows([(["goodness", "film"], ["B-GOOD", "O"])])
    rows = replace(rows, spans=[np.array([[0, 4, 1], [0, 8, 0]], dtype=np.int32)], tokenised=False)
    store = encoded(rows, reading())
    found = FAMILY.answers(store, said(store, [["B-GOOD", "O"]]), reading(), threshold=None, scorer=SCORER)
    assert found.scores["entity_recall"] == 0.0 and found.scores["accuracy"] == 1.0
    (row,) = found.rows()
    assert [(entity["text"], entity["label"]) for entity in row["gold"]] == [("good", "GOOD"), ("goodness", "BAD")]
    assert "tokens" not in row and "tags" not in row


def test_plain_tags_are_scored_by_accuracy_alone_and_given_for_each_word() -> None:
    labels = ("NOUN", "VERB")
    rows = replace(tagged_rows([(["film", "\u200b", "is"], ["O", "O", "B-BAD"])]), spans=None)
    rows = replace(rows, tags=[np.array([0, 0, 1], dtype=np.int32)])
    read = reading(labels)
    store = encoded(rows, read)
    found: Any = FAMILY.answers(
        store, said(store, [["NOUN", "NOUN", "NOUN"]], labels), read, threshold=None, scorer=SCORER
    )
    assert found.scores == {"loss": 0.25, "accuracy": pytest.approx(1 / 3)}
    assert [row["recall"] for row in found.report()["classes"]] == [0.5, 0.0]
    (row,) = found.rows()
    assert row["gold"] == ["NOUN", "NOUN", "VERB"] and "entities" not in row
    assert [(tag["text"], tag["label"]) for tag in row["tags"]] == [
        ("film", "NOUN"),
        ("\u200b", None),
        ("is", "NOUN"),
    ]


def test_a_probability_that_is_no_number_is_refused() -> None:
    store = encoded(tagged_rows(SENTENCES), reading())
    scored = said(store, [tags for _, tags in SENTENCES])
    scored.scores[3, 0] = np.nan
    found = FAMILY.answers(store, scored, reading(), threshold=None, scorer=SCORER)
    with pytest.raises(NonFiniteError) as caught:
        found.scores  # noqa: B018
    assert caught.value.code == "M005"


def read_records(*rows: dict[str, object], columns: dict[str, str] | None = None) -> Any:
    records = [Record(line, row) for line, row in enumerate(rows, 1)]
    return FAMILY.records(records, reading(), origin="<stdin>", columns=columns or {})


def test_texts_and_tokens_can_be_predicted_also_side_by_side() -> None:
    rows = read_records({"text": "the film, good"}, {"tokens": ["the", "film"]}, {"text": ""})
    assert rows.texts == ["the film, good", "the film", ""] and not rows.tokenised
    assert [len(words) for words in rows.words] == [4, 2, 0]
    assert read_records({"words": ["the"]}).tokenised
    assert read_records({"a": "x", "tokens": ["the"]}, columns={"text": "a"}).texts == ["x"]
    store = encoded(rows, reading())
    found = FAMILY.answers(store, said(store, [["O", "O", "O", "B-GOOD"], ["O", "O"], []]), reading(), threshold=0.5)
    assert found.scores == {} and found.n == 3
    assert [row["entities"] for row in found.rows()] == [
        [{"start": 10, "end": 14, "label": "GOOD", "text": "good", "score": pytest.approx(0.75, abs=0.25)}],
        [],
        [],
    ]


@pytest.mark.parametrize(
    ("row", "code"),
    [({"tokens": ["a", 3]}, "D108"), ({"tokens": None}, "D108"), ({"text": 3}, "D095"), ({"sense": "x"}, "D096")],
)
def test_what_cannot_be_predicted_is_refused_with_its_line(row: dict[str, object], code: str) -> None:
    with pytest.raises(DataError) as caught:
        read_records({"text": "fine"}, row)
    assert (caught.value.code, caught.value.where) == (code, "<stdin>:2")


def test_a_metric_of_entities_cannot_select_a_tagger_of_plain_tags() -> None:
    plain = reading(("NOUN", "VERB"))
    with pytest.raises(UsageError) as caught:
        FAMILY.objective(plain, takes_type_ids=True, training=True)
    assert caught.value.code == "D117" and (caught.value.help or "").startswith("eval.metric=accuracy")
    recipe = plain.recipe.model_copy(update={"eval": plain.recipe.eval.model_copy(update={"metric": "accuracy"})})
    for read, training in ((plain, False), (replace(plain, recipe=recipe), True), (reading(), True)):
        assert FAMILY.objective(read, takes_type_ids=True, training=training).name == TASK.objective


def test_tags_that_look_like_those_of_entities_can_be_declared_plain() -> None:
    store = encoded(tagged_rows([(["good"], ["B-GOOD"])]), reading())
    found = FAMILY.answers(store, said(store, [["B-GOOD"]]), reading(scheme="plain"), threshold=None, scorer=SCORER)
    assert found.scores == {"loss": 0.25, "accuracy": 1.0}
