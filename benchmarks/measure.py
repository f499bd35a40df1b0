"""Runs a whole process and says what it cost; turns pairs of runs into a ratio with an interval.

CPU time and peak memory are the kernel's account of the child. Standard library only: a child's peak memory starts at
what its parent holds, so this process stays small.
"""

import json
import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

DRAWS = 2000


class BenchmarkError(Exception):
    """A run failed or may not be quoted; the message is for the person at the terminal."""


@dataclass(frozen=True)
class Answer:
    """What a model said about a text: the probability of each class, in the order of the classes."""

    text: str
    probabilities: Mapping[str, float]

    @property
    def label(self) -> str:
        return max(self.probabilities, key=lambda name: self.probabilities[name])


@dataclass(frozen=True)
class Run:
    """One process: seconds of wall clock and of CPU, peak resident MiB, and what its steps or answers did.

    Attributes:
        loss: on held-out text, by an evaluator that is neither side's.
        entity_f1, exact_match, answer_f1: of the side's own predictions, from 0 to 1, by one scorer for both.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float
    examples_per_s: float | None = None
    tokens_per_s: float | None = None
    accuracy: float | None = None
    loss: float | None = None
    entity_f1: float | None = None
    exact_match: float | None = None
    answer_f1: float | None = None
    answers: tuple[Answer, ...] | None = field(default=None, repr=False)

    @property
    def speed(self) -> float:
        """What ratios compare: examples/s, else runs per CPU second."""
        return self.examples_per_s or 1.0 / self.cpu_s


Side = Callable[[int], Run]
Pairs = dict[str, list[tuple[Run, Run]]]
"""Peer -> its runs, each with ours of the same turn."""


def take_turns(ours: Side, peers: Mapping[str, Side], *, pairs: int) -> Pairs:
    """Peer and bertctl in turns, `pairs` times for each peer; a pair shares its seed."""
    found: Pairs = {peer: [] for peer in peers}
    for seed in range(42, 42 + pairs):
        for peer, theirs in peers.items():
            found[peer].append((theirs(seed), ours(seed)))
    return found


def run_process(command: Sequence[str], *, env: Mapping[str, str], expected: int = 0) -> tuple[Run, str]:
    """The cost of `command` and its standard output; an exit status other than `expected` is a BenchmarkError."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.perf_counter()
        process = subprocess.Popen(list(command), stdout=out, stderr=err, env=dict(env))
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode != expected:
            raise BenchmarkError(f"{' '.join(command)}\nended with {process.returncode}:\n{err.read()[-2000:]}")
        return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024), out.read()


def clocked(items: Iterable[T]) -> Iterator[T]:
    """The items; when the last is dealt with, a line of JSON on standard output says how many and in what time."""
    began, count = time.perf_counter(), 0
    for item in items:
        count += 1
        yield item
    print(json.dumps({"items": count, "seconds": time.perf_counter() - began}), flush=True)


def warm_up(steps: int) -> int:
    """First steps that do not count. Of 60, 50 remain: a whole round of Trainer's `group_by_length`, longest first."""
    return max(1, min(10, steps // 6))


def rates(ends: Sequence[float], counts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Examples and real tokens per second from the end of the warm-up to that of the last step, whatever lies between.

    `ends` says when each step ended, seconds; `counts` has the real examples and tokens of each step.
    """
    first = warm_up(len(ends))
    seconds = ends[-1] - ends[first - 1]
    examples, tokens = (sum(column) / seconds for column in zip(*counts[first : len(ends)], strict=True))
    return examples, tokens


def ratio(ours: Sequence[Run], theirs: Sequence[Run]) -> tuple[float, float, float]:
    """Median over pairs of how many times as fast ours is, and its 95 % percentile-bootstrap interval."""
    pairs = [a.speed / b.speed for a, b in zip(ours, theirs, strict=True)]
    rng = random.Random(0)
    draws = sorted(statistics.median(rng.choices(pairs, k=len(pairs))) for _ in range(DRAWS))
    return statistics.median(pairs), draws[DRAWS // 40], draws[-DRAWS // 40]


def agreement(ours: Sequence[Answer], theirs: Sequence[Answer]) -> tuple[float, float]:
    """Share of texts with equal labels, and the largest difference between two probabilities."""
    if [answer.text for answer in ours] != [answer.text for answer in theirs]:
        raise BenchmarkError("the two sides did not answer the same texts")
    both = list(zip(ours, theirs, strict=True))
    equal = sum(a.label == b.label for a, b in both) / len(both)
    gaps = (abs(p - b.probabilities[name]) for a, b in both for name, p in a.probabilities.items())
    return equal, max(gaps)
