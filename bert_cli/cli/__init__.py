"""The command line: parse, call, print.

Nothing here imports torch, transformers, datasets or pydantic until a command runs.
"""

from __future__ import annotations

import gc
import os
import sys

__all__ = ["main", "start"]


def main() -> None:
    """Entry point of `bertctl`, which reads no module from the folder that it is started in."""
    # Neither do the processes that it starts, which `python -m` would let.
    os.environ["PYTHONSAFEPATH"] = "1"
    start()


def start() -> None:
    """Run one command and end with its exit code."""
    # Importing torch and transformers makes no garbage, but so many objects that a tenth of it would go into looking.
    gc.set_threshold(50_000)
    from bert_cli.cli.app import run

    sys.exit(run(sys.argv[1:]))
