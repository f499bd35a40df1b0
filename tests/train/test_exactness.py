"""The gradient and the loss of a batch do not depend on how the batch is cut: fp32, dropout 0, against plain torch.

The reference pads the whole batch, calls the model once and takes torch's own mean loss. It knows nothing of
objectives, counts or plans. "Equal" is a relative L2 distance of 1e-6, which fp32 can keep only while the gradients of
the rows do not cancel in their sum: the sum's rounding is relative to its terms. The batches here are checked for that,
and one that does cancel is compared with fp64 instead.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import FAMILIES, tiny_model, tiny_texts
from tiny_corpus import corpus_from
from torch.nn import functional

from bert_cli.data.blocks import BlockStore, cut_blocks
from bert_cli.data.plan import Plan, PlannedStep
from bert_cli.data.split import Split
from bert_cli.data.store import SplitStore, write_split
from bert_cli.models.attention import unpad
from bert_cli.models.build import load_model, load_tokenizer
from bert_cli.models.locate import locate
from bert_cli.objectives.base import Objective, Trainee
from bert_cli.objectives.frame import Frame
from bert_cli.objectives.mlm import MaskedLanguageModelling
from bert_cli.objectives.sequence import PROBLEM_TYPES, SequenceObjective, encode_chunks
from bert_cli.run.build import takes_type_ids
from bert_cli.runtime import Runtime
from bert_cli.train.engine import StepRecord, train
from bert_cli.train.schedule import Schedule

SEQUENCE_FAMILIES = ("bert", "roberta", "distilbert", "modernbert")
N = 8
CUTS = {"one padded batch": (8,), "four alike": (2, 2, 2, 2), "uneven": (5, 2, 1), "one row each": (1,) * 8}
LABELS = ("a", "b", "c")
EQUAL, DIFFERENT = 1e-6, 1e-3
CONDITIONED = 6.0
"""Most that the rows' gradients may be larger, on average, than their mean."""
# Neither of them is symmetric, so that a mix-up of classes or of rows shows.
CLASS_WEIGHTS = (0.3, 1.0, 2.5)
TARGETS = {
    "text-classification": np.array([0, 2, 1, 1, 0, 2, 2, 0]),
    "multi-label-classification": np.random.default_rng(3).integers(0, 2, (N, 3)).astype(np.float32),
    # Far from what a fresh head says, so that the residuals have one sign and their gradients do not cancel.
    "text-regression": (3 + np.random.default_rng(4).normal(size=N)).astype(np.float32),
}
CENTRED = np.random.default_rng(4).normal(size=N).astype(np.float32)
Gradient = dict[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class CutPlan(Plan):
    """The plan's batch, cut where the test says."""

    sizes: tuple[int, ...] = ()

    def step(self, step: int) -> PlannedStep:
        edges = list(itertools.pairwise(np.cumsum([0, *self.sizes])))
        rows, epochs = self.draw(step)
        return PlannedStep(step, tuple(rows[a:b] for a, b in edges), tuple(epochs[a:b] for a, b in edges))


class GradientKept(torch.optim.SGD):
    """Keeps the gradient that an update would use, and makes none."""

    kept: list[torch.Tensor | None]

    def step(self, closure: Any = None) -> None:
        self.kept = [None if p.grad is None else p.grad.clone() for g in self.param_groups for p in g["params"]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {family: tiny_model(root / family, family) for family in FAMILIES}


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return Runtime(device="cpu", precision="fp32")


def model_of(folder: Path, objective: str) -> Any:
    problem = PROBLEM_TYPES.get(objective)
    return load_model(
        locate(str(folder)),
        auto_class="AutoModelForSequenceClassification" if problem else "AutoModelForMaskedLM",
        labels=None if problem is None else ("score",) if problem == "regression" else LABELS,
        problem_type=problem,
        dropout=0.0,
    )


def texts_store(folder: Path, tokenizer: Any, name: str, *, targets: np.ndarray | None = None) -> SplitStore:
    texts = [text for text, _ in tiny_texts(N, seed=7)]
    columns = {"target": TARGETS[name] if targets is None else targets}
    write_split(folder / "train.arrow", encode_chunks(tokenizer, texts, None, columns=columns, max_length=32), {})
    return SplitStore.open(folder / "train.arrow")


def one_step(model: Any, objective: Objective, store: Split, plan: Plan, runtime: Runtime) -> StepRecord:
    """One step of the engine; leaves its gradient in the model."""
    optimizer = GradientKept([{"params": list(model.parameters()), "lr_scale": 1.0}], lr=0.0)
    trainee = Trainee(model, objective).train()
    steps = train(
        trainee,
        optimizer,
        objective=objective,
        store=store,
        plan=plan,
        schedule=Schedule("constant", 1e-3, 1),
        runtime=runtime,
        max_grad_norm=None,
    )
    (record,) = steps
    for parameter, gradient in zip(model.parameters(), optimizer.kept, strict=True):
        parameter.grad = gradient
    return record


def cut_plan(store: Split, sizes: tuple[int, ...]) -> CutPlan:
    return CutPlan.simple(store.lengths, N, 1, 11, 10**6, sizes=sizes)


def take_gradient(model: Any) -> Gradient:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def distance(one: Gradient, other: Gradient) -> float:
    """Relative L2 distance of two gradients of the same parameters."""
    assert set(one) == set(other)
    difference = sum(float((one[name] - other[name]).double().square().sum()) for name in other)
    return float((difference / sum(float(other[name].double().square().sum()) for name in other)) ** 0.5)


def norm(gradient: Gradient) -> float:
    return float(sum(float(part.double().square().sum()) for part in gradient.values()) ** 0.5)


def whole_batch(model: Any, tokenizer: Any, store: SplitStore, rows: Iterable[int]) -> dict[str, torch.Tensor]:
    """All rows as the tokenizer itself pads them."""
    ids = [store.input_ids(int(row)).tolist() for row in rows]
    inputs: dict[str, torch.Tensor] = dict(tokenizer.pad({"input_ids": ids}, return_tensors="pt"))
    return inputs


def reference_loss(
    name: str, logits: torch.Tensor, targets: torch.Tensor, *, smoothing: float, weights: torch.Tensor | None
) -> torch.Tensor:
    if name == "text-classification":
        return functional.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing)
    if name == "multi-label-classification":
        smooth = targets * (1 - smoothing) + smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits, smooth, pos_weight=weights)
    return functional.mse_loss(logits[:, 0], targets)


