"""What is compared: every side of a case is a function from a seed to the `Run` of a whole process.

Every run has empty caches, a folder of its own and no network. P0 pads to 128 tokens as the example script does by
default, P1 pads to the longest of a batch, P2 has the best flags the peer offers; of its two rows the faster counts.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.first_step import STEPPED
from benchmarks.measure import BenchmarkError, Run, rates, run_process

BATCH = 32
OURS = (
    f"--batch-size {BATCH} --max-length 128 --lr 2e-5 --offline --json --quiet train.warmup=0.1 train.schedule=linear "
    "train.weight_decay=0.01 train.max_grad_norm=1.0 dist.device=cpu eval.every=1000000 run.save_every=1000000 "
    "run.log_every=1"
)
THEIRS = (
    f"--per_device_train_batch_size {BATCH} --per_device_eval_batch_size {BATCH} --max_length 128 --learning_rate 2e-5 "
    "--lr_scheduler_type linear --warmup_steps 0.1 --weight_decay 0.01 --max_grad_norm 1.0 --optim adamw_torch_fused "
    "--use_cpu true --eval_strategy no --save_strategy no --report_to none --disable_tqdm true"
)
GROUPED = "--train_sampling_strategy group_by_length"
PEERS = {
    "P0 pad to 128": "--pad true",
    "P1 dynamic": "",
    "P2 grouped, medium fp32": f"{GROUPED} --medium true",
    "P2 grouped, bf16": f"{GROUPED} --bf16 true",
}
CASES = ("sst2", "rte", "help", "start")
COLUMNS = {"sst2": "sentence", "rte": "sentence1,sentence2"}

Side = Callable[[int], Run]


@dataclass(frozen=True)
class Bench:
    """What all runs share; `data` is the folder that holds `sst2/` and `rte/`."""

    model: Path
    data: Path
    steps: int
    threads: int
    scratch: Path

    def sides(self, case: str) -> tuple[Side, dict[str, Side]]:
        """bertctl's side of a case, and its peers'."""
        if case == "help":
            peer = partial(self._help, "transformers.cli.transformers")
            return partial(self._help, "bert_cli"), {"transformers --help": peer}
        if case == "start":
            return partial(self.ours, "sst2", start=True), {
                "Trainer, dynamic": partial(self.theirs, "sst2", start=True)
            }
        peers = {name: partial(self.theirs, case, options=options) for name, options in PEERS.items()}
        return partial(self.ours, case), dict(peers)

    def ours(self, task: str, seed: int, *, start: bool = False) -> Run:
        """bertctl, to the end or to its first step; times and tokens are those of its `metrics.jsonl`."""
        flags = f"--task {task} --seed {seed} train.steps={self.steps} {OURS}".split()
        flags += ["--model", str(self.model), "--data", str(self._data(task)), "--out"]
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            run, out = self._run("bert_cli", "finetune", *flags, f"{folder}/run", folder=folder, start=start)
            if start:
                return run
            text = Path(folder, "run", "metrics.jsonl").read_text(encoding="utf-8")
        steps = [line for line in map(json.loads, text.splitlines()) if "train/loss" in line]
        if steps[-1]["epoch"] > 1.0:
            raise BenchmarkError(f"{self.steps} steps are more than one epoch of {task}: lower --steps")
        # One record a step, so its rates give the tokens: within an epoch every step has BATCH examples.
        counts = [(BATCH, BATCH * line["train/tokens_per_s"] / line["train/examples_per_s"]) for line in steps]
        examples, tokens = rates([line["seconds"] for line in steps], counts)
        accuracy = json.loads(out)["scores"]["validation"]["accuracy"]
        return replace(run, examples_per_s=examples, tokens_per_s=tokens, accuracy=accuracy)

    def theirs(self, task: str, seed: int, *, options: str = "", start: bool = False) -> Run:
        """The peer with `options`, to the end or to its first step."""
        flags = f"--columns {COLUMNS[task]} --seed {seed} --max_steps {self.steps} {THEIRS} {options}".split()
        for name in ("train", "validation"):
            flags += [f"--{name}_file", str(self._data(task) / f"{name}.tsv")]
        flags += ["--model", str(self.model), "--output_dir"]
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            run, out = self._run("benchmarks.trainer_peer", *flags, f"{folder}/run", folder=folder, start=start)
        facts = {} if start else json.loads(out.splitlines()[-1])
        return replace(run, **{name: facts[name] for name in facts if name not in ("steps", "seconds")})

    def _help(self, module: str, _: int) -> Run:
        return self._run(module, "--help", folder=str(self.scratch))[0]

    def _data(self, task: str) -> Path:
        if not (self.data / task / "train.tsv").is_file():
            raise BenchmarkError(f"{task} needs --data FOLDER or BERTCTL_DATA with {task}/train.tsv in it")
        return self.data / task

    def _run(self, *words: str, folder: str, start: bool = False) -> tuple[Run, str]:
        """`python -m` on `words`, perhaps only to its first step, with empty caches in `folder`."""
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), str(self.threads))
        caches = {"BERTCTL_CACHE": f"{folder}/bertctl", "HF_DATASETS_CACHE": f"{folder}/datasets"}
        command = [sys.executable, "-m", *(["benchmarks.first_step"] if start else []), *words]
        env = {**os.environ, **threads, **caches, "HF_HUB_OFFLINE": "1"}
        return run_process(command, env=env, expected=STEPPED if start else 0)
