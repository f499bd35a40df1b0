"""How much of a run: `3` epochs, `500 steps`, `2B tokens`, `10m` of time. One grammar for budgets and for 'every'."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, WithJsonSchema

Unit = Literal["epochs", "steps", "tokens", "seconds"]

GRAMMAR = "a number of epochs, or as '500 steps', '2B tokens', '90s', '10m', '24h'"

_TIMES = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MULTIPLES = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9}
_TEXT = re.compile(r"(?P<number>\d+(?:\.\d+)?(?:e\d+)?)\s*(?P<multiple>[kMB]?)\s*(?P<unit>[a-z]*)")


@dataclass(frozen=True)
class Amount:
    """So many epochs, optimizer steps, real tokens or seconds; more than none, steps and tokens whole."""

    value: float
    unit: Unit

    @classmethod
    def parse(cls, text: str | float) -> Amount:
        """Read what a recipe says; a bare number counts epochs.

        Raises:
            ValueError: no amount in this grammar.
        """
        found = _TEXT.fullmatch(f"{text}".strip())
        if found is None:
            raise ValueError(GRAMMAR)
        number, multiple, word = float(found["number"]), found["multiple"], found["unit"]
        unit: Unit
        if not multiple and word in _TIMES:
            unit, value = "seconds", number * _TIMES[word]
        elif word in ("", "epoch", "epochs") and not multiple:
            unit, value = "epochs", number
        elif word in ("step", "steps", "token", "tokens"):
            unit, value = ("steps" if word.startswith("step") else "tokens"), round(number * _MULTIPLES[multiple])
        else:
            raise ValueError(GRAMMAR)
        if value <= 0:
            raise ValueError(f"more than none: {GRAMMAR}")
        return cls(value, unit)

    def __str__(self) -> str:
        return f"{self.value:g}s" if self.unit == "seconds" else f"{self.value:g} {self.unit}"


def _checked(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(GRAMMAR)
    Amount.parse(value)
    return value if isinstance(value, str) else float(value)


AmountText = Annotated[
    str | float,
    BeforeValidator(_checked),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}),
]
"""A recipe value that `Amount.parse` reads."""
