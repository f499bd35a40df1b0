"""Whether a run may go on, and from where: its recipe and data must be those it began with.

Only reads. What may differ between then and now changes no step: places, devices, the number of ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bert_cli.errors import DataError, ModelError, UsageError
from bert_cli.families.base import Prepared
from bert_cli.recipe.load import load_recipe
from bert_cli.recipe.schema import Recipe
from bert_cli.run.clean import OPTIMIZER
from bert_cli.run.rundir import RunDir
from bert_cli.run.state import Best, Result, TrainState
from bert_cli.train import checkpoint

Note = Callable[[str], None]

_MAY_DIFFER = ("run.", "dist.", "data.source", "eval.batch_tokens", "train.micro_batch_tokens")


def finished(recipe: Recipe, run: RunDir) -> Result | None:
    """The result of a run that has ended well; None of any other.

    Raises:
        UsageError: the recipe has changed (U023).
    """
    status = run.read_status()
    if status.get("state") != "done" or not run.best.is_dir():
        return None
    same_recipe(recipe, run)
    done = status["result"]
    best = Best(done["best_step"], done["value"], done["threshold"], done["scores"])
    stopped = "" if done["stopped"] == "finished" else done["stopped"]
    state = TrainState(step=done["steps"], best=best, stopped=stopped, examples=done["examples"], tokens=done["tokens"])
    state.seconds, state.micro_batch_tokens = done["train_seconds"], done.get("micro_batch_tokens")
    return Result(run, state, done["metric"])


def checkpoint_of(recipe: Recipe, run: RunDir, *, note: Note) -> Path | None:
    """The checkpoint to go on from; None to start afresh.

    Raises:
        UsageError: the recipe has changed (U023).
        ModelError: the checkpoint named is damaged (C001), or the optimizer's state was deleted from it (C022).
    """
    wanted = recipe.run.resume
    if wanted == "never":
        return None
    if wanted == "auto":
        found, rejected = checkpoint.newest(run.checkpoints)
        for sentence in rejected:
            note(sentence)
        if found is None:
            note(f"no checkpoint in {run.path}; starting afresh")
            return None
    else:
        found = Path(wanted).expanduser()
        checkpoint.verify(found)
    _check_whole(found)
    same_recipe(recipe, run)
    note(f"going on from {found}")
    return found


def _check_whole(found: Path) -> None:
    if not (found / OPTIMIZER).is_file():
        raise ModelError(
            "C022",
            "only the weights are left of this checkpoint: bertctl run clean took the optimizer's state away",
            where=str(found),
            key="run.resume",
            found=f"no {OPTIMIZER}",
            allowed="a whole checkpoint",
            help="train on from the weights of its run in a new one: --model RUN --out ANOTHER",
        )


def same_recipe(recipe: Recipe, run: RunDir) -> None:
    """Refuse to go on with a recipe that would have made another run.

    Raises:
        UsageError: it has changed (U023).
    """
    if not run.recipe.is_file():
        return
    old, new = settings_of(load_recipe(str(run.recipe)).recipe), settings_of(recipe)
    if _moved(old["data.mix"], new["data.mix"]):
        new["data.mix"] = old["data.mix"]
    changed = [key for key in new if old.get(key) != new[key]]
    if changed:
        other = (
            f"train on in a new run: --model {run.path} --out ANOTHER" if run.best.is_dir() else "name another --out"
        )
        shown = ", ".join(f"{key}: {old.get(key)} → {new[key]}" for key in changed[:4])
        raise UsageError(
            "U023",
            "the recipe has changed since this run began",
            where=str(run.recipe),
            key=changed[0],
            found=shown,
            allowed="the recipe of the run; run.* and dist.* may differ",
            help=f"give the old values, or {other}",
        )


def _moved(old: object, new: object) -> bool:
    """Whether a mixture has the weights that it had, at other places: which weighs what is told with their data."""
    assert isinstance(old, dict) and isinstance(new, dict)
    return old.keys() != new.keys() and sorted(old.values()) == sorted(new.values())


def check_data(folder: Path, prepared: Prepared) -> None:
    """Refuse to go on from a checkpoint with other data, other tokens of the same data, or in another mixture.

    Raises:
        DataError: the data, the tokenizer of a corpus or the weights of several have changed (D090).
    """
    then: dict[str, str] = checkpoint.read_state(folder)["data"]
    now = prepared.identity
    changed = sorted(name for name in {**then, **now} if then.get(name) != now.get(name))
    if changed:
        raise DataError(
            "D090",
            f"the data have changed since this checkpoint: {', '.join(changed)}",
            where=str(folder),
            key="run.resume",
            found=", ".join(f"{name} {now.get(name, 'absent')[:12]}" for name in changed),
            allowed=", ".join(f"{name} {then.get(name, 'absent')[:12]}" for name in changed),
            help="put the old data back, or start afresh with --overwrite",
        )


def settings_of(recipe: Recipe) -> dict[str, object]:
    """Section and key -> value, for everything that shapes what is trained."""
    flat: dict[str, object] = {}
    for name, value in recipe.model_dump().items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": item for key, item in value.items()}
        else:
            flat[name] = value
    return {key: value for key, value in flat.items() if not key.startswith(_MAY_DIFFER)}
