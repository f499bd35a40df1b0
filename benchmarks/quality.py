"""`python -m benchmarks.quality wnut17|ncbi_disease`: whole trainings of both sides, and how good what came out is.

The same encoder, epochs, learning rate, schedule and seed; the peer is Trainer as its public example leaves it. Nothing
selects a model: the last one tags the test split, once, so that split stands where validation usually does. Sides take
turns; prints a Markdown table of entity F1 by one scorer, and of the wall clock from start to exit.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.bench import BATCH, Bench, model_folder
from benchmarks.measure import BenchmarkError, Run
from benchmarks.report import markdown
from benchmarks.tagging import FILE, Tagging

TASKS = ("wnut17", "ncbi_disease")
EPOCHS, LR = 5, 2e-4
HEAD = ("seed", "Trainer F1", "bertctl F1", "points more", "Trainer s", "bertctl s", "share of its time")

Pair = tuple[Run, Run]
"""The peer's run and ours."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, judge and print; the exit status."""
    given = _arguments(sys.argv[1:] if arguments is None else arguments)
    with tempfile.TemporaryDirectory(prefix="bertctl-quality-") as scratch:
        try:
            bench = Bench(model_folder(given.model), given.data, 0, given.threads, Path(scratch))
            data = _judged_by_test(bench.folder(given.name, FILE), Path(scratch, "data"))
            work = Tagging(task=given.name, data=data, steps=steps(data / FILE, given.epochs), lr=given.lr)
            terms = f"{given.epochs} epochs, {work.steps} steps of {BATCH} sentences, learning rate {work.lr}"
            print(f"- {given.name}: {terms}; threads: {given.threads}, load average {os.getloadavg()[0]:.2f}\n")
            found = {seed: _pair(bench, work, seed) for seed in given.seeds}
        except BenchmarkError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    print(report(found))
    return 0


def steps(file: Path, epochs: int) -> int:
    """Optimizer steps of so many epochs; the last one of each has what is left."""
    with file.open("rb") as lines:
        return epochs * -(-sum(1 for _ in lines) // BATCH)


def report(found: Mapping[int, Pair]) -> str:
    """A row for each seed, and their means."""
    rows = [_row(str(seed), [pair]) for seed, pair in found.items()]
    return markdown(HEAD, [*rows, _row("mean", list(found.values()))])


def _row(name: str, pairs: Sequence[Pair]) -> list[str]:
    f1 = [statistics.mean(run.entity_f1 or 0.0 for run in side) for side in zip(*pairs, strict=True)]
    wall = [statistics.mean(run.wall_s for run in side) for side in zip(*pairs, strict=True)]
    figures = [*(f"{each:.4f}" for each in f1), f"{100 * (f1[1] - f1[0]):+.2f}"]
    return [name, *figures, *(f"{each:.0f}" for each in wall), f"{wall[1] / wall[0]:.2f}"]


def _pair(bench: Bench, work: Tagging, seed: int) -> Pair:
    theirs = work.theirs(bench, seed)
    done, f1 = work.ours(bench, seed)
    return theirs, replace(done.run, entity_f1=f1)


def _judged_by_test(data: Path, folder: Path) -> Path:
    """A folder with the training split, and the test split under the name of the validation split."""
    folder.mkdir()
    for name, split in (("train", "train"), ("validation", "test")):
        (folder / f"{name}.jsonl").symlink_to((data / f"{split}.jsonl").resolve())
    return folder


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    data = os.environ.get("BERTCTL_DATA")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description="Both sides trained to the end.")
    parser.add_argument("name", choices=TASKS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44], help="default: 42 43 44")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="default: %(default)s")
    parser.add_argument("--lr", type=float, default=LR, help="default: %(default)s")
    parser.add_argument(
        "--data", type=Path, default=data and Path(data), help="folder that holds wnut17/, ncbi_disease/"
    )
    parser.add_argument("--model", type=Path, help="model folder; default: that of the package of the benchmarks")
    parser.add_argument("--threads", type=int, default=cores, help="threads of every run; default: all cores")
    given = parser.parse_args(words)
    if given.data is None:
        parser.error("--data or BERTCTL_DATA is needed")
    return given


if __name__ == "__main__":
    sys.exit(main())
