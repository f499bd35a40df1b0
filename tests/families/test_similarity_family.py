"""Whole runs of bi-encoders: every kind of data is learnt, scores repeat, stops leave no trace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stopped_run import crash_and_resume, differences
from tiny import tiny_model, tiny_recipe, tiny_tokenizer
from tiny_searches import about, tiny_pairs_file, tiny_search, write_lines

from bert_cli.data.compared import Compared
from bert_cli.data.read import Record
from bert_cli.data.store import SplitStore
from bert_cli.errors import BertctlError
from bert_cli.families.vector_rows import searched_rows
from bert_cli.families.vectors import searched
from bert_cli.metrics.similarity import against_scores, cosines
from bert_cli.objectives.parts import encode_parts
from bert_cli.recipe.schema import Recipe
from bert_cli.run.evaluate import evaluate
from bert_cli.run.finetune import finetune, prepare
from bert_cli.run.predict import load_predictor
from bert_cli.run.state import Result

SEARCHED = {"ndcg_at_10", "map", "mrr", "mrr_at_10", "recall_at_10", "recall_at_100", "main_score"}
MEASURED = {
    "pairs": SEARCHED,
    "triplets": SEARCHED,
    "labels": {"average_precision", "spearman", "pearson", "main_score"},
    "scores": {"spearman", "pearson", "main_score"},
    "texts": {"uniformity", "main_score"},
}


def recipe_of(model: Path, data: Path, out: Path, **changes: Any) -> Recipe:
    recipe: Recipe = tiny_recipe(model, data, out, **{"task": "sentence-similarity", **changes})
    return recipe


def folder_of(root: Path, kind: str, *, validation: str | None = None) -> Path:
    if kind == "search":
        return tiny_search(root / "search")
    tiny_pairs_file(root / kind / "train.jsonl", 40, kind=kind)
    tiny_pairs_file(root / kind / "validation.jsonl", 20, kind=validation or kind, seed=5)
    return root / kind


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_search(tmp_path_factory.mktemp("similarity") / "data")


@pytest.fixture(scope="module")
def result(tiny_bert: Path, search: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A search learnt from judgements in micro-batches that are smaller than the batch."""
    out = tmp_path_factory.mktemp("similarity") / "run"
    recipe = recipe_of(tiny_bert, search, out, train__epochs=10.0, train__micro_batch_tokens=100)
    return finetune(recipe, quiet=True)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def vectors_of(folder: Path, texts: list[str]) -> np.ndarray:
    library = pytest.importorskip("sentence_transformers")
    found: np.ndarray = library.SentenceTransformer(str(folder), device="cpu").encode(texts)
    return found


@pytest.mark.parametrize("kind", ["pairs", "triplets", "labels", "scores", "texts"])
def test_every_kind_of_data_is_learnt_and_measured(tiny_bert: Path, tmp_path: Path, kind: str) -> None:
    data = folder_of(tmp_path, kind)
    result = finetune(recipe_of(tiny_bert, data, tmp_path / "run"), quiet=True)
    best = result.state.best
    assert best is not None and set(best.scores["validation"]) == MEASURED[kind]
    again = evaluate(str(result.run.path), write_to=tmp_path / "p.jsonl")
    assert again.scores == best.scores["validation"]
    assert (tmp_path / "p.jsonl").read_bytes() == (result.run.predictions / "validation.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("kind", "loss", "learnt"),
    [("scores", "cosine", True), ("labels", "cosine", True), ("triplets", "triplet", True), ("pairs", "simcse", True)]
    + [("texts", "in-batch", False), ("pairs", "cosine", False), ("pairs", "triplet", False)]
    + [("scores", "in-batch", False), ("search", "simcse", False), ("search", "triplet", True)],
)
def test_a_loss_is_taken_where_the_data_allow_it(
    tiny_bert: Path, tmp_path: Path, kind: str, loss: str, learnt: bool
) -> None:
    recipe = recipe_of(tiny_bert, folder_of(tmp_path, kind), tmp_path / "run", train__loss=loss, train__epochs=0.5)
    if learnt:
        assert finetune(recipe, quiet=True).state.step > 0
        return
    with pytest.raises(BertctlError) as caught:
        finetune(recipe, quiet=True)
    assert (caught.value.code, caught.value.key, caught.value.exit_code) == ("D159", "train.loss", 3)


