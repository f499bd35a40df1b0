"""`bertctl eval` on minimal pairs: one command, its own table, and flags that mean something there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Cli
from tiny_pairs import tiny_blimp, tiny_crows, tiny_mlm

PLAIN = ("--precision", "fp32", "--device", "cpu")


@pytest.fixture(scope="module")
def mlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_mlm(tmp_path_factory.mktemp("models") / "tiny-mlm")


@pytest.fixture(scope="module")
def blimp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_blimp(tmp_path_factory.mktemp("data") / "blimp")


def test_the_score_is_shown_for_all_pairs_and_for_every_group(cli: Cli, mlm: Path, blimp: Path) -> None:
    words = ("eval", mlm, "--task", "blimp", "--data", blimp, *PLAIN)
    found = cli(*words, "--json").json
    assert found["n"] == found["of"] == 8 and set(found["groups"]) == {"field", "term", "uid"}
    assert found["sentences_per_s"] > 0 and found["masking"] == "token"
    shown = cli(*words)
    assert shown.code == 0 and f"accuracy  {found['scores']['accuracy']:.4f}\n" in shown.out
    assert "scored on test: test.tsv, 8 pairs\n" in shown.out and "each token masked alone" in shown.out
    for group in found["groups"]["uid"]:
        assert f"{group['name']:<6}      4  {group['accuracy']:.4f}" in shown.out
    assert len(Path(found["predictions"]).read_text().splitlines()) == 8


def test_the_task_may_be_named_as_a_key_too(cli: Cli, mlm: Path, blimp: Path) -> None:
    assert cli("eval", mlm, "task=blimp", f"data.source={blimp}", *PLAIN, "--json").json["task"] == "blimp"


def test_a_limit_says_what_it_took(cli: Cli, mlm: Path, blimp: Path) -> None:
    shown = cli("eval", mlm, "--task", "blimp", "--data", blimp, "--limit", "4", *PLAIN)
    assert "4 of 8 pairs, the same share of every field and term and uid" in shown.out


def test_a_gate_counts_downwards_for_stereotypes_and_upwards_for_grammar(
    cli: Cli, mlm: Path, blimp: Path, tmp_path: Path
) -> None:
    grammar = ("eval", mlm, "--task", "blimp", "--data", blimp, *PLAIN)
    assert cli(*grammar, "--fail-under", "accuracy=0").code == 0
    missed = cli(*grammar, "--fail-under", "accuracy=1")
    assert missed.code == 6 and "error[Q001]" in missed.err and "accuracy" in missed.out
    bias = ("eval", mlm, "--task", "crows_pairs", "--data", tiny_crows(tmp_path / "c"), *PLAIN)
    assert cli(*bias, "--fail-under", "stereotype_score=1").code == 0
    score = cli(*bias, "--json").json["scores"]["stereotype_score"]
    assert cli(*bias, "--fail-under", f"stereotype_score={score - 0.01}").code == 6


def test_undecided_pairs_are_told(cli: Cli, mlm: Path, tmp_path: Path) -> None:
    shown = cli("eval", mlm, "--task", "crows_pairs", "--data", tiny_crows(tmp_path / "c"), *PLAIN)
    assert "1 pair is undecided: both sentences are equally likely" in shown.out


@pytest.mark.parametrize("flag", [("--labels", "a,b"), ("--threshold", "0.4"), ("--max-length", "32")])
def test_a_flag_that_means_nothing_for_pairs_is_refused(cli: Cli, mlm: Path, flag: tuple[str, str]) -> None:
    done = cli("eval", mlm, "--task", "blimp", "--data", "no/such/folder", *flag)
    assert done.code == 2 and f"error[U058]: {flag[0]} changes nothing for minimal pairs" in done.err


def test_masking_means_nothing_for_other_tasks(cli: Cli, mlm: Path) -> None:
    done = cli("eval", mlm, "--task", "sst2", "--masking", "word")
    assert done.code == 2 and "error[U058]" in done.err and "--> --masking" in done.err
    assert cli("eval", mlm, "--task", "blimp", "--masking", "wrod").code == 2


def test_predictions_go_where_they_are_asked_for(cli: Cli, mlm: Path, blimp: Path) -> None:
    words = ("eval", mlm, "--task", "blimp", "--data", blimp, "--masking", "word", *PLAIN)
    assert cli(*words, "--predictions", "mine/p.jsonl", "--quiet").err == ""
    first = json.loads(Path("mine/p.jsonl").read_text().splitlines()[0])
    assert list(first) == ["line", "text", "text_pair", "field", "term", "uid", "log_likelihoods", "likelier"]
    assert cli(*words, "--predictions", "mine/p.jsonl").code == 2


def test_a_model_without_the_head_ends_with_4(cli: Cli, tiny_bert: Path, blimp: Path) -> None:
    done = cli("eval", tiny_bert, "--task", "blimp", "--data", blimp)
    assert done.code == 4 and "error[L045]" in done.err and "found: BertModel" in done.err


@pytest.mark.parametrize("verb", ["finetune", "pretrain"])
def test_nothing_is_trained_on_pairs(cli: Cli, mlm: Path, blimp: Path, verb: str) -> None:
    done = cli(verb, "--task", "blimp", "--model", mlm, "--data", blimp)
    assert done.code == 2 and "bertctl eval MODEL --task blimp" in done.err


def test_a_set_that_is_nowhere_asks_for_a_folder(cli: Cli, mlm: Path) -> None:
    done = cli("eval", mlm, "--task", "blimp")
    assert done.code == 2 and "error[U061]" in done.err