CASES = [
    *((family, name, 0.0, None) for family in SEQUENCE_FAMILIES for name in PROBLEM_TYPES),
    *(
        ("bert", name, smoothing, weights)
        for name in ("text-classification", "multi-label-classification")
        for smoothing, weights in ((0.1, None), (0.0, CLASS_WEIGHTS), (0.1, CLASS_WEIGHTS))
    ),
]


@pytest.mark.parametrize(("family", "name", "smoothing", "weights"), CASES)
def test_gradient_and_loss_of_a_batch_do_not_depend_on_its_micro_batches(
    folders: dict[str, Path],
    runtime: Runtime,
    tmp_path: Path,
    family: str,
    name: str,
    smoothing: float,
    weights: tuple[float, ...] | None,
) -> None:
    model, tokenizer = model_of(folders[family], name), load_tokenizer(folders[family])
    store = texts_store(tmp_path, tokenizer, name)
    rows = cut_plan(store, (N,)).rows(0)
    logits = model.train()(**whole_batch(model, tokenizer, store, rows)).logits
    expected = reference_loss(
        name,
        logits,
        torch.from_numpy(TARGETS[name][rows]),
        smoothing=smoothing,
        weights=None if weights is None else torch.tensor(weights),
    )
    expected.backward()
    reference = take_gradient(model)
    if name == "text-regression":
        assert cancellation(model, tokenizer, store, torch.from_numpy(TARGETS[name]), reference) < CONDITIONED

    objective = SequenceObjective(
        name,
        pad_token_id=tokenizer.pad_token_id,
        takes_type_ids=takes_type_ids(model, tokenizer),
        label_smoothing=smoothing,
        class_weights=weights,
    )
    plans = {
        **{how: cut_plan(store, sizes) for how, sizes in CUTS.items()},
        "the plan's own cut": Plan.simple(store.lengths, N, 1, 11, 2 * int(store.lengths.max())),
        "its cut without padding": Plan.simple(store.lengths, N, 1, 11, 2 * int(store.lengths.max()), unpadded=True),
    }
    assert 1 < len(plans["the plan's own cut"].step(0).micro_batches) < N
    for padding in (True, False):
        assert padding or unpad(model) is None
        for how, plan in plans.items():
            record = one_step(model, objective, store, plan, runtime)
            assert distance(take_gradient(model), reference) <= EQUAL, (how, padding)
            assert record.loss == pytest.approx(float(expected.detach()), rel=EQUAL), (how, padding)
            assert record.losses == {"loss": record.loss}
            assert (record.examples, record.tokens) == (N, int(store.lengths.sum())), how


