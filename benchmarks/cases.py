"""What is compared: each case is bertctl's process and its peers', each a function from a seed to a `Run`.

Every run has empty caches and a folder of its own, and no network. P0 pads to 128 tokens as the example script does by
default, P1 pads to the longest of a batch, P2 has the best flags the peer offers; see `trainer_peer`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.first_step import STEPPED
from benchmarks.measure import BenchmarkError, Run, rates, run_process

ROOT = Path(__file__).resolve().parent.parent
BATCH, MAX_LENGTH, LR = 32, 128, 2e-5
PROBE_STEPS = 12
NEVER = 1_000_000  # epochs; both sides score once, after the last step

Side = Callable[[int], Run]


@dataclass(frozen=True)
class Bench:
    """What all runs share; `data` is the folder that holds `sst2/` and `rte/`, None for the toy world."""

    model: Path
    data: Path | None
    steps: int
    threads: int
    scratch: Path

    def process(self, command: Sequence[str], *, folder: Path, expected: int = 0) -> tuple[Run, str]:
        """Run `command` with this Python; what it caches goes into `folder`."""
        env = {
            **os.environ,
            "OMP_NUM_THREADS": str(self.threads),
            "RAYON_NUM_THREADS": str(self.threads),
            "HF_HUB_OFFLINE": "1",
            "BERTCTL_CACHE": str(folder / "bertctl"),
            "HF_DATASETS_CACHE": str(folder / "datasets"),
        }
        return run_process([sys.executable, *command], env=env, cwd=ROOT, expected=expected)


@dataclass(frozen=True)
class Case:
    """One comparison."""

    bertctl: Side
    peers: dict[str, Side]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Training:
    """The commands that train one task on one folder of `train.tsv` and `validation.tsv`."""

    bench: Bench
    task: str
    columns: tuple[str, ...]
    data: Path

    def bertctl(self, out: Path, *, seed: int) -> list[str]:
        flags = {"task": self.task, "model": self.bench.model, "data": self.data, "out": out, "seed": seed, "lr": LR}
        flags |= {"batch-size": BATCH, "max-length": MAX_LENGTH}
        keys = {"train.steps": self.bench.steps, "train.warmup": 0.1, "train.schedule": "linear"}
        keys |= {"train.weight_decay": 0.01, "train.max_grad_norm": 1.0, "dist.device": "cpu"}
        keys |= {"eval.every": NEVER, "run.save_every": NEVER, "run.log_every": 1}
        words = [f"{key}={value}" for key, value in keys.items()]
        return ["bert_cli", "finetune", *words, *_flags(flags), "--offline", "--json", "--quiet"]

    def peer(self, out: Path, *, seed: int, options: Sequence[str], steps: int | None = None) -> list[str]:
        flags = {"model": self.bench.model, "out": out, "seed": seed, "lr": LR, "steps": steps or self.bench.steps}
        flags |= {"train": self.data / "train.tsv", "validation": self.data / "validation.tsv"}
        flags |= {"batch-size": BATCH, "max-length": MAX_LENGTH}
        return ["benchmarks.trainer_peer", *_flags(flags), "--columns", *self.columns, *options]

    def run_bertctl(self, seed: int) -> Run:
        with tempfile.TemporaryDirectory(dir=self.bench.scratch) as name:
            folder = Path(name)
            run, out = self.bench.process(["-m", *self.bertctl(folder / "run", seed=seed)], folder=folder)
            lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
        steps = [line for line in lines if "train/loss" in line]
        if steps[-1]["epoch"] > 1.0:
            raise BenchmarkError(f"{self.bench.steps} steps of {BATCH} are more than one epoch; give a smaller --steps")
        # A record of one step gives its rates, and every step within an epoch has BATCH examples.
        tokens = [BATCH * line["train/tokens_per_s"] / line["train/examples_per_s"] for line in steps]
        done = rates([line["seconds"] for line in steps], examples=[BATCH] * len(steps), tokens=tokens)
        accuracy = json.loads(out)["scores"]["validation"]["accuracy"]
        return dataclasses.replace(run, examples_per_s=done[0], tokens_per_s=done[1], accuracy=accuracy)

    def run_peer(self, seed: int, *, options: Sequence[str], steps: int | None = None) -> Run:
        with tempfile.TemporaryDirectory(dir=self.bench.scratch) as name:
            folder = Path(name)
            command = self.peer(folder / "run", seed=seed, options=options, steps=steps)
            run, out = self.bench.process(["-m", *command], folder=folder)
        facts = json.loads(out.splitlines()[-1])
        return dataclasses.replace(run, **{key: facts[key] for key in ("examples_per_s", "tokens_per_s", "accuracy")})

    def start(self, command: Callable[[Path, int], list[str]]) -> Side:
        """The run of `command(out, seed)` up to its first optimizer step."""

        def side(seed: int) -> Run:
            with tempfile.TemporaryDirectory(dir=self.bench.scratch) as name:
                words = ["-m", "benchmarks.first_step", *command(Path(name) / "run", seed)]
                return self.bench.process(words, folder=Path(name), expected=STEPPED)[0]

        return side


def training(bench: Bench, task: str, columns: tuple[str, ...]) -> Case:
    """Fine-tuning on `task` against the Trainer with default flags, dynamic padding, and its best flags."""
    work, notes = _work(bench, task, columns)
    precision, probe = _best_precision(work)
    options = {
        "P0 pad to 128": ["--pad"],
        "P1 dynamic padding": [],
        f"P2 grouped, {precision}": ["--group", "--precision", precision],
    }
    peers: dict[str, Side] = {
        name: (lambda seed, flags=tuple(flags): work.run_peer(seed, options=flags)) for name, flags in options.items()
    }
    return Case(work.run_bertctl, peers, (*notes, probe))


def start(bench: Bench) -> Case:
    """CPU seconds from nothing to the first optimizer step on SST-2."""
    work, notes = _work(bench, "sst2", ("sentence",))
    peer = work.start(lambda out, seed: work.peer(out, seed=seed, options=()))
    ours = work.start(lambda out, seed: work.bertctl(out, seed=seed))
    return Case(ours, {"Trainer, dynamic padding": peer}, notes)


def help_text(bench: Bench) -> Case:
    """CPU seconds of `bertctl --help` against `transformers --help`."""

    def side(*words: str) -> Side:
        return lambda _: bench.process([*words, "--help"], folder=bench.scratch)[0]

    peer = str(Path(sys.executable).with_name("transformers"))
    return Case(side("-m", "bert_cli"), {"transformers --help": side(peer)})


CASES: dict[str, Callable[[Bench], Case]] = {
    "sst2": lambda bench: training(bench, "sst2", ("sentence",)),
    "rte": lambda bench: training(bench, "rte", ("sentence1", "sentence2")),
    "help": help_text,
    "start": start,
}


def _work(bench: Bench, task: str, columns: tuple[str, ...]) -> tuple[Training, tuple[str, ...]]:
    if bench.data is not None:
        if not (bench.data / task / "train.tsv").is_file():
            raise BenchmarkError(f"{bench.data / task} has no train.tsv; --data is the folder that holds {task}/")
        return Training(bench, task, columns, bench.data / task), (f"data: {task} of {bench.data}",)
    if task != "sst2":
        raise BenchmarkError(f"{task} needs its data: give --data or set BERTCTL_DATA to the folder that holds {task}/")
    from bert_cli.toyworld import Sizes, write_world

    if not (bench.scratch / "sentiment").is_dir():
        write_world(bench.scratch, seed=42, sizes=Sizes(documents=1))
    note = "data: NOT SST-2 but the toy world's generated sentences, for want of --data or BERTCTL_DATA"
    return Training(bench, task, ("text",), bench.scratch / "sentiment"), (note,)


def _best_precision(work: Training) -> tuple[str, str]:
    """The peer's fastest arithmetic here, found by short runs of its best other flags, and the note that says so."""
    steps = min(work.bench.steps, PROBE_STEPS)
    found = {
        name: work.run_peer(42, options=["--group", "--precision", name], steps=steps).speed
        for name in ("fp32", "medium", "bf16")
    }
    shown = ", ".join(f"{name} {speed:.0f}" for name, speed in found.items())
    best = max(found, key=lambda name: found[name])
    return best, f"P2 computes in {best}: examples/s of {steps} probed steps were {shown}"


def _flags(values: dict[str, object]) -> list[str]:
    return [word for name, value in values.items() for word in (f"--{name}", str(value))]
