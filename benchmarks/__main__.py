"""`python -m benchmarks [NAMES...]`: measure, print, and write `benchmarks/RESULTS.md`.

Exit status 1 when a run failed or the machine is too busy for numbers that could be quoted.
"""

import argparse
import gzip
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.bench import PACKAGE, Bench, model_folder
from benchmarks.cases import CASES, USUAL_PAIRS, USUAL_STEPS, Case
from benchmarks.measure import BenchmarkError
from benchmarks.report import update
from benchmarks.summary import DOUBT
from benchmarks.toy import write_toys
from bert_cli.env import cpu_name

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
BUSY = 1.5 * CORES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named cases; the exit status."""
    given = _arguments(sys.argv[1:] if arguments is None else arguments)
    load = os.getloadavg()[0]
    if load > BUSY and not given.anyway:
        print(f"error: load average {load:.1f}, limit {BUSY:.1f}; wait, or measure --anyway", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="bertctl-bench-") as scratch:
        try:
            model = model_folder(given.model)
        except BenchmarkError as error:
            return _failed(error)
        bench = Bench(model, given.data or write_toys(Path(scratch)), given.steps, given.threads, Path(scratch))
        status, text = 0, ""
        for name in given.names or [name for name, case in CASES.items() if case.ready(bench.data)]:
            try:
                section = _section(name, bench, given)
            except BenchmarkError as error:
                status = _failed(error)
                continue
            print(f"## {name}\n\n{section}\n", flush=True)
            text = update(given.results, list(CASES), {name: section})
    print(text)
    return status


def _section(name: str, bench: Bench, given: argparse.Namespace) -> str:
    """Measure a case: its terms, whether its figures may be quoted, and its tables."""
    case, began = CASES[name], datetime.now(UTC)
    loads = [os.getloadavg()[0]]
    body = case.section(replace(bench, loads=loads), given.pairs)
    loads.append(os.getloadavg()[0])
    doubts = _doubts(case, given, load=max(loads))
    facts = [
        f"{began:%Y-%m-%d %H:%M} UTC; {cpu_name()}, {CORES} cores, threads: {given.threads}; "
        f"torch {version('torch')}, transformers {version('transformers')}",
        f"load average {loads[0]:.2f} at the start, {loads[-1]:.2f} at the end, {max(loads):.2f} at most",
        f"`python -m benchmarks {name} --pairs {given.pairs} --steps {given.steps}`, "
        f"model {PACKAGE if given.model is None else bench.model.name}"
        + "".join(f", {_rows(bench.data / file)}" for file in case.data),
    ]
    facts += [f"{DOUBT}: {', '.join(doubts)}"] if doubts else []
    lines = "\n".join(f"- {fact}" for fact in facts)
    return f"{lines}\n{body}" if body.startswith("- ") else f"{lines}\n\n{body}"


def _doubts(case: Case, given: argparse.Namespace, *, load: float) -> list[str]:
    """Why the figures may not be quoted; empty where they may."""
    found = {
        "the machine was too busy": case.timed and load > BUSY,
        "toy sentences, not the real data": bool(case.data) and given.data is None,
        f"fewer than {case.pairs} pairs": given.pairs < case.pairs,
        f"fewer than {case.steps} steps": given.steps < case.steps,
    }
    return [reason for reason, holds in found.items() if holds]


def _rows(file: Path) -> str:
    """The rows of each split, the documents of a corpus or the questions of a file, by the name of their folder."""
    if file.suffix == ".gz":
        with gzip.open(file) as lines:
            return f"{file.parent.name} ({sum(1 for _ in lines):,} documents)"
    if file.suffix == ".json":
        articles = json.loads(file.read_text(encoding="utf-8"))["data"]
        asked = sum(len(paragraph["qas"]) for article in articles for paragraph in article["paragraphs"])
        return f"{file.parent.name} ({asked:,} questions)"
    head = 1 if file.suffix == ".tsv" else 0
    counts = []
    for split in ("train", "validation", "test"):
        if file.with_stem(split).exists():
            with file.with_stem(split).open("rb") as lines:
                counts.append(f"{sum(1 for _ in lines) - head:,} {split}")
    return f"{file.parent.name} ({', '.join(counts)} rows)"


def _failed(error: BenchmarkError) -> int:
    print(f"error: {error}", file=sys.stderr, flush=True)
    return 1


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    data = os.environ.get("BERTCTL_DATA")
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="bertctl against the incumbent.")
    parser.add_argument(
        "names", nargs="*", choices=[*CASES, []], metavar="NAME", help=f"{', '.join(CASES)}; default: all"
    )
    parser.add_argument("--pairs", type=int, default=USUAL_PAIRS, help="runs of each side for each peer (%(default)s)")
    parser.add_argument(
        "--steps", type=int, default=USUAL_STEPS, help="optimizer steps of a run, within one epoch (%(default)s)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=data and Path(data),
        help="folder that holds sst2/, rte/, wnut17/, squad2_halfdev/, enwiki_sample/",
    )
    parser.add_argument("--model", type=Path, help=f"model folder; default: that of the package {PACKAGE}")
    parser.add_argument("--threads", type=int, default=CORES, help="threads of every run; default: all cores")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("RESULTS.md"), help="file to update")
    parser.add_argument("--anyway", action="store_true", help=f"measure even at a load average above {BUSY}")
    given = parser.parse_args(words)
    if given.pairs < 1 or given.steps < 2:
        parser.error("at least 1 pair and 2 steps are needed")
    return given


if __name__ == "__main__":
    sys.exit(main())
