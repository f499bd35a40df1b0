"""Two ranks compute what one does: losses, gradient norms, scores and weights, dropout off; and they end alike.

One pair of processes trains all the recipes below, and this process trains them alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ranks_worker import outcome, spare_parameter
from tiny import tiny_data, tiny_model, tiny_recipe, tiny_texts
from tiny_searches import tiny_search

from bert_cli.objectives.base import Trainee
from bert_cli.ranks import Ranks
from bert_cli.recipe.load import dump_recipe
from bert_cli.runtime import Runtime
from bert_cli.train import checkpoint

HERE = Path(__file__).parent
EQUAL = 1e-5
ROWS, BATCH = 33, 8
"""The last batch of an epoch is a single row: one of two ranks has none."""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, bool]]:
    """Name -> recipe without its run folder, and whether the model gets a parameter that nothing uses."""
    root = tmp_path_factory.mktemp("ranks")
    models = {family: tiny_model(root / family, family) for family in ("bert", "roberta", "modernbert")}
    data = tiny_data(root / "data", n_train=ROWS, n_validation=13)
    search = tiny_search(root / "search")
    corpus = root / "corpus.txt"
    corpus.write_text("\n\n".join(text for text, _ in tiny_texts(30, longest=40)), encoding="utf-8")

    def recipe(family: str, source: Path = data, **changes: Any) -> Any:
        usual = {"model__dropout": 0.0, "eval__batch_tokens": 100, "train__batch_size": BATCH, "train__lr": 1e-3}
        return tiny_recipe(models[family], source, root, **usual | changes)

    pretraining = {"task": "fill-mask", "train__batch_size": 7, "data__max_length": 16}
    found = {
        "bert": recipe("bert"),
        "weights": recipe("bert", train__class_weights=(1.0, 5.0), train__label_smoothing=0.1),
        "freeze": recipe("bert", model__freeze="encoder"),
        "spare": recipe("bert", train__epochs=1.0),
        "padded": recipe("bert", model__attention="sdpa", train__micro_batch_tokens=24),
        # Each row is compared with all of the batch; the last batch of an epoch is one row here too.
        "in-batch": recipe(
            "bert", search, task="sentence-similarity", train__batch_size=5, train__micro_batch_tokens=70
        ),
        "modernbert": recipe("modernbert", train__micro_batch_tokens=24),
        "roberta-mlm": recipe("roberta", corpus, **pretraining),
        "bert-mlm": recipe("bert", corpus, **pretraining, train__micro_batch_tokens=40),
        "phases": recipe(
            "bert",
            corpus,
            **pretraining | {"task": "fill-mask-nsp"},
            data__lengths={10: 0.6, 16: 0.4},
            train__batch_sizes={5: 0.5, 7: 0.5},
            train__budget="1200 tokens",
        ),
        "patience": recipe("bert", train__lr=1e-12, train__epochs=6.0, eval__patience=2),
        "diverges": recipe("bert", train__lr=1e20),
        "timed": recipe("bert", train__budget="0.5s", eval__every="0.1s"),
    }
    return {name: (made, name == "spare") for name, made in found.items()}


def out_of(recipe: Any, out: Path) -> Any:
    return recipe.model_copy(update={"run": recipe.run.model_copy(update={"out": str(out), "keep": 99})})


@pytest.fixture(scope="module")
def alone(jobs: dict[str, tuple[Any, bool]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of the runs of one process, and how each ended."""
    root = tmp_path_factory.mktemp("alone")
    ended = {}
    for name, (recipe, spare) in jobs.items():
        if spare:
            with spare_parameter():
                ended[name] = outcome(out_of(recipe, root / name))
        else:
            ended[name] = outcome(out_of(recipe, root / name))
    return root, ended


def run_ranks(root: Path, jobs: dict[str, tuple[Any, bool]], world_size: int = 2) -> list[dict[str, Any]]:
    """Train the recipes in several processes; how each ended, for every rank."""
    for name, (recipe, _) in jobs.items():
        (root / f"{name}.yaml").write_text(dump_recipe(out_of(recipe, root / name)), encoding="utf-8")
    (root / "jobs.json").write_text(json.dumps({name: spare for name, (_, spare) in jobs.items()}), encoding="utf-8")
    command = [sys.executable, "-W", "error::UserWarning", str(HERE / "ranks_worker.py"), str(root / "jobs.json")]
    with ExitStack() as stack:
        started = []
        for rank in range(world_size):
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size, "LOCAL_WORLD_SIZE": world_size}
            environment = {**os.environ, **{name: str(value) for name, value in place.items()}}
            errors = stack.enter_context((root / f"rank-{rank}.stderr").open("w"))
            process = stack.enter_context(subprocess.Popen(command, env=environment, stderr=errors))
            stack.callback(process.kill)
            started.append(process)
        for rank, process in enumerate(started):
            assert process.wait(timeout=300) == 0, (root / f"rank-{rank}.stderr").read_text()
    return [json.loads((root / f"rank-{rank}.json").read_text(encoding="utf-8")) for rank in range(world_size)]


@pytest.fixture(scope="module")
def together(
    jobs: dict[str, tuple[Any, bool]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, Any]]]:
    """The folder of the runs of two ranks, and how each ended for each of them."""
    root = tmp_path_factory.mktemp("together")
    return root, run_ranks(root, jobs)