def cancellation(model: Any, tokenizer: Any, store: SplitStore, targets: torch.Tensor, mean: Gradient) -> float:
    """How much larger the squared error's gradients of single rows are, on average, than the gradient of their mean."""
    norms = []
    for row in range(N):
        logits = model(**whole_batch(model, tokenizer, store, [row])).logits
        functional.mse_loss(logits[:, 0], targets[[row]]).backward()
        norms.append(norm(take_gradient(model)))
    return sum(norms) / N / norm(mean)


def test_where_rows_cancel_micro_batches_are_as_near_to_fp64_as_the_padded_batch(
    folders: dict[str, Path], runtime: Runtime, tmp_path: Path
) -> None:
    """The limit of 1e-6: here plain fp32 torch, in one padded batch, is itself further than that from the truth."""
    model, tokenizer = model_of(folders["roberta"], "text-regression"), load_tokenizer(folders["roberta"])
    store = texts_store(tmp_path, tokenizer, "text-regression", targets=CENTRED)
    rows, targets = cut_plan(store, (N,)).rows(0), torch.from_numpy(CENTRED)
    inputs = whole_batch(model, tokenizer, store, rows)

    exact = copy.deepcopy(model).double()
    functional.mse_loss(exact(**inputs).logits[:, 0], targets[rows].double()).backward()
    truth = take_gradient(exact)
    functional.mse_loss(model(**inputs).logits[:, 0], targets[rows]).backward()
    padded = take_gradient(model)
    assert cancellation(model, tokenizer, store, targets, padded) > CONDITIONED

    objective = SequenceObjective("text-regression", pad_token_id=tokenizer.pad_token_id, takes_type_ids=False)
    for how, sizes in CUTS.items():
        one_step(model, objective, store, cut_plan(store, sizes), runtime)
        assert distance(take_gradient(model), truth) < 2 * distance(padded, truth) < 1e-5, how


def test_a_mean_of_means_is_told_apart_from_the_whole_batch(
    folders: dict[str, Path], runtime: Runtime, tmp_path: Path
) -> None:
    """Negative control: what accumulation usually does fails the very comparison made above."""
    model, tokenizer = model_of(folders["bert"], "text-classification"), load_tokenizer(folders["bert"])
    store = texts_store(tmp_path, tokenizer, "text-classification")
    rows = cut_plan(store, (N,)).rows(0)
    targets = torch.from_numpy(TARGETS["text-classification"])

    def backward(parts: list[np.ndarray]) -> Gradient:
        for part in parts:
            logits = model(**whole_batch(model, tokenizer, store, part)).logits
            (functional.cross_entropy(logits, targets[part]) / len(parts)).backward()
        return take_gradient(model)

    reference = backward([rows])
    assert distance(backward([rows[:4], rows[4:]]), reference) <= EQUAL
    assert distance(backward([rows[:5], rows[5:7], rows[7:]]), reference) > DIFFERENT


class CountsRows(SequenceObjective):
    """Divides by rows where it should divide by the rows' weights."""

    def counts(self, batch: Any) -> dict[str, float]:
        return {"loss": float(len(batch))}


def test_a_wrong_count_is_told_apart(folders: dict[str, Path], runtime: Runtime, tmp_path: Path) -> None:
    """Negative control: the engine divides by what the objective counts, and the comparison sees it."""
    model, tokenizer = model_of(folders["bert"], "text-classification"), load_tokenizer(folders["bert"])
    store = texts_store(tmp_path, tokenizer, "text-classification")
    gradients = []
    for kind in (SequenceObjective, CountsRows):
        objective = kind("text-classification", pad_token_id=0, takes_type_ids=True, class_weights=CLASS_WEIGHTS)
        one_step(model, objective, store, cut_plan(store, (5, 2, 1)), runtime)
        gradients.append(take_gradient(model))
    assert distance(*gradients) > DIFFERENT


