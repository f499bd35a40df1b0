"""Commands packed onto places: each runs once, in the first place that is free, and none outlives this process's wish.

A place is what a process finds in its environment: one GPU, or so many threads. Processes that heed
`launch.bound_to_parent`, as every bertctl does, end with this one however it ends. Costs a look every fifth of a
second.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bert_cli.launch import PARENT
from bert_cli.run.signals import Request

POLL_S = 0.2


@dataclass(frozen=True)
class Ended:
    """One command that has ended; `code` is negative where a signal killed it."""

    name: str
    code: int
    out: str
    errors: str


@dataclass(frozen=True)
class _Running:
    name: str
    process: subprocess.Popen[bytes]
    files: tuple[Path, Path]

    def ended(self) -> Ended:
        out, errors = (file.read_text(encoding="utf-8", errors="replace") for file in self.files)
        return Ended(self.name, self.process.returncode, out, errors)


def run_packed(
    commands: Mapping[str, Sequence[str]], places: Sequence[Mapping[str, str]], *, asked: Request
) -> Generator[Ended]:
    """Run every command, as many at a time as there are places, and yield each when it ends.

    When `asked` has received a signal, when the caller stops reading or when anything fails, every process still at
    work gets SIGTERM and is waited for.

    Args:
        commands: name -> program and arguments, started in this order.
        places: variables added to the environment of what runs there.
    """
    waiting = list(commands)
    running: dict[int, _Running] = {}
    with tempfile.TemporaryDirectory() as scratch:
        try:
            while (waiting or running) and not asked.received:
                for index, env in enumerate(places):
                    if index not in running and waiting:
                        name = waiting.pop(0)
                        running[index] = _start(name, commands[name], env, Path(scratch))
                for index in [index for index, one in running.items() if one.process.poll() is not None]:
                    yield running.pop(index).ended()
                time.sleep(POLL_S)
        finally:
            for one in running.values():
                one.process.send_signal(signal.SIGTERM)
            for one in running.values():
                one.process.wait()


def _start(name: str, command: Sequence[str], env: Mapping[str, str], scratch: Path) -> _Running:
    files = scratch / f"{name}.out", scratch / f"{name}.err"
    with files[0].open("wb") as out, files[1].open("wb") as errors:
        # A session of its own: Ctrl-C in a terminal reaches the caller alone, which then asks every process to stop.
        own = {**os.environ, **env, PARENT: str(os.getpid())}
        process = subprocess.Popen(list(command), stdout=out, stderr=errors, env=own, start_new_session=True)
    return _Running(name, process, files)
