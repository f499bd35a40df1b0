"""`bertctl eval`: a recorded score is repeated exactly, and labels are matched by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command import SMALL, Cli
from tiny import tiny_data

GENERIC = ("finetune", "--task", "text-classification", "--data", "d", "--out", "run", "--json", *SMALL)


def recorded(run: Path) -> dict[str, float]:
    scores: dict[str, float] = json.loads((run / "status.json").read_text())["result"]["scores"]["validation"]
    return scores


def permuted(best: Path, folder: Path, names: list[str]) -> None:
    """A copy of a model whose outputs come in the order of `names`."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(best, folder)
    config = json.loads((folder / "config.json").read_text())
    old = [config["id2label"][str(i)] for i in range(len(names))]
    order = [old.index(name) for name in names]
    config["id2label"] = {str(i): name for i, name in enumerate(names)}
    config["label2id"] = {name: i for i, name in enumerate(names)}
    (folder / "config.json").write_text(json.dumps(config))
    weights = load_file(folder / "model.safetensors")
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = weights[name][order].contiguous()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def unnamed(best: Path, folder: Path) -> None:
    """A copy of a model as others publish them: LABEL_0, LABEL_1, and no file of bertctl."""
    shutil.copytree(best, folder)
    (folder / "bertctl.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {key: f"LABEL_{key}" for key in config["id2label"]}
    config["label2id"] = {name: int(key) for key, name in config["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(config))


def test_the_recorded_score_is_repeated_exactly(cli: Cli, sst_run: Path, sst_like: Path) -> None:
    for words in ((sst_run,), (sst_run / "best",), (sst_run, "--data", sst_like), (sst_run, "eval.batch_tokens=8192")):
        assert cli("eval", *words, "--json").json["scores"] == recorded(sst_run)
    # Away from its run folder the model still knows task, columns, length and precision.
    shutil.copytree(sst_run / "best", "elsewhere")
    assert cli("eval", "elsewhere", "--data", sst_like, "--json").json["scores"] == recorded(sst_run)


def test_the_result_names_everything_that_shaped_it(cli: Cli, sst_run: Path) -> None:
    found = cli("eval", sst_run, "--json").json
    facts = {key: found[key] for key in ("task", "split", "origin", "n", "labels", "precision", "threshold")}
    assert facts == {
        "task": "sst2",
        "split": "validation",
        "origin": "validation.tsv",
        "n": 24,
        "labels": ["negative", "positive"],
        "precision": "fp32",
        "threshold": None,
    }
    matrix = found["report"]["confusion_matrix"]
    assert sum(map(sum, matrix)) == 24
    assert (matrix[0][0] + matrix[1][1]) / 24 == pytest.approx(found["scores"]["accuracy"])
    shown = cli("eval", sst_run)
    assert f"accuracy  {found['scores']['accuracy']:.4f}" in shown.out and "rows: gold" in shown.out


def test_another_split_and_other_metrics_can_be_scored(cli: Cli, sst_run: Path) -> None:
    shutil.copytree(sst_run, "run")
    found = cli("eval", "run", "eval.metrics=[f1_macro,roc_auc]", "--split", "train", "--json").json
    assert found["n"] == 64 and set(found["scores"]) == {"loss", "accuracy", "f1_macro", "roc_auc"}
    assert found["predictions"] == "run/predictions/train.jsonl"


def test_predictions_are_written_where_asked(cli: Cli, sst_run: Path, sst_like: Path) -> None:
    assert cli("eval", sst_run, "--predictions", "here/p.jsonl").code == 0
    assert Path("here/p.jsonl").read_bytes() == (sst_run / "predictions/validation.jsonl").read_bytes()
    shutil.copytree(sst_run / "best", "bare")
    assert cli("eval", "bare", "--data", sst_like, "--json").json["predictions"] == "predictions-sst2-validation.jsonl"


def test_gates_that_are_met_end_with_0(cli: Cli, sst_run: Path) -> None:
    assert cli("eval", sst_run, "--fail-under", "accuracy=0", "--fail-under", "loss=100").code == 0


def test_a_model_with_its_labels_in_another_order_scores_the_same(cli: Cli, tiny_bert: Path, sst_like: Path) -> None:
    words = ("finetune", "--task", "sst2", "--model", tiny_bert, "--data", sst_like, "--out", "run", "--lr", "5e-3")
    assert cli(*words, *SMALL, "--epochs", 4).code == 0
    permuted(Path("run/best"), Path("swapped"), ["positive", "negative"])
    found = cli("eval", "swapped", "--data", sst_like, "--json").json
    assert found["labels"] == ["positive", "negative"]
    assert found["scores"] == pytest.approx(recorded(Path("run")), abs=1e-6)


def test_three_classes_in_any_order_score_the_same(cli: Cli, tiny_bert: Path) -> None:
    Path("d").mkdir()
    for split in ("train", "validation"):
        rows = "".join(f"a {word} film,{label}\n" * 6 for word, label in (("good", "2"), ("bad", "0"), ("dim", "1")))
        Path(f"d/{split}.csv").write_text("text,label\n" + rows)
    done = cli(*GENERIC, "--model", tiny_bert, "--lr", "1e-2")
    permuted(Path("run/best"), Path("rotated"), ["1", "2", "0"])
    found = cli("eval", "rotated", "--data", "d", "--json").json
    # Names that are numbers mean classes, not positions.
    assert found["scores"] == pytest.approx(done.json["scores"]["validation"], abs=1e-6)


def test_outputs_without_names_need_labels(cli: Cli, sst_run: Path, sst_like: Path) -> None:
    unnamed(sst_run / "best", Path("model"))
    words = ("eval", "model", "--task", "sst2", "--data", sst_like, "--json", "data.max_length=32")
    done = cli(*words)
    assert done.code == 4 and "error[L042]" in done.err and "help: --labels negative,positive" in done.err
    found = cli(*words, "--labels", "negative,positive", "--precision", "fp32").json
    assert found["scores"] == pytest.approx(recorded(sst_run), abs=1e-6)
    swapped = cli(*words, "--labels", "positive,negative").json["scores"]
    assert swapped["accuracy"] == pytest.approx(1 - found["scores"]["accuracy"])


def test_a_head_without_names_is_not_trained_on_unless_reset(cli: Cli, sst_run: Path) -> None:
    unnamed(sst_run / "best", Path("model"))
    tiny_data(Path("d"))
    done = cli(*GENERIC, "--model", "model")
    assert done.code == 4 and "error[L030]" in done.err and "model.reset_head=true" in done.err
    assert cli(*GENERIC, "--model", "model", "model.reset_head=true").code == 0
