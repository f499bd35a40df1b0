"""Whole runs of cross-encoders: candidates of BM25 or of one's own are ranked anew, and scores repeat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stopped_run import crash_and_resume, differences
from tiny import BAD, GOOD, tiny_recipe
from tiny_searches import about, tiny_pairs_file, tiny_search, write_lines
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from bert_cli.data.bm25 import BM25
from bert_cli.data.read import Record
from bert_cli.errors import BertctlError
from bert_cli.recipe.schema import Recipe
from bert_cli.run.evaluate import evaluate
from bert_cli.run.finetune import finetune, prepare
from bert_cli.run.predict import load_predictor
from bert_cli.run.state import Result

DEPTH = 12


def recipe_of(model: Path, data: Path, out: Path, **changes: Any) -> Recipe:
    usual = {"task": "text-ranking", "eval__depth": DEPTH, "data__negatives": 3, "train__epochs": 1.0}
    recipe: Recipe = tiny_recipe(model, data, out, **usual | changes)
    return recipe


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_search(tmp_path_factory.mktemp("ranking") / "data")


@pytest.fixture(scope="module")
def result(tiny_bert: Path, search: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return finetune(
        recipe_of(tiny_bert, search, tmp_path_factory.mktemp("ranking") / "run", train__epochs=2.0), quiet=True
    )


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def logits(folder: Path, pairs: list[tuple[str, str]]) -> list[float]:
    """Plain transformers, one pair at a time."""
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        return [
            float(model(**tokenizer(*pair, truncation=True, max_length=32, return_tensors="pt")).logits)
            for pair in pairs
        ]


def test_the_texts_that_bm25_found_are_ranked_by_plain_transformers_scores(
    result: Result, search: Path, tmp_path: Path
) -> None:
    found = evaluate(str(result.run.path), data=str(search), split="test", write_to=tmp_path / "p.jsonl")
    corpus = {row["_id"]: f"{row['title']} {row['text']}".strip() for row in lines(search / "corpus.jsonl")}
    first = BM25(list(corpus.values()))
    run = json.loads((tmp_path / "p.run.json").read_text())
    assert found.n == len(run) == 8
    for row in lines(tmp_path / "p.jsonl"):
        near = [list(corpus)[place] for place in first.search([row["text"]], depth=DEPTH)[0]]
        assert set(run[row["id"]]) == set(near)
        wanted = logits(result.run.best, [(row["text"], corpus[name]) for name in near])
        assert [run[row["id"]][name] for name in near] == pytest.approx(wanted, abs=1e-4)
        scores = list(run[row["id"]].values())
        assert scores == sorted(scores, reverse=True)


def test_eval_repeats_the_recorded_scores_exactly(result: Result, tmp_path: Path) -> None:
    best = result.state.best
    assert best is not None and result.metric == "ndcg_at_10"
    for target in (result.run.path, result.run.best):
        again = evaluate(str(target), write_to=tmp_path / "p.jsonl")
        assert again.scores == best.scores["validation"] and again.n == 2
        assert (tmp_path / "p.jsonl").read_bytes() == (result.run.predictions / "validation.jsonl").read_bytes()
        assert set(again.report["first_search"]) == set(again.scores)


def test_a_relevant_text_that_was_not_found_is_missed(tiny_bert: Path, search: Path, tmp_path: Path) -> None:
    shallow = finetune(recipe_of(tiny_bert, search, tmp_path / "run", eval__depth=1), quiet=True)
    found = evaluate(str(shallow.run.path), data=str(search), split="test", write_to=tmp_path / "p.jsonl")
    assert found.scores == found.report["first_search"], "there is nothing to rank among single texts"
    assert found.report["queries_without_a_hit"] == round(8 * (1 - found.scores["recall_at_10"]))


def test_predict_gives_the_scores_of_plain_transformers_and_of_cross_encoder(result: Result) -> None:
    library = pytest.importorskip("sentence_transformers")
    pairs = [(about(n, seed=3), about(n + 1, seed=4)) for n in range(6)]
    predictor = load_predictor(str(result.run.best))
    records = [Record(i, {"query": one, "text_pair": other}) for i, (one, other) in enumerate(pairs, 1)]
    found = list(predictor.stream(records, origin="stdin"))
    assert [list(row) for row in found] == [["text", "text_pair", "score"]] * 6
    scores = [row["score"] for row in found]
    assert scores == pytest.approx(logits(result.run.best, pairs), abs=1e-5)
    theirs = library.CrossEncoder(str(result.run.best), device="cpu", max_length=32).predict(pairs)
    assert scores == pytest.approx(theirs.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "loss", "rows"),
    [
        ("labels", "auto", "one pair"),
        ("labels", "binary", "one pair"),
        ("triplets", "auto", "several pairs"),
        ("triplets", "binary", "one pair"),
        ("search", "auto", "several pairs"),
        ("search", "binary", "one pair"),
    ],
)
def test_every_kind_of_data_is_learnt(
    tiny_bert: Path, search: Path, tmp_path: Path, kind: str, loss: str, rows: str
) -> None:
    data = search
    if kind != "search":
        data = tmp_path / "data"
        for name, n, seed in (("train", 30, 1), ("validation", 20, 5)):
            rows_of = tiny_pairs_file(data / f"{name}.jsonl", n, kind=kind, seed=seed)
            if kind == "labels":
                # Each text with the partner of the next one too, which is not relevant to it.
                found = lines(rows_of)
                more = [
                    {**row, "text_pair": found[(i + 2) % n]["text_pair"], "label": 0} for i, row in enumerate(found)
                ]
                write_lines(rows_of, [*found, *more])
    recipe = recipe_of(tiny_bert, data, tmp_path / "run", train__loss=loss)
    train = prepare(recipe).store.splits["train"]
    sizes = {len(train.values("sizes", row)) for row in range(len(train))}  # type: ignore[attr-defined]
    assert (train.targets is not None, sizes == {1}) == ((True, True) if rows == "one pair" else (False, False))
    result = finetune(recipe, quiet=True)
    assert result.state.best is not None
    again = evaluate(str(result.run.path), write_to=tmp_path / "p.jsonl")
    assert again.scores == result.state.best.scores["validation"]


def test_what_can_be_learnt_is_learnt(tiny_bert: Path, tmp_path: Path) -> None:
    """A text is relevant where it says something good."""
    for name, n, seed in (("train", 40, 1), ("validation", 16, 2)):
        random = np.random.default_rng(seed)
        rows = [
            {
                "text": about(i, seed=seed),
                "text_pair": " ".join(["the film was", *random.choice(GOOD if right else BAD, 2)]),
                "label": int(right),
            }
            for i in range(n)
            for right in random.permutation([True, False, False, False])
        ]
        write_lines(tmp_path / "data" / f"{name}.jsonl", rows)
    recipe = recipe_of(tiny_bert, tmp_path / "data", tmp_path / "run", train__epochs=3.0)
    result = finetune(recipe, quiet=True)
    assert result.state.best is not None and result.state.best.value > 0.8, "chance ranks at about 0.64"


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([{"text": "film", "text_pair": "music"}], "D159"),
        (
            [{"text": "film", "text_pair": "music", "label": 1}, {"text": "film", "text_pair": "plot", "label": 1}],
            "D159",
        ),
        ([{"text": "film", "text_pair": "music", "label": 0}], "D157"),
        ([{"text": "film", "text_pair": "music", "label": 0.5}], "D155"),
        ([{"text": "film", "text_pair": "music", "label": "yes"}], "D045"),
    ],
)
def test_rows_that_say_nothing_about_a_ranking_are_refused(
    tiny_bert: Path, tmp_path: Path, rows: list[dict[str, Any]], code: str
) -> None:
    for name in ("train", "validation"):
        write_lines(tmp_path / "data" / f"{name}.jsonl", rows)
    with pytest.raises(BertctlError) as caught:
        finetune(recipe_of(tiny_bert, tmp_path / "data", tmp_path / "run"), quiet=True)
    assert (caught.value.code, caught.value.exit_code) == (code, 3)


def test_candidates_that_are_all_relevant_rank_nothing(tiny_bert: Path, tmp_path: Path) -> None:
    good = [{"text": "film", "text_pair": "music", "label": 1}, {"text": "film", "text_pair": "plot", "label": 0}]
    write_lines(tmp_path / "data" / "train.jsonl", good)
    write_lines(tmp_path / "data" / "validation.jsonl", good[:1])
    with pytest.raises(BertctlError) as caught:
        finetune(recipe_of(tiny_bert, tmp_path / "data", tmp_path / "run"), quiet=True)
    assert (caught.value.code, caught.value.where) == ("D161", "validation.jsonl")


def test_a_resumed_run_ends_in_the_same_bits(
    tiny_bert: Path, search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finetune(recipe_of(tiny_bert, search, tmp_path / "whole"), quiet=True)
    crash_and_resume(monkeypatch, recipe_of(tiny_bert, search, tmp_path / "parted"), step=2)
    assert differences(tmp_path / "whole", tmp_path / "parted") == []


def test_equal_scores_are_ranked_by_the_larger_id(result: Result, search: Path) -> None:
    from bert_cli.families.ranking import FAMILY
    from bert_cli.train.evaluate import Scored

    prepared = prepare(recipe_of(result.run.best, search, result.run.path))
    split = prepared.store.splits["validation"]
    scored = Scored(np.zeros(len(split), dtype=np.float32), np.arange(1, len(split) + 1), {}, 0)
    for row in FAMILY.answers(split, scored, prepared, threshold=None).rows():
        ids = [text["id"] for text in row["ranking"]]
        assert ids == sorted(ids, reverse=True)
