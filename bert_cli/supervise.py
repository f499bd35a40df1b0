"""The parent of a run in several processes: it starts the ranks of this machine and answers for them.

The first rank to end badly decides how the run ends; the others are stopped, first politely, and none is left behind,
not even when the parent itself is killed. Signals that ask to stop are passed on. Costs no torch: while the ranks
are at work, the parent is 50 MB that sleep.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from bert_cli.env import cores
from bert_cli.errors import BertctlError, RankError
from bert_cli.launch import JOB, MEETING, PARENT, RUN, STORE, Layout

FORWARDED = ("SIGINT", "SIGTERM", "SIGUSR1")
TABLE = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 75, 130, 143})
"""Exit codes that say what happened (see the README); a rank prints its own message before it ends with one."""

SOONER = "and run.save_every=0.1 saves ten times an epoch"
PROGRAM = ("-m", "bert_cli")
ECHO = RankError.exit_code
AGREED = frozenset({75, 130})
"""Stops that all ranks have agreed on, with everything saved."""

POLL, SETTLE, LEAVE, GRACE = 0.05, 3.0, 20.0, 5.0
"""Seconds between looks at the ranks; for the others to end by themselves, after a bad end and after an agreed stop;
between SIGTERM and SIGKILL.
"""


@dataclass(frozen=True)
class Outcome:
    """How the ranks of this machine ended.

    Attributes:
        message: what no rank has told on the terminal; empty where rank 0 has.
        error: set when a rank died instead of saying what was wrong.
        run: the run folder, where rank 0 got as far as choosing one and was here.
    """

    code: int
    message: str = ""
    error: BertctlError | None = None
    run: Path | None = None


@dataclass
class Child:
    """A rank that was started; `code` once it has ended, negative for a signal."""

    rank: int
    process: subprocess.Popen[bytes]
    errors: Path | None
    code: int | None = None


@dataclass
class Children:
    """The ranks of this machine, and what has been asked of them."""

    folder: Path
    all: list[Child] = field(default_factory=list)
    signals: list[int] = field(default_factory=list)
    ended: list[Child] = field(default_factory=list)
    """In the order in which they were seen to end."""
    silent: list[int] = field(default_factory=list)
    """Those that were still there when the others had to be stopped."""

    @property
    def alive(self) -> list[Child]:
        return [rank for rank in self.all if rank.code is None]

    @property
    def impatient(self) -> bool:
        """Whether Ctrl-C came a second time."""
        return self.signals.count(signal.SIGINT) > 1

    def look(self) -> list[Child]:
        """Those that have ended badly so far, those that ended for a reason of their own first."""
        for rank in self.alive:
            rank.code = rank.process.poll()
            if rank.code is not None:
                self.ended.append(rank)
        return sorted((rank for rank in self.ended if rank.code), key=lambda rank: rank.code == ECHO)

    def send(self, number: int) -> None:
        for rank in self.alive:
            # Popen does not signal a process that it has seen to end, so no other process can be hit.
            rank.process.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Whether all have ended within that time."""
        until = time.monotonic() + seconds
        self.look()
        while self.alive and time.monotonic() < until:
            time.sleep(POLL)
            self.look()
        return not self.alive

    def stop(self) -> None:
        """End all that are still there."""
        if self.alive:
            self.send(signal.SIGTERM)
            self.send(signal.SIGCONT)
            if not self.wait(GRACE):
                self.send(signal.SIGKILL)
        for rank in self.alive:
            rank.process.wait()
        self.look()


def supervise(arguments: Sequence[str], layout: Layout, *, pin: bool) -> Outcome:
    """Run `bertctl ARGUMENTS` once for each rank of this machine, and wait for all of them.

    Args:
        pin: give each rank processor cores of its own.
    """
    folder = Path(tempfile.mkdtemp(prefix="bertctl-ranks-"))
    try:
        ranks = Children(folder)
        with _forwarding(ranks):
            try:
                for rank in _started(arguments, layout, folder, pin=pin):
                    ranks.all.append(rank)
                for number in ranks.signals:
                    # Received while some of them were not there yet.
                    ranks.send(number)
                return _outcome(ranks, _watch(ranks))
            finally:
                ranks.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _watch(ranks: Children) -> Child | None:
    """Wait for the end, and stop the others after a bad one; the rank that decides, or None when all went well."""
    while not (bad := ranks.look()) and ranks.alive:
        if ranks.impatient:
            # A rank that waits in a collective hears no signal.
            ranks.wait(GRACE)
            ranks.stop()
        time.sleep(POLL)
    if not bad:
        return None
    code, rank = bad[0].code or 0, bad[0].rank
    if code in AGREED:
        ranks.wait(LEAVE)
    elif ranks.signals or not (code < 0 or (rank == 0 and code != ECHO)):
        # A death, or rank 0 with a message, would be final. Anything else may be an echo of what another rank is about
        # to end with, or what rank 0 is about to tell itself.
        ranks.wait(SETTLE)
    first = ranks.look()[0]
    ranks.silent = [rank.rank for rank in ranks.alive]
    ranks.stop()
    return first


