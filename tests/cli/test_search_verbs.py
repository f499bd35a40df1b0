"""Vectors and rankings as a user types them: an encoder as it is, runs, predictions, dry runs, mistakes with codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command import SMALL, Cli
from tiny_searches import tiny_pairs_file, tiny_search, write_lines, write_qrels

VECTORS = ("finetune", "--task", "sentence-similarity", "--data", "d", "--out", "run", "--json", *SMALL)
RANKER = ("finetune", "--task", "text-ranking", "--data", "d", "--out", "run", "--json", *SMALL, "eval.depth=5")


def test_an_encoder_is_measured_as_it_is(cli: Cli, tiny_bert: Path) -> None:
    tiny_search(Path("d/scifact"))
    asked = ("eval", tiny_bert, "--task", "scifact", "--data", "d", "--split", "test", "--max-length", "32", "--json")
    found = cli(*asked, "--fail-under", "ndcg_at_10=0.1")
    assert found.code == 0, found.err
    assert found.json["n"] == 8 and found.json["origin"] == "scifact/qrels/test.tsv"
    assert 0.1 < found.json["scores"]["ndcg_at_10"] < 1 and found.json["report"]["texts"] == 60
    assert cli(*asked, "--fail-under", "ndcg_at_10=0.99").code == 6
    assert cli(*asked, "--fail-under", "spearman=0.1").code == 2
    # The held-out queries of the training split are its validation.
    held_out = cli(*asked[:6], *asked[8:])
    assert (held_out.json["n"], held_out.json["held_out"]) == (2, 0.1)


def test_a_run_of_vectors_is_scored_and_predicts(cli: Cli, tiny_bert: Path) -> None:
    tiny_pairs_file(Path("d/train.jsonl"), 24, kind="scores")
    tiny_pairs_file(Path("d/validation.jsonl"), 12, kind="scores", seed=4)
    result = cli(*VECTORS, "--model", tiny_bert)
    assert result.code == 0, result.err
    recorded = result.json["scores"]["validation"]
    scored = cli("eval", "run", "--json", "--fail-under", "spearman=-1")
    assert (scored.code, scored.json["scores"], scored.json["n"]) == (0, recorded, 12), scored.err
    pair = json.dumps({"text": "a good film", "text_pair": "the film was good"})
    predicted = cli("predict", "run", "--format", "jsonl", stdin=pair)
    assert predicted.code == 0, predicted.err
    assert -1 <= json.loads(predicted.out)["score"] <= 1
    alone = cli("predict", "run", "--format", "jsonl", stdin=json.dumps({"text": "a good film"}))
    assert alone.code == 0 and len(json.loads(alone.out)["embedding"]) == 32


def test_a_run_of_a_ranker_is_scored_and_predicts(cli: Cli, tiny_bert: Path) -> None:
    tiny_search(Path("d"))
    result = cli(*RANKER, "--model", tiny_bert)
    assert result.code == 0, result.err
    scored = cli("eval", "run", "--data", "d", "--split", "test", "--json")
    assert scored.code == 0 and scored.json["n"] == 8 and "first_search" in scored.json["report"], scored.err
    predicted = cli("predict", "run", "--format", "jsonl", stdin=json.dumps({"query": "film", "passage": "a film"}))
    assert predicted.code == 0, predicted.err
    assert list(json.loads(predicted.out)) == ["text", "text_pair", "score"]


@pytest.mark.parametrize("command", [VECTORS, RANKER])
def test_a_dry_run_leaves_nothing(cli: Cli, tiny_bert: Path, command: tuple[str, ...]) -> None:
    tiny_search(Path("d"))
    plan = cli(*command, "--model", tiny_bert, "--dry-run")
    assert plan.code == 0, plan.err
    assert plan.json["plan"]["steps"] > 0 and not Path("run").exists()


def test_data_check_reads_searches(cli: Cli) -> None:
    tiny_search(Path("d"))
    found = cli("data", "check", "--task", "sentence-similarity", "--data", "d", "--json")
    assert found.code == 0, found.err


def no_corpus() -> None:
    Path("d/corpus.jsonl").unlink()


def empty_corpus() -> None:
    Path("d/corpus.jsonl").write_text("")


def twice() -> None:
    write_lines(Path("d/queries.jsonl"), [{"_id": "q0", "text": "film"}, {"_id": "q0", "text": "plot"}])


def unknown_text() -> None:
    write_qrels(Path("d/qrels/train.tsv"), [("q0", "d0", 1), ("q0", "d999", 1)])


def unknown_query() -> None:
    write_qrels(Path("d/qrels/train.tsv"), [("q0", "d0", 1), ("q999", "d0", 1)])


def nothing_relevant() -> None:
    write_qrels(Path("d/qrels/train.tsv"), [("q0", "d0", 0), ("q1", "d1", 0)])


def grade() -> None:
    write_qrels(Path("d/qrels/train.tsv"), [("q0", "d0", "yes"), ("q1", "d1", 1)])


def other_columns() -> None:
    write_lines(Path("d/corpus.jsonl"), [{"key": "d0", "text": "film"}])


@pytest.mark.parametrize("command", [VECTORS, RANKER])
@pytest.mark.parametrize(
    ("spoil", "code", "where"),
    [
        (no_corpus, "D150", ""),
        (empty_corpus, "D005", "corpus.jsonl"),
        (twice, "D152", "queries.jsonl:2"),
        (unknown_text, "D154", "qrels/train.tsv:3"),
        (unknown_query, "D154", "qrels/train.tsv:3"),
        (nothing_relevant, "D157", "qrels/train.tsv"),
        (grade, "D155", "qrels/train.tsv:2"),
        (other_columns, "D151", "corpus.jsonl:1"),
    ],
)
def test_a_mistake_in_a_search_ends_with_3_and_its_place(
    cli: Cli, tiny_bert: Path, command: tuple[str, ...], spoil: Callable[[], None], code: str, where: str
) -> None:
    tiny_search(Path("d"))
    spoil()
    done = cli(*command, "--model", tiny_bert)
    (mistake,) = done.mistakes
    assert done.code == 3 and mistake.startswith(f"error[{code}") and where in mistake
    assert len(mistake.splitlines()) <= 6 and "Traceback" not in done.err and not Path("run").exists()


def test_keys_of_other_tasks_are_refused(cli: Cli, tiny_bert: Path) -> None:
    tiny_search(Path("d"))
    done = cli(*RANKER, "--model", tiny_bert, "model.pooling=cls")
    assert done.code == 2 and "model.pooling" in done.err
    done = cli(*RANKER, "--model", tiny_bert, "train.loss=cosine")
    assert done.code == 3 and "D159" in done.err and "listwise, binary" in done.err
