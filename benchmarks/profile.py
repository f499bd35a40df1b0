"""`python -m benchmarks.profile TASK`: where the time of a training step goes, by kinds of operation.

Steps of the same terms as those of the cases, under torch's profiler, which makes them slower itself; so shares count,
and the wall clock of the same steps without it is printed beside them.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.bench import BATCH, MAX_LENGTH, TERMS, model_folder
from benchmarks.report import markdown
from bert_cli.objectives.base import Trainee
from bert_cli.ranks import Ranks
from bert_cli.recipe.load import load_recipe
from bert_cli.recipe.schema import Recipe
from bert_cli.run.build import build
from bert_cli.run.finetune import prepare
from bert_cli.runtime import Runtime
from bert_cli.train.engine import StepRecord, train

KINDS = {
    "matrix products of linear layers": ("aten::addmm", "aten::mm", "aten::linear", "mkldnn::"),
    "matrix products of attention": ("aten::bmm", "aten::baddbmm", "_flash_attention", "_scaled_dot_product"),
    "AdamW": ("aten::_fused_adamw_",),
    "softmax": ("_softmax",),
    "GELU": ("gelu",),
    "layer norm": ("layer_norm",),
    "random numbers of dropout": ("random_", "bernoulli", "aten::uniform_"),
    "word embeddings and their gradient": ("embedding", "index_add", "index_put"),
    "gradient norm": ("linalg_vector_norm", "foreach_norm"),
    "sums over rows (gradients of biases)": ("aten::sum",),
    "products, sums and masks of single elements": (
        "aten::mul",
        "aten::add",
        "aten::div",
        "aten::ge",
        "aten::lt",
        "where",
    ),
    "copies, gathers and joins": (
        "copy_",
        "aten::cat",
        "index",
        "gather",
        "scatter",
        "clone",
        "fill_",
        "zero_",
        "split",
    ),
}
REST = "everything else"
WARM_UP = 5


def main() -> None:
    """Train, profile and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task")
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    words = [word for word in TERMS.split() if not word.startswith("--")]
    flags = {"model.name": str(model_folder(given.model)), "data.source": given.data, "data.max_length": MAX_LENGTH}
    flags |= {"train.batch_size": BATCH, "train.budget": f"{2 * given.steps + WARM_UP} steps"}
    with tempfile.TemporaryDirectory() as folder:
        flags["run.out"] = folder
        steps = begun(load_recipe(task=given.task, overrides=words, flags=flags).recipe)
        for _ in range(WARM_UP):
            next(steps)
        began = time.perf_counter()
        for _ in range(given.steps):
            next(steps)
        seconds = (time.perf_counter() - began) / given.steps
        with profile(activities=[ProfilerActivity.CPU]) as found:
            for _ in range(given.steps):
                next(steps)
    print(f"{given.task}: {1000 * seconds:.0f} ms a step of {BATCH} with {given.threads} threads\n")
    print(markdown(("kind", "share", "ms a step"), list(table(shares(found), seconds))))


def begun(recipe: Recipe) -> Iterator[StepRecord]:
    """The steps of a recipe, one at a time."""
    prepared = prepare(recipe)
    built = build(prepared)
    runtime = Runtime(device="cpu", precision=prepared.recipe.train.precision, ranks=Ranks())
    trainee, optimizer = runtime.prepare(Trainee(built.model, built.objective), built.optimizer)
    trainee.train()
    return train(
        trainee,
        optimizer,
        objective=built.objective,
        store=prepared.store.splits["train"],
        plan=built.plan,
        schedule=built.schedule,
        runtime=runtime,
        max_grad_norm=prepared.recipe.train.max_grad_norm,
    )


def shares(found: profile) -> Counter[str]:
    """The share of each kind in the time of all operations; time within other operations counts once."""
    times: Counter[str] = Counter()
    for event in found.key_averages():
        times[kind_of(event.key)] += event.self_cpu_time_total
    total = sum(times.values())
    return Counter({kind: value / total for kind, value in times.items()})


def kind_of(operation: str) -> str:
    """The first kind that an operation belongs to."""
    return next((kind for kind, parts in KINDS.items() if any(part in operation for part in parts)), REST)


def table(found: Counter[str], seconds: float) -> Iterator[tuple[str, str, str]]:
    """A row for each kind, the largest first."""
    for kind, share in found.most_common():
        yield kind, f"{100 * share:.1f} %", f"{1000 * seconds * share:.1f}"


if __name__ == "__main__":
    main()
