"""Several runs that differ in their seed alone, packed onto the devices at hand, and what they reach together.

Every run is a process of its own with one GPU or its share of the cores, in a folder of its own that resumes, scores
and predicts like any other.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bert_cli.env import cores
from bert_cli.errors import Interrupted, Preempted, ProcessFailed, UsageError
from bert_cli.files import finite, publish
from bert_cli.metrics.spread import Spread, spread
from bert_cli.recipe.load import dump_recipe
from bert_cli.recipe.schema import Recipe
from bert_cli.run import rundir, signals
from bert_cli.run.packed import run_packed
from bert_cli.run.resume import same_recipe
from bert_cli.run.rundir import RunDir

Note = Callable[[str], None]

RESULT = "seeds.json"
_SAME_FOR_ALL = (2, 3, 4, 5)
"""Exit codes of mistakes in recipe, data, model or network."""


@dataclass(frozen=True)
class Seeds:
    """How the runs ended.

    Attributes:
        folder: holds one run folder for each seed.
        metric: what `best/` was selected by.
        runs: seed -> the run's result, as `bertctl finetune --json` prints it.
        scores: split -> metric -> spread over the seeds.
    """

    folder: Path
    metric: str
    runs: dict[int, dict[str, Any]]
    scores: dict[str, dict[str, Spread]]

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        scores = {split: {name: asdict(one) for name, one in each.items()} for split, each in self.scores.items()}
        return {"state": "done", "folder": str(self.folder), "metric": self.metric, "scores": scores, "runs": self.runs}


def run_seeds(
    recipe: Recipe,
    count: int,
    *,
    verb: str = "finetune",
    offline: bool = False,
    overwrite: bool = False,
    note: Note = lambda _: None,
) -> Seeds:
    """Train `count` times with the seeds `train.seed`, `train.seed` + 1, …

    Raises:
        UsageError: fewer than two seeds, or a checkpoint to go on from (U085); what `rundir.choose` raises,
            or the recipe is not that of the runs in the folder (U023).
        ProcessFailed: some seeds failed (P040), with the exit code of the first; the others were finished first.
        Interrupted, Preempted: a signal came; what had been trained is saved.
    """
    _check(recipe, count)
    places = workers(recipe.dist.device, count)
    run = _begin(recipe, overwrite=overwrite)
    note(f"{count} seeds in {run.path}, {len(places)} at a time")
    options = ["--json", "--quiet", *(["--offline"] if offline else []), *(["--overwrite"] if overwrite else [])]
    options += ["--resume", "auto"] if recipe.run.resume == "auto" else []
    commands = {
        f"{seed}": [sys.executable, "-m", "bert_cli", verb, str(run.recipe), f"train.seed={seed}", *options, "--out"]
        + [str(run.path / f"seed-{seed}")]
        for seed in range(recipe.train.seed, recipe.train.seed + count)
    }
    runs = _run_all(commands, places, note=note)
    found = Seeds(run.path, next(iter(runs.values()))["metric"], runs, _scores(runs))
    publish(run.path / RESULT, json.dumps(finite(found.as_dict()), ensure_ascii=False, indent=1) + "\n")
    return found


def workers(device: str, count: int) -> list[dict[str, str]]:
    """The environment of each place where a run can be made: one GPU each, else a share of the cores each."""
    gpus = _gpus() if device != "cpu" else []
    if gpus:
        return [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus[:count]]
    usable = max(1, int(cores()))
    places = min(count, usable)
    threads = os.environ.get("OMP_NUM_THREADS") or str(usable // places)
    return [{"OMP_NUM_THREADS": threads} for _ in range(places)]


def _gpus() -> list[str]:
    """GPUs that torch sees, by the names that `CUDA_VISIBLE_DEVICES` takes."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named[:count] if named else [str(index) for index in range(count)]


