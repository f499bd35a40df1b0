"""The command line: parse, call, print.

Nothing here imports torch, transformers, datasets or pydantic until a command runs.
"""

from __future__ import annotations

import gc
import sys

__all__ = ["main"]


def main() -> None:
    """Entry point of `bertctl`: run one command and end with its exit code."""
    # Importing torch and transformers makes no garbage, but so many objects that a tenth of it would go into looking.
    gc.set_threshold(50_000)
    from bert_cli.cli.app import run

    sys.exit(run(sys.argv[1:]))
