"""A loss over the whole batch in the engine: micro-batches are run twice, with the same dropout, and change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_exactness import CutPlan, GradientKept, cut_plan, distance, one_step, take_gradient
from tiny import tiny_model, tiny_texts
from torch.nn.functional import cosine_similarity, cross_entropy

from bert_cli.data.plan import Plan
from bert_cli.data.store import SplitStore
from bert_cli.models.attention import unpad
from bert_cli.models.build import load_model, load_tokenizer
from bert_cli.models.locate import locate
from bert_cli.objectives.base import Foreseeing, Trainee
from bert_cli.objectives.parts import Row, encode_parts
from bert_cli.objectives.sequence import SequenceObjective
from bert_cli.objectives.similarity import CosineScores, InBatchNegatives
from bert_cli.runtime import Runtime
from bert_cli.train.engine import train
from bert_cli.train.schedule import Schedule

N = 8
CUTS = {"one batch": (8,), "four alike": (2, 2, 2, 2), "uneven": (5, 2, 1), "one row each": (1,) * 8}
NEAR = 4e-6
"""The gradient of a softmax over similar texts cancels: fp32 itself keeps it to some 1e-6."""


class Work:
    """Pairs of texts, an encoder, and an objective over them."""

    def __init__(self, folder: Path, *, dropout: float, family: str = "bert") -> None:
        self.tokenizer = load_tokenizer(tiny_model(folder, family))
        self.model: Any = load_model(locate(str(folder)), auto_class="AutoModel", dropout=dropout)
        texts = [f"{text} {'abcdefghijklmnop'[i]}" for i, (text, _) in enumerate(tiny_texts(2 * N, seed=7))]
        self.pairs = list(zip(texts[0::2], texts[1::2], strict=True))
        rows = [Row(pair, {}) for pair in self.pairs]
        self.store = SplitStore.of(encode_parts(self.tokenizer, rows, max_length=32, types={}), {})
        types = family in ("bert", "electra")
        self.objective = InBatchNegatives(
            scale=20.0, pooling="mean", pad_token_id=self.tokenizer.pad_token_id, takes_type_ids=types
        )
        self.runtime = Runtime(device="cpu", precision="fp32")

    def step(self, plan: Plan) -> tuple[float, dict[str, torch.Tensor]]:
        record = one_step(self.model, self.objective, self.store, plan, self.runtime)
        return record.loss, take_gradient(self.model)


def softmax_loss(texts: torch.Tensor, partners: torch.Tensor) -> torch.Tensor:
    """Plain torch's own mean loss."""
    logits = 20.0 * cosine_similarity(texts[:, None], partners[None], dim=-1)
    return cross_entropy(logits, torch.arange(len(texts)))


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_gradient_and_loss_do_not_depend_on_micro_batches(tmp_path: Path, family: str) -> None:
    work = Work(tmp_path / family, dropout=0.0, family=family)
    rows = cut_plan(work.store, (N,)).rows(0)
    vectors = []
    for side in (0, 1):
        texts = [work.pairs[row][side] for row in rows]
        inputs = work.tokenizer(texts, padding=True, return_tensors="pt")
        real = inputs["attention_mask"].unsqueeze(-1)
        vectors.append((work.model.train()(**inputs)[0] * real).sum(1) / real.sum(1))
    wanted = softmax_loss(*vectors)
    wanted.backward()
    reference = take_gradient(work.model)
    for padding in (True, False):
        assert padding or unpad(work.model) is None
        for how, sizes in CUTS.items():
            loss, gradient = work.step(cut_plan(work.store, sizes))
            assert loss == pytest.approx(float(wanted.detach()), rel=1e-6), (how, padding)
            assert distance(gradient, reference) <= NEAR, (how, padding)