def test_a_metric_that_the_data_do_not_allow_is_refused_before_training(tiny_bert: Path, tmp_path: Path) -> None:
    data = folder_of(tmp_path, "scores")
    with pytest.raises(BertctlError) as caught:
        finetune(recipe_of(tiny_bert, data, tmp_path / "run", eval__metric="ndcg_at_10"), quiet=True)
    assert caught.value.code == "D160" and "spearman" in caught.value.render()
    assert not (tmp_path / "run").exists()


def test_texts_alone_are_learnt_and_scored_pairs_select(tiny_bert: Path, tmp_path: Path) -> None:
    data = folder_of(tmp_path, "texts", validation="scores")
    result = finetune(recipe_of(tiny_bert, data, tmp_path / "run", task="simcse", model__pooling="cls"), quiet=True)
    assert result.state.best is not None and set(result.state.best.scores["validation"]) == MEASURED["scores"]
    config = json.loads((result.run.best / "1_Pooling" / "config.json").read_text())
    assert config["pooling_mode_cls_token"] and not config["pooling_mode_mean_tokens"]
    (tmp_path / "plain.txt").write_text("\n".join(about(n, seed=2) for n in range(30)) + "\n", encoding="utf-8")
    alone = finetune(recipe_of(tiny_bert, tmp_path / "plain.txt", tmp_path / "b", task="simcse"), quiet=True)
    assert alone.state.best is not None and set(alone.state.best.scores["validation"]) == MEASURED["texts"]


def test_a_text_is_not_found_by_itself(tmp_path: Path) -> None:
    pairs = [("a b", "c d"), ("c d", "e f"), ("g h", "g h"), ("i j", "a b")]
    lines = np.arange(1, 5)
    queries, _ = Compared("validation", pairs, None, lines, "v.jsonl").queries(given=False)
    made = searched_rows(queries)
    split = SplitStore.of(encode_parts(tiny_tokenizer(), made.rows, max_length=8, types=made.types), {})
    vectors = {text: np.eye(4, dtype=np.float32)[i] for i, text in enumerate(("a b", "c d", "e f", "g h"))}
    vectors["i j"] = vectors["a b"]
    texts = [*queries.collection.texts, *queries.texts]
    rankings = searched(split, np.array([vectors[text] for text in texts]), depth=3)
    ids = dict(zip(queries.collection.ids, queries.collection.texts, strict=True))
    found = {query.text: [ids[name] for name, _ in query.ranking] for query in rankings.queries}
    assert [len(names) for names in found.values()] == [3] * 4
    assert "a b" not in found["a b"] and "c d" not in found["c d"]
    # What the data call the partner of a text stays, be it the same text; so does the copy of another one.
    assert found["g h"][0] == "g h" and found["i j"][0] == "a b"


def test_a_search_is_learnt(result: Result, search: Path, tiny_bert: Path, tmp_path: Path) -> None:
    best = result.state.best
    assert best is not None and set(best.scores["validation"]) == SEARCHED and result.metric == "main_score"
    # Scored by itself the training split is a search like any other.
    asked: dict[str, Any] = {"data": str(search), "split": "train", "flags": {"data.max_length": 32}}
    before = evaluate(str(tiny_bert), task="sentence-similarity", **asked, write_to=tmp_path / "a")
    after = evaluate(str(result.run.path), **asked, write_to=tmp_path / "b")
    assert before.n == after.n == 24
    assert after.scores["ndcg_at_10"] > before.scores["ndcg_at_10"] + 0.2


def test_eval_of_a_search_repeats_the_recorded_scores_exactly(result: Result, tmp_path: Path) -> None:
    best = result.state.best
    assert best is not None
    for target in (result.run.path, result.run.best):
        again = evaluate(str(target), write_to=tmp_path / "p.jsonl")
        assert again.scores == best.scores["validation"] and again.n == 2
        assert again.report["texts"] == 60
        for suffix in (".jsonl", ".run.json"):
            recorded = result.run.predictions / f"validation{suffix}"
            assert (tmp_path / f"p{suffix}").read_bytes() == recorded.read_bytes()


