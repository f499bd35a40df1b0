"""What a run writes down: metrics.jsonl is the truth, and it survives a kill."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from bert_cli.errors import UsageError
from bert_cli.track import Tracker, check_trackers, clock, forget_after
from bert_cli.train.engine import StepRecord


def record(step: int, **changes: Any) -> StepRecord:
    values: dict[str, Any] = {
        "step": step,
        "epoch": step / 4,
        "progress": min(1.0, step / 10),
        "last": False,
        "losses": {"loss": 1.0 / step},
        "loss": 1.0 / step,
        "lr": 1e-3,
        "grad_norm": 2.0,
        "examples": 8,
        "tokens": 80,
        "computed_tokens": 100,
        "seconds": 0.5,
        "micro_batch_tokens": 16_384,
    }
    return StepRecord(**values | changes)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def tracker(folder: Path, **options: Any) -> Tracker:
    return Tracker(folder / "metrics.jsonl", **{"total_steps": 10, "log_every": 1, "quiet": True, **options})


def test_a_training_record_averages_the_steps_since_the_one_before(tmp_path: Path) -> None:
    with tracker(tmp_path, log_every=4) as open_tracker:
        for step in range(1, 10):
            open_tracker.step(record(step))
    found = lines(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in found] == [1, 4, 8]
    means = [1.0, sum(1 / s for s in (2, 3, 4)) / 3, sum(1 / s for s in (5, 6, 7, 8)) / 4]
    assert [line["train/loss"] for line in found] == pytest.approx(means)
    assert {line["train/examples_per_s"] for line in found} == {16.0}
    assert {line["train/tokens_per_s"] for line in found} == {160.0}
    assert {line["train/computed_per_token"] for line in found} == {1.25}
    assert [line["epoch"] for line in found] == [0.25, 1.0, 2.0]


def test_several_loss_terms_are_named_and_a_single_one_is_not(tmp_path: Path) -> None:
    with tracker(tmp_path) as open_tracker:
        open_tracker.step(record(1, losses={"mlm": 0.75, "nsp": 0.25}))
        open_tracker.step(record(2))
    both, one = lines(tmp_path / "metrics.jsonl")
    assert (both["train/mlm"], both["train/nsp"]) == (0.75, 0.25)
    assert not {"train/mlm", "train/nsp"} & set(one) and set(one) < set(both)


def test_scores_carry_the_name_of_their_split(tmp_path: Path) -> None:
    with tracker(tmp_path) as open_tracker:
        open_tracker.scores(4, 1.0, "validation", {"accuracy": 0.5, "loss": 0.7}, best=True)
    (line,) = lines(tmp_path / "metrics.jsonl")
    assert (line["step"], line["validation/accuracy"], line["validation/loss"]) == (4, 0.5, 0.7)


def test_what_is_not_finite_becomes_null_so_that_every_line_is_json(tmp_path: Path) -> None:
    with tracker(tmp_path) as open_tracker:
        open_tracker.write(1, 0.1, {"a": math.nan, "b": math.inf, "c": 1.0})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    line = json.loads((tmp_path / "metrics.jsonl").read_text(encoding="utf-8"), parse_constant=refuse)
    assert (line["a"], line["b"], line["c"]) == (None, None, 1.0)


def test_a_line_is_on_disk_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with tracker(tmp_path) as open_tracker:
        open_tracker.step(record(1))
        assert len(lines(tmp_path / "metrics.jsonl")) == 1


def test_a_second_process_appends(tmp_path: Path) -> None:
    for step in (1, 2):
        with tracker(tmp_path) as open_tracker:
            open_tracker.step(record(step))
    assert [line["step"] for line in lines(tmp_path / "metrics.jsonl")] == [1, 2]


def test_the_summary_is_over_all_steps(tmp_path: Path) -> None:
    with tracker(tmp_path, log_every=100) as open_tracker:
        for step in range(1, 4):
            open_tracker.step(record(step, seconds=step))
        rates = open_tracker.summary(3, 0.75)
    assert rates["train/examples_per_s"] == 4.0
    assert lines(tmp_path / "metrics.jsonl")[-1]["train/examples_per_s_mean"] == 4.0


def test_forgetting_drops_later_steps_and_a_half_written_line(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    with tracker(tmp_path) as open_tracker:
        for step in range(1, 6):
            open_tracker.step(record(step))
    with file.open("a", encoding="utf-8") as stream:
        stream.write('{"step": 6, "epo')
    kept = file.read_text(encoding="utf-8").splitlines()[:3]
    forget_after(file, 3)
    assert file.read_text(encoding="utf-8").splitlines() == kept
    forget_after(file, 0)
    assert file.read_text(encoding="utf-8") == ""
    forget_after(tmp_path / "absent.jsonl", 3)
    assert not (tmp_path / "absent.jsonl").exists()


def test_off_a_terminal_a_line_says_where_the_run_stands(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with tracker(tmp_path, quiet=False, total_steps=2) as open_tracker:
        open_tracker.step(record(1))
        open_tracker.step(record(2, progress=1.0, last=True))
        open_tracker.scores(2, 0.5, "validation", {"accuracy": 0.875}, best=True)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "step 2/2" in shown.err and "16 examples/s" in shown.err
    assert "accuracy 0.8750  * best" in shown.err


def test_a_run_that_time_ends_says_how_much_of_it_is_left(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with tracker(tmp_path, quiet=False, total_steps=None, seconds=600.0, log_every=100) as open_tracker:
        open_tracker.step(record(1, progress=0.01))
        open_tracker.step(record(7, progress=0.5))
        open_tracker.step(record(9, progress=1.0, last=True))
    assert [line["step"] for line in lines(tmp_path / "metrics.jsonl")] == [1, 9], "the last step is always recorded"
    assert "step 9 (100%)" in (shown := capfd.readouterr().err) and "0s left" in shown


def test_a_quiet_tracker_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with tracker(tmp_path, total_steps=1) as open_tracker:
        open_tracker.step(record(1))
        open_tracker.note("something")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.4, "59s"), (60, "1m00s"), (200, "3m20s"), (3599.6, "1h00m"), (3900, "1h05m")],
)
def test_durations_are_as_people_read_them(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_unknown_trackers_are_refused_with_the_nearest_name() -> None:
    check_trackers([])
    with pytest.raises(UsageError) as caught:
        check_trackers(["tensorbord"])
    assert (caught.value.code, caught.value.suggestion()) == ("U040", "tensorboard")


def test_trackers_that_are_not_installed_are_refused_with_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate import tracking

    monkeypatch.setattr(tracking, "get_available_trackers", lambda: [])
    with pytest.raises(UsageError) as caught:
        check_trackers(["wandb"])
    assert (caught.value.code, caught.value.help) == ("U041", "pip install wandb")
