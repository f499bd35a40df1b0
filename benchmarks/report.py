"""Runs as a Markdown table, and the file of results with one section per case; only that of a case just run changes."""

import statistics
from pathlib import Path

from benchmarks.measure import Run, ratio

Pairs = dict[str, list[tuple[Run, Run]]]
FIGURES = {
    "examples_per_s": ("examples/s", ".1f"),
    "tokens_per_s": ("real tokens/s", ".0f"),
    "wall_s": ("wall s", ".2f"),
    "cpu_s": ("CPU s", ".2f"),
    "peak_mib": ("peak MiB", ".0f"),
    "accuracy": ("accuracy", ".3f"),
}
HEAD = (
    "# Benchmarks\n\nWritten by `python -m benchmarks`. Cells are medians, peer → bertctl; a ratio above 1 means that "
    "bertctl is faster,\nin training examples/s where there are any, else in CPU seconds."
)


def table(pairs: Pairs) -> str:
    """A row for each peer and its runs: the ratio with its interval, then both sides of every figure."""
    some = next(iter(pairs.values()))[0][0]
    shown = {name: figure for name, figure in FIGURES.items() if getattr(some, name) is not None}
    rows = [["peer", "ratio [95 %]", *(title for title, _ in shown.values())]]
    rows.append(["---"] * len(rows[0]))
    for peer, runs in pairs.items():
        sides = theirs, ours = [pair[0] for pair in runs], [pair[1] for pair in runs]
        middle, low, high = ratio(ours, theirs)
        rows.append([peer, f"{middle:.2f}x " + (f"[{low:.2f}, {high:.2f}]" if len(runs) > 1 else "(one pair)")])
        for name, (_, digits) in shown.items():
            medians = (statistics.median(getattr(run, name) for run in side) for side in sides)
            rows[-1].append(" → ".join(format(median, digits) for median in medians))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def update(file: Path, name: str, section: str) -> None:
    """Write `section` as that of the case `name`."""
    text = file.read_text(encoding="utf-8") if file.exists() else HEAD
    parts = {part.partition("\n")[0]: part.partition("\n")[2].strip() for part in text.split("\n## ")[1:]}
    sections = [f"## {title}\n\n{body}" for title, body in sorted({**parts, name: section}.items())]
    file.write_text("\n\n".join([HEAD, *sections]) + "\n", encoding="utf-8")
