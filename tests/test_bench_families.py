"""What the benchmarks of tagging and questions rest on: one judge, the data, and a peer that reads as bertctl does."""

from __future__ import annotations

import json
import random
from argparse import Namespace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from tiny import WORDS, tiny_model, tiny_tokenizer

import benchmarks
from benchmarks.judge import answered, entities, entity_f1, tagged
from benchmarks.measure import Run
from benchmarks.quality import main, report, steps
from benchmarks.questions_peer import LONGEST, answer_tokens, answers, windows
from benchmarks.questions_setup import share_out
from benchmarks.summary import cells_of
from benchmarks.tagging_peer import first_pieces
from benchmarks.toy import paragraphs, write_toys
from benchmarks.toy import tagged as toy_tags
from bert_cli.metrics.entities import count_entities, entity_scores, find_entities
from bert_cli.objectives import windows as ours
from bert_cli.toyworld import sentiment

CLASSES = ("O", "B-a", "I-a", "B-b", "I-b")
SENTENCES = st.lists(st.lists(st.sampled_from(CLASSES), max_size=6), min_size=1, max_size=6)


@given(SENTENCES, st.randoms(use_true_random=False))
def test_the_judge_counts_entities_as_bertctl_does(gold: list[list[str]], rng: random.Random) -> None:
    predicted = [[tag if rng.random() < 0.7 else rng.choice(CLASSES) for tag in tags] for tags in gold]
    lengths = np.array([len(tags) for tags in gold])
    both = []
    for sentences in (gold, predicted):
        ids = np.array([CLASSES.index(tag) for tags in sentences for tag in tags], dtype=np.int64)
        found = find_entities(ids, lengths, CLASSES)
        both.append(np.stack([found.sequence, found.first, found.end, found.kind], axis=1))
    counts = count_entities(*both, 2)
    assert entity_f1(gold, predicted) == pytest.approx(entity_scores(counts, counts)["entity_f1"])


def test_an_inside_tag_goes_on_with_its_own_type_only() -> None:
    assert entities(["B-a", "I-a", "I-b", "O", "I-a", "B-a"]) == {(0, 2, "a"), (2, 3, "b"), (4, 5, "a"), (5, 6, "a")}


def test_words_without_a_tag_are_missed_and_a_tag_too_many_is_refused(tmp_path: Path) -> None:
    gold = _lines(tmp_path / "gold.jsonl", {"ner_tags": ["B-a", "O", "B-a"]})
    assert tagged(gold, _lines(tmp_path / "short.jsonl", {"tags": ["B-a"]})) == {"entity_f1": pytest.approx(2 / 3)}
    with pytest.raises(SystemExit, match="4 tags for 3 words"):
        tagged(gold, _lines(tmp_path / "long.jsonl", {"tags": ["O"] * 4}))