def records(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    clock = ("seconds", "_per_s", "_mean", "computed_per_token")
    return [{name: value for name, value in line.items() if not name.endswith(clock)} for line in lines]


TRAINED = [
    "bert",
    "weights",
    "freeze",
    "spare",
    "padded",
    "in-batch",
    "modernbert",
    "roberta-mlm",
    "bert-mlm",
    "phases",
]


@pytest.mark.parametrize("name", TRAINED)
def test_losses_gradient_norms_and_scores_are_those_of_one_process(
    alone: tuple[Path, dict[str, Any]], together: tuple[Path, list[dict[str, Any]]], name: str
) -> None:
    one, two = records(alone[0] / name), records(together[0] / name)
    assert len(one) == len(two) and any("train/grad_norm" in line for line in one)
    assert any(name.startswith("validation/") for line in one for name in line)
    for first, second in zip(one, two, strict=True):
        assert second == pytest.approx(first, rel=EQUAL, abs=1e-7)


@pytest.mark.parametrize("name", TRAINED)
def test_weights_are_those_of_one_process(
    alone: tuple[Path, dict[str, Any]], together: tuple[Path, list[dict[str, Any]]], name: str
) -> None:
    steps = alone[1][name]["steps"]
    first, second = (
        checkpoint.load(root / name / "checkpoints" / f"step-{steps:08d}").tensors["model"]
        for root in (alone[0], together[0])
    )
    assert set(first) == set(second)
    far = [weight for weight in first if not torch.allclose(first[weight], second[weight], rtol=1e-4, atol=2e-4)]
    # Attention does not depend on the keys' bias: its gradient is rounding alone, which AdamW scales up to full steps.
    assert all(weight.endswith("key.bias") for weight in far), far


def test_predictions_of_every_example_stand_in_the_order_of_the_split(
    alone: tuple[Path, dict[str, Any]], together: tuple[Path, list[dict[str, Any]]]
) -> None:
    one, two = (
        [json.loads(line) for line in (root / "bert/predictions/validation.jsonl").read_text().splitlines()]
        for root in (alone[0], together[0])
    )
    assert [line["text"] for line in one] == [line["text"] for line in two] and len(one) == 13
    for first, second in zip(one, two, strict=True):
        assert second["probabilities"] == pytest.approx(first["probabilities"], abs=1e-5)


def test_all_ranks_end_alike_and_as_one_process_does(
    alone: tuple[Path, dict[str, Any]], together: tuple[Path, list[dict[str, Any]]]
) -> None:
    first, second = together[1]
    assert first == second
    assert {**first, "timed": None} == {**alone[1], "timed": None}
    assert first["patience"]["stopped"] == "no better accuracy in 2 scorings" and first["patience"]["steps"] < 30
    assert first["diverges"]["error"] == "N001"


def test_what_was_not_in_the_loss_is_left_as_it_was(together: tuple[Path, list[dict[str, Any]]]) -> None:
    step = together[1][0]["spare"]["steps"]
    kept = checkpoint.load(together[0] / "spare" / "checkpoints" / f"step-{step:08d}").tensors["model"]
    assert torch.equal(kept["spare"], torch.ones(3, 3))


def test_a_run_goes_on_with_another_number_of_ranks(
    jobs: dict[str, tuple[Any, bool]], alone: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """Three ranks take over at step 6 of 10 what one began."""
    import shutil

    whole = alone[0] / "bert"
    run = tmp_path / "bert"
    shutil.copytree(whole, run)
    for step in range(7, 11):
        shutil.rmtree(run / "checkpoints" / f"step-{step:08d}")
    shutil.rmtree(run / "best")
    (run / "status.json").unlink()
    recipe = jobs["bert"][0]
    resuming = recipe.model_copy(update={"run": recipe.run.model_copy(update={"resume": "auto"})})
    ended = run_ranks(tmp_path, {"bert": (resuming, False)}, world_size=3)
    assert ended[0] == ended[1] == ended[2] == {"bert": alone[1]["bert"]}
    for first, second in zip(records(whole), records(run), strict=True):
        assert second == pytest.approx(first, rel=1e-4, abs=1e-6)
    assert json.loads((run / "lock.json").read_text(encoding="utf-8"))["world_size"] == 3


def test_a_parameter_outside_the_loss_is_noticed(jobs: dict[str, tuple[Any, bool]]) -> None:
    from bert_cli.run.build import build
    from bert_cli.run.finetune import prepare

    prepared = prepare(jobs["bert"][0])
    runtime = Runtime(device="cpu", precision="fp32")
    built = build(prepared)
    trainee = Trainee(built.model, built.objective)
    sample = built.objective.collate(prepared.store.splits["train"], np.array([0]), epochs=np.array([0]), progress=0.0)
    assert not runtime._leaves_out(trainee, sample)
    built.model.spare = torch.nn.Parameter(torch.ones(1))
    assert runtime._leaves_out(trainee, sample)
    built.model.spare.requires_grad_(False)
    assert not runtime._leaves_out(trainee, sample)


def test_one_rank_exchanges_nothing() -> None:
    with Ranks() as ranks:
        assert ranks.is_main and not torch.distributed.is_initialized()
        assert ranks.sum({"a": 1.5}) == {"a": 1.5}
        assert ranks.share({"a": None}) == {"a": None}
        (whole,) = ranks.gather([1], [np.arange(3)])
        assert whole.value == [1] and whole.arrays[0].tolist() == [0, 1, 2]


def test_an_error_of_the_exchange_is_told_from_others() -> None:
    from bert_cli.errors import RankError

    ranks = Ranks()
    ranks.world_size = 2
    with pytest.raises(RankError) as caught, ranks.guarded("adding"):
        raise RuntimeError("[/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1234")
    assert (caught.value.code, caught.value.exit_code) == ("G003", 9)
    with pytest.raises(RuntimeError, match="shape"), ranks.guarded("adding"):
        raise RuntimeError("shape mismatch")
