"""`bertctl pretrain`, from raw text to a model that others continue."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path

import pytest
from command import SMALL, Cli

from bert_cli.cli.app import run as run_command
from bert_cli.toyworld import Sizes, write_world

TINY = """\
task: fill-mask
model:
  config:
    model_type: bert
    hidden_size: 32
    num_hidden_layers: 2
    num_attention_heads: 2
    intermediate_size: 64
    max_position_embeddings: 64
tokenizer: {vocab_size: 400}
data: {validation: 10%, max_length: 48}
train: {epochs: 6, batch_size: 16, lr: 5e-3, precision: fp32}
run: {log_every: 1}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, seed=1, sizes=Sizes(documents=50, train=40, validation=20, test=10))
    (folder / "tiny.yaml").write_text(TINY)
    return folder


@pytest.fixture(scope="module")
def language(world: Path) -> Path:
    """A model from scratch, with a tokenizer of its own."""
    words = ["pretrain", world / "tiny.yaml", "--data", world / "corpus.txt", "--out", world / "run", "-q"]
    assert run_command([str(word) for word in words]) == 0
    return world / "run"


def test_a_tokenizer_is_trained_on_the_corpus(language: Path, world: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(language / "best")
    assert len(tokenizer) <= 400 and tokenizer.mask_token == "[MASK]"
    text = (world / "corpus.txt").read_text()
    assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]


def test_the_loss_falls(language: Path) -> None:
    records = [json.loads(line) for line in (language / "metrics.jsonl").read_text().splitlines()]
    losses = [record["train/loss"] for record in records if "train/loss" in record]
    scored = [record["validation/loss"] for record in records if "validation/loss" in record]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    assert scored[-1] < scored[0]


def test_the_result_is_a_plain_masked_language_model(language: Path) -> None:
    from transformers import AutoModelForMaskedLM, pipeline

    model, info = AutoModelForMaskedLM.from_pretrained(language / "best", output_loading_info=True)
    assert not info["missing_keys"] and model.config.architectures == ["BertForMaskedLM"]
    fill = pipeline("fill-mask", model=str(language / "best"))
    (best, *_) = fill("the [MASK] was good .")
    assert 0 < best["score"] <= 1 and best["token_str"]


def test_the_recorded_score_is_repeated_exactly(cli: Cli, language: Path) -> None:
    kept = json.loads((language / "status.json").read_text())["result"]["scores"]["validation"]
    found = cli("eval", language, "--json").json
    assert found["scores"] == kept and found["predictions"] is None
    assert kept["perplexity"] == pytest.approx(math.exp(kept["loss"]))


def test_the_same_command_gives_the_same_model(cli: Cli, language: Path, world: Path) -> None:
    assert cli("pretrain", world / "tiny.yaml", "--data", world / "corpus.txt", "--out", "run", "-q").code == 0
    for name in ("model.safetensors", "tokenizer.json"):
        assert Path("run/best", name).read_bytes() == (language / "best" / name).read_bytes()


def test_pretraining_continues_from_an_encoder_and_from_a_run(
    cli: Cli, language: Path, world: Path, tiny_bert: Path
) -> None:
    for i, model in enumerate((tiny_bert, language)):
        words = ("pretrain", "--model", model, "--data", world / "corpus.txt", "--out", f"run{i}", "--json")
        done = cli(*words, *SMALL, "--limit", 12)
        assert done.code == 0, done.err
        vocabulary = json.loads(Path(f"run{i}/best/config.json").read_text())["vocab_size"]
        assert vocabulary == json.loads((model / ("best" if i else "") / "config.json").read_text())["vocab_size"]
    # One pass with a small rate must not undo what the first run learnt.
    kept = json.loads((language / "status.json").read_text())["result"]["scores"]["validation"]["loss"]
    assert done.json["scores"]["validation"]["loss"] < kept + 1


def test_a_model_without_a_head_for_masked_words_is_said_to_get_a_new_one(
    cli: Cli, language: Path, world: Path, tiny_bert: Path
) -> None:
    for model, new in ((tiny_bert, True), (language, False)):
        words = ("pretrain", "--model", model, "--data", world / "corpus.txt", "--max-length", 32, "--dry-run")
        done = cli(*words)
        assert done.code == 0 and ("new in this model" in done.err) == new


