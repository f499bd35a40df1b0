"""Training and start-up against transformers' Trainer, and two ranks against one.

P0 pads to 128 tokens as the example script does by default, P1 pads to the longest of a batch, P2 has the best flags
the peer offers.
"""

import json
import os
import statistics
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from benchmarks.bench import BEST_FLAGS, MAX_LENGTH, TRAINER, Bench, Training
from benchmarks.measure import BenchmarkError, Run, Side, take_turns
from benchmarks.report import table

FLAGS = f"--max_length {MAX_LENGTH} --learning_rate 2e-5 {TRAINER}"
PEERS = {f"P0 pad to {MAX_LENGTH}": "--pad true", "P1 dynamic": "", **BEST_FLAGS}
COLUMNS = {"sst2": "sentence", "rte": "sentence1,sentence2"}
RANKS, RANK_BATCH = 2, 256


def training(bench: Bench, pairs: int, *, task: str) -> str:
    """bertctl against Trainer, as it is found and as well as it can be."""

    def ours(seed: int) -> Run:
        return Training(task=task, steps=bench.steps, seed=seed).measured(bench)

    peers: Mapping[str, Side] = {
        name: partial(_trainer, bench, task, options=options) for name, options in PEERS.items()
    }
    return table(take_turns(ours, peers, pairs=pairs))


def start(bench: Bench, pairs: int) -> str:
    """From nothing to the first optimizer step."""

    def ours(seed: int) -> Run:
        with tempfile.TemporaryDirectory(dir=bench.scratch) as folder:
            words = Training(task="sst2", steps=bench.steps, seed=seed).command(bench, folder)
            return bench.run(*words, folder=folder, start=True)[0]

    return table(take_turns(ours, {"Trainer, dynamic": partial(_trainer, bench, "sst2", start=True)}, pairs=pairs))


def helps(bench: Bench, pairs: int) -> str:
    """`--help`."""

    def shown(module: str, _: int) -> Run:
        return bench.run(module, "--help", folder=str(bench.scratch))[0]

    peer = partial(shown, "transformers.cli.transformers")
    return table(take_turns(partial(shown, "bert_cli"), {"transformers --help": peer}, pairs=pairs))


def ranks(bench: Bench, pairs: int) -> str:
    """Twice the work by two ranks, against one; and two runs at once that share nothing, which is what the cores allow.

    The speed of a side is that of one of its ranks, so that a ratio of 1 is perfect scaling.
    """
    if (os.cpu_count() or 1) < RANKS:
        raise BenchmarkError(f"ranks needs {RANKS} cores")
    alone = replace(bench, threads=1)
    peers = {"1 rank": partial(_weak, alone, 1), f"{RANKS} runs of 1 rank at once": partial(_apart, alone)}
    found = take_turns(partial(_weak, alone, RANKS), peers, pairs=pairs)
    terms = f"{RANK_BATCH} examples a step for each rank of 1 thread, {_weak_steps(bench)} steps"
    meaning = "speeds are of one rank, peak MiB of the largest process; a ratio of 1 is perfect scaling"
    return f"- {terms}; {meaning}\n\n{table(found)}"


def _weak(bench: Bench, count: int, seed: int) -> Run:
    more = ("--cpus", str(count)) if count > 1 else ()
    work = Training(task="sst2", steps=_weak_steps(bench), seed=seed, batch=RANK_BATCH * count, more=more)
    run = work.measured(bench)
    assert run.examples_per_s is not None and run.tokens_per_s is not None
    return replace(run, examples_per_s=run.examples_per_s / count, tokens_per_s=run.tokens_per_s / count)


def _apart(bench: Bench, seed: int) -> Run:
    with ThreadPoolExecutor(RANKS) as pool:
        runs = list(pool.map(partial(_weak, bench, 1), [seed] * RANKS))
    return Run(
        wall_s=max(run.wall_s for run in runs),
        cpu_s=sum(run.cpu_s for run in runs),
        peak_mib=max(run.peak_mib for run in runs),
        examples_per_s=statistics.mean(run.examples_per_s or 0.0 for run in runs),
        tokens_per_s=statistics.mean(run.tokens_per_s or 0.0 for run in runs),
        accuracy=statistics.mean(run.accuracy or 0.0 for run in runs),
    )


def _weak_steps(bench: Bench) -> int:
    """A step has eight times the usual examples."""
    return max(2, bench.steps // 4)


def _trainer(bench: Bench, task: str, seed: int, *, options: str = "", start: bool = False) -> Run:
    """The peer with `options`, to the end or to its first step."""
    flags = f"--columns {COLUMNS[task]} --seed {seed} --max_steps {bench.steps} {FLAGS} {options}".split()
    for name in ("train", "validation"):
        flags += [f"--{name}_file", str(bench.folder(task) / f"{name}.tsv")]
    with tempfile.TemporaryDirectory(dir=bench.scratch) as folder:
        places = ["--model", str(bench.model), "--output_dir", f"{folder}/run"]
        run, out = bench.run("benchmarks.trainer_peer", *flags, *places, folder=folder, start=start)
    facts = {} if start else json.loads(out.splitlines()[-1])
    return replace(run, **facts)
