"""What was promised and what the sections of the results say: one line for each target, shown as it is.

Reads the Markdown tables themselves, so that the summary can never say more than the sections.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SUMMARY = "Summary"
DOUBT = "not to be quoted"
NO_GPU = "no GPU on this machine: B9 to B12, fine-tuning and masked language modelling on a GPU, not measured"


@dataclass(frozen=True)
class Target:
    """A goal for a figure of a section.

    Attributes:
        id: its number; what: in words.
        section: the case; row: how the rows that count begin, the worst of them decides; column: how that begins.
        goal: `≥ 5x` or `≤ 1e-05`.
    """

    id: str
    what: str
    section: str
    row: str
    column: str
    goal: str

    def worst(self, body: str) -> str | None:
        """The cell of `body` that decides, or None where there is none."""
        cells = [cell for cell in cells_of(body, self.row, self.column) if number(cell) is not None]
        pick = max if self.goal.startswith("≤") else min
        return pick(cells, key=lambda cell: number(cell) or 0.0, default=None)

    def met(self, cell: str) -> bool:
        """Whether a cell reaches the goal."""
        found, wanted = number(cell), number(self.goal)
        assert found is not None and wanted is not None
        return found <= wanted if self.goal.startswith("≤") else found >= wanted


TARGETS = (
    Target("B1", "SST-2 training, against Trainer padding to 128", "sst2", "P0", "ratio", "≥ 20x"),
    Target("B1", "SST-2 training, against dynamic padding", "sst2", "P1", "ratio", "≥ 5x"),
    Target("B1", "SST-2 training, against the best flags", "sst2", "P2", "ratio", "≥ 1.5x"),
    Target("B2", "RTE training, against Trainer padding to 128", "rte", "P0", "ratio", "≥ 6x"),
    Target("B2", "RTE training, against dynamic padding", "rte", "P1", "ratio", "≥ 5x"),
    Target("B2", "RTE training, against the best flags", "rte", "P2", "ratio", "≥ 1.3x"),
    Target("B3", "tagging of wnut17, against dynamic padding", "wnut17", "P1", "ratio", "≥ 5x"),
    Target("B3", "tagging of wnut17, against the best flags", "wnut17", "P2", "ratio", "≥ 1.3x"),
    Target("B4", "questions of SQuAD 2.0, against Trainer padding to 384", "squad", "P0", "ratio", "≥ 6x"),
    Target("B4", "questions of SQuAD 2.0, against dynamic padding", "squad", "P1", "ratio", "≥ 4x"),
    Target("B4", "questions of SQuAD 2.0, against the best flags", "squad", "P2", "ratio", "≥ 1.3x"),
    Target("B5", "MLM at length 128, against Trainer's defaults", "mlm", "P0", "ratio", "≥ 4.5x"),
    Target("B5", "MLM at length 128, against the best flags", "mlm", "P", "ratio", "≥ 1.9x"),
    Target("B5", "MLM, held-out loss after the same steps", "mlm", "P", "loss share", "≤ 1.01x"),
    Target("B6", "inference, against the pipeline", "inference", "pipeline", "ratio", "≥ 8x"),
    Target("B7", "CPU time of --help", "help", "", "ratio", "≥ 20x"),
    Target("B8", "CPU time to the first optimizer step", "start", "", "ratio", "≥ 1.9x"),
    Target("B14", "weak scaling, 2 ranks of 1 thread", "ranks", "1 rank", "ratio", "≥ 0.9x"),
    Target("B16", "loss of each step, computed in other ways", "exactness", "", "largest", "≤ 1e-05"),
    Target("B18", "peak memory of SST-2 training, against dynamic padding", "sst2", "P1", "memory", "≤ 0.8x"),
)


def summary(sections: Mapping[str, str]) -> str:
    """All targets as a table; `sections` maps the name of a case to its text."""
    lines = ["| | figure | target | measured | |", "| --- | --- | --- | --- | --- |"]
    for target in TARGETS:
        body = sections.get(target.section, "")
        cell = target.worst(body)
        verdict = "not measured" if cell is None else doubt(body) or ("met" if target.met(cell) else "**not met**")
        lines.append(f"| {target.id} | {target.what} | {target.goal} | {cell or ''} | {verdict} |")
    gpu = Path("/dev/nvidia0").exists()
    return "\n".join([*lines, "", *([] if gpu else [f"{NO_GPU[0].upper()}{NO_GPU[1:]}."])]).rstrip()


def doubt(body: str) -> str | None:
    """Why the figures of a section are not to be quoted, in its own words; None where they are."""
    match = re.search(rf"^- {DOUBT}: .*$", body, re.MULTILINE)
    return match and match.group().removeprefix("- ")


def cells_of(body: str, row: str, column: str) -> list[str]:
    """The cells of a section's tables by how their row and their column begin."""
    found = []
    head: list[str] = []
    for line in body.splitlines():
        if not line.startswith("|"):
            head = []
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not head:
            head = cells
            place = next((i for i, title in enumerate(head) if i and title.startswith(column)), None)
        elif place is not None and cells[0].startswith(row) and not cells[0].startswith("---"):
            found.append(cells[place])
    return found


def number(cell: str) -> float | None:
    """The first number of a cell: 3.42 of `3.42x [3.10, 3.77]`."""
    match = re.search(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?", cell)
    return float(match.group()) if match else None
