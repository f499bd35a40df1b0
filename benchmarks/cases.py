"""All cases by name, and what each of them needs for figures that can be quoted."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.exactness import STEPS, exactness
from benchmarks.inference import inference
from benchmarks.mlm import DOCUMENTS, mlm
from benchmarks.questions import QUESTIONS, questions
from benchmarks.questions import STEPS as ROUND
from benchmarks.tagging import FILE, tagging
from benchmarks.training import helps, ranks, start, training

USUAL_PAIRS, USUAL_STEPS = 5, 60


@dataclass(frozen=True)
class Case:
    """A case: `section` measures and gives its text, from the terms and the number of pairs.

    Attributes:
        data: the files that it cannot do without, in the folder of data.
        pairs, steps: how many it takes at least.
        timed: whether other work on the machine changes the figures.
    """

    section: Callable[[Bench, int], str]
    data: tuple[str, ...] = ("sst2/train.tsv",)
    pairs: int = USUAL_PAIRS
    steps: int = USUAL_STEPS
    timed: bool = True

    def ready(self, data: Path) -> bool:
        """Whether the data it reads are there."""
        return all((data / name).is_file() for name in self.data)


# A child's peak memory starts at that of this process, which grows: the smallest children come first.
CASES = {
    "help": Case(helps, data=(), steps=0),
    "start": Case(start, steps=0),
    "sst2": Case(partial(training, task="sst2")),
    "rte": Case(partial(training, task="rte"), data=("rte/train.tsv",), steps=12),
    "wnut17": Case(partial(tagging, task="wnut17"), data=(f"wnut17/{FILE}",)),
    "squad": Case(questions, data=(QUESTIONS,), steps=ROUND),
    "mlm": Case(mlm, data=(DOCUMENTS,), steps=30),
    "inference": Case(inference),
    "ranks": Case(ranks, steps=24),
    "exactness": Case(exactness, pairs=1, steps=STEPS, timed=False),
}
