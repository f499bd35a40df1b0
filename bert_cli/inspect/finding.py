"""What a check found: how bad it is, where it stands, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""Worst first: an error stops training, a warning makes its result worth less than it looks, a note is good to know."""

PLACES = 3
"""Places that a finding names."""


@dataclass(frozen=True)
class Finding:
    """One observation about the data.

    Attributes:
        name: of what was looked for, in few words and hyphens (`conflicting-labels`), or an error's code.
        what: one sentence that stands on its own.
        split: the one concerned; None where all are.
        count: rows (classes, tokens) concerned.
        where: the first few places, as `FILE:LINE`.
        example: what stands at the first of them.
        help: what to do, in few words.
    """

    severity: Severity
    name: str
    what: str
    split: str | None = None
    count: int = 0
    where: tuple[str, ...] = ()
    example: str | None = None
    help: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """Everything but the example in one line, for a log."""
        place = f" ({self.where[0]})" if self.where else ""
        return f"{self.what}{place}" + (f"; {self.help}" if self.help else "")


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors, warnings, notes; within each in the given order."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def of_rows(count: int, whole: int, noun: str = "rows") -> str:
    """`371 of 67,349 rows (0.6 %)`."""
    return f"{count:,} of {whole:,} {noun} ({percent(count, whole)})"


def percent(count: float, whole: float) -> str:
    """A share with one decimal; a tiny one is said to be less than the least that it could show."""
    share = 100 * count / whole if whole else 0.0
    return "<0.1 %" if 0 < share < 0.05 else f"{share:.1f} %"


def verb(count: int, one: str, many: str) -> str:
    """The form of a verb that goes with `count`."""
    return one if count == 1 else many
