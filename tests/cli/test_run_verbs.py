"""`bertctl run`: ls, verify, reproduce, clean."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command import SMALL, Cli
from tiny import tiny_data


@pytest.fixture
def run(sst_run: Path) -> Path:
    """A copy of a finished run, in the current folder, to be harmed."""
    return Path(shutil.copytree(sst_run, "runs/mine"))


def edit(file: Path, *keys: str, value: object) -> None:
    """Set one value of a JSON file."""
    whole = facts = json.loads(file.read_text())
    for key in keys[:-1]:
        facts = facts[key]
    facts[keys[-1]] = value
    file.write_text(json.dumps(whole))


def test_ls_shows_every_run_newest_first(cli: Cli, run: Path, tiny_bert: Path) -> None:
    shutil.copytree(run, "runs/inner/older")
    edit(Path("runs/inner/older/status.json"), "time", value="2001-02-03T04:05:06Z")
    shutil.copytree(run, "runs/gone")
    Path("runs/gone/status.json").write_text('{"state": "running", "time": "2000-01-01T00:00:00Z"}')
    shutil.copytree(run, "runs/odd")
    Path("runs/odd/status.json").write_text("[")
    Path("runs/odd/recipe.yaml").write_text("task: [\n")
    Path("runs/no-run").mkdir()
    rows = {row["run"]: row for row in cli("run ls --json").json}
    assert list(rows) == ["runs/mine", "runs/inner/older", "runs/gone", "runs/odd"]
    mine = rows["runs/mine"]
    assert (mine["state"], mine["task"], mine["model"], mine["metric"]) == ("done", "sst2", str(tiny_bert), "accuracy")
    assert mine["value"] == json.loads((run / "status.json").read_text())["result"]["value"]
    assert mine["size"] == sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
    assert [rows[name]["state"] for name in ("runs/gone", "runs/odd")] == ["killed", "damaged"]
    table = cli("run ls").out.splitlines()
    assert table[0].split() == ["run", "status", "task", "model", "score", "size", "date", "(UTC)"]
    assert "accuracy" in table[1] and tiny_bert.name in table[1] and table[2].endswith("2001-02-03 04:05:06")
    assert cli("run ls runs/no-run --json").json == []
    assert cli("run ls nowhere").err == "no runs in nowhere\n"


def test_G7_verify_names_the_file_with_both_sums_and_ends_with_4(cli: Cli, run: Path) -> None:
    done = cli("run verify runs/mine")
    assert (done.code, done.err) == (0, "") and done.out.startswith("ok  runs/mine  ")
    assert cli("run verify runs/mine/best").code == 0
    (run / "best" / "config.json").write_text("{}")
    done = cli("run verify runs/mine")
    assert (done.code, done.out) == (4, "") and len(done.mistakes) == 1
    assert "best/config.json is not what was recorded" in done.mistakes[0] and done.mistakes[0].count("\n") <= 5
    assert "found: 2 bytes" in done.mistakes[0] and "with sha256 " in done.mistakes[0]
    told = cli("run verify runs/mine --json")
    assert told.code == 4 and told.json[0]["ok"] is False
    assert [fault["file"] for fault in told.json[0]["faults"]] == ["best/config.json"]
    done = cli("run verify runs/mien")
    assert done.code == 2 and "error[U120]" in done.err and "did you mean 'runs/mine'" in done.err


def test_verify_tells_the_first_of_many_faults(cli: Cli, run: Path) -> None:
    for number in range(25):
        (run / "best" / f"extra-{number}.json").write_text("{}")
    done = cli("run verify runs/mine")
    assert len(done.mistakes) == 20 and done.err.startswith("25 files are not as recorded; the first 20:\n")


def test_clean_frees_what_it_says_and_only_once(cli: Cli, run: Path) -> None:
    shutil.copytree(run, "runs/stopped")
    edit(Path("runs/stopped/status.json"), "state", value="preempted")
    before = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
    planned = cli("run clean --all-under runs --dry-run --json").json
    done = cli("run clean --all-under runs runs/mine --json").json
    assert planned["dry_run"] and not done["dry_run"] and done["freed"] == planned["freed"] > 0
    assert before - sum(file.stat().st_size for file in run.rglob("*") if file.is_file()) == done["freed"]
    by_run = {one["run"]: one for one in done["runs"]}
    assert len(by_run) == 2 and by_run["runs/stopped"]["removed"] == []
    assert cli("run verify runs/mine").code == 0
    assert cli("eval runs/mine").code == 0
    again = cli("run clean runs/mine")
    assert again.out == "0 B (0 bytes) freed in 1 run\n"
    assert "error[U123]" in cli("run clean").err
    assert cli("run clean --all-under nowhere").code == 2


def test_G1_a_run_is_repeated_from_its_folder_alone(cli: Cli, run: Path) -> None:
    done = cli("run reproduce runs/mine --json --quiet")
    assert (done.code, done.err) == (0, "")
    told = done.json
    assert told["same"] and told["differences"] == [] and told["again"] == "runs/mine-again"
    assert (run / "best/model.safetensors").read_bytes() == Path("runs/mine-again/best/model.safetensors").read_bytes()
    assert {row["what"]: row["then"] for row in told["compared"]} == {
        row["what"]: row["now"] for row in told["compared"]
    }
    assert "validation accuracy" in {row["what"] for row in told["compared"]}
    assert cli("run verify runs/mine-again").code == 0
    shown = cli("run reproduce runs/mine --quiet")
    assert "the same bits in all" in shown.out and Path("runs/mine-again-2").is_dir()
    assert "error[U020]" in cli("run reproduce runs/mine --out runs/mine-again").err


def test_reproduce_pins_what_depends_on_the_moment(cli: Cli, run: Path) -> None:
    assert cli("run reproduce runs/mine --out runs/b --quiet").code == 0
    then, now = (json.loads(Path("runs", name, "status.json").read_text())["result"] for name in ("mine", "b"))
    assert then["micro_batch_tokens"] == now["micro_batch_tokens"]
    recipe = Path("runs/b/recipe.yaml").read_text()
    assert f"micro_batch_tokens: {then['micro_batch_tokens']}\n" in recipe and "precision: fp32\n" in recipe


def test_reproduce_refuses_other_data_and_another_model_with_both_sums(
    cli: Cli, tiny_bert: Path, sst_like: Path
) -> None:
    shutil.copytree(tiny_bert, "model")
    shutil.copytree(sst_like, "data")
    words = ["--task", "sst2", "--model", "model", "--data", "data", "--out", "runs/own", *SMALL]
    assert cli("finetune", *words).code == 0
    lock = json.loads(Path("runs/own/lock.json").read_text())
    with Path("data/train.tsv").open("a") as file:
        file.write("one more good film\t1\n")
    edit(Path("model/tokenizer_config.json"), "model_max_length", value=63)
    done = cli("run reproduce runs/own")
    assert done.code == 3 and len(done.mistakes) == 2 and not Path("runs/own-again").exists()
    data, model = done.mistakes
    assert "D092" in data and "data.train" in data and f"allowed: {lock['data']['train']}" in data
    assert "C024" in model and "model.sha256.tokenizer_config.json" in model
    shutil.rmtree("model")
    shutil.rmtree("data")
    assert cli("run reproduce runs/own").code != 0
    moved = cli("run", "reproduce", "runs/own", "--data", sst_like, "--model", tiny_bert, "--quiet")
    assert moved.code == 0 and "the same bits" in moved.out


def test_reproduce_says_what_differs_and_refuses_what_nothing_explains(cli: Cli, run: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(run / "best/model.safetensors")
    name = next(key for key, value in weights.items() if value.dim() == 2)
    weights[name] = weights[name] + torch.eye(*weights[name].shape) * 1e-3
    save_file(weights, run / "best/model.safetensors", {"format": "pt"})
    done = cli("run reproduce runs/mine --quiet --out runs/b")
    assert done.code == 4 and "error[C023]: 1 of " in done.err and "1 of " in done.out
    edit(run / "lock.json", "versions", "torch", value="1.0")
    done = cli("run reproduce runs/mine --quiet --out runs/c --json")
    assert done.code == 0 and not done.json["same"]
    assert [(one["key"], one["then"]) for one in done.json["differences"]] == [("versions.torch", "1.0")]
    assert done.json["weights"]["differing"] == 1
    assert done.json["weights"]["largest"] == pytest.approx(1e-3, rel=1e-3)
    save_file({"a": weights[name]}, run / "best/model.safetensors", {"format": "pt"})
    assert "error[C025]" in cli("run reproduce runs/mine --quiet --out runs/d").err


def test_only_a_run_that_is_done_is_repeated(cli: Cli, run: Path) -> None:
    edit(run / "status.json", "state", value="failed")
    done = cli("run reproduce runs/mine")
    assert done.code == 2 and "error[U122]" in done.err and "found: failed" in done.err
    assert "error[U120]" in cli("run reproduce runs").err


@pytest.mark.slow
def test_G1_a_run_of_two_ranks_is_repeated_by_two_ranks(cli: Cli, tiny_bert: Path) -> None:
    import subprocess
    import sys

    def bertctl(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bert_cli", *map(str, words)], capture_output=True, text=True, timeout=250
        )

    tiny_data(Path("d"))
    words = ["--task", "text-classification", "--model", tiny_bert, "--data", "d", "--out", "runs/two", *SMALL]
    assert bertctl("finetune", *words, "--cpus", 2).returncode == 0
    done = bertctl("run", "reproduce", "runs/two", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["same"] and told["differences"] == []
    assert json.loads(Path("runs/two-again/lock.json").read_text())["world_size"] == 2
