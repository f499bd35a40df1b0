"""What a command printed and how it ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SMALL = ("--max-length", "32", "--batch-size", "16", "--epochs", "1", "--precision", "fp32", "--quiet")
"""Flags that make a training run take a fraction of a second."""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out, self.err
        return json.loads(self.out)

    @property
    def mistakes(self) -> list[str]:
        """The errors on stderr, each with its lines."""
        parts = ("\n" + self.err).split("\nerror[")[1:]
        return [f"error[{part.rstrip()}" for part in parts]


Cli = Callable[..., Done]
