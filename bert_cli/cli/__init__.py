"""The command line: parse, call, print.

Nothing here imports torch, transformers, datasets or pydantic until a command runs.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Entry point of `bertctl`: run one command and end with its exit code."""
    from bert_cli.cli.app import run

    sys.exit(run(sys.argv[1:]))
