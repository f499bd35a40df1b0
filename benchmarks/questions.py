"""Extractive questions against transformers' Trainer: windows of 384 tokens that share 128, judged by the same scorer.

P0 pads every window to 384 as the public example does by default, P1 pads to the longest of a batch, P2 has the best
flags that the peer offers. Each side answers the same held-out questions itself, once, when it has trained; an answer
is given where it scores no lower than none, which is the example's rule.
"""

import json
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.bench import BATCH, BEST_FLAGS, TRAINER, Bench, Training
from benchmarks.measure import Run, Side, take_turns
from benchmarks.questions_setup import SHARE, share_out
from benchmarks.report import table

QUESTIONS = "squad2_halfdev/validation.json"
MAX_LENGTH, STRIDE = 384, 128
STEPS = 46
"""Of which 39 count: a whole round of Trainer's `group_by_length` on these windows, longest to shortest."""
LR = 1e-4
PEERS = {f"P0 pad to {MAX_LENGTH}": "--pad true", "P1 dynamic": "", **BEST_FLAGS}
EVEN = "eval.threshold=0.5"
"""No answer where it is more probable than the best answer."""


def questions(bench: Bench, pairs: int) -> str:
    """Both sides in turns."""
    with tempfile.TemporaryDirectory(dir=bench.scratch) as folder:
        data = Path(folder)
        counts = share_out(bench.file(QUESTIONS), data)
        peers: dict[str, Side] = {
            name: partial(_trainer, bench, data, options=options) for name, options in PEERS.items()
        }
        found = take_turns(partial(_ours, bench, data), peers, pairs=pairs)
    return (
        f"- {counts['train']:,} questions of {SHARE:.0%} of the paragraphs, in windows of {MAX_LENGTH} tokens with a "
        f"stride of {STRIDE}; {BATCH} windows a step, learning rate {LR}\n"
        f"- exact match and F1 of {counts['validation']:,} questions of other paragraphs after {bench.steps} steps, "
        "one judge for both: so few steps teach little more than to answer nothing, which is right for about half"
        f"\n\n{table(found)}"
    )


def _ours(bench: Bench, data: Path, seed: int) -> Run:
    more = (f"data.stride={STRIDE}", EVEN)
    work = Training(task="squad_v2", steps=bench.steps, data=data, seed=seed, max_length=MAX_LENGTH, lr=LR, more=more)
    with tempfile.TemporaryDirectory(dir=bench.scratch) as folder:
        done = work.run(bench, folder)
        return replace(done.measured(batch=BATCH), **_judged(bench, data, f"{folder}/run/predictions/validation.json"))


def _trainer(bench: Bench, data: Path, seed: int, *, options: str) -> Run:
    """The peer with `options`."""
    flags = f"--seed {seed} --max_steps {bench.steps} --max_length {MAX_LENGTH} --stride {STRIDE}".split()
    flags += f"--learning_rate {LR} {TRAINER} {options}".split()
    with tempfile.TemporaryDirectory(dir=bench.scratch) as folder:
        places = {
            "model": bench.model,
            "train_file": data / "train.json",
            "validation_file": data / "validation.json",
            "predictions": f"{folder}/predictions.json",
            "output_dir": f"{folder}/run",
        }
        flags += [word for name, place in places.items() for word in (f"--{name}", str(place))]
        run, out = bench.run("benchmarks.questions_peer", *flags, folder=folder)
        facts = json.loads(out.splitlines()[-1])
        return replace(run, **facts, **_judged(bench, data, str(places["predictions"])))


def _judged(bench: Bench, data: Path, predictions: str) -> dict[str, float]:
    words = ["answers", str(data / "validation.json"), predictions]
    _, out = bench.run("benchmarks.judge", *words, folder=str(bench.scratch))
    scores: dict[str, float] = json.loads(out.splitlines()[-1])
    return scores