# Masked language modelling


def texts_of() -> list[str]:
    return [text for text, _ in tiny_texts(N, seed=9)]


def blocks_store(folder: Path, tokenizer: Any) -> BlockStore:
    """One block for each text."""
    ids = tokenizer(texts_of(), add_special_tokens=False)["input_ids"]
    return BlockStore([[cut_blocks(corpus_from([[each] for each in ids]), 30, cache=folder / "blocks")]], special=2)


def mlm_of(model: Any, tokenizer: Any) -> MaskedLanguageModelling:
    return MaskedLanguageModelling(
        frame=Frame.of(tokenizer, takes_type_ids=takes_type_ids(model, tokenizer)),
        vocab_size=len(tokenizer),
        mask_token_id=tokenizer.mask_token_id,
        special_ids=tokenizer.all_special_ids,
        rate=0.3,
        seed=5,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_at_the_masked_positions_are_those_of_the_full_model(
    folders: dict[str, Path], tmp_path: Path, family: str
) -> None:
    model, tokenizer = model_of(folders[family], "fill-mask").eval(), load_tokenizer(folders[family])
    store, objective = blocks_store(tmp_path, tokenizer), mlm_of(model, tokenizer)
    batch = objective.collate(store, np.arange(N), epochs=np.zeros(N, dtype=np.int64), progress=0.0)
    assert batch.positions is not None and len(batch.positions) < batch.padded_tokens / 2
    with torch.inference_mode():
        gathered = objective.forward(model, batch)
        full = model(**batch.inputs).logits
    assert gathered.shape == (len(batch.positions), len(tokenizer))
    # Equal to rounding: a product over fewer rows may be summed in another order.
    torch.testing.assert_close(gathered, full.flatten(0, 1)[batch.positions], rtol=1e-5, atol=1e-6)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(gathered, full.flatten(0, 1)[batch.positions - 1], rtol=1e-5, atol=1e-6)
    # The hook that narrows is gone: the model is whole again.
    assert full.shape[:2] == batch.inputs["input_ids"].shape


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_of_masked_tokens_does_not_depend_on_the_micro_batches(
    folders: dict[str, Path], runtime: Runtime, tmp_path: Path, family: str
) -> None:
    model, tokenizer = model_of(folders[family], "fill-mask"), load_tokenizer(folders[family])
    store, objective = blocks_store(tmp_path, tokenizer), mlm_of(model, tokenizer)
    rows = cut_plan(store, (N,)).rows(0)
    whole = objective.collate(store, rows, epochs=np.zeros(N, dtype=np.int64), progress=0.0)
    assert whole.positions is not None and whole.targets is not None
    masked, width = whole.inputs["input_ids"], whole.inputs["input_ids"].shape[1]
    original = masked.flatten().clone()
    original[whole.positions] = whole.targets
    plain = tokenizer([texts_of()[row] for row in rows], padding=True, return_tensors="pt")
    assert torch.equal(original.view_as(masked), plain["input_ids"]), "what is hidden aside, the tokenizer's own rows"
    labels = torch.full((N * width,), -100).scatter(0, whole.positions, whole.targets)
    logits = model.train()(**{**plain, "input_ids": masked}).logits
    expected = functional.cross_entropy(logits.flatten(0, 1), labels, ignore_index=-100)
    expected.backward()
    reference = take_gradient(model)
    counts = torch.bincount(whole.positions // width, minlength=N)
    assert len(counts.unique()) > 1, "equal counts would make a mean of means right"
    for padding in (True, False):
        assert padding or unpad(model) is None
        for how, sizes in CUTS.items():
            record = one_step(model, objective, store, cut_plan(store, sizes), runtime)
            assert distance(take_gradient(model), reference) <= EQUAL, (how, padding)
            assert record.loss == pytest.approx(float(expected.detach()), rel=EQUAL), (how, padding)