def test_scores_are_those_of_another_library_on_the_same_vectors(result: Result, search: Path, tmp_path: Path) -> None:
    """nDCG from all cosines of the vectors that Sentence Transformers makes with `best/`, sorted whole."""
    corpus, queries = lines(search / "corpus.jsonl"), {q["_id"]: q["text"] for q in lines(search / "queries.jsonl")}
    qrels: dict[str, dict[str, int]] = {}
    for line in (search / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, text, grade = line.split("\t")
        qrels.setdefault(query, {})[text] = int(grade)
    texts = vectors_of(result.run.best, [f"{row['title']} {row['text']}".strip() for row in corpus])
    asked = vectors_of(result.run.best, [queries[name] for name in qrels])
    gains = []
    for grades, scores in zip(qrels.values(), asked @ texts.T, strict=True):
        order = sorted(range(60), key=lambda place: (scores[place], corpus[place]["_id"]), reverse=True)[:10]
        found = [grades.get(corpus[place]["_id"], 0) for place in order]
        ideal = sorted(grades.values(), reverse=True)[:10]
        gain, most = (sum(g / np.log2(rank + 2) for rank, g in enumerate(part)) for part in (found, ideal))
        gains.append(gain / most)
    ours = evaluate(str(result.run.path), data=str(search), split="test", write_to=tmp_path / "p.jsonl")
    assert ours.scores["ndcg_at_10"] == pytest.approx(np.mean(gains), abs=1e-6)


def test_predictions_of_a_search_name_texts_by_rank(result: Result, search: Path, tmp_path: Path) -> None:
    evaluate(str(result.run.path), data=str(search), split="test", write_to=tmp_path / "p.jsonl")
    rows, run = lines(tmp_path / "p.jsonl"), json.loads((tmp_path / "p.run.json").read_text())
    assert [row["id"] for row in rows] == [f"q{n}" for n in range(24, 32)] == list(run)
    for row in rows:
        assert len(row["ranking"]) == 10 and len(run[row["id"]]) == 60
        scores = [text["score"] for text in row["ranking"]]
        assert scores == sorted(scores, reverse=True) and row["gold"][f"d{row['id'][1:]}"] == 1
        assert [text["id"] for text in row["ranking"]] == list(run[row["id"]])[:10]


def test_predict_gives_vectors_of_texts_and_cosines_of_pairs(result: Result) -> None:
    texts = [about(n, seed=9) for n in range(7)]
    predictor = load_predictor(str(result.run.best))
    records = [Record(line, {"text": text}) for line, text in enumerate(texts, 1)]
    found = list(predictor.stream(records, origin="stdin"))
    assert [row["text"] for row in found] == texts and all(list(row) == ["text", "embedding"] for row in found)
    vectors = np.array([row["embedding"] for row in found])
    assert np.abs(vectors - vectors_of(result.run.best, texts)).max() < 1e-5


def test_predict_gives_cosines_of_pairs(tiny_bert: Path, tmp_path: Path) -> None:
    result = finetune(recipe_of(tiny_bert, folder_of(tmp_path, "scores"), tmp_path / "run"), quiet=True)
    predictor = load_predictor(str(result.run.best))
    pairs = [(about(n, seed=9), about(n + n % 2, seed=8)) for n in range(9)]
    records = [Record(i, {"text": one, "text_pair": other}) for i, (one, other) in enumerate(pairs, 1)]
    found = list(predictor.stream(records, origin="stdin"))
    one, other = (vectors_of(result.run.best, [pair[side] for pair in pairs]) for side in (0, 1))
    assert [row["score"] for row in found] == pytest.approx(cosines(one, other).tolist(), abs=1e-5)
    alone = list(predictor.stream([Record(1, {"text": pairs[0][0]})], origin="stdin"))
    assert len(alone[0]["embedding"]) == 32


def test_a_folder_of_another_library_is_read_as_one_of_vectors(result: Result, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(result.run.best, tmp_path / "foreign"))
    (folder / "bertctl.json").unlink()
    (found,) = load_predictor(str(folder), precision="fp32").predict(["a good film"])
    assert np.abs(np.array(found["embedding"]) - vectors_of(folder, ["a good film"])[0]).max() < 1e-5


def test_correlations_are_those_of_another_librarys_vectors(tiny_bert: Path, tmp_path: Path) -> None:
    data = folder_of(tmp_path, "scores")
    result = finetune(recipe_of(tiny_bert, data, tmp_path / "run"), quiet=True)
    rows = lines(data / "validation.jsonl")
    one, other = (vectors_of(result.run.best, [row[side] for row in rows]) for side in ("text", "text_pair"))
    wanted = against_scores(cosines(one, other), np.array([row["label"] for row in rows], dtype=np.float32))
    assert result.state.best is not None
    for name, value in wanted.items():
        assert result.state.best.scores["validation"][name] == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize("step", [2, 5])
def test_a_resumed_run_ends_in_the_same_bits(
    step: int, tiny_bert: Path, search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropout is on, and batches are larger than micro-batches."""
    changes = {"train__micro_batch_tokens": 100}
    finetune(recipe_of(tiny_bert, search, tmp_path / "whole", **changes), quiet=True)
    crash_and_resume(monkeypatch, recipe_of(tiny_bert, search, tmp_path / "parted", **changes), step=step)
    assert differences(tmp_path / "whole", tmp_path / "parted") == []


def test_negatives_and_range_shape_the_rows(tiny_bert: Path, search: Path, tmp_path: Path) -> None:
    for count in (0, 1, 3):
        prepared = prepare(recipe_of(tiny_bert, search, tmp_path / "x", data__negatives=count))
        train = prepared.store.splits["train"]
        assert {len(train.values("sizes", row)) for row in range(len(train))} == {2 + count}  # type: ignore[attr-defined]
        assert train.facts["examples"] == 22 < len(train)
    scores = prepare(recipe_of(tiny_bert, folder_of(tmp_path, "scores"), tmp_path / "x")).store.splits["train"]
    assert scores.targets is not None and 0 <= scores.targets.min() < scores.targets.max() <= 1
    labels = prepare(recipe_of(tiny_bert, folder_of(tmp_path, "labels"), tmp_path / "x")).store.splits["train"]
    assert labels.targets is None and len(labels) == 20, "pairs that mean the same"


def test_a_model_that_was_learnt_goes_on_with_its_own_pooling(tiny_bert: Path, search: Path, tmp_path: Path) -> None:
    first = finetune(recipe_of(tiny_bert, search, tmp_path / "a", train__epochs=0.5, model__pooling="cls"), quiet=True)
    again = finetune(recipe_of(first.run.path, search, tmp_path / "b", train__epochs=0.5), quiet=True)
    config = json.loads((again.run.best / "1_Pooling" / "config.json").read_text())
    assert config["pooling_mode_cls_token"]


@pytest.mark.parametrize("family", ["roberta", "distilbert", "modernbert", "albert", "deberta-v2", "electra"])
def test_every_kind_of_encoder_gives_its_vectors_to_others(tmp_path: Path, family: str) -> None:
    model = tiny_model(tmp_path / family, family)
    data = folder_of(tmp_path, "pairs")
    recipe = recipe_of(model, data, tmp_path / "run", train__epochs=0.5, train__micro_batch_tokens=100)
    result = finetune(recipe, quiet=True)
    texts = [about(n, seed=9) for n in range(5)]
    predictor = load_predictor(str(result.run.best))
    found = np.array([row["embedding"] for row in predictor.predict(texts)])
    assert np.abs(found - vectors_of(result.run.best, texts)).max() < 1e-5
    again = evaluate(str(result.run.path), write_to=tmp_path / "p.jsonl")
    assert result.state.best is not None and again.scores == result.state.best.scores["validation"]


def test_labels_of_single_texts_are_told_not_to_count(tiny_bert: Path, tmp_path: Path) -> None:
    rows = [{"text": about(n, seed=1), "label": n % 2} for n in range(20)]
    write_lines(tmp_path / "data" / "train.jsonl", rows)
    told: list[str] = []
    finetune(recipe_of(tiny_bert, tmp_path / "data", tmp_path / "run", train__epochs=0.5), quiet=True, note=told.append)
    assert any("'label' is not read" in line for line in told)


def test_splits_without_scores_are_refused_where_scores_are_needed(tiny_bert: Path, tmp_path: Path) -> None:
    for name in ("train", "test"):
        rows = [
            {"sentence1": "a film", "sentence2": "music", "score": -1 if name == "test" else i % 5} for i in range(9)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    with pytest.raises(BertctlError) as caught:
        evaluate(
            str(tiny_bert), task="stsb_similarity", data=str(tmp_path), split="test", flags={"data.max_length": 32}
        )
    assert caught.value.code in ("D044", "D046")
