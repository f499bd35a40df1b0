"""Gates are checked against the names of the scores before there are scores, and against the scores afterwards."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bert_cli.errors import QualityGateError, UsageError
from bert_cli.metrics.scorer import reported
from bert_cli.run.gates import check_gates, check_names, read_gates


def test_the_scores_of_a_task_are_known_before_anything_is_scored() -> None:
    assert reported(("accuracy", "f1", "accuracy", "loss"), "text-classification") == ("loss", "accuracy", "f1")
    assert set(reported((), "fill-mask")) == {"loss", "perplexity", "accuracy"}


def test_of_a_metric_of_the_evaluate_library_the_beginning_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine/mine.py").write_text("raise SystemExit('never run')\n")
    scores = reported(("accuracy", "evaluate:./mine"), "text-classification")
    assert scores == ("loss", "accuracy", "evaluate:mine/")
    check_names(read_gates(["evaluate:mine/hits=1"]), scores, objective="text-classification")
    for name in ("evaluate:other/hits", "hits"):
        with pytest.raises(UsageError) as caught:
            check_names(read_gates([f"{name}=1"]), scores, objective="text-classification")
        assert caught.value.code == "U053"
    with pytest.raises(UsageError) as caught:
        check_gates({"evaluate:mine/misses": 1.0}, read_gates(["evaluate:mine/hits=1"]))
    assert caught.value.allowed == ["evaluate:mine/misses"]


def test_a_metric_that_fits_is_added_beside_those_asked_for() -> None:
    gates, scores = read_gates(["f1_macro=1"]), ("loss", "accuracy", "roc_auc")
    with pytest.raises(UsageError) as caught:
        check_names(gates, scores, objective="text-classification", more=("roc_auc",))
    assert caught.value.help == "eval.metrics=[roc_auc,f1_macro] adds it to the scores"


@pytest.mark.parametrize(
    ("gate", "value", "wanted"),
    [
        ("accuracy=0.9", 0.89, "at least 0.9"),
        ("loss=0.5", 0.51, "at most 0.5"),
        ("accuracy=0", math.nan, "at least 0"),
    ],
)
def test_a_missed_gate_says_what_was_wanted(gate: str, value: float, wanted: str) -> None:
    gates = read_gates([gate])
    with pytest.raises(QualityGateError) as caught:
        check_gates({gates[0].name: value}, gates)
    assert (caught.value.exit_code, caught.value.allowed) == (6, wanted)
    check_gates({gates[0].name: gates[0].limit}, gates)
