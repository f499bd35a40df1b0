"""How far the loss of each step moves when the same batches are computed in another way: it should not.

The same encoder, batches and seed without dropout, in fp32: padded, in many small parts, by two ranks. Adam amplifies
rounding; a high learning rate lets the differences grow with the steps.
"""

import tempfile
from collections.abc import Sequence

from benchmarks.bench import BATCH, Bench, Trained, Training
from benchmarks.report import markdown

STEPS = 10
SAME = ("model.dropout=0", "--precision", "fp32")
PARTS = "train.micro_batch_tokens=128"
REFERENCE: tuple[str, tuple[str, ...]] = ("unpadded, the whole batch at once", ("model.attention=unpadded",))
WAYS: dict[str, tuple[str, ...]] = {
    "padded": ("model.attention=sdpa",),
    "unpadded, in parts of 128 tokens": ("model.attention=unpadded", PARTS),
    "padded, in parts of 128 tokens": ("model.attention=sdpa", PARTS),
    "2 ranks": ("model.attention=unpadded", "--cpus", "2"),
}
HEAD = ("way", "computed tokens per real one", "largest relative difference", "at step")


def exactness(bench: Bench, _: int) -> str:
    """A row for each way, against unpadded batches; only losses are compared, not speeds."""
    name, words = REFERENCE
    reference = _train(bench, words)
    losses = reference.losses
    rows: list[Sequence[str]] = [(name, _computed(reference), "", "")]
    for way, words in WAYS.items():
        other = _train(bench, words)
        gaps = [abs(a - b) / abs(a) for a, b in zip(losses, other.losses, strict=True)]
        rows.append((way, _computed(other), f"{max(gaps):.1e}", str(gaps.index(max(gaps)) + 1)))
    terms = f"{len(losses)} steps of {BATCH}, dropout 0, fp32; loss {losses[0]:.4f} at first, {losses[-1]:.4f} at last"
    return f"- {terms}\n\n{markdown(HEAD, rows)}"


def _train(bench: Bench, words: tuple[str, ...]) -> Trained:
    work = Training(task="sst2", steps=min(STEPS, bench.steps), lr=1e-4, more=(*SAME, *words))
    with tempfile.TemporaryDirectory(dir=bench.scratch) as folder:
        return work.run(bench, folder)


def _computed(done: Trained) -> str:
    shares = [step["train/computed_per_token"] for step in done.steps]
    return f"{sum(shares) / len(shares):.2f}"
