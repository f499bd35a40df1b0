"""Masked language modelling against transformers' Trainer, from one model with a new head and on the same full blocks.

P0 is the public example as it is found: fp32 and logits at all positions. P2 has the best flags that the peer offers;
which of them is fastest depends on the processor, so of all rows the fastest counts. The models that come out after the
same steps are judged by `benchmarks.mlm_loss`.
"""

import json
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.bench import BATCH, MAX_LENGTH, TERMS, TRAINER, Bench, trained
from benchmarks.measure import BenchmarkError, Run, Side, take_turns
from benchmarks.report import table

DOCUMENTS = "enwiki_sample/all.jsonl.gz"
HELD_OUT = 256
"""Blocks for the judge, which neither side sees."""
VALIDATION = 5
"""Per cent of the documents on which each side evaluates itself, as the public example does unless told otherwise."""
LR = 5e-4
"""At the public example's 5e-5 a new head does not yet beat the frequencies of the tokens after so few steps."""
FLAGS = f"--max_length {MAX_LENGTH} --validation_split_percentage {VALIDATION} --learning_rate {LR} {TRAINER}"
PEERS = {
    "P0 fp32": "",
    "P2 medium fp32": "--medium true",
    "P2 bf16": "--bf16 true",
}


def mlm(bench: Bench, pairs: int) -> str:
    """Both sides in turns, on blocks enough for one epoch."""
    # One step more than is trained, for what each side's own rounding of its held-out share may cost.
    count = (bench.steps + 1) * BATCH * 100 // (100 - VALIDATION)
    with tempfile.TemporaryDirectory(dir=bench.scratch) as folder:
        words = [str(bench.model), str(bench.file(DOCUMENTS)), folder]
        words += f"--blocks {count} --held-out {HELD_OUT} --length {MAX_LENGTH}".split()
        bench.run("benchmarks.mlm_setup", *words, folder=folder)
        given = Path(folder)
        peers: dict[str, Side] = {
            name: partial(_trainer, bench, given, options=options) for name, options in PEERS.items()
        }
        found = take_turns(partial(_ours, bench, given), peers, pairs=pairs)
    terms = f"{count:,} blocks of {MAX_LENGTH} tokens, {BATCH} a step, {VALIDATION} % of them held out by each side"
    return (
        f"- {terms}; 15 % of the tokens masked, learning rate {LR}\n"
        f"- held-out loss after {bench.steps} steps, on {HELD_OUT} other blocks: one judge, the same masks for all\n\n"
        f"{table(found)}"
    )


def _ours(bench: Bench, given: Path, seed: int) -> Run:
    with tempfile.TemporaryDirectory(dir=bench.scratch) as folder:
        flags = (
            f"--task fill-mask --seed {seed} --batch-size {BATCH} --lr {LR} --max-length {MAX_LENGTH} {TERMS}".split()
        )
        flags += [f"train.budget={bench.steps} steps", f"data.validation={VALIDATION}%"]
        places = ["--model", f"{given}/model", "--data", f"{given}/corpus.jsonl", "--out", f"{folder}/run"]
        done = trained(bench, ["bert_cli", "pretrain", *flags, *places], folder)
        _require_full(done.printed["tokens"] / done.printed["examples"])
        return replace(done.measured(batch=BATCH), loss=_loss(bench, given, f"{folder}/run/best"))


def _trainer(bench: Bench, given: Path, seed: int, *, options: str) -> Run:
    """The peer with `options`."""
    flags = f"--seed {seed} --max_steps {bench.steps} {FLAGS} {options}".split()
    with tempfile.TemporaryDirectory(dir=bench.scratch) as folder:
        places = ["--model", f"{given}/model", "--train_file", f"{given}/corpus.jsonl", "--output_dir", f"{folder}/run"]
        run, out = bench.run("benchmarks.mlm_peer", *flags, *places, folder=folder)
        facts = json.loads(out.splitlines()[-1])
        _require_full(facts["tokens_per_s"] / facts["examples_per_s"])
        return replace(run, **facts, loss=_loss(bench, given, f"{folder}/run"))


def _require_full(length: float) -> None:
    """Refuse blocks that are shorter on the average: the terms would not be equal."""
    if abs(length - MAX_LENGTH) > 1e-6:
        raise BenchmarkError(f"blocks of {length:.1f} tokens instead of {MAX_LENGTH}")


def _loss(bench: Bench, given: Path, model: str) -> float:
    """The loss of a trained model on the held-out blocks."""
    words = [model, f"{given}/held_out.jsonl", "--tokenizer", f"{given}/model"]
    _, out = bench.run("benchmarks.mlm_loss", *words, folder=str(bench.scratch))
    return float(json.loads(out.splitlines()[-1])["loss"])
