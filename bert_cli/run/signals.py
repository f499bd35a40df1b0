"""Requests to stop, noticed between steps.

A handler only notes the signal's name; the loop reads it where model and optimizer agree. Several ranks tell each other
at the end of a step, so that all stop after the same one. A second Ctrl-C ends at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGUSR1")


@dataclass
class Request:
    """The first signal received, or an empty string."""

    received: str = ""

    def flags(self) -> dict[str, float]:
        """The same as numbers, to be added over ranks."""
        return {name: float(name == self.received) for name in NAMES}


def agreed(flags: Mapping[str, float]) -> str:
    """The request that any rank has received, from the sum of all ranks' flags; empty where there is none."""
    return next((name for name in NAMES if flags.get(name)), "")


@contextmanager
def watched() -> Iterator[Request]:
    """Note SIGINT, SIGTERM and SIGUSR1 inside the block; handlers are put back afterwards.

    Outside the main thread nothing is watched: Python delivers signals there alone.
    """
    request = Request()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if request.received and name == "SIGINT":
            raise KeyboardInterrupt
        request.received = request.received or name

    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
