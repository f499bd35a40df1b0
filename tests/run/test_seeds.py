"""Several seeds: each run is the run that its seed alone would have made, and the spread is that of their scores."""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_recipe

from bert_cli.errors import ProcessFailed, UsageError
from bert_cli.metrics.spread import spread
from bert_cli.run.finetune import finetune
from bert_cli.run.seeds import run_seeds, workers

SCORES = st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=9)


def text_recipe(model: Path, data: Path, out: Path, **changes: Any) -> Any:
    return tiny_recipe(model, data, out, **{"task": "sst2", "train__epochs": 1.0, **changes})


def test_each_seed_is_the_run_it_would_be_alone(tiny_bert: Path, sst_like: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    found = run_seeds(text_recipe(tiny_bert, sst_like, tmp_path / "all"), 2, note=notes.append)
    assert list(found.runs) == [42, 43]
    alone = finetune(text_recipe(tiny_bert, sst_like, tmp_path / "alone", train__seed=43), quiet=True).as_dict()
    assert found.runs[43]["scores"] == alone["scores"]
    assert found.runs[42]["scores"] != found.runs[43]["scores"]
    values = [run["scores"]["validation"]["loss"] for run in found.runs.values()]
    loss = found.scores["validation"]["loss"]
    assert loss.mean == pytest.approx(statistics.mean(values)) and loss.std == pytest.approx(statistics.stdev(values))
    assert {path.name for path in (tmp_path / "all").iterdir()} == {"recipe.yaml", "seeds.json", "seed-42", "seed-43"}
    kept = json.loads((tmp_path / "all" / "seeds.json").read_text())
    assert kept["scores"]["validation"]["loss"]["mean"] == pytest.approx(loss.mean)
    assert any("seed 43: accuracy" in line for line in notes)
    with pytest.raises(UsageError, match="U020"):
        run_seeds(text_recipe(tiny_bert, sst_like, tmp_path / "all"), 2)
    again = run_seeds(text_recipe(tiny_bert, sst_like, tmp_path / "all", run__resume="auto"), 2)
    assert again.runs[42]["scores"] == found.runs[42]["scores"]
    with pytest.raises(UsageError, match="U023"):
        run_seeds(text_recipe(tiny_bert, sst_like, tmp_path / "all", run__resume="auto", train__lr=1e-4), 2)
    shorter = text_recipe(tiny_bert, sst_like, tmp_path / "all", train__budget="1 steps")
    assert [run["steps"] for run in run_seeds(shorter, 2, overwrite=True).runs.values()] == [1, 1]


def test_a_mistake_that_all_seeds_share_is_told_once_with_its_code(tiny_bert: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    with pytest.raises(ProcessFailed) as caught:
        run_seeds(text_recipe(tiny_bert, tmp_path / "nowhere", tmp_path / "all"), 5, note=notes.append)
    assert caught.value.exit_code == 3
    assert sum("failed:\nerror[D" in line for line in notes) == 1


@pytest.mark.parametrize("how", [{"overwrite": True}, {}], ids=["overwrite", "resume"])
def test_a_folder_of_something_else_is_left_alone(
    tiny_bert: Path, sst_like: Path, tmp_path: Path, how: dict[str, bool]
) -> None:
    mine = tmp_path / "mine" / "recipe.yaml"
    mine.parent.mkdir()
    mine.write_text("task: sst2  # mine\n")
    recipe = text_recipe(tiny_bert, sst_like, mine.parent, run__resume="never" if how else "auto")
    with pytest.raises(UsageError) as caught:
        run_seeds(recipe, 2, **how)
    assert caught.value.code == "U022" and mine.read_text() == "task: sst2  # mine\n"


def test_what_failed_at_once_goes_on_as_the_message_says(tiny_bert: Path, sst_like: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    recipe = text_recipe(tiny_bert, data, tmp_path / "all", train__budget="1 steps")
    with pytest.raises(ProcessFailed) as caught:
        run_seeds(recipe, 2)
    assert "--resume auto" in str(caught.value.help)
    shutil.copytree(sst_like, data)
    again = text_recipe(tiny_bert, data, tmp_path / "all", train__budget="1 steps", run__resume="auto")
    assert list(run_seeds(again, 2).runs) == [42, 43]


def test_one_seed_is_no_spread(tiny_bert: Path, sst_like: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        run_seeds(text_recipe(tiny_bert, sst_like, tmp_path / "all"), 1)
    assert caught.value.code == "U085" and not (tmp_path / "all").exists()


def test_places_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bert_cli.run.seeds.cores", lambda: 8.0)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert workers("cpu", 3) == [{"OMP_NUM_THREADS": "2"}] * 3
    assert workers("cpu", 20) == [{"OMP_NUM_THREADS": "1"}] * 8
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert workers("cpu", 2) == [{"OMP_NUM_THREADS": "4"}] * 2


def test_each_gpu_is_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert workers("auto", 3) == [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7")
    assert workers("cuda", 1) == [{"CUDA_VISIBLE_DEVICES": "5"}]


@given(SCORES)
def test_the_interval_holds_the_mean_and_lies_within_the_scores(scores: list[float]) -> None:
    found = spread(scores)
    slack = 1e-9 * max(1.0, *map(abs, scores))
    assert found.mean == pytest.approx(statistics.fmean(scores), rel=1e-9, abs=1e-6)
    assert found.low is not None and found.high is not None
    assert min(scores) - slack <= found.low <= found.mean + slack and found.mean - slack <= found.high
    assert found.high <= max(scores) + slack
    assert spread(scores) == found


def test_few_scores_have_no_interval_and_a_single_one_no_deviation() -> None:
    assert (spread([0.5]).std, spread([0.5]).low) == (None, None)
    assert spread([0.5, 0.7, 0.5, 0.7]).low is None