def _outcome(ranks: Children, first: Child | None) -> Outcome:
    run = _read(ranks.folder / RUN)
    place = Path(run) if run else None
    if first is None:
        return Outcome(0, run=place)
    code = first.code or 0
    if ranks.impatient:
        return Outcome(130, run=place)
    if code < 0 and -code in ranks.signals:
        # Asked to stop before there was anything to save.
        return Outcome(128 - code, run=place)
    if code in TABLE:
        spoken = first.rank == 0 or any(rank.rank == 0 and rank.code == code for rank in ranks.ended)
        return Outcome(code, "" if spoken else _told(first), run=place)
    error = _lost(ranks, first) if code == ECHO else _died(first, code)
    if place is not None and not any((place / "checkpoints").glob("step-*")):
        error.help = f"no checkpoint was saved yet; the same command with --overwrite starts afresh, {SOONER}"
    return Outcome(ECHO, error=error, run=place)


def _died(rank: Child, code: int) -> RankError:
    last = _told(rank).splitlines()[-1:] if rank.errors is not None else []
    if code > 0:
        return RankError(
            "G002",
            f"rank {rank.rank} ended with code {code}, which bertctl does not give",
            found=f"exit code {code}" + (f"; its last line: {last[0]}" if last else ""),
            help="the same command with --resume auto goes on from the last checkpoint",
        )
    name = signal.Signals(-code).name
    causes = {
        "SIGKILL": "most likely the system ran out of memory (dmesg tells), or a batch system's limit was passed",
        "SIGSEGV": "a crash in native code; bertctl doctor shows the versions at work",
        "SIGBUS": "a file that was mapped has been cut or deleted, or shared memory (/dev/shm) is full",
        "SIGABRT": "native code gave up, often a collective on the GPU that another rank never joined",
    }
    fix = "--resume auto goes on from the last checkpoint"
    memory = f"the same command with fewer processes or train.micro_batch_tokens=4096; {fix}"
    return RankError(
        "G001",
        f"rank {rank.rank} was killed by {name}",
        found=f"{name}: {causes.get(name, 'sent by another process, or by the system')}"
        + (f"; its last line: {last[0]}" if last else ""),
        help=memory if name == "SIGKILL" else f"the same command with {fix}",
    )


def _lost(ranks: Children, first: Child) -> RankError:
    """What a rank said that lost the others, none of which has died here; one that is still there may hang."""
    told = _read(ranks.folder / f"rank-{ranks.all.index(first)}.lost")
    facts: Mapping[str, Any] = json.loads(told) if told else {}
    message = facts.get("message", f"rank {first.rank} lost the other ranks")
    if ranks.silent:
        message += f"; rank {', '.join(map(str, ranks.silent))} did not answer"
    return RankError(
        "G003",
        message,
        key="dist.timeout",
        found=facts.get("found"),
        allowed=facts.get("allowed"),
        help="the same command with --resume auto goes on; a rank that is only slow needs a longer dist.timeout",
    )


def _told(rank: Child) -> str:
    """The message of a rank that does not speak on the terminal: its last error, else its last lines."""
    text = (_read(rank.errors) if rank.errors is not None else "").rstrip()
    start = text.rfind("error[")
    return text[start:] if start >= 0 and "B001" not in text[start:] else "\n".join(text.splitlines()[-25:])


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _started(arguments: Sequence[str], layout: Layout, folder: Path, *, pin: bool) -> Iterator[Child]:
    meeting = f"tcp://{layout.master}" if layout.nodes > 1 else str(folder / STORE)
    usable = usable_cores()
    share = max(1, len(usable) // layout.processes)
    threads = max(1, min(len(usable), int(cores())) // layout.processes)
    for local in range(layout.processes):
        place = layout.place(local, meeting)
        environment = {
            "OMP_NUM_THREADS": str(threads),
            **os.environ,
            **place.environment(),
            JOB: str(folder),
            PARENT: str(os.getpid()),
            MEETING: meeting,
        }
        errors = None if place.rank == 0 else folder / f"rank-{local}.stderr"
        rank = Child(place.rank, _start(arguments, environment, errors), errors)
        if pin and len(usable) >= layout.processes and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(rank.process.pid, usable[local * share : (local + 1) * share])
        yield rank


def _start(arguments: Sequence[str], environment: Mapping[str, str], errors: Path | None) -> subprocess.Popen[bytes]:
    """One rank, in a session of its own: Ctrl-C on a terminal reaches the parent alone, which passes it on once.

    Args:
        errors: where a rank that does not speak leaves its errors; None for the one that does.
    """
    command = [sys.executable, *PROGRAM, *arguments]
    with ExitStack() as stack:
        err = None if errors is None else stack.enter_context(errors.open("wb"))
        out = None if errors is None else subprocess.DEVNULL
        return subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )


def usable_cores() -> list[int]:
    """The processors this process may run on, those of one core and socket side by side."""
    if not hasattr(os, "sched_getaffinity"):
        return list(range(os.cpu_count() or 1))

    def topology(cpu: int) -> tuple[int, int, int]:
        folder = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        socket, core = (_read(folder / name).strip() for name in ("physical_package_id", "core_id"))
        return (int(socket or 0), int(core or cpu), cpu)

    return sorted(os.sched_getaffinity(0), key=topology)


@contextmanager
def _forwarding(ranks: Children) -> Iterator[None]:
    """Pass signals that ask to stop on to the ranks; a second Ctrl-C is passed on too, and ends them at once."""

    def handle(number: int, _frame: FrameType | None) -> None:
        if number not in ranks.signals or number == signal.SIGINT:
            ranks.signals.append(number)
            ranks.send(number)

    numbers = [getattr(signal, name) for name in FORWARDED if hasattr(signal, name)]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
