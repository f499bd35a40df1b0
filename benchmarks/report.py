"""Runs as a Markdown table, and the file of results with one section per case.

A section is replaced when its case is measured again; the others stay as they were.
"""

from __future__ import annotations

import platform
import statistics
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from benchmarks.measure import Run, cores, ratio

Pairs = dict[str, list[tuple[Run, Run]]]
COLUMNS = {
    "examples/s": ("examples_per_s", ".1f"),
    "real tokens/s": ("tokens_per_s", ".0f"),
    "wall s": ("wall_s", ".2f"),
    "CPU s": ("cpu_s", ".2f"),
    "peak MiB": ("peak_mib", ".0f"),
    "accuracy": ("accuracy", ".3f"),
}
HEAD = (
    "# Benchmarks\n\nWritten by `python -m benchmarks`. Cells are medians, peer → bertctl; ratios above 1 mean that "
    "bertctl is faster,\nin training examples/s where there are any, else in CPU seconds."
)


def table(pairs: Pairs) -> str:
    """A row per peer: the median ratio with its 95 % interval, then both sides of every figure."""
    measured = [run for runs in pairs.values() for pair in runs for run in pair]
    columns = {
        title: spec for title, spec in COLUMNS.items() if all(getattr(run, spec[0]) is not None for run in measured)
    }
    rows = [["peer", "ratio [95 %]", *columns]]
    for peer, runs in pairs.items():
        theirs, ours = [pair[0] for pair in runs], [pair[1] for pair in runs]
        middle, low, high = ratio(ours, theirs)
        interval = f" [{low:.2f}, {high:.2f}]" if len(runs) > 1 else " (one pair)"
        rows.append([peer, f"{middle:.2f}x{interval}"])
        for name, digits in columns.values():
            rows[-1].append(" → ".join(format(_median(side, name), digits) for side in (theirs, ours)))
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def machine() -> str:
    """Processor, cores and the versions that shape a number."""
    from bert_cli.env import cpu_name

    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "transformers"))
    return f"{cpu_name()}, {cores()} cores, Python {platform.python_version()}, {versions}"


def update(file: Path, name: str, section: str) -> None:
    """Write `section` as that of the case `name`, and leave the other sections alone."""
    text = file.read_text(encoding="utf-8") if file.exists() else HEAD
    parts = {part.partition("\n")[0].strip(): part.partition("\n")[2].strip() for part in text.split("\n## ")[1:]}
    parts[name] = section.strip()
    sections = (f"## {title}\n\n{body}" for title, body in sorted(parts.items()))
    file.write_text("\n\n".join([HEAD, *sections]) + "\n", encoding="utf-8")


def _median(runs: Sequence[Run], name: str) -> float:
    return statistics.median(getattr(run, name) for run in runs)
