"""The pure parts of the benchmarks: intervals, tables, refusing on a busy machine. Nothing is trained."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import pytest

from benchmarks.__main__ import BUSY, main, measure
from benchmarks.measure import BenchmarkError, Run, rates, ratio, run_process, warm_up
from benchmarks.report import table, update


def run(speed: float, **changes: float) -> Run:
    return Run(**{"wall_s": 2.0, "cpu_s": 1.0, "peak_mib": 100.0, "examples_per_s": speed, **changes})


def test_equal_pairs_give_an_interval_without_width() -> None:
    assert ratio([run(30.0)] * 5, [run(10.0)] * 5) == (3.0, 3.0, 3.0)


def test_the_interval_holds_the_median_and_stays_within_the_pairs() -> None:
    ours = [run(speed) for speed in (10.0, 20.0, 30.0, 40.0, 90.0)]
    middle, low, high = ratio(ours, [run(10.0)] * 5)
    assert middle == 3.0
    assert 1.0 <= low < middle < high <= 9.0
    assert ratio(ours, [run(10.0)] * 5) == (middle, low, high)


def test_without_training_the_ratio_is_one_of_cpu_seconds() -> None:
    ours, theirs = Run(1.0, 0.1, 20.0), Run(9.0, 3.0, 200.0)
    assert ratio([ours], [theirs])[0] == pytest.approx(30.0)


def test_rates_leave_out_the_warm_up_and_count_the_time_between_steps() -> None:
    ends = [100.0, 101.0, 103.0]
    assert rates(ends, [(32, 999), (32, 300), (32, 330), (32, 5)]) == (64 / 3, 210.0)
    assert [warm_up(steps) for steps in (2, 3, 12, 60, 600)] == [1, 1, 2, 10, 10]


def test_the_table_shows_both_sides_and_leaves_out_what_was_not_measured() -> None:
    text = table({"P1": [(run(10.0), run(40.0)), (run(10.0), run(20.0))], "P2": [(run(20.0), run(40.0))]})
    head, _, first, second = text.splitlines()
    assert head == "| peer | ratio [95 %] | examples/s | wall s | CPU s | peak MiB |"
    assert first.startswith("| P1 | 3.00x [2.00, 4.00] | 10.0 → 30.0 | 2.00 → 2.00 |")
    assert second.startswith("| P2 | 2.00x (one pair) | 20.0 → 40.0 |")


def test_a_section_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "RESULTS.md"
    for name, body in (("sst2", "old"), ("help", "kept"), ("sst2", "new\n\n| a |")):
        update(file, name, body)
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# Benchmarks\n") and text.count("## ") == 2
    assert "old" not in text and "## help\n\nkept\n" in text and text.endswith("## sst2\n\nnew\n\n| a |\n")


def test_sides_take_turns_and_a_pair_shares_its_seed() -> None:
    seen: list[tuple[str, int]] = []

    def side(name: str, seed: int) -> Run:
        seen.append((name, seed))
        return run(2.0)

    pairs = measure(partial(side, "ours"), {"peer": partial(side, "peer")}, pairs=2)
    assert len(pairs["peer"]) == 2
    assert seen == [("peer", 42), ("ours", 42), ("peer", 43), ("ours", 43)]


def test_a_busy_machine_is_refused_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (BUSY + 0.1, 0.0, 0.0))
    monkeypatch.setattr("benchmarks.cases.Bench.sides", lambda *_: (lambda _: run(2.0), {"peer": lambda _: run(1.0)}))
    command = ["help", "--results", str(tmp_path / "R.md"), "--model", str(_model(tmp_path))]
    assert main(command) == 1
    assert "--anyway" in capsys.readouterr().err and not (tmp_path / "R.md").exists()
    assert main([*command, "--anyway"]) == 0
    assert "TOO BUSY" in (tmp_path / "R.md").read_text(encoding="utf-8")
    monkeypatch.setattr(os, "getloadavg", lambda: (BUSY - 0.1, 9.0, 9.0))
    assert main(command) == 0
    assert "TOO BUSY" not in (tmp_path / "R.md").read_text(encoding="utf-8")


def _model(folder: Path) -> Path:
    (folder / "config.json").write_text("{}", encoding="utf-8")
    return folder


def test_a_process_is_charged_for_its_cpu_time_and_its_failure_is_told() -> None:
    burn = "import time\nwhile time.process_time() < 0.1: pass\nprint('done')"
    cost, out = run_process([sys.executable, "-c", burn], env=os.environ)
    assert out == "done\n" and 0.09 < cost.cpu_s < 5.0 and cost.peak_mib > 1.0
    with pytest.raises(BenchmarkError, match="ended with 3"):
        run_process([sys.executable, "-c", "raise SystemExit(3)"], env=os.environ)
