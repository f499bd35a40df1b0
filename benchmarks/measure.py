"""Runs a whole process and says what it cost; turns pairs of runs into a ratio with an interval.

CPU time and peak memory come from the kernel's account of the child (`wait4`), so neither side reports on itself.
Standard library only: a child's peak memory starts at what its parent holds, so this process stays small.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

BUSY = 1.5
DRAWS = 2000


class BenchmarkError(Exception):
    """A run failed or may not be quoted; the message is for the person at the terminal."""


@dataclass(frozen=True)
class Run:
    """One process: seconds of wall clock and of CPU, peak resident MiB, and what its training steps did."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    examples_per_s: float | None = None
    tokens_per_s: float | None = None
    accuracy: float | None = None

    @property
    def speed(self) -> float:
        """What ratios compare: training examples/s, else starts per CPU second."""
        return self.examples_per_s or 1.0 / self.cpu_s


def run_process(command: Sequence[str], *, env: Mapping[str, str], cwd: Path, expected: int = 0) -> tuple[Run, str]:
    """The cost of `command`, and its standard output.

    Raises:
        BenchmarkError: it ended with another exit status than `expected`.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.perf_counter()
        process = subprocess.Popen(list(command), stdout=out, stderr=err, env=dict(env), cwd=cwd)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode != expected:
            last = "\n".join(err.read().splitlines()[-15:])
            raise BenchmarkError(f"{' '.join(command)}\nended with {process.returncode}:\n{last}")
        return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024), out.read()


def warm_up(steps: int) -> int:
    """First steps that do not count: at most ten, at least one.

    Of 60 steps 50 remain, which is one whole round of Trainer's `group_by_length` (it sorts 50 batches at a time, the
    longest first); the first steps alone would hold only its longest examples.
    """
    return max(1, min(10, steps // 6))


def rates(ends: Sequence[float], *, examples: Sequence[float], tokens: Sequence[float]) -> tuple[float, float]:
    """Examples and real tokens per second between the end of the last warm-up step and that of the last step.

    Args:
        ends: when each step ended, seconds; loading, collating and logging between steps thereby count.
        examples, tokens: real ones of each step.
    """
    first = warm_up(len(ends))
    if len(ends) <= first:
        raise BenchmarkError(f"{len(ends)} steps are too few to time; at least 2 are needed")
    seconds = ends[-1] - ends[first - 1]
    return sum(examples[first : len(ends)]) / seconds, sum(tokens[first : len(ends)]) / seconds


def ratio(ours: Sequence[Run], theirs: Sequence[Run], *, seed: int = 0) -> tuple[float, float, float]:
    """Median over pairs of how many times as fast ours is, and its 95 % percentile-bootstrap interval."""
    pairs = [a.speed / b.speed for a, b in zip(ours, theirs, strict=True)]
    rng = random.Random(seed)
    draws = sorted(statistics.median(rng.choices(pairs, k=len(pairs))) for _ in range(DRAWS))
    return statistics.median(pairs), draws[round(0.025 * (DRAWS - 1))], draws[round(0.975 * (DRAWS - 1))]


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_load(*, anyway: bool) -> float:
    """The load average now.

    Raises:
        BenchmarkError: it is so high that no number would be worth quoting, and `anyway` is not given.
    """
    load = os.getloadavg()[0]
    if load > BUSY * cores() and not anyway:
        raise BenchmarkError(
            f"the load average is {load:.1f} on {cores()} cores (limit {BUSY * cores():.1f}): nothing measured now could "
            "be quoted\nwait for a quiet machine, or give --anyway to measure all the same"
        )
    return load
