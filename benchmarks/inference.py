"""Labels for a file of texts by one fine-tuned model: `bertctl predict` against transformers' pipeline.

What counts is the time from the first text read to the last answer written; importing and loading stand in the columns
of the whole process. Engines that compute an exported copy of the model are shown beside it, on bertctl's own batches.
"""

import csv
import importlib.util
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.bench import BATCH, MAX_LENGTH, Bench, Training
from benchmarks.measure import Answer, Run, agreement, take_turns
from benchmarks.report import markdown, table

COLUMN = "sentence"
SORTED = "longest first: pipeline"
ENGINES = {
    "ONNX Runtime, dynamic int8": ("int8", "onnxruntime"),
    "OpenVINO, fp32": ("f32", "openvino"),
    "OpenVINO, bf16": ("bf16", "openvino"),
}
EXPORTERS = ("onnx", "onnxscript")
HEAD = ("engine", "texts/s", "accuracy", "equal labels", "largest difference", "export s, not counted")


@dataclass(frozen=True)
class Job:
    """A model and what it reads: texts to be timed on, and the validation split for its accuracy."""

    bench: Bench
    model: Path
    texts: Path
    validation: Path

    def answers(self, words: Sequence[str], file: Path) -> Run:
        """The run of a module that takes MODEL FILE --out OUT and prints how many texts it answered in what time."""
        with tempfile.TemporaryDirectory(dir=self.bench.scratch) as folder:
            out = Path(folder, "answers.jsonl")
            run, said = self.bench.run(*words, str(self.model), str(file), "--out", str(out), folder=folder)
            with out.open(encoding="utf-8") as lines:
                rows = list(map(json.loads, lines))
        told = json.loads(said.splitlines()[-1])
        answers = tuple(Answer(row["text"], row["probabilities"]) for row in rows)
        return replace(run, examples_per_s=told["items"] / told["seconds"], answers=answers)

    def accuracy(self, words: Sequence[str]) -> float:
        """On the validation split; the classes of the data, sorted, are those of the model in their order."""
        answers = self.answers(words, self.validation).answers or ()
        with self.validation.open(encoding="utf-8", newline="") as lines:
            gold: list[str] = [row["label"] for row in csv.DictReader(lines, delimiter="\t")]
        names = dict(zip(sorted(set(gold)), answers[0].probabilities, strict=True))
        right = [names[wanted] == answer.label for wanted, answer in zip(gold, answers, strict=True)]
        return sum(right) / len(right)


def inference(bench: Bench, pairs: int) -> str:
    """The pairs with the pipeline, then the other engines."""
    with tempfile.TemporaryDirectory(dir=bench.scratch) as folder:
        work = Training(task="sst2", steps=10 * bench.steps, lr=1e-4)
        work.run(bench, folder)
        data = bench.folder("sst2")
        texts = next(file for file in (data / "test.tsv", data / "validation.tsv") if file.exists())
        job = Job(bench, Path(folder, "run", "best"), texts, data / "validation.tsv")
        sides = _sides()
        accuracy = {name: job.accuracy(words) for name, words in sides.items()}

        def side(name: str, _: int) -> Run:
            return replace(job.answers(sides[name], texts), accuracy=accuracy[name])

        peers = {name: partial(side, name) for name in sides if name != "bertctl"}
        found = take_turns(partial(side, "bertctl"), peers, pairs=pairs)
        ours = [pair[1] for runs in found.values() for pair in runs]
        beside = markdown(HEAD, [_row("bertctl", ours, ours[0]), *_engines(job, pairs, ours[0])])
    return (
        f"- {len(ours[0].answers or ())} texts of {texts.name}; the model was fine-tuned for {work.steps} steps; "
        f"examples/s from the first text read to the last answer written\n\n{table(found)}\n\n"
        "For reference, without a claim: engines that compute an export of the model, on the batches of bertctl.\n\n"
        f"{beside}"
    )


def _sides() -> dict[str, list[str]]:
    peer = ["benchmarks.pipeline_peer", "--column", COLUMN, "--max-length", str(MAX_LENGTH), "--batch-size", str(BATCH)]
    return {
        "bertctl": ["benchmarks.timed_predict", "predict", "--offline"],
        "pipeline": peer,
        SORTED: [*peer, "--longest-first"],
    }


def _engines(job: Job, pairs: int, ours: Run) -> list[Sequence[str]]:
    missing = _missing(*EXPORTERS)
    exported = Path(job.bench.scratch, "exported")
    seconds: dict[str, float] = {}
    if not missing:
        _, said = job.bench.run("benchmarks.export", str(job.model), str(exported), folder=str(job.bench.scratch))
        seconds = json.loads(said.splitlines()[-1])
    rows: list[Sequence[str]] = []
    for name, (kind, package) in ENGINES.items():
        absent = [*missing, *_missing(package)]
        if absent:
            rows.append((name, f"not measured: {', '.join(absent)} not installed (extra bench)", *[""] * 4))
            continue
        words = ["benchmarks.engines", "--kind", kind, "--exported", str(exported)]
        accuracy = job.accuracy(words)
        runs = [replace(job.answers(words, job.texts), accuracy=accuracy) for _ in range(pairs)]
        rows.append(_row(name, runs, ours, seconds["onnx"] + (seconds["int8"] if kind == "int8" else 0.0)))
    return rows


def _missing(*packages: str) -> list[str]:
    return [name for name in packages if importlib.util.find_spec(name) is None]


def _row(name: str, runs: Sequence[Run], ours: Run, export: float | None = None) -> Sequence[str]:
    equal, gap = agreement(ours.answers or (), runs[0].answers or ())
    return (
        name,
        f"{statistics.median(run.examples_per_s or 0.0 for run in runs):.1f}",
        f"{runs[0].accuracy:.4f}",
        "" if export is None else f"{equal:.2%}",
        "" if export is None else f"{gap:.1e}",
        "" if export is None else f"{export:.1f}",
    )
