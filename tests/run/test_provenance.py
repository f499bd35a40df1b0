"""G3, G5, G6 and E14: what a run records is true, whole, and nobody's secret."""

from __future__ import annotations

import csv
import getpass
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from tiny import tiny_data, tiny_recipe

from bert_cli.recipe.load import dump_recipe
from bert_cli.recipe.schema import Recipe
from bert_cli.run.finetune import finetune, prepare
from bert_cli.run.rundir import RunDir


@pytest.fixture(scope="module")
def done(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A finished run."""
    folder = tmp_path_factory.mktemp("private-place")
    before = os.umask(0o022)
    try:
        return finetune(tiny_recipe(tiny_bert, tiny_data(folder / "data"), folder / "run"), quiet=True).run
    finally:
        os.umask(before)


def facts(recipe: Recipe) -> tuple[dict[str, str], dict[str, str]]:
    """Sums of the bytes and of the rows of each split, as a lock file has them."""
    found = prepare(recipe).store.facts
    return found["fingerprints"], found["rows"]


def read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_G3_the_lock_file_has_the_sum_of_the_bytes_and_that_of_the_rows(done: RunDir) -> None:
    lock = json.loads(done.lock.read_text())
    assert set(lock["rows"]) == set(lock["data"]) == {"train", "validation"}
    assert all(len(value) == 64 for value in (*lock["rows"].values(), *lock["data"].values()))
    assert not set(lock["rows"].values()) & set(lock["data"].values())


def test_G3_another_order_changes_both_sums_another_encoding_that_of_the_bytes_alone(
    tiny_bert: Path, tmp_path: Path
) -> None:
    data = tiny_data(tmp_path / "data")
    recipe = tiny_recipe(tiny_bert, data, tmp_path / "run")
    bytes_before, rows_before = facts(recipe)
    rows = read(data / "train.tsv")

    def written_as(name: str, text: str) -> tuple[dict[str, str], dict[str, str]]:
        for old in data.glob("train.*"):
            old.unlink()
        (data / name).write_text(text, encoding="utf-8")
        return facts(recipe)

    quoted = "".join(f'"{row["text"]}","{row["label"]}"\r\n' for row in rows)
    for name, text in (
        ("train.jsonl", "".join(json.dumps(row) + "\n" for row in rows)),
        ("train.json", json.dumps([{"label": row["label"], "text": row["text"]} for row in rows], indent=2)),
        ("train.csv", f"text,label\r\n{quoted}"),
    ):
        now, rows_now = written_as(name, text)
        assert rows_now == rows_before, name
        assert now["train"] != bytes_before["train"] and now["validation"] == bytes_before["validation"]
    for changed in (rows[::-1], [rows[1], rows[0], *rows[2:]], rows[:-1], [{**rows[0], "label": "good"}, *rows[1:]]):
        now, rows_now = written_as("train.jsonl", "".join(json.dumps(row) + "\n" for row in changed))
        assert now["train"] != bytes_before["train"] and rows_now["train"] != rows_before["train"]
        assert rows_now["validation"] == rows_before["validation"]


def records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_G5_records_of_a_killed_run_are_whole_lines_and_a_resumed_one_has_each_once(
    done: RunDir, tiny_bert: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(done.path.parent / "data", tmp_path / "data"))
    recipe = tiny_recipe(tiny_bert, data, tmp_path / "run", run__resume="auto", run__save_every="3 steps")
    (tmp_path / "my.yaml").write_text(dump_recipe(recipe))
    program = (
        "import sys, time\nfrom bert_cli.recipe.load import load_recipe\nfrom bert_cli.run.finetune import finetune\n"
        "from bert_cli.train import checkpoint\nsave = checkpoint.save\n"
        # So that the kill comes in time.
        "def slow(*given):\n    save(*given)\n    time.sleep(0.5)\ncheckpoint.save = slow\n"
        "finetune(load_recipe(sys.argv[1]).recipe, quiet=True)\n"
    )
    metrics = tmp_path / "run" / "metrics.jsonl"
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "my.yaml")]) as process:
        end = time.monotonic() + 240
        while process.poll() is None and time.monotonic() < end:
            if metrics.is_file() and metrics.read_bytes().count(b"\n") >= 5:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    lines = metrics.read_text().split("\n")
    assert len(lines) >= 5 and all(json.loads(line) for line in lines[:-1])
    # The line at which a kill is the most harmful.
    with metrics.open("a") as file:
        file.write('{"step": 7, "tra')
    finetune(recipe, quiet=True)
    found = records(tmp_path / "run")
    seen = Counter((line["step"], name) for line in found for name in line if "/" in name)
    assert set(seen.values()) == {1}

    def without_clock(run: Path) -> list[dict[str, Any]]:
        return [
            {name: value for name, value in line.items() if name != "seconds" and "_per_s" not in name}
            for line in records(run)
        ]

    assert without_clock(tmp_path / "run") == without_clock(done.path)


def test_G6_the_card_says_what_the_records_say_and_nothing_of_the_machine(done: RunDir, tiny_bert: Path) -> None:
    text = (done.best / "README.md").read_text()
    card = ModelCard(text)
    best = json.loads(done.status.read_text())["result"]["best_step"]
    scored = {
        name.removeprefix("validation/"): value
        for line in records(done.path)
        if line["step"] == best
        for name, value in line.items()
        if name.startswith("validation/")
    }
    told = {one.metric_name: one.metric_value for one in card.data.eval_results}
    assert told and {name: pytest.approx(scored[name], abs=1e-6) for name in told} == told
    private = (str(done.path), str(tiny_bert), str(Path.home()), os.getcwd(), "private-place", socket.gethostname())
    assert [word for word in private if word != "/" and word in text] == []
    assert getpass.getuser() in ("root", "runner") or getpass.getuser() not in text


def test_E14_files_of_a_run_follow_the_umask_and_nobody_else_may_write_them(done: RunDir) -> None:
    paths = [done.path, *done.path.rglob("*")]
    assert len(paths) > 15
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in paths}
    assert {path.name: oct(mode) for path, mode in modes.items() if mode & 0o022 or mode & 0o7000} == {}
    assert all(modes[path] in ((0o755,) if path.is_dir() else (0o644, 0o600)) for path in paths)


def test_E14_a_private_umask_keeps_a_run_private(done: RunDir, tiny_bert: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        recipe = tiny_recipe(
            tiny_bert, done.path.parent / "data", tmp_path / "run", train={"epochs": 0.25, "precision": "fp32"}
        )
        run = finetune(recipe, quiet=True).run
    finally:
        os.umask(before)
    assert [path for path in (run.path, *run.path.rglob("*")) if stat.S_IMODE(path.lstat().st_mode) & 0o077] == []