def test_the_share_of_documents_may_be_a_number_and_the_result_names_it(cli: Cli, world: Path, tiny_bert: Path) -> None:
    words = ("pretrain", "--model", tiny_bert, "--data", world / "corpus.txt", "--out", "run", *SMALL, "--limit", 12)
    done = cli(*words, "data.validation=0.25")
    assert done.code == 0, done.err
    assert re.search(r"^scored on +validation: 25 % held out of corpus.txt, \d+ blocks$", done.out, re.M), done.out


def test_the_help_of_data_is_that_of_a_corpus(cli: Cli) -> None:
    pretrain, finetune = (" ".join(cli(f"{verb} --help").out.split()) for verb in ("pretrain", "finetune"))
    assert "--data <str> Text, JSONL or Parquet" in pretrain and "else the hub" not in pretrain
    assert "--data <str> Folder, file, or hub:OWNER/NAME." in finetune


def test_a_tokenizer_is_trained_anew_by_another_version_of_the_library(
    cli: Cli, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTCTL_CACHE", str(tmp_path / "cache"))
    words = ("pretrain", world / "tiny.yaml", "--data", world / "corpus.txt", "--limit", 12, *SMALL)
    said = []
    for version in ("1.0", "1.0", "2.0"):
        monkeypatch.setattr("bert_cli.run.corpus_tokenizer.software", lambda version=version: [version])
        done = cli(*words[:-1], "--out", f"run-{len(said)}")
        assert done.code == 0, done.err
        said.append(["training a wordpiece" in done.err, "tokenising" in done.err])
    assert said == [[True, True], [False, False], [True, False]]


def test_no_predictions_are_promised(cli: Cli, language: Path) -> None:
    done = cli("eval", language, "--predictions", "p.jsonl")
    assert done.code == 2 and "error[U091]" in done.err and not Path("p.jsonl").exists()


def test_a_tokenizer_without_a_mask_token_is_refused(cli: Cli, language: Path, world: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(language / "best")
    tokenizer.mask_token = None
    tokenizer.save_pretrained(tmp_path / "blind")
    words = ("pretrain", world / "tiny.yaml", "--data", world / "corpus.txt", f"model.tokenizer={tmp_path / 'blind'}")
    done = cli(*words, "--out", "run")
    assert done.code == 4 and "error[L031]" in done.err and not Path("run").exists()


def test_what_the_command_asks_for_wins_over_a_budget(cli: Cli, world: Path) -> None:
    (world / "budget.yaml").write_text(TINY.replace("epochs: 6", "budget: 9 steps"))
    words = ("pretrain", world / "budget.yaml", "--data", world / "corpus.txt", "--dry-run", "--json")
    assert cli(*words).json["plan"]["steps"] == 9
    assert cli(*words, "--epochs", 1).json["plan"]["steps"] == cli(*words).json["plan"]["steps_per_epoch"]
    assert cli(*words, "train.epochs=2").json["plan"]["steps"] != 9


def test_a_task_is_learnt_on_top_of_it(cli: Cli, language: Path, world: Path) -> None:
    words = ("--task", "text-classification", "--model", language, "--data", world / "sentiment", "--out", "run")
    assert cli("finetune", *words, *SMALL).code == 0
    assert len(cli("predict", "run", stdin="the soup was good .\n").out.splitlines()) == 1


def test_a_folder_of_texts_is_a_corpus(cli: Cli, world: Path, tiny_bert: Path) -> None:
    Path("texts").mkdir()
    for name in ("a.txt", "b.txt"):
        shutil.copy(world / "corpus.txt", Path("texts", name))
    done = cli("pretrain", "--model", tiny_bert, "--data", "texts", "--max-length", 32, "--dry-run", "--json")
    one = cli("pretrain", "--model", tiny_bert, "--data", "texts/a.txt", "--max-length", 32, "--dry-run", "--json")
    rows = [sum(split["rows"] for split in plan.json["splits"].values()) for plan in (done, one)]
    assert rows[0] == 2 * rows[1]
