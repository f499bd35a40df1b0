"""The gates of `--fail-under`: scores that a model has to reach, or exit code 6.

A gate on a score that is not reported is refused before anything is scored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bert_cli.errors import BertctlError, QualityGateError, UsageError, closest, raise_all
from bert_cli.metrics import larger_is_better
from bert_cli.metrics.names import METRICS, metrics_for


@dataclass(frozen=True)
class Gate:
    """A score by name, and the number from which it is good enough: at least, or at most where smaller is better."""

    name: str
    limit: float


def read_gates(texts: Sequence[str]) -> tuple[Gate, ...]:
    """Gates from `METRIC=NUMBER`.

    Raises:
        UsageError: a gate that cannot be read (U052).
    """
    gates = []
    for text in texts:
        name, _, number = text.partition("=")
        try:
            limit = float(number)
        except ValueError:
            limit = math.nan
        if not name or math.isnan(limit):
            raise UsageError(
                "U052",
                "a gate is METRIC=NUMBER",
                key="--fail-under",
                found=text,
                allowed="METRIC=NUMBER",
                help="--fail-under accuracy=0.9",
            )
        if limit > 1 and name.rpartition("/")[2] in METRICS and larger_is_better(name.rpartition("/")[2]):
            raise UsageError(
                "U052",
                f"{name} is never above 1",
                key="--fail-under",
                found=text,
                allowed="a number up to 1",
                help=f"--fail-under {name}={limit / 100 if limit <= 100 else 1:g}",
            )
        gates.append(Gate(name, limit))
    return tuple(gates)


def check_names(gates: Sequence[Gate], scores: Sequence[str], *, objective: str, more: Sequence[str] = ()) -> None:
    """Refuse gates on scores that will not be there.

    Args:
        scores: names as `bert_cli.metrics.scorer.reported` gives them.
        more: metrics that the recipe asks for beside the task's own.

    Raises:
        UsageError: there is no such score (U053); all of them at once.
    """
    beginnings = tuple(name for name in scores if name.endswith("/"))
    errors: list[BertctlError] = [
        _no_score(gate, scores, objective=objective, more=more)
        for gate in gates
        if gate.name not in scores and not gate.name.startswith(beginnings)
    ]
    raise_all(errors)


def check_gates(scores: Mapping[str, float], gates: Sequence[Gate]) -> None:
    """Refuse scores beyond the gates; one that is not a number passes none.

    Raises:
        UsageError: a metric of the evaluate library has no such score (U053).
        QualityGateError: a gate is missed (Q001).
    """
    for gate in gates:
        if gate.name not in scores:
            raise _no_score(gate, list(scores))
        value = scores[gate.name]
        larger = larger_is_better(gate.name)
        if not (value >= gate.limit if larger else value <= gate.limit):
            raise QualityGateError(
                "Q001",
                f"{gate.name} is {value:.6g}",
                key="--fail-under",
                found=f"{value:.6g}",
                allowed=f"{'at least' if larger else 'at most'} {gate.limit:g}",
                help="train longer or on more data, or lower the gate",
            )


def _no_score(gate: Gate, scores: Sequence[str], *, objective: str = "", more: Sequence[str] = ()) -> UsageError:
    near = closest(gate.name, scores)
    if gate.name in metrics_for(objective):
        help = f"eval.metrics=[{','.join([*more, gate.name])}] adds it to the scores"
    elif near:
        help = f"--fail-under {near}={gate.limit:g}"
    else:
        help = "name one of these scores"
    return UsageError(
        "U053",
        f"there is no score '{gate.name}' here",
        key="--fail-under",
        found=gate.name,
        allowed=list(scores),
        help=help,
    )
