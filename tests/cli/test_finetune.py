"""`bertctl finetune`, from files to a published model."""

from __future__ import annotations

import getpass
import json
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from command import SMALL, Cli
from tiny import tiny_data, write_table

from bert_cli.cli.app import run as run_command
from bert_cli.recipe.load import load_recipe, recipe_hash

FILES = {
    "MANIFEST.json",
    "best/MANIFEST.json",
    "best/README.md",
    "best/bertctl.json",
    "best/config.json",
    "best/model.safetensors",
    "best/tokenizer.json",
    "best/tokenizer_config.json",
    "checkpoints/step-00000004/MANIFEST.json",
    "checkpoints/step-00000004/model.safetensors",
    "checkpoints/step-00000004/optimizer.safetensors",
    "checkpoints/step-00000004/state.json",
    "lock.json",
    "metrics.jsonl",
    "predictions/validation.jsonl",
    "recipe.yaml",
    "status.json",
}
PICKLED = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz"}
# Pickle protocols 2 to 5, and the zip file that torch.save writes.
MAGIC = (*(b"\x80" + bytes([protocol]) for protocol in range(2, 6)), b"PK\x03\x04")
ABSOLUTE = re.compile(r"(?<![\w:/.<])/(home|root|tmp|Users|work|var|mnt|data)/")