def _lines(file: Path, *rows: dict[str, Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_the_tag_of_a_word_is_that_of_its_first_piece() -> None:
    assert first_pieces([None, 0, 0, 1, 3, 3, None]) == [None, 0, None, 1, 3, None, None]


def test_paragraphs_are_learnt_from_or_answered_and_never_both(tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    made = paragraphs(list(sentiment(1200, seed=1)))
    file.write_text(json.dumps({"data": [{"paragraphs": made}]}), encoding="utf-8")
    counts = share_out(file, tmp_path)
    parts = {name: json.loads((tmp_path / f"{name}.json").read_text("utf-8"))["data"] for name in counts}
    assert counts == {name: len(rows) for name, rows in parts.items()} and counts["train"] > 200
    contexts = [{row["context"] for row in rows} for rows in parts.values()]
    assert not contexts[0] & contexts[1]
    for row in parts["train"]:
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            assert row["context"][start : start + len(text)] == text
    assert {bool(row["answers"]["text"]) for row in parts["validation"]} == {True, False}


def _asked(n: int, *, seed: int = 0) -> dict[str, list[Any]]:
    """Questions about contexts of up to 60 words; every third one has no answer."""
    rng = random.Random(seed)
    rows: dict[str, list[Any]] = {"id": [], "question": [], "context": [], "answers": []}
    for number in range(n):
        words = rng.choices(WORDS, k=rng.randint(1, 60))
        first = rng.randrange(len(words))
        start = len(" ".join([*words[:first], ""]))
        text = " ".join(words[first : first + rng.randint(1, 4)])
        known = number % 3 > 0
        rows["id"].append(str(number))
        rows["question"].append(" ".join(rng.choices(WORDS, k=rng.randint(1, 5))))
        rows["context"].append(" ".join(words))
        rows["answers"].append({"text": [text] * known, "answer_start": [start] * known})
    return rows


def test_the_peer_learns_the_same_windows_and_answers_as_bertctl() -> None:
    tokenizer, rows = tiny_tokenizer(), _asked(60)
    theirs = windows(tokenizer, Namespace(max_length=24, stride=6, pad=False), rows)
    cut = ours.Cutter.of(tokenizer, max_length=24, stride=6).cut(rows["question"], rows["context"])
    assert theirs["input_ids"] == [ids.tolist() for ids in cut.ids] and len(cut.ids) > 90
    assert theirs["token_type_ids"] == [types.tolist() for types in cut.types]
    starts = [sum(cell["answer_start"]) for cell in rows["answers"]]
    ends = [start + len("".join(cell["text"])) for start, cell in zip(starts, rows["answers"], strict=True)]
    wanted = ours.answer_tokens(cut, np.array([starts, ends]).T, null_at=ours.null_place(tokenizer))
    assert list(zip(theirs["start_positions"], theirs["end_positions"], strict=True)) == list(map(tuple, wanted))
    padded = windows(tokenizer, Namespace(max_length=24, stride=6, pad=True), rows)
    assert {len(ids) for ids in padded["input_ids"]} == {24}
    assert padded["start_positions"] == theirs["start_positions"]


def test_an_answer_that_a_window_cuts_is_not_in_it() -> None:
    offsets = [None, [0, 3], [4, 8], [9, 12], None]
    assert answer_tokens(offsets, {"text": ["plot"], "answer_start": [4]}) == (2, 2)
    assert answer_tokens(offsets, {"text": ["plot was good"], "answer_start": [4]}) is None
    assert answer_tokens(offsets, {"text": [], "answer_start": []}) is None


def test_the_peer_gives_the_best_answer_of_all_windows() -> None:
    tokenizer, rows = tiny_tokenizer(), _asked(30, seed=1)
    asked = Dataset.from_dict(windows(tokenizer, Namespace(max_length=24, stride=6, pad=False), rows))
    logits = np.random.default_rng(0).normal(size=(2, len(asked), 24)).astype(np.float32)
    # The first token of a window, that of no answer, is now the best and now the worst of it.
    logits[:, :, 0] += np.array([int(each) % 2 * 9 for each in asked["id"]])
    said = answers(Dataset.from_dict(rows), asked, logits)
    for number, context in enumerate(rows["context"]):
        mine = [row for row, each in enumerate(asked["id"]) if each == str(number)]
        found = [(min(logits[0, row, 0] + logits[1, row, 0] for row in mine), "")]
        for row in mine:
            tokens = [place for place, pair in enumerate(asked["offsets"][row]) if pair]
            for first, last in product(tokens, tokens):
                if first <= last < first + LONGEST:
                    text = context[asked["offsets"][row][first][0] : asked["offsets"][row][last][1]]
                    found.append((logits[0, row, first] + logits[1, row, last], text))
        assert said[str(number)] == max(found)[1]
    assert {bool(text) for text in said.values()} == {True, False}


def test_answers_are_judged_by_question_and_to_the_last_of_them(tmp_path: Path) -> None:
    gold, said = tmp_path / "gold.json", tmp_path / "said.json"
    rows = [{"id": "a", "answers": {"text": ["the plot", "a long plot"]}}, {"id": "b", "answers": {"text": []}}]
    gold.write_text(json.dumps({"data": rows}), encoding="utf-8")
    said.write_text('{"b": "", "a": "long plots"}', encoding="utf-8")
    assert answered(gold, said) == {"exact_match": 0.5, "answer_f1": pytest.approx(0.75)}
    said.write_text('{"b": ""}', encoding="utf-8")
    with pytest.raises(SystemExit, match="other questions"):
        answered(gold, said)


def test_toy_sentences_have_things_and_people_for_entities() -> None:
    found = [entities(toy_tags(text)["ner_tags"]) for text, _ in sentiment(40, seed=3)]
    assert {kind for each in found for _, _, kind in each} == {"person", "product"}


def test_quality_is_shown_for_each_seed_and_on_average(tmp_path: Path) -> None:
    theirs, better = Run(90.0, 1.0, 1.0, entity_f1=0.30), Run(30.0, 1.0, 1.0, entity_f1=0.31)
    text = report({42: (theirs, better), 43: (theirs, Run(60.0, 1.0, 1.0, entity_f1=0.28))})
    assert text.splitlines()[2] == "| 42 | 0.3000 | 0.3100 | +1.00 | 90 | 30 | 0.33 |"
    assert text.splitlines()[4] == "| mean | 0.3000 | 0.2950 | -0.50 | 90 | 45 | 0.50 |"
    assert steps(_lines(tmp_path / "train.jsonl", *[{}] * 65), 2) == 6


@pytest.mark.slow
def test_the_smallest_comparison_of_quality_gives_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(Path(benchmarks.__file__).parent.parent)
    model = tiny_model(tmp_path / "tiny", max_position_embeddings=128)
    train = write_toys(tmp_path / "data") / "wnut17" / "train.jsonl"
    train.write_text("".join(train.read_text(encoding="utf-8").splitlines(keepends=True)[:64]), encoding="utf-8")
    words = ["wnut17", "--seeds", "1", "--epochs", "1", "--threads", "1"]
    assert main([*words, "--model", str(model), "--data", str(tmp_path / "data")]) == 0
    out = capsys.readouterr().out
    assert "1 epochs, 2 steps of 32 sentences" in out and len(cells_of(out, "1", "share")) == 1
