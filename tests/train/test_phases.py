"""Pretraining in phases: a run that was stopped ends in the same bits, and two ranks see what one does.

Two lengths, two batch sizes and two corpora, with masks that depend on epoch and progress, and dropout.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from tiny_corpus import corpus_from
from torch.nn import functional

from bert_cli.data.batch import Batch, pad
from bert_cli.data.blocks import BlockStore, cut_blocks
from bert_cli.data.budget import Stage, merged, phases
from bert_cli.data.order import Mixed
from bert_cli.data.plan import Plan
from bert_cli.env import derived_seed
from bert_cli.objectives.base import Trainee
from bert_cli.recipe.amount import Amount
from bert_cli.runtime import Runtime
from bert_cli.train.engine import StepRecord, train
from bert_cli.train.evaluate import score
from bert_cli.train.schedule import Schedule

VOCABULARY, MASK, SPECIAL, SEED = 40, 1, 2, 3
BUDGETS = {"steps": Amount(17, "steps"), "epochs": Amount(3.3, "epochs"), "tokens": Amount(1500, "tokens")}


class Guess:
    """Predict the tokens that are hidden: a stand-in for pretraining, with masks as a schedule would have them."""

    name, auto_class = "guess", ""
    weights: Mapping[str, float] = {"mlm": 1.0}

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, float]] = []

    def collate(self, store: BlockStore, rows: np.ndarray, *, epochs: np.ndarray, progress: float) -> Batch:
        content = store.content(rows)
        sequences = np.split(content.ids, np.cumsum(content.lengths)[:-1])
        self.seen += [(int(row), int(epoch), progress) for row, epoch in zip(rows, epochs, strict=True)]
        targets, places = [], []
        ids = pad(sequences, 0)
        for i, (row, epoch, sequence) in enumerate(zip(rows, epochs, sequences, strict=True)):
            draws = np.random.default_rng(derived_seed("mask", int(epoch), int(row))).random(len(sequence))
            chosen = np.flatnonzero(draws <= max(draws.min(), 0.1 + 0.3 * progress))
            targets.append(sequence[chosen])
            places.append(chosen + i * ids.shape[1])
            ids[i, chosen] = MASK
        positions = torch.from_numpy(np.concatenate(places))
        answers = torch.from_numpy(np.concatenate(targets))
        return Batch({"input_ids": ids}, answers, rows, int(store.lengths[rows].sum()), positions)

    def counts(self, batch: Batch) -> dict[str, float]:
        assert batch.targets is not None
        return {"mlm": float(len(batch.targets))}

    def forward(self, model: Any, batch: Batch) -> torch.Tensor:
        logits: torch.Tensor = model(batch.inputs["input_ids"]).flatten(0, 1)[batch.positions]
        return logits

    def totals(self, outputs: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        assert batch.targets is not None
        return {"mlm": functional.cross_entropy(outputs, batch.targets, reduction="sum")}

    def scores(self, outputs: torch.Tensor, batch: Batch) -> np.ndarray:
        return np.empty((len(batch), 0), dtype=np.float32)

    def ends(self, batch: Batch) -> np.ndarray:
        return np.arange(1, len(batch) + 1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> BlockStore:
    rng = np.random.default_rng(0)
    corpora = [
        corpus_from([[rng.integers(2, VOCABULARY, rng.integers(1, 9)).tolist() for _ in range(4)] for _ in range(n)])
        for n in (9, 5)
    ]
    cache = tmp_path_factory.mktemp("blocks")
    cut = [[cut_blocks(corpus, room, cache=cache) for corpus in corpora] for room in (6, 14)]
    return BlockStore(cut, special=SPECIAL)


def plan_of(store: BlockStore, budget: Amount) -> Plan:
    lengths, sizes = {8: 0.7, 16: 0.3}, {3: 0.4, 5: 0.6}
    orders = {n: Mixed(ranges, (1.0, 2.0), SEED) for n, ranges in zip(lengths, store.ranges, strict=True)}
    stages = [Stage(orders[length], size, share) for length, size, share in merged(lengths, sizes)]
    assert len(stages) == 3
    return Plan(store.lengths, phases(stages, store.lengths, budget), SEED, 40)


class Run:
    """A model, its optimizer and its objective, at any step."""

    def __init__(self, plan: Plan, store: BlockStore, runtime: Runtime) -> None:
        torch.manual_seed(0)
        layers = (torch.nn.Embedding(VOCABULARY, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, VOCABULARY))
        self.model = torch.nn.Sequential(*layers)
        group = {"params": list(self.model.parameters()), "lr_scale": 1.0}
        self.optimizer = torch.optim.AdamW([group], lr=0.0, weight_decay=0.01)
        self.plan, self.store, self.runtime = plan, store, runtime
        self.objective = Guess()

    def steps(self, start: int, stop: int) -> list[StepRecord]:
        assert self.plan.total_steps is not None
        made = train(
            Trainee(self.model, self.objective).train(),
            self.optimizer,
            objective=self.objective,
            store=self.store,
            plan=self.plan,
            schedule=Schedule("linear", 1e-2, self.plan.total_steps),
            runtime=self.runtime,
            max_grad_norm=1.0,
            start=start,
        )
        return list(itertools.islice(made, stop - start))

    def state(self) -> dict[str, Any]:
        return copy.deepcopy({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()})

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return Runtime(device="cpu", precision="fp32")


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS)
def test_a_run_stopped_at_any_step_of_any_phase_ends_in_the_same_bits(
    store: BlockStore, runtime: Runtime, budget: Amount
) -> None:
    plan = plan_of(store, budget)
    total = plan.total_steps
    assert total is not None and len(plan.phases) == 3
    edges = np.cumsum([phase.steps for phase in plan.phases]).tolist()
    whole = Run(plan, store, runtime)
    records = whole.steps(0, total)
    assert records[-1].last and len({record.epoch % 1 for record in records}) > 5
    for stop in (1, edges[0] - 1, edges[0], edges[0] + 1, edges[1], edges[1] + 1, total - 1):
        first, second = Run(plan, store, runtime), Run(plan, store, runtime)
        begun = first.steps(0, stop)
        torch.manual_seed(999)
        second.load(first.state())
        rest = second.steps(stop, total)
        same = [dataclasses.replace(record, seconds=0.0) for record in (*begun, *rest)]
        assert same == [dataclasses.replace(record, seconds=0.0) for record in records]
        assert first.objective.seen + second.objective.seen == whole.objective.seen
        for name, tensor in whole.model.state_dict().items():
            assert torch.equal(tensor, second.model.state_dict()[name]), (stop, name)


def test_a_run_that_goes_on_one_step_off_is_told_apart(store: BlockStore, runtime: Runtime) -> None:
    """Negative control for the comparison above."""
    plan = plan_of(store, BUDGETS["steps"])
    whole, off = Run(plan, store, runtime), Run(plan, store, runtime)
    whole.steps(0, 17)
    off.steps(0, 8)
    off.steps(9, 17)
    assert not torch.equal(whole.model.state_dict()["2.weight"], off.model.state_dict()["2.weight"])


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS)
def test_the_budget_is_reached_with_the_last_step(store: BlockStore, runtime: Runtime, budget: Amount) -> None:
    plan = plan_of(store, budget)
    records = Run(plan, store, runtime).steps(0, plan.total_steps or 0)
    reached = {
        "steps": [record.step for record in records],
        "epochs": [record.epoch for record in records],
        "tokens": np.cumsum([record.tokens for record in records]).tolist(),
    }[budget.unit]
    assert reached[-2] < budget.value <= reached[-1]


def test_two_ranks_collate_the_very_rows_epochs_and_progress_of_one(store: BlockStore, runtime: Runtime) -> None:
    plan = plan_of(store, BUDGETS["steps"])
    alone = Run(plan, store, runtime)
    alone.steps(0, 17)
    seen = []
    for rank in range(2):
        share = dataclasses.replace(plan, rank=rank, world_size=2)
        objective = Guess()
        for step in range(17):
            planned = share.step(step)
            assert not planned.idle
            for rows, epochs in zip(planned.micro_batches, planned.epochs, strict=True):
                objective.collate(store, rows, epochs=epochs, progress=plan.progress(step, 0.0))
        seen += objective.seen
    assert sorted(seen) == sorted(alone.objective.seen)


def test_progress_and_epochs_reach_the_masks(store: BlockStore, runtime: Runtime) -> None:
    run = Run(plan_of(store, BUDGETS["steps"]), store, runtime)
    run.steps(0, 17)
    assert {progress for _, _, progress in run.objective.seen} == {step / 17 for step in range(17)}
    assert max(epoch for _, epoch, _ in run.objective.seen) >= 1


def test_scoring_hides_the_same_at_every_time_and_gives_no_scores_of_rows(store: BlockStore, runtime: Runtime) -> None:
    run = Run(plan_of(store, BUDGETS["steps"]), store, runtime)
    first, again = (score(run.model, run.objective, store, runtime=runtime, max_tokens=50) for _ in range(2))
    assert first.losses == again.losses and first.scores.shape == (len(store), 0)
    assert first.tokens == int(store.lengths.sum())
    assert {(epoch, progress) for _, epoch, progress in run.objective.seen} == {(-1, 1.0)}
    smaller = score(run.model, run.objective, store, runtime=runtime, max_tokens=20)
    assert smaller.losses["mlm"] == pytest.approx(first.losses["mlm"], rel=1e-5)