def lines(path: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def files_in(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def test_a_run_leaves_what_the_readme_says_and_nothing_else(sst_run: Path) -> None:
    assert set(files_in(sst_run)) == FILES
    status = json.loads((sst_run / "status.json").read_text())
    assert (status["state"], status["exit_code"], status["result"]["steps"]) == ("done", 0, 4)
    assert any("train/loss" in line for line in lines(sst_run / "metrics.jsonl"))


def test_the_recipe_of_a_run_is_read_back_equal(sst_run: Path, tiny_bert: Path, sst_like: Path) -> None:
    flags = {"model.name": str(tiny_bert), "data.source": str(sst_like), "run.out": str(sst_run)}
    small = {"data.max_length": 32, "train.batch_size": 16, "train.epochs": 1.0, "train.precision": "fp32"}
    given = load_recipe(task="sst2", flags={**flags, **small, "train.lr": 1e-3}).recipe
    kept = load_recipe(str(sst_run / "recipe.yaml")).recipe
    assert kept == given
    assert json.loads((sst_run / "lock.json").read_text())["recipe_sha256"] == recipe_hash(kept)


def test_the_lock_file_says_what_the_run_ran_on(sst_run: Path) -> None:
    lock = json.loads((sst_run / "lock.json").read_text())
    assert {"bertctl", "versions", "git", "data", "model", "hardware", "device", "precision", "created"} <= set(lock)
    assert set(lock["data"]) == {"train", "validation"}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(lock["model"]["sha256"])
    digests = [*lock["data"].values(), *lock["model"]["sha256"].values()]
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests)
    assert {"python", "torch", "transformers"} <= set(lock["versions"])
    assert lock["precision"]["name"] == "fp32"


def test_no_file_of_a_run_is_a_pickle(sst_run: Path) -> None:
    for name, path in files_in(sst_run).items():
        assert path.suffix not in PICKLED, name
        assert not path.read_bytes().startswith(MAGIC), name


def test_the_published_model_names_no_path_no_user_and_no_host(sst_run: Path, tiny_bert: Path, sst_like: Path) -> None:
    for name, path in files_in(sst_run / "best").items():
        raw = path.read_bytes()
        # Of the weights, the header: the numbers behind it may look like anything.
        end = 8 + int.from_bytes(raw[:8], "little") if path.suffix == ".safetensors" else len(raw)
        text = raw[:end].decode("latin-1")
        assert not ABSOLUTE.search(text), name
        for secret in (str(tiny_bert), str(sst_like), str(Path.home()) + "/", socket.gethostname()):
            assert secret not in text, name
        if len(getpass.getuser()) > 4:
            assert getpass.getuser() not in text, name


def test_the_result_as_json_is_that_of_the_run_folder(cli: Cli, tiny_bert: Path, sst_like: Path) -> None:
    done = cli("finetune", "--task", "sst2", "--model", tiny_bert, "--data", sst_like, "--out", "run", "--json", *SMALL)
    assert done.code == 0 and done.err == ""
    assert done.json == json.loads(Path("run/status.json").read_text())["result"]
    assert done.json["model"] == "run/best" and set(done.json["scores"]["validation"]) == {"loss", "accuracy"}


def test_the_loss_falls_and_runs_without_a_name_are_numbered(cli: Cli, tiny_bert: Path, sst_like: Path) -> None:
    words = ["--task", "sst2", "--model", tiny_bert, "--data", sst_like, "--json", "train.lr=5e-3", "run.log_every=1"]
    done = cli("finetune", *words, *SMALL, "--epochs", 12, "--batch-size", 8)
    assert done.json["run"] == f"runs/sst2-{tiny_bert.name}"
    losses = [line["train/loss"] for line in lines(Path(done.json["run"], "metrics.jsonl")) if "train/loss" in line]
    assert len(losses) == 96 and sum(losses[-8:]) < 0.5 * sum(losses[:8])
    # A second run without a name takes the next number.
    assert cli("finetune", *words, *SMALL).json["run"] == f"runs/sst2-{tiny_bert.name}-2"


def test_pairs_are_encoded_with_segment_ids(cli: Cli, tiny_bert: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tiny_data(Path("d"), pairs=True)
    task = ("--task", "text-classification")
    assert cli("finetune", *task, "--model", tiny_bert, "--data", "d", "--out", "run", "--lr", "1e-2", *SMALL).code == 0
    model = AutoModelForSequenceClassification.from_pretrained("run/best").eval()
    tokenizer = AutoTokenizer.from_pretrained("run/best")
    moved = 0.0
    for line in lines("run/predictions/validation.jsonl"):
        inputs = tokenizer(line["text"], line["text_pair"], truncation=True, max_length=32, return_tensors="pt")
        assert inputs["token_type_ids"].max() == 1
        with torch.inference_mode():
            expected = model(**inputs).logits.softmax(-1)[0]
            inputs["token_type_ids"] = torch.zeros_like(inputs["token_type_ids"])
            flat = model(**inputs).logits.softmax(-1)[0]
        assert list(line["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-5)
        moved = max(moved, float((expected - flat).abs().max()))
    assert moved > 1e-3, "segment ids must matter for this test to say something"


def test_multi_label(cli: Cli, tiny_bert: Path) -> None:
    tiny_data(Path("d"), kind="multi-label")
    words = ["--task", "multi-label-classification", "--model", tiny_bert, "--data", "d", "--out", "run", "--json"]
    done = cli("finetune", *words, *SMALL)
    assert set(done.json["scores"]["validation"]) == {"loss", "f1_micro", "f1_macro", "accuracy"}
    assert 0 < done.json["threshold"] < 1
    line = lines("run/predictions/validation.jsonl")[0]
    assert set(line["probabilities"]) == {"camera", "music", "story"} >= set(line["gold"])
    assert line["labels"] == [name for name, p in line["probabilities"].items() if p >= done.json["threshold"]]
    config = json.loads(Path("run/best/config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert cli("eval", "run", "--json").json["scores"] == done.json["scores"]["validation"]


def test_regression(cli: Cli, tiny_bert: Path) -> None:
    tiny_data(Path("d"), kind="regression")
    words = ["--task", "text-regression", "--model", tiny_bert, "--data", "d", "--out", "run", "--json", "--lr", "3e-3"]
    done = cli("finetune", *words, *SMALL)
    scores = done.json["scores"]["validation"]
    assert set(scores) == {"loss", "pearson", "spearman", "mse", "mae"}
    assert scores["loss"] == pytest.approx(scores["mse"], rel=1e-5)
    line = lines("run/predictions/validation.jsonl")[0]
    assert isinstance(line["gold"], float) and isinstance(line["score"], float)
    assert cli("eval", "run", "--json").json["scores"] == done.json["scores"]["validation"]


def test_matched_and_mismatched_are_scored_in_one_run(cli: Cli, tiny_bert: Path) -> None:
    rows = [("the film was good", "a plot is bad", label) for label in ("entailment", "neutral", "contradiction")]
    for stem, n in (("train", 8), ("validation_matched", 2), ("validation_mismatched", 3)):
        write_table(Path(f"MNLI/{stem}.tsv"), ("premise", "hypothesis", "label"), rows * n)
    done = cli("finetune", "--task", "mnli", "--model", tiny_bert, "--data", ".", "--out", "run", "--json", *SMALL)
    assert list(done.json["scores"]) == ["validation", "validation_mismatched"]
    assert done.json["value"] == done.json["scores"]["validation"]["accuracy"]
    assert [len(lines(f"run/predictions/{name}.jsonl")) for name in done.json["scores"]] == [6, 9]


def test_without_a_validation_split_a_tenth_is_held_out_class_by_class(cli: Cli, tiny_bert: Path) -> None:
    tiny_data(Path("d"), n_train=60)
    Path("d/validation.tsv").unlink()
    words = ["--task", "text-classification", "--model", tiny_bert, "--data", "d", "--out", "run", "--json"]
    done = cli("finetune", *words, *SMALL)
    held = lines("run/predictions/validation.jsonl")
    assert sorted(line["gold"] for line in held) == ["bad"] * 3 + ["good"] * 3
    table = Path("d/train.tsv").read_text().splitlines()
    assert [table[line["line"] - 1].split("\t")[0] for line in held] == [line["text"] for line in held]
    assert cli("eval", "run", "--json").json["scores"] == done.json["scores"]["validation"]


def test_flags_win_over_overrides_over_the_file_over_what_it_extends(cli: Cli) -> None:
    Path("my.yaml").write_text("extends: finetune/sst2\ntrain:\n  lr: 1e-4\n  epochs: 5\n  batch_size: 8\n")
    rows = cli("finetune my.yaml train.epochs=6 train.batch_size=4 --batch-size 2 --print-config --json").json
    assert rows["train.lr"] == {"value": 1e-4, "origin": "my.yaml:3"}
    assert rows["train.epochs"] == {"value": 6.0, "origin": "train.epochs=6"}
    assert rows["train.batch_size"] == {"value": 2, "origin": "--batch-size"}
    assert rows["train.warmup"]["origin"].startswith("extends finetune/sst2:")
    assert rows["train.seed"] == {"value": 42, "origin": "default"}


def test_the_printed_config_is_a_recipe_with_the_origin_of_each_value(cli: Cli) -> None:
    words = ["data.columns.text=a b", "model.dropout=0.2", "eval.metrics=[f1_macro]", "run.out=my runs/#1"]
    done = cli("finetune", "--task", "sst2", *words, "--print-config")
    Path("printed.yaml").write_text(done.out)
    assert load_recipe("printed.yaml").recipe == load_recipe(task="sst2", overrides=words).recipe
    lines = [line.split("#")[0].rstrip() for line in done.out.splitlines()]
    assert {"  reset_head: false", "  revision: null", "  dropout: 0.2", '    text: "a b"'} <= set(lines)
    assert re.search(r"^  lr: 2e-05 +# shipped finetune/sst2:\d+$", done.out, re.M)
    assert re.search(r"^  dropout: 0.2 +# model.dropout=0.2$", done.out, re.M)


def test_the_printed_config_says_what_open_values_come_to_where_nothing_must_be_read(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = cli("finetune --task sst2 --print-config --json").json
    known = {key: row["resolved"] for key, row in shown.items() if "resolved" in row}
    assert known == {
        "data.source": "hub:nyu-mll/glue:sst2",
        "data.labels": ["negative", "positive"],
        "eval.metric": "accuracy",
        "run.out": "runs/sst2-bert-base-uncased",
    }
    assert shown["data.labels"] == {"value": "auto", "origin": "default", "resolved": ["negative", "positive"]}
    text = cli("finetune --task sst2 --print-config").out
    assert re.search(r"^  labels: auto +# default, here \[negative, positive\]$", text, re.M)
    assert re.search(r"^  precision: auto +# default$", text, re.M)
    monkeypatch.setenv("BERTCTL_DATA", "elsewhere")
    Path("runs/sst2-bert-base-uncased").mkdir(parents=True)
    shown = cli("finetune --task sst2 --print-config --json").json
    assert shown["data.source"]["resolved"] == "elsewhere"
    assert shown["run.out"]["resolved"] == "runs/sst2-bert-base-uncased-2"
    assert "resolved" not in cli("finetune --task sst2 --out x --print-config --json").json["run.out"]
    assert cli("pretrain demo-tiny --print-config").code == cli("finetune --print-config").code == 0


def test_the_result_names_the_rows_that_were_held_out(cli: Cli, tiny_bert: Path) -> None:
    tiny_data(Path("d"), n_train=60)
    words = ["--task", "text-classification", "--model", tiny_bert, *SMALL]
    held = cli("finetune", *words, "--data", "d/train.tsv", "--out", "one", "data.validation=0.2")
    assert re.search(r"^scored on +validation: 20 % held out of train.tsv, 12 rows$", held.out, re.M), held.out
    assert "The split validation is 20 % held out of the training data." in Path("one/best/README.md").read_text()
    whole = cli("finetune", *words, "--data", "d", "--out", "two")
    assert re.search(r"^scored on +validation: validation.tsv, 24 rows$", whole.out, re.M), whole.out


def test_a_run_that_was_finished_says_when_and_not_how_long_the_look_took(
    cli: Cli, tiny_bert: Path, sst_like: Path
) -> None:
    words = ["--task", "sst2", "--model", tiny_bert, "--data", sst_like, "--out", "run", *SMALL]
    first = cli("finetune", *words)
    assert re.search(r"\d+s in all$", first.out, re.M)
    again = cli("finetune", *words, "--resume", "auto")
    finished = json.loads(Path("run/status.json").read_text())["time"]
    assert again.code == 0 and "in all" not in again.out
    assert re.search(rf"\d+s of training steps, finished {finished}$", again.out, re.M), again.out
    assert [line for line in again.out.splitlines() if "accuracy" in line] == [
        line for line in first.out.splitlines() if "accuracy" in line
    ]


def test_a_finished_run_with_an_undefined_score_is_shown_again(cli: Cli, tiny_bert: Path) -> None:
    tiny_data(Path("d"), kind="regression", n_validation=1)
    words = ["--task", "text-regression", "--model", tiny_bert, "--data", "d", "--out", "run", *SMALL]
    assert cli("finetune", *words).code == 0
    again = cli("finetune", *words, "--resume", "auto")
    assert again.code == 0 and "pearson undefined" in again.out


def test_labels_that_hardly_recur_are_doubted_in_every_run(cli: Cli, tiny_bert: Path) -> None:
    rows = [(f"a good film {i}", f"kind {i % 40}") for i in range(60)]
    write_table(Path("d/train.tsv"), ("text", "label"), rows)
    write_table(Path("d/validation.tsv"), ("text", "label"), rows[:4])
    words = ["--task", "text-classification", "--model", tiny_bert, "--data", "d", *SMALL[:-1]]
    for out in ("one", "two"):
        done = cli("finetune", *words, "--out", out)
        assert done.code == 0
        assert "the column 'label' of train.tsv has 40 classes in 60 rows" in done.err


def test_the_card_names_a_local_base_so_that_a_reader_understands(cli: Cli, tiny_bert: Path, sst_run: Path) -> None:
    shutil.copytree(tiny_bert, "mini/model")
    config = json.loads(Path("mini/model/config.json").read_text())
    Path("mini/model/config.json").write_text(json.dumps({**config, "_name_or_path": "owner/mini-uncased"}))
    tiny_data(Path("d"))
    words = ["--task", "text-classification", "--data", "d", *SMALL, "--limit", "8"]
    for model, name in (("mini/model", "mini/model"), (sst_run, f"{sst_run.name}/best")):
        out = f"run-{Path(model).name}"
        assert cli("finetune", *words, "--model", model, "--out", out, "model.reset_head=true").code == 0
        assert f"{name}, a local folder" in Path(out, "best/README.md").read_text()
    assert "names owner/mini-uncased" in Path("run-model/best/README.md").read_text()


def test_limit_takes_the_first_examples_of_each_split(cli: Cli, tiny_bert: Path, sst_like: Path) -> None:
    words = ["--task", "sst2", "--model", tiny_bert, "--data", sst_like, "--out", "run", "--limit", "5", "--json"]
    assert cli("finetune", *words, *SMALL).json["steps"] == 1
    assert [line["line"] for line in lines("run/predictions/validation.jsonl")] == [2, 3, 4, 5, 6]


def test_a_run_continues_from_the_model_of_another_run(cli: Cli, sst_run: Path, sst_like: Path) -> None:
    from safetensors.torch import load_file

    words = ["--task", "sst2", "--model", sst_run, "--data", sst_like, "--out", "run", "--json", "--lr", "1e-9"]
    done = cli("finetune", *words, *SMALL)
    before = json.loads((sst_run / "status.json").read_text())["result"]["scores"]["validation"]
    assert done.json["scores"]["validation"]["loss"] == pytest.approx(before["loss"], abs=1e-5)
    old, new = (load_file(folder / "best/model.safetensors") for folder in (sst_run, Path("run")))
    assert set(old) == set(new) and all(old[name].allclose(new[name], atol=1e-6) for name in old)


def test_equal_runs_give_equal_weights(tmp_path: Path, cli: Cli, tiny_bert: Path, sst_like: Path) -> None:
    for out in ("one", "two"):
        words = ["finetune", "--task", "sst2", "--model", tiny_bert, "--data", sst_like, "--out", out, *SMALL]
        assert run_command([str(word) for word in words]) == 0
    one, two = (Path(out, "best/model.safetensors").read_bytes() for out in ("one", "two"))
    assert one == two
