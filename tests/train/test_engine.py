"""One optimizer step: no update from a number that is not finite, torch's clipping, a rate for each group."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_texts

from bert_cli.data.order import Shuffled
from bert_cli.data.plan import Phase, Plan
from bert_cli.data.store import SplitStore, write_split
from bert_cli.errors import NonFiniteError
from bert_cli.models.build import load_model, load_tokenizer
from bert_cli.models.locate import locate
from bert_cli.models.params import groups
from bert_cli.objectives.base import Trainee
from bert_cli.objectives.sequence import SequenceObjective, encode_chunks
from bert_cli.runtime import Runtime
from bert_cli.train import engine
from bert_cli.train.engine import StepRecord, train
from bert_cli.train.optim import adamw, load_state_tensors, names, state_tensors
from bert_cli.train.schedule import VIRTUAL_STEPS, Schedule

N, BATCH, STEPS = 24, 8, 6


class Work:
    """Everything that a few steps need; `run` makes them."""

    def __init__(self, model_folder: Path, folder: Path, *, dropout: float = 0.0, layer_decay: float = 1.0) -> None:
        tokenizer = load_tokenizer(model_folder)
        columns = {"target": np.arange(N) % 2, "line": np.arange(N) + 2}
        texts = [text for text, _ in tiny_texts(N)]
        write_split(folder / "train.arrow", encode_chunks(tokenizer, texts, None, columns=columns, max_length=32), {})
        self.store = SplitStore.open(folder / "train.arrow")
        self.objective = SequenceObjective("text-classification", pad_token_id=0, takes_type_ids=True)
        self.model: Any = load_model(
            locate(str(model_folder)),
            auto_class="AutoModelForSequenceClassification",
            labels=["a", "b"],
            dropout=dropout,
        )
        self.groups = groups(self.model, layer_decay=layer_decay)
        self.optimizer: Any = adamw(self.groups, weight_decay=0.01, beta1=0.9, beta2=0.999, eps=1e-8)
        self.runtime = Runtime(device="cpu", precision="fp32")

    def run(
        self,
        *,
        lr: float = 1e-3,
        clip: float | None = None,
        start: int = 0,
        spent: float = 0.0,
        tokens: int = 10_000,
        plan: Plan | None = None,
        schedule: Schedule | None = None,
        trainee: Any = None,
    ) -> Iterator[StepRecord]:
        return train(
            (trainee or Trainee(self.model, self.objective)).train(),
            self.optimizer,
            objective=self.objective,
            store=self.store,
            plan=plan or Plan.simple(self.store.lengths, BATCH, STEPS, 3, tokens),
            schedule=schedule or Schedule("linear", lr, STEPS, warmup=2),
            runtime=self.runtime,
            max_grad_norm=clip,
            start=start,
            spent=spent,
        )

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}


@pytest.fixture
def work(tiny_bert: Path, tmp_path: Path) -> Work:
    return Work(tiny_bert, tmp_path)


class Small(Trainee):
    """A model on a machine where no more than `room` tokens, padding included, can be computed at once."""

    def __init__(self, work: Work, room: int, error: Exception) -> None:
        super().__init__(work.model, work.objective)
        self.room, self.error, self.failed = room, error, 0

    def forward(self, batch: Any) -> dict[str, torch.Tensor]:
        totals = super().forward(batch)
        if batch.padded_tokens > self.room:
            # Part of the gradient is there already, and must not stay.
            sum(totals.values()).backward()  # type: ignore[union-attr]
            self.failed += 1
            raise self.error
        return totals


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_a_loss_that_is_not_a_number_ends_training_before_the_update(work: Work) -> None:
    with torch.no_grad():
        work.model.classifier.weight[0, 0] = math.nan
    before = work.weights()
    with pytest.raises(NonFiniteError, match="the loss of step 1 is not a finite number") as caught:
        next(work.run())
    assert (caught.value.code, caught.value.exit_code) == ("N001", 8)
    assert caught.value.where is not None and "training rows from lines" in caught.value.where
    after = work.weights()
    assert all(torch.equal(before[name].nan_to_num(9.0), after[name].nan_to_num(9.0)) for name in before)
    assert not work.optimizer.state


def test_a_rate_that_explodes_leaves_the_weights_of_the_last_good_record(work: Work) -> None:
    """The update at 1e20 is made; the next loss or gradient is not finite, and no further update follows."""
    kept: list[dict[str, torch.Tensor]] = []
    with pytest.raises(NonFiniteError) as caught:
        for record in work.run(lr=1e20):
            assert math.isfinite(record.loss) and math.isfinite(record.grad_norm)
            kept.append(work.weights())
    assert 1 <= len(kept) < STEPS
    assert same(kept[-1], work.weights())
    assert all(bool(tensor.isfinite().all()) for tensor in work.weights().values())
    assert f"step {len(kept) + 1}" in str(caught.value.where)


def test_a_gradient_that_is_not_finite_is_refused_though_the_loss_is(work: Work) -> None:
    work.model.classifier.bias.register_hook(lambda gradient: gradient * math.inf)
    before = work.weights()
    with pytest.raises(NonFiniteError, match="the gradient of step 1"):
        next(work.run())
    assert same(before, work.weights())
    assert all(parameter.grad is None for parameter in work.model.parameters())


@pytest.mark.parametrize("clip", [None, 1e-3, 1e3])
def test_clipping_is_that_of_torch(tiny_bert: Path, tmp_path: Path, clip: float | None) -> None:
    """The same update as a plain loop: padded batch, mean loss, torch's clipping, torch's AdamW."""
    work = Work(tiny_bert, tmp_path)
    model = copy.deepcopy(work.model).train()
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    plain = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}])
    plan = Plan.simple(work.store.lengths, BATCH, STEPS, 3, 10_000)
    schedule = Schedule("linear", 1e-3, STEPS, warmup=2)
    for record in work.run(clip=clip):
        rows = plan.rows(record.step - 1)
        batch = work.objective.collate(work.store, rows, epochs=np.zeros(len(rows)), progress=0.0)
        loss = torch.nn.functional.cross_entropy(model(**batch.inputs).logits, batch.targets)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), math.inf if clip is None else clip)
        for group in plain.param_groups:
            group["lr"] = schedule.lr(record.step - 1)
        plain.step()
        plain.zero_grad()
        assert record.grad_norm == pytest.approx(float(norm), rel=1e-4)
        assert record.loss == pytest.approx(float(loss.detach()), rel=1e-4)
        assert clip != 1e-3 or record.grad_norm > clip
    far = [
        name
        for name, tensor in work.model.state_dict().items()
        if not torch.allclose(tensor, model.state_dict()[name], rtol=1e-3, atol=1e-5)
    ]
    # Attention does not depend on the keys' bias: its gradient is rounding alone, which AdamW scales up to full steps.
    assert all(name.endswith("key.bias") for name in far), far


def test_clipping_bounds_the_gradient_that_the_update_uses(work: Work) -> None:
    used: list[float] = []
    step = work.optimizer.step

    def watch() -> None:
        gradients = [p.grad for p in work.model.parameters() if p.grad is not None]
        used.append(float(torch.stack([g.norm() for g in gradients]).norm()))
        step()

    work.optimizer.step = watch
    records = list(work.run(clip=1e-3))
    assert all(record.grad_norm > 1e-2 for record in records)
    assert used == pytest.approx([1e-3] * STEPS, rel=1e-3)


def test_every_group_gets_the_schedules_rate_times_its_scale(tiny_bert: Path, tmp_path: Path) -> None:
    work = Work(tiny_bert, tmp_path, layer_decay=0.5)
    schedule = Schedule("linear", 1e-3, STEPS, warmup=2)
    scales = [group["lr_scale"] for group in work.optimizer.param_groups]
    assert set(scales) == {1.0, 0.5, 0.25, 0.125}
    for record in work.run():
        assert record.lr == schedule.lr(record.step - 1)
        rates = [group["lr"] for group in work.optimizer.param_groups]
        assert rates == pytest.approx([record.lr * scale for scale in scales])


def test_dropout_depends_on_seed_and_step_alone(tiny_bert: Path, tmp_path: Path) -> None:
    first, second, third = (Work(tiny_bert, tmp_path, dropout=0.3) for _ in range(3))
    torch.manual_seed(1)
    losses = [record.loss for record in first.run()]
    torch.manual_seed(2)
    assert [record.loss for record in second.run()] == losses
    third.runtime.seed = lambda *_: None  # type: ignore[method-assign]
    assert [record.loss for record in third.run()] != losses


def test_records_count_what_was_computed(work: Work) -> None:
    records = list(work.run())
    assert [record.step for record in records] == list(range(1, STEPS + 1))
    assert [record.epoch for record in records] == pytest.approx([step / 3 for step in range(1, STEPS + 1)])
    assert sum(record.examples for record in records) == 2 * N
    assert sum(record.tokens for record in records) == 2 * int(work.store.lengths.sum())
    assert all(record.computed_tokens >= record.tokens for record in records)
    assert [record.progress for record in records] == pytest.approx([step / STEPS for step in range(1, STEPS + 1)])
    assert [record.last for record in records] == [False] * (STEPS - 1) + [True]


# Time


class Clock:
    """Every look at it is a second later."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def perf_counter(self) -> float:
        self.seconds += 1.0
        return self.seconds


