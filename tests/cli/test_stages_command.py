"""`bertctl finetune` with stages: what is shown before, what is said while they run, and how it ends."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from command import Cli
from tiny import tiny_data, tiny_texts, write_table
from tiny_stages import CLASSES, write, write_stages

from bert_cli.recipe.load import shipped_recipes

CHAINS = sorted(name for name in shipped_recipes() if name.startswith("chain/"))


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe with two stages, in the working folder."""
    monkeypatch.setenv("BERTCTL_CACHE", str(tmp_path / "cache"))
    folder = write_stages(Path.cwd())
    return write(folder, "mine", "extends: texts.yaml\nstages: [words.yaml, pairs.yaml]\n")


def test_the_printed_config_names_the_stages_so_that_they_are_found_from_anywhere(cli: Cli, mine: Path) -> None:
    shown = cli("finetune mine.yaml --print-config --json").json["stages"]
    assert shown == {
        "value": [str(mine.parent / name) for name in ("words.yaml", "pairs.yaml")],
        "origin": "mine.yaml:2",
    }
    printed = cli("finetune mine.yaml stages=[sst2] --print-config").out
    assert re.search(r"^stages: \[finetune/sst2\] +# stages=\[sst2\]$", printed, re.M)


def test_a_dry_run_lists_the_stages(cli: Cli, tiny_bert: Path) -> None:
    words = ("finetune", "mine.yaml", "--model", tiny_bert, "--data", "texts", "--precision", "fp32", "--dry-run")
    done = cli(*words)
    assert done.code == 0, done.err
    assert re.search(r"^1 words +new +fill-mask +\d+ +\d+s ", done.out, re.M), done.out
    assert re.search(r"^2 pairs +new +text-classification +3 ", done.out, re.M)
    assert "model of stage 2 (pairs)" in done.out
    assert not Path("runs").exists() and not Path(os.environ["BERTCTL_CACHE"]).exists()


def test_flags_are_of_the_recipe_and_not_of_its_stages(cli: Cli, tiny_bert: Path) -> None:
    words = (
        "--model",
        tiny_bert,
        "--data",
        "texts",
        "--precision",
        "fp32",
        "--lr",
        "2e-3",
        "--limit",
        "8",
        "--out",
        "r",
    )
    done = cli("finetune", "mine.yaml", *words)
    assert done.code == 0, done.err
    said = [line for line in done.err.splitlines() if line.startswith("stage ")]
    assert said[0] == f"stage 1 of 2 (words): training, from {tiny_bert}"
    assert re.fullmatch(r"stage 2 of 2 \(pairs\): accuracy [\d.]+", said[3]) and len(said) == 4
    cache = Path(os.environ["BERTCTL_CACHE"], "stages")
    steps = {run.name.split("-")[0]: json.loads((run / "status.json").read_text())["result"] for run in cache.iterdir()}
    assert steps["pairs"]["steps"] == 3 and json.loads(Path("r/status.json").read_text())["result"]["steps"] == 1
    again = cli("finetune", "mine.yaml", *words, "--overwrite")
    assert again.code == 0 and "stage 2 of 2 (pairs): kept from before" in again.err


@pytest.mark.parametrize(
    ("stage", "code", "error"),
    [
        ("extends: words.yaml\ndata: {source: gone.txt}\n", 3, "D080"),
        ("extends: words.yaml\ndata: {max_length: 4000}\n", 2, "R032"),
        ("extends: words.yaml\neval: {patience: none}\n", 2, "R021"),
        ("extends: pairs.yaml\ntrain: {lr: 1e30, max_grad_norm: null}\n", 8, "N001"),
        ("extends: words.yaml\nstages: [mine.yaml]\n", 2, "U100"),
    ],
)
def test_a_stage_that_fails_gives_its_exit_code_and_is_named(
    cli: Cli, tiny_bert: Path, stage: str, code: int, error: str
) -> None:
    write(Path.cwd(), "odd", stage)
    write(Path.cwd(), "mine", "extends: texts.yaml\nstages: [odd.yaml]\n")
    done = cli("finetune", "mine.yaml", "--model", tiny_bert, "--data", "texts", "--out", "run", "--quiet")
    assert done.code == code and len(done.mistakes) == 1, done.err
    assert done.mistakes[0].startswith(f"error[{error}]") and "odd" in done.mistakes[0]
    assert len(done.mistakes[0].splitlines()) <= 6 and not Path("run").exists()


def test_a_missing_stage_is_told_with_its_line_and_the_one_that_was_meant(cli: Cli, tiny_bert: Path) -> None:
    write(Path.cwd(), "mine", "extends: texts.yaml\nstages:\n  - word.yaml\n")
    done = cli("finetune", "mine.yaml", "--model", tiny_bert)
    assert done.code == 2 and "error[R001]" in done.err
    assert "--> mine.yaml:3 (stages)" in done.err and "did you mean 'words.yaml'?" in done.err


def mirror(folder: Path) -> Path:
    """Small files of MNLI and RTE, as a mirror of all tasks has them."""
    for split, n in (("train", 24), ("validation_matched", 6), ("validation_mismatched", 6)):
        ones, others = tiny_texts(n, seed=1), tiny_texts(n, seed=2)
        rows = [(ones[i][0], others[i][0], CLASSES[i % 3]) for i in range(n)]
        write_table(folder / "mnli" / f"{split}.tsv", ("premise", "hypothesis", "label"), rows)
    for split, n in (("train", 16), ("validation", 8)):
        ones, others = tiny_texts(n, seed=3), tiny_texts(n, seed=4)
        rows = [(ones[i][0], others[i][0], ("entailment", "not_entailment")[i % 2]) for i in range(n)]
        write_table(folder / "rte" / f"{split}.tsv", ("sentence1", "sentence2", "label"), rows)
    return folder


@pytest.mark.parametrize("name", CHAINS)
def test_a_shipped_chain_passes_a_dry_run_on_small_data(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from tiny import tiny_model

    monkeypatch.setenv("BERTCTL_DATA", str(mirror(tmp_path / "mirror")))
    model = tiny_model(tmp_path / "long", max_position_embeddings=512)
    done = cli("finetune", name, "--model", model, "--precision", "fp32", "--dry-run", "--json")
    assert done.code == 0, done.err
    assert [stage["state"] for stage in done.json["stages"]] == ["new"] * len(done.json["stages"])


def test_seeds_train_stages_of_their_own(cli: Cli, tiny_bert: Path) -> None:
    tiny_data(Path("texts"), n_train=16, n_validation=8)
    write(Path.cwd(), "mine", "extends: texts.yaml\nstages: [words.yaml]\n")
    words = ("--model", tiny_bert, "--data", "texts", "--precision", "fp32", "--out", "seeds", "--seeds", 2, "--json")
    done = cli("finetune", "mine.yaml", *words)
    assert done.code == 0, done.err
    assert len(list(Path(os.environ["BERTCTL_CACHE"], "stages").glob("words-*"))) == 2
    assert len(done.json["runs"]) == 2
