"""Runs as a Markdown table, and the file of results: a summary, a section per case, and whatever people wrote there.

Only the section of a case just run and the summary change; sections of other names stay to the letter.
"""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.measure import Pairs, Run, agreement, ratio
from benchmarks.summary import SUMMARY, summary

Cell = Callable[[list[tuple[Run, Run]]], str]
FIGURES = {
    "examples_per_s": ("examples/s", ".1f"),
    "tokens_per_s": ("real tokens/s", ".0f"),
    "wall_s": ("wall s", ".2f"),
    "cpu_s": ("CPU s", ".2f"),
    "peak_mib": ("peak MiB", ".0f"),
    "accuracy": ("accuracy", ".4f"),
    "loss": ("held-out loss", ".4f"),
    "entity_f1": ("entity F1", ".4f"),
    "exact_match": ("exact match", ".4f"),
    "answer_f1": ("answer F1", ".4f"),
}
HEAD = (
    "# Benchmarks\n\nWritten by `python -m benchmarks`, which runs both sides in turn, each run a process of its own. "
    "Cells are medians,\npeer → bertctl. A ratio above 1 means that bertctl is faster: in examples/s where there are "
    "any, else in CPU seconds;\n`whole process` is the same for the wall clock from start to exit. `memory` is "
    "bertctl's peak of resident memory as a\nshare of the peer's, `loss share` the same of the loss on held-out text. "
    "Sections of other names are written by hand;\nfigures without a peer beside them say only what one machine did."
)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def table(pairs: Pairs) -> str:
    """A row for each peer and its runs: the ratio with its interval, then both sides of every figure there is."""
    some = next(iter(pairs.values()))[0][0]
    columns: dict[str, Cell] = {"ratio [95 %]": _ratio, "whole process": _whole}
    for name, (title, digits) in FIGURES.items():
        if getattr(some, name) is not None:
            columns[title] = _both(name, digits)
    columns["memory"] = _memory
    if some.loss is not None:
        columns["loss share"] = _loss
    if some.answers is not None:
        columns |= {"equal labels": _equal, "largest difference": _gap}
    rows = [[peer, *(cell(runs) for cell in columns.values())] for peer, runs in pairs.items()]
    return markdown(["peer", *columns], rows)


def _ratio(runs: list[tuple[Run, Run]]) -> str:
    middle, low, high = ratio([ours for _, ours in runs], [theirs for theirs, _ in runs])
    return f"{middle:.2f}x " + (f"[{low:.2f}, {high:.2f}]" if len(runs) > 1 else "(one pair)")


def _whole(runs: list[tuple[Run, Run]]) -> str:
    return f"{statistics.median(theirs.wall_s / ours.wall_s for theirs, ours in runs):.2f}x"


def _memory(runs: list[tuple[Run, Run]]) -> str:
    return f"{statistics.median(ours.peak_mib / theirs.peak_mib for theirs, ours in runs):.2f}x"


def _loss(runs: list[tuple[Run, Run]]) -> str:
    shares = []
    for theirs, ours in runs:
        assert ours.loss is not None and theirs.loss is not None
        shares.append(ours.loss / theirs.loss)
    return f"{statistics.median(shares):.3f}x"


def _both(name: str, digits: str) -> Cell:
    def cell(runs: list[tuple[Run, Run]]) -> str:
        medians = (statistics.median(getattr(run, name) for run in side) for side in zip(*runs, strict=True))
        return " → ".join(format(median, digits) for median in medians)

    return cell


def _equal(runs: list[tuple[Run, Run]]) -> str:
    return f"{min(agreement(ours.answers or (), theirs.answers or ())[0] for theirs, ours in runs):.2%}"


def _gap(runs: list[tuple[Run, Run]]) -> str:
    return f"{max(agreement(ours.answers or (), theirs.answers or ())[1] for theirs, ours in runs):.1e}"


def update(file: Path, order: Sequence[str], measured: dict[str, str]) -> str:
    """Write sections of cases just `measured`, and the summary of all; that summary.

    Args:
        order: names of all cases, as their sections follow each other; those written by hand stand behind them.
    """
    sections = _sections(file)
    ours = {**{title: body for title, body in sections if title in order}, **measured}
    text = summary(ours)
    parts = [(SUMMARY, text), *((name, ours[name]) for name in order if name in ours)]
    parts += [(title, body) for title, body in sections if title not in (*order, SUMMARY)]
    file.write_text("\n\n".join([HEAD, *(f"## {title}\n\n{body}" for title, body in parts)]) + "\n", encoding="utf-8")
    return text


def _sections(file: Path) -> list[tuple[str, str]]:
    """Title and text of each section of the file, in its order; what stands before the first is ours."""
    found: list[tuple[str, list[str]]] = []
    fenced = False
    for line in file.read_text(encoding="utf-8").split("\n") if file.exists() else []:
        fenced ^= line.startswith("```")
        if line.startswith("## ") and not fenced:
            found.append((line.removeprefix("## "), []))
        elif found:
            found[-1][1].append(line)
    return [(title, "\n".join(lines).strip("\n")) for title, lines in found]