LIMIT = 11.0
STEP_SECONDS = 2.0
"""Of a step by that clock: one for its gradient, one for the update before it."""


def timed(work: Work, **options: Any) -> list[StepRecord]:
    plan = Plan(work.store.lengths, (Phase(Shuffled(N, 3), BATCH, None),), 3, 10_000, seconds=LIMIT)
    schedule = Schedule("linear", 1e-3, VIRTUAL_STEPS, warmup=0.1)
    return list(work.run(plan=plan, schedule=schedule, **options))


def test_time_ends_a_run_with_the_first_step_that_reaches_it(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "time", Clock())
    records = timed(work)
    spent = np.cumsum([record.seconds for record in records])
    assert spent[-2] < LIMIT <= spent[-1]
    assert [record.last for record in records] == [False] * (len(records) - 1) + [True]
    assert [record.progress for record in records] == pytest.approx(np.minimum(1.0, spent / LIMIT))
    schedule = Schedule("linear", 1e-3, VIRTUAL_STEPS, warmup=0.1)
    assert [record.lr for record in records] == [schedule.at(before / LIMIT) for before in (0.0, *spent[:-1])]


def test_what_happens_between_two_steps_costs_no_time(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(engine, "time", clock)
    plan = Plan.simple(work.store.lengths, BATCH, STEPS, 3, 10_000)
    seconds = []
    for record in work.run(plan=plan):
        seconds.append(record.seconds)
        clock.seconds += 1000.0
    assert seconds == [1.0, *[STEP_SECONDS] * (STEPS - 1)]


def test_a_resumed_run_has_the_time_that_is_left(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "time", Clock())
    whole = timed(work)
    rest = timed(work, start=2, spent=sum(record.seconds for record in whole[:2]))
    assert [record.step for record in rest] == list(range(3, 3 + len(rest)))
    assert sum(record.seconds for record in (*whole[:2], *rest[:-1])) < LIMIT
    assert rest[-1].last and rest[0].lr == whole[2].lr
    assert timed(work, start=9, spent=LIMIT) == []


def test_all_ranks_go_by_the_clock_of_the_first(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """This rank is not the first, whose clock says three seconds for each step."""
    monkeypatch.setattr(engine, "time", Clock())
    own: list[float] = []

    def total(values: Mapping[str, float]) -> dict[str, float]:
        if "seconds" in values:
            own.append(values["seconds"])
        return {**values, "seconds": 3.0} if "seconds" in values else dict(values)

    ranks = SimpleNamespace(rank=1, world_size=1, is_main=False, sum=total, guarded=nullcontext)
    monkeypatch.setattr(work.runtime, "ranks", ranks)
    records = timed(work)
    assert set(own) == {0.0}
    assert [record.seconds for record in records] == [3.0] * 4 and records[-1].last


def test_optimizer_state_travels_by_name_and_gaps_are_refused(tiny_bert: Path, tmp_path: Path) -> None:
    work, other = Work(tiny_bert, tmp_path), Work(tiny_bert, tmp_path)
    list(work.run())
    order = names(work.groups)
    tensors = state_tensors(work.optimizer, order)
    assert set(tensors) == {f"{kind}/{name}" for kind in ("step", "exp_avg", "exp_avg_sq") for name in order}
    load_state_tensors(other.optimizer, order, tensors)
    assert same(tensors, state_tensors(other.optimizer, order))
    with pytest.raises(KeyError):
        load_state_tensors(
            other.optimizer, order, {k: v for k, v in tensors.items() if k != "exp_avg/classifier.weight"}
        )
    with pytest.raises(KeyError):
        load_state_tensors(other.optimizer, order, tensors | {"exp_avg/stranger": torch.zeros(1)})


OUT = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT, ids=lambda error: type(error).__name__)
def test_a_step_without_enough_memory_is_made_again_in_smaller_parts(
    tiny_bert: Path, tmp_path: Path, error: Exception
) -> None:
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    roomy, tight = Work(tiny_bert, tmp_path / "a"), Work(tiny_bert, tmp_path / "b")
    small = Small(tight, 40, error)
    wanted, found = list(roomy.run()), list(tight.run(trainee=small))
    assert 0 < small.failed < STEPS, "a size that was found to fit is kept"
    assert [record.micro_batch_tokens for record in wanted] == [10_000] * STEPS
    assert found[-1].micro_batch_tokens <= 40
    for one, other in zip(wanted, found, strict=True):
        assert other.loss == pytest.approx(one.loss, rel=1e-5)
        assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-5)
        assert (other.examples, other.tokens) == (one.examples, one.tokens)


def test_an_example_that_does_not_fit_alone_is_an_error(work: Work) -> None:
    with pytest.raises(MemoryError):
        next(work.run(trainee=Small(work, 1, MemoryError())))


def test_another_error_is_not_taken_for_a_lack_of_memory(work: Work) -> None:
    small = Small(work, 40, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        next(work.run(trainee=small))
    assert small.failed == 1


@pytest.mark.parametrize(("precision", "advised"), [("fp32", False), ("bf16", True)])
def test_fp32_is_advised_to_those_who_do_not_have_it(work: Work, precision: str, advised: bool) -> None:
    work.runtime = Runtime(device="cpu", precision=precision)
    with torch.no_grad():
        work.model.classifier.weight[0, 0] = math.nan
    with pytest.raises(NonFiniteError) as caught:
        next(work.run())
    assert ("train.precision=fp32" in str(caught.value.help)) == advised