def test_both_passes_drop_the_same(tmp_path: Path) -> None:
    """The reference keeps the graphs of all micro-batches and takes one loss over them."""
    work = Work(tmp_path / "model", dropout=0.3)
    plan = cut_plan(work.store, (3, 3, 2))
    planned = plan.step(0)
    work.model.train()
    vectors = []
    for index, rows in enumerate(planned.micro_batches):
        batch = work.objective.collate(work.store, rows, epochs=np.zeros(len(rows)), progress=0.0)
        work.runtime.seed(plan.seed, "dropout", 0, index)
        vectors.append(work.objective.forward(work.model, batch))
    together = torch.cat(vectors)
    wanted = softmax_loss(together[0::2], together[1::2])
    wanted.backward()
    reference = take_gradient(work.model)
    loss, gradient = work.step(plan)
    assert loss == pytest.approx(float(wanted.detach()), rel=1e-6)
    assert distance(gradient, reference) <= NEAR


def test_other_dropout_in_the_second_pass_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of the comparison above."""
    work = Work(tmp_path / "model", dropout=0.3)
    plan = cut_plan(work.store, (3, 3, 2))
    loss, gradient = work.step(plan)
    again, same = work.step(plan)
    assert again == loss and distance(same, gradient) == 0.0
    seed, calls = work.runtime.seed, iter(range(100))
    monkeypatch.setattr(work.runtime, "seed", lambda *parts: seed(*parts, next(calls)))
    _, other = work.step(plan)
    assert distance(other, gradient) > 1e-2


def test_one_micro_batch_goes_through_the_model_once(tmp_path: Path) -> None:
    work = Work(tmp_path / "model", dropout=0.1)
    passes: list[bool] = []
    work.model.register_forward_hook(lambda *_: passes.append(torch.is_grad_enabled()))
    work.step(cut_plan(work.store, (N,)))
    assert passes == [True]
    passes.clear()
    work.step(cut_plan(work.store, (3, 5)))
    assert passes == [False, False, True, True]


def test_losses_of_single_rows_are_computed_once(tmp_path: Path) -> None:
    options: dict[str, Any] = {"pad_token_id": 0, "takes_type_ids": True}
    assert isinstance(InBatchNegatives(scale=1.0, pooling="mean", **options), Foreseeing)
    assert not isinstance(CosineScores(pooling="mean", **options), Foreseeing)
    assert not isinstance(SequenceObjective("text-classification", **options), Foreseeing)


def test_a_step_is_made_again_in_smaller_micro_batches_where_memory_ends_in_the_first_pass(tmp_path: Path) -> None:
    work = Work(tmp_path / "model", dropout=0.0)
    loss, reference = work.step(cut_plan(work.store, (N,)))
    room, forward, failed = int(work.store.lengths.max()) * 3, work.model.forward, []

    def small(**inputs: Any) -> Any:
        if int(inputs["attention_mask"].sum()) > room:
            failed.append(torch.is_grad_enabled())
            raise MemoryError
        return forward(**inputs)

    work.model.forward = small
    optimizer = GradientKept([{"params": list(work.model.parameters()), "lr_scale": 1.0}], lr=0.0)
    plan = Plan.simple(work.store.lengths, N, 1, 11, int(work.store.lengths.sum()) - 1, unpadded=True)
    (record,) = train(
        Trainee(work.model, work.objective).train(),
        optimizer,
        objective=work.objective,
        store=work.store,
        plan=plan,
        schedule=Schedule("constant", 1e-3, 1),
        runtime=work.runtime,
        max_grad_norm=None,
    )
    assert failed and not failed[0] and record.micro_batch_tokens < plan.micro_batch_tokens
    assert record.loss == pytest.approx(loss, rel=1e-6)
    for parameter, kept in zip(work.model.parameters(), optimizer.kept, strict=True):
        parameter.grad = kept
    assert distance(take_gradient(work.model), reference) <= NEAR


def test_plans_are_cut_as_the_tests_say(tmp_path: Path) -> None:
    work = Work(tmp_path / "model", dropout=0.0)
    plan = cut_plan(work.store, (5, 2, 1))
    assert isinstance(plan, CutPlan) and [len(part) for part in plan.step(0).micro_batches] == [5, 2, 1]