def _check(recipe: Recipe, count: int) -> None:
    if count < 2:
        raise UsageError(
            "U085",
            "several seeds are at least two",
            key="--seeds",
            found=str(count),
            allowed="2 or more",
            help="train.seed=7 sets the seed of a single run",
        )
    if recipe.run.resume not in ("never", "auto"):
        raise UsageError(
            "U085",
            "several seeds cannot go on from one checkpoint",
            key="run.resume",
            found=recipe.run.resume,
            allowed=["never", "auto"],
            help="--resume auto goes on with each seed's own",
        )


def _begin(recipe: Recipe, *, overwrite: bool) -> RunDir:
    """The folder of all runs, with the recipe that they share; overwriting is left to each seed's own folder.

    Raises:
        UsageError: see `rundir.choose` and `same_recipe`.
    """
    fallback = rundir.fallback_out(recipe, str(recipe.task))
    seeds = fallback.with_name(f"{fallback.name}-seeds")
    run = rundir.choose(recipe, fallback=seeds, overwrite=overwrite, marks=("recipe.yaml", RESULT))
    if not overwrite:
        same_recipe(recipe, run)
    run.path.mkdir(parents=True, exist_ok=True)
    publish(run.path / RESULT, json.dumps({"state": "running"}) + "\n")
    own = recipe.model_copy(update={"run": recipe.run.model_copy(update={"out": None, "resume": "never"})})
    publish(run.recipe, dump_recipe(own))
    return run


def _run_all(
    commands: dict[str, list[str]], places: Sequence[dict[str, str]], *, note: Note
) -> dict[int, dict[str, Any]]:
    """Results by seed; a mistake that every seed would make ends all of them at once."""
    results: dict[int, dict[str, Any]] = {}
    failures: dict[str, int] = {}
    with signals.watched() as asked, closing(run_packed(commands, places, asked=asked)) as ended:
        for one in ended:
            if one.code == 0:
                result = results[int(one.name)] = json.loads(one.out)
                note(f"seed {one.name}: {_told(result)}  ({len(results)} of {len(commands)})")
                continue
            failures[one.name] = one.code
            note(f"seed {one.name} failed:\n{one.errors.strip()}")
            if one.code in _SAME_FOR_ALL:
                break
    if asked.received:
        raise _interrupted(asked.received)
    if failures:
        raise _failed(failures, of=len(commands))
    return dict(sorted(results.items()))


def _told(result: dict[str, Any]) -> str:
    value = result["value"]
    return f"{result['metric']} {value:.4f}" if value is not None else f"no {result['metric']}"


def _scores(runs: dict[int, dict[str, Any]]) -> dict[str, dict[str, Spread]]:
    """The spread of every score that no run has left undefined."""
    found: dict[str, dict[str, Spread]] = {}
    for split, names in next(iter(runs.values()))["scores"].items():
        columns = {name: [run["scores"][split][name] for run in runs.values()] for name in names}
        known = {name: values for name, values in columns.items() if not any(map(_is_undefined, values))}
        found[split] = {name: spread(values) for name, values in known.items()}
    return found


def _is_undefined(value: float | None) -> bool:
    return value is None or math.isnan(value)


def _interrupted(name: str) -> Interrupted | Preempted:
    kind = Interrupted if name == "SIGINT" else Preempted
    return kind(
        "S001",
        f"stopped by {name}; what had been trained was saved",
        help="the same command with --resume auto goes on from there",
    )


def _failed(failures: dict[str, int], *, of: int) -> ProcessFailed:
    seed, code = next(iter(failures.items()))
    error = ProcessFailed(
        "P040",
        f"{len(failures)} of {of} seeds failed: {', '.join(failures)}",
        found=f"seed {seed} was killed by signal {-code}" if code < 0 else f"seed {seed} ended with exit code {code}",
        help="mend that, then the same command with --resume auto: what is finished is kept",
    )
    error.exit_code = code if code > 0 else ProcessFailed.exit_code
    return error
