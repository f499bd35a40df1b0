"""How much disk a run takes: looked at before its first step, and kept under the recipe's limit from then on.

A checkpoint holds the weights and two moments of each that learns. While one is written, the newest one, the best one
and whatever else `run.keep` says are still there, so the most that a run takes at once is known before it begins.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass

from bert_cli.errors import ResourceError
from bert_cli.recipe.amount import Amount
from bert_cli.recipe.schema import Recipe
from bert_cli.run.build import Built
from bert_cli.run.rundir import RunDir
from bert_cli.run.runs import size_of
from bert_cli.train import checkpoint
from bert_cli.train.due import Due

GB = 1e9
LEAST = 3
"""Checkpoints that cannot be done without: the best one, the newest one, and the one that is being written."""

BESIDE = 200_000
"""Bytes for what is written beside numbers: their names, manifests, records."""


@dataclass(frozen=True)
class Need:
    """What a run writes.

    Attributes:
        weights: bytes of the model, once in `best/`.
        checkpoint: bytes of the weights and of the optimizer's state.
        saves: how many checkpoints it makes, or more.
    """

    weights: int
    checkpoint: int
    saves: int

    @classmethod
    def of(cls, recipe: Recipe, built: Built) -> Need:
        """That of a run that is about to begin."""
        # Tied weights are saved once.
        tensors = {tensor.data_ptr(): tensor.nbytes for tensor in built.model.state_dict().values()}
        moments = sum(2 * parameter.nbytes for group in built.groups for _, parameter in group.named)
        weights = sum(tensors.values())
        return cls(weights, weights + moments, _saves(recipe, built))

    def at_once(self, checkpoints: int) -> int:
        """Bytes where at most so many checkpoints are there at a time."""
        several = min(checkpoints, self.saves)
        numbers = max(several * self.checkpoint, min(several, checkpoints - 1) * self.checkpoint + self.weights)
        return numbers + BESIDE


def _saves(recipe: Recipe, built: Built) -> int:
    plan = built.plan
    if plan.total_steps is None:
        return sys.maxsize
    times = [
        Due(Amount.parse(every), plan).times_in(plan.total_steps)
        for every in (recipe.eval.every, recipe.run.save_every)
    ]
    known = [time for time in times if time is not None]
    return min(plan.total_steps, sum(known) + 1) if len(known) == len(times) else plan.total_steps


def limit_of(recipe: Recipe) -> int | None:
    """Bytes that a run folder may hold; None where the recipe says nothing."""
    return None if recipe.run.max_gb is None else round(recipe.run.max_gb * GB)


def check_room(recipe: Recipe, run: RunDir, built: Built, *, overwrite: bool) -> None:
    """Refuse a run for which there is no room; nothing is written.

    Args:
        overwrite: what the run folder holds is going to be deleted.

    Raises:
        ResourceError: it needs more than is free (P011), or than `run.max_gb` allows (P012).
    """
    need, limit = Need.of(recipe, built), limit_of(recipe)
    wanted = need.at_once(recipe.run.keep + 2)
    if limit is not None:
        least = need.at_once(LEAST)
        if least > limit:
            raise _beyond(run, limit, least)
        wanted = min(wanted, limit)
    place = next(path for path in (run.path, *run.path.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    there = size_of(run.path if overwrite else run.checkpoints) if run.path.is_dir() else 0
    if wanted > free + there:
        raise ResourceError(
            "P011",
            "there is not enough free space for what this run writes",
            where=str(run.path),
            key="run.out",
            found=f"{_size(free)} free",
            allowed=f"{_size(wanted - there)}: checkpoints of {_size(need.checkpoint)} each and a model of "
            f"{_size(need.weights)}",
            help="free some space, name another --out, or set run.max_gb and a smaller run.keep",
        )


def make_room(recipe: Recipe, run: RunDir, *, coming: int) -> None:
    """Delete checkpoints until so many bytes more stay below the limit: the oldest first, never the newest or the best.

    Raises:
        ResourceError: they do not, whatever is deleted (P012).
    """
    limit = limit_of(recipe)
    if limit is None:
        return
    coming += BESIDE
    there = sorted(run.checkpoints.glob("step-*"))
    best = checkpoint.read_state(there[-1])["best"] if there else None
    protected = [] if best is None else [f"step-{best['step']:08d}"]
    for keep in range(len(there), 0, -1):
        if size_of(run.path) + coming <= limit:
            return
        checkpoint.prune(run.checkpoints, keep=keep, protect=protected)
    needed = size_of(run.path) + coming
    if needed > limit:
        raise _beyond(run, limit, needed)


def _beyond(run: RunDir, limit: int, needed: int) -> ResourceError:
    return ResourceError(
        "P012",
        "the run does not fit into run.max_gb",
        where=str(run.path),
        key="run.max_gb",
        found=_size(limit),
        allowed=f"at least {_size(needed)}: the newest checkpoint, the best one and the one that is being written",
        help=f"run.max_gb={needed / GB * 1.05:.3g}, with --resume auto where the run has begun",
    )


def _size(count: float) -> str:
    return f"{count / GB:.2f} GB" if count >= GB / 10 else f"{count / 1e6:.2f} MB"
