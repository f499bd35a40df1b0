"""The verb `probe` as a function: an encoder fine-tuned on a few tasks, with the same short settings for each.

Every task has a run folder of its own below one folder; a finished run is taken over, and one that was broken off goes
on. Whatever is missing or has changed for any task is refused before the first is trained.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

from bert_cli.data.source import Source, find_sources
from bert_cli.errors import BertctlError, DataError, ErrorGroup, UsageError, listing, raise_all
from bert_cli.files import finite, publish
from bert_cli.metrics import check_metrics
from bert_cli.metrics.spread import spread
from bert_cli.models.locate import Access, Located, locate
from bert_cli.recipe.load import load_recipe
from bert_cli.recipe.schema import Recipe
from bert_cli.run.find import find
from bert_cli.run.finetune import finetune
from bert_cli.run.inputs import model_facts
from bert_cli.run.publish import ModelFacts
from bert_cli.run.resume import same_recipe
from bert_cli.run.rundir import RunDir, default_out
from bert_cli.run.seeds import run_seeds
from bert_cli.tasks import find_task

Note = Callable[[str], None]

TASKS = ("cola", "sst2", "mrpc", "rte", "stsb")
"""Acceptability, sentiment, paraphrase, entailment and similarity: small sets that want different things."""
RECIPE = "probe/small"
RESULT = "probe.json"


@dataclass(frozen=True)
class Probed:
    """What an encoder reached on one task.

    Attributes:
        metric: what selected the best step; value: its mean over the seeds, None where it is undefined.
        std: sample standard deviation over the seeds; None for one seed.
        n: rows scored; seconds: time in training steps, all seeds together.
        run: the run folder; of several seeds, the one that holds theirs.
    """

    metric: str
    value: float | None
    std: float | None
    n: int
    seconds: float
    run: str


@dataclass(frozen=True)
class Probe:
    """What an encoder reached on all tasks; `seeds` runs of each."""

    model: str
    folder: Path
    seeds: int
    tasks: dict[str, Probed]

    @property
    def mean(self) -> float | None:
        """Over the tasks, whatever their metrics; None where one is undefined."""
        values = [task.value for task in self.tasks.values() if task.value is not None]
        return sum(values) / len(values) if len(values) == len(self.tasks) else None

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        tasks = {name: asdict(task) for name, task in self.tasks.items()}
        return {"model": self.model, "folder": str(self.folder), "seeds": self.seeds, "mean": self.mean, "tasks": tasks}


def probe(
    model: str,
    *,
    tasks: Sequence[str] = TASKS,
    recipe: str = RECIPE,
    overrides: Sequence[str] = (),
    flags: Mapping[str, object] | None = None,
    seeds: int = 1,
    out: Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    note: Note = lambda _: None,
    **access: Unpack[Access],
) -> Probe:
    """Fine-tune an encoder on each task and collect the scores.

    Args:
        model: hub id, model folder or run folder.
        recipe: settings for all tasks, a shipped recipe or a file; it names neither task nor model.
        overrides, flags: see `load_recipe`; they count for every task.
        out: default: `runs/probe-MODEL`.
        overwrite: train finished tasks again.
        quiet: no progress of the training runs.
        access: see `locate`.

    Raises:
        BertctlError: all that is missing, wrong or changed for any of the tasks, at once; then what `finetune` raises.
    """
    located = locate(model, **access)
    folder, offline = out if out is not None else default_out("probe", model), access.get("offline", False)
    _check_tasks(tasks)
    fixed: dict[str, object] = {
        **(flags or {}),
        "model.name": model,
        "model.revision": access.get("revision"),
        "model.allow_bin": access.get("allow_bin"),
        "run.resume": "auto",
    }
    recipes = {}
    for name in dict.fromkeys(tasks):
        own = {**fixed, "task": name, "run.out": str(folder / (name if seeds == 1 else f"{name}-seeds"))}
        recipes[name] = load_recipe(recipe, overrides=overrides, flags=own, verb="probe").recipe
    _check(recipes, None if overwrite else located, offline=offline)
    found: dict[str, Probed] = {}
    for name, one in recipes.items():
        found[name] = _train(one, seeds, offline=offline, overwrite=overwrite, quiet=quiet, note=note)
        told = "undefined" if found[name].value is None else f"{found[name].value:.4f}"
        note(f"{name}: {found[name].metric} {told}  ({len(found)} of {len(recipes)})")
    result = Probe(model, folder, seeds, found)
    publish(folder / RESULT, json.dumps(finite(result.as_dict()), ensure_ascii=False, indent=1) + "\n")
    return result


def _check_tasks(names: Sequence[str]) -> None:
    """Refuse names of no task, and tasks that no encoder is fine-tuned on.

    Raises:
        UsageError: an unknown name (U010), or a task without labels (U090).
    """
    errors: list[BertctlError] = []
    for name in names or ("",):
        try:
            task = find_task(name, key="--tasks")
        except UsageError as error:
            errors.append(error)
            continue
        if "label" not in task.columns:
            errors.append(
                UsageError(
                    "U090",
                    f"an encoder cannot be fine-tuned on the task {name}",
                    key="--tasks",
                    found=f"{name}, which is {task.objective}",
                    allowed="tasks that have labels",
                    help="leave it out of --tasks",
                )
            )
    raise_all(errors)


def _check(recipes: Mapping[str, Recipe], located: Located | None, *, offline: bool) -> None:
    """Refuse what would fail later, each mistake once.

    Args:
        located: the model, where runs that are there already must have begun with it.
    """
    errors: dict[str, BertctlError] = {}
    direct: list[tuple[str, Source]] = []
    for name, recipe in recipes.items():
        try:
            find(recipe, offline=offline)
            metrics = [*recipe.eval.metrics, *filter(None, [recipe.eval.metric])]
            check_metrics(metrics, find_task(name).objective)
            sources = find_sources(find_task(name), recipe.data, offline=offline)
            _check_training_split(name, sources)
            direct += [(name, source) for source in sources.values() if source.split == "train" and _is_direct(source)]
            if located is not None:
                _check_unchanged(recipe, located, sources)
        except BertctlError as error:
            several = error.errors if isinstance(error, ErrorGroup) else (error,)
            errors |= {one.render(): one for one in several}
    raise_all(list(errors.values()))
    if direct and len(recipes) > 1:
        raise _one_for_all([name for name, _ in direct], direct[0][1])


def _is_direct(source: Source) -> bool:
    """Whether the given place is itself the data of a task, and not a folder of such folders."""
    return source.path is not None and (source.root is None or source.path.parent == source.root)


def _one_for_all(tasks: Sequence[str], source: Source) -> UsageError:
    return UsageError(
        "U088",
        "several tasks would be trained on the same data",
        where=str(source.path),
        key="--data",
        found=f"{source.origin} for {listing(tasks)}",
        allowed="a folder that holds a folder for each task",
        help=f"--data {source.path.parent.parent if source.path else 'DIR'}, or one task: --tasks {tasks[0]}",
    )


def _check_training_split(task: str, sources: Mapping[str, Source]) -> None:
    if "train" not in sources:
        raise DataError(
            "D043",
            f"there is no split 'train' in the data of the task '{task}'",
            where=str(next(iter(sources.values())).path),
            key="--data",
            found=listing(source.origin for source in sources.values()),
            allowed="train and, where it is apart, validation",
            help=f"add the file, or leave {task} out of --tasks",
        )


def _check_unchanged(recipe: Recipe, located: Located, sources: Mapping[str, Source]) -> None:
    """Refuse to take over or to go on with runs that began with another recipe, other weights or other data.

    Raises:
        UsageError: recipe (U023), or weights or data (U089).
    """
    assert recipe.run.out is not None, "every task has its folder"
    whole = RunDir(Path(recipe.run.out).expanduser())
    same_recipe(recipe, whole)
    for run in (whole, *(RunDir(path) for path in sorted(whole.path.glob("seed-*")))):
        if not run.lock.is_file():
            continue
        then = json.loads(run.lock.read_text(encoding="utf-8"))
        weights = model_facts(recipe, located)["sha256"]
        data = {name: sources[name].fingerprint() if name in sources else None for name in then["data"]}
        changed = [
            name
            for name, now, before in (("weights", weights, then["model"].get("sha256")), ("data", data, then["data"]))
            if now != before
        ]
        if changed:
            raise UsageError(
                "U089",
                f"this run was begun with other {' and '.join(changed)}, though of the same name",
                where=str(run.path),
                key="--out",
                found=f"other {' and '.join(changed)} than in lock.json",
                allowed="the same weights and data, or a new folder",
                help="--overwrite trains it again, or name another --out",
            )


def _train(recipe: Recipe, seeds: int, *, offline: bool, overwrite: bool, quiet: bool, note: Note) -> Probed:
    """One task, trained or taken over from a finished run."""
    try:
        if seeds == 1:
            runs = [finetune(recipe, offline=offline, overwrite=overwrite, quiet=quiet, note=note).as_dict()]
        else:
            runs = list(run_seeds(recipe, seeds, offline=offline, overwrite=overwrite, note=note).runs.values())
    except BertctlError as error:
        # Training names the flag with which it goes on; a probe goes on without one.
        error.help = error.help and error.help.replace(" with --resume auto", "").replace(" --resume auto", "")
        raise
    values = [run["value"] for run in runs]
    known = [value for value in values if value is not None and not math.isnan(value)]
    spread_of = spread(known) if len(known) == len(values) else None
    facts = ModelFacts.read(Path(runs[0]["model"]))
    return Probed(
        metric=runs[0]["metric"],
        value=None if spread_of is None else spread_of.mean,
        std=None if spread_of is None else spread_of.std,
        n=facts.splits["validation"]["rows"] if facts is not None else 0,
        seconds=sum(run["train_seconds"] for run in runs),
        run=str(recipe.run.out),
    )
