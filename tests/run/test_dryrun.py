"""What a run would do, found out by making a few steps of each of its phases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_data, tiny_recipe, tiny_texts

from bert_cli.run.build import build
from bert_cli.run.dryrun import MEASURED_STEPS, dry_run
from bert_cli.run.finetune import prepare


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    file.write_text("\n\n".join(text for text, _ in tiny_texts(30, longest=40)), encoding="utf-8")
    return file


def phased(tiny_bert: Path, corpus: Path, out: Path, **changes: Any) -> Any:
    usual = {
        "task": "fill-mask",
        "data__max_length": 24,
        "data__lengths": {12: 0.75, 24: 0.25},
        "train__batch_sizes": {4: 0.5, 6: 0.5},
        "train__budget": "40 steps",
    }
    return tiny_recipe(tiny_bert, corpus, out, **usual | changes)


def test_every_phase_is_described_and_measured(tiny_bert: Path, corpus: Path, tmp_path: Path) -> None:
    found = dry_run(phased(tiny_bert, corpus, tmp_path / "run"))
    phases = found.plan["phases"]
    assert [(phase["steps"], phase["batch_size"]) for phase in phases] == [(20, 4), (10, 6), (10, 6)]
    assert phases[0]["rows"] == phases[1]["rows"] > phases[2]["rows"]
    assert phases[0]["longest"] <= 12 < phases[2]["longest"] <= 24
    assert found.plan["steps"] == 40 and found.plan["seconds"] is None
    assert found.cost["measured_steps"] == 3 * MEASURED_STEPS
    assert found.cost["training_seconds"] == pytest.approx(40 * found.cost["seconds_per_step"], abs=0.06)
    assert not (tmp_path / "run").exists()


def test_time_is_what_the_recipe_gives_and_leaves_the_steps_open(tiny_bert: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(tiny_bert, tiny_data(tmp_path / "data"), tmp_path / "run", train__budget="10m")
    found = dry_run(recipe)
    assert (found.cost["training_seconds"], found.plan["seconds"]) == (600.0, 600.0)
    assert (found.plan["steps"], found.plan["warmup_steps"]) == (None, None)


@pytest.mark.parametrize(("budget", "reached"), [("900 tokens", 900), (2.5, None)])
def test_a_budget_is_spread_over_the_phases(
    tiny_bert: Path, corpus: Path, tmp_path: Path, budget: Any, reached: int | None
) -> None:
    recipe = phased(tiny_bert, corpus, tmp_path / "run", train__budget=budget)
    plan = build(prepare(recipe)).plan
    assert plan.total_steps is not None and len(plan.phases) == 3
    tokens = [int(plan.lengths[plan.rows(step)].sum()) for step in range(plan.total_steps)]
    if reached is None:
        assert 2.5 - 1e-6 <= plan.passes(plan.total_steps) < 2.7
    else:
        assert sum(tokens[:-1]) < reached <= sum(tokens)
