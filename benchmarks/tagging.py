"""Tagging words with entities against transformers' Trainer, on the same files and judged by the same scorer.

P1 pads to the longest sentence of a batch, which is what the public example does by default; P2 has the best flags that
the peer offers. Each side tags the validation file itself, once, when it has trained.
"""

import json
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.bench import BATCH, BEST_FLAGS, MAX_LENGTH, TRAINER, Bench, Trained, Training
from benchmarks.measure import Run, Side, take_turns
from benchmarks.report import table

FILE = "train.jsonl"
LR = 5e-4
"""Far above the public example's 5e-5, with which hardly an entity is found after so few steps."""
PEERS = {"P1 dynamic": "", **BEST_FLAGS}


@dataclass(frozen=True, kw_only=True)
class Tagging:
    """What both sides are to learn; `data` has train.jsonl, and validation.jsonl that is tagged at the end."""

    task: str
    data: Path
    steps: int
    lr: float = LR

    def ours(self, bench: Bench, seed: int) -> tuple[Trained, float]:
        """bertctl's run, and the entity F1 of what it said."""
        work = Training(task=self.task, steps=self.steps, data=self.data, seed=seed, lr=self.lr)
        with tempfile.TemporaryDirectory(dir=bench.scratch) as folder:
            done = work.run(bench, folder)
            return done, self._f1(bench, f"{folder}/run/predictions/validation.jsonl")

    def theirs(self, bench: Bench, seed: int, *, options: str = "") -> Run:
        """The peer's run with `options`."""
        flags = f"--seed {seed} --max_steps {self.steps} --max_length {MAX_LENGTH} --learning_rate {self.lr}".split()
        with tempfile.TemporaryDirectory(dir=bench.scratch) as folder:
            places = {
                "model": bench.model,
                "train_file": self.data / FILE,
                "validation_file": self._gold,
                "predictions": f"{folder}/predictions.jsonl",
                "output_dir": f"{folder}/run",
            }
            flags += [word for name, place in places.items() for word in (f"--{name}", str(place))]
            words = [*flags, *TRAINER.split(), *options.split()]
            run, out = bench.run("benchmarks.tagging_peer", *words, folder=folder)
            facts = json.loads(out.splitlines()[-1])
            return replace(run, **facts, entity_f1=self._f1(bench, places["predictions"]))

    @property
    def _gold(self) -> Path:
        return self.data / "validation.jsonl"

    def _f1(self, bench: Bench, predictions: object) -> float:
        words = ["entities", str(self._gold), str(predictions)]
        _, out = bench.run("benchmarks.judge", *words, folder=str(bench.scratch))
        return float(json.loads(out.splitlines()[-1])["entity_f1"])


def tagging(bench: Bench, pairs: int, *, task: str) -> str:
    """Both sides in turns."""
    work = Tagging(task=task, data=bench.folder(task, FILE), steps=bench.steps)

    def ours(seed: int) -> Run:
        done, f1 = work.ours(bench, seed)
        return replace(done.measured(batch=BATCH), entity_f1=f1)

    peers: dict[str, Side] = {name: partial(work.theirs, bench, options=options) for name, options in PEERS.items()}
    found = take_turns(ours, peers, pairs=pairs)
    return (
        f"- {BATCH} sentences a step, learning rate {work.lr}\n"
        f"- entity F1 of the whole validation split after {bench.steps} steps, one judge for both: it shows that both "
        f"sides learn, not how well they do\n\n{table(found)}"
    )
