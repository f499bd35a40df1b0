"""The stages of a recipe and the recipe itself, made ready for their first step one after the other, none trained.

A stage that has not been run hands on its model as it is at the start, so that everything which can be wrong with the
last recipe is found before the first one trains. Costs reading and tokenising, which training then finds in the cache,
and writing each model once to a temporary folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bert_cli.families import family_of
from bert_cli.families.base import Prepared
from bert_cli.models.heads import head_labels, same_labels
from bert_cli.models.locate import locate
from bert_cli.recipe.schema import Recipe
from bert_cli.run.build import Built, build
from bert_cli.run.find import reads, require_task
from bert_cli.run.finetune import Note, make_scorer, prepare
from bert_cli.run.prepare import labels_in_data
from bert_cli.run.publish import save_model
from bert_cli.run.stage_cache import Kept, left
from bert_cli.run.stages import Chain, Stage, going_on
from bert_cli.track import check_trackers


def rehearse(
    chain: Chain, runs: Sequence[Kept], *, offline: bool = False, note: Note = lambda _: None, keep: bool = True
) -> Iterator[tuple[Stage, Prepared, Built]]:
    """Each stage that has no finished run, then the recipe itself, ready to be trained.

    Args:
        keep: leave tokens in the cache.

    Raises:
        BertctlError: whatever would end training before its first step, with the stage named.
    """
    before: tuple[Recipe, Path] | None = None
    with TemporaryDirectory(prefix="bertctl-") as scratch:
        for run in (*left(runs), None):
            stage = chain.last if run is None else run.stage
            if run is not None and run.finished:
                before = stage.recipe, run.run.path
                continue
            with stage.named():
                check_trackers(stage.recipe.run.trackers)
                recipe = stage.recipe if before is None else started(stage.recipe, *before, offline=offline)
                prepared = prepare(recipe, offline=offline, note=note, keep=keep)
                make_scorer(prepared)
                built = build(prepared, note=note, processes=recipe.dist.processes)
                yield stage, prepared, built
                if run is not None:
                    before = stage.recipe, Path(scratch, str(stage.number))
                    save_model(prepared, built.model, before[1])


def started(recipe: Recipe, before: Recipe, folder: Path, *, offline: bool = False) -> Recipe:
    """The recipe of a stage with the model that the one before has made, whose head it keeps where that fits.

    Args:
        before: the recipe of the stage before; folder: its run folder, or its model.
    """
    return going_on(recipe, str(folder), reset_head=_needs_head(recipe, before, folder, offline=offline))


def _needs_head(recipe: Recipe, before: Recipe, folder: Path, *, offline: bool) -> bool:
    """Whether the model has a head, and one of another kind of answer or of other classes."""
    task, made = require_task(recipe), require_task(before)
    head = family_of(task.objective).head
    if made.pretrains or family_of(made.objective).head.suffix is None:
        return False
    if not reads(task.objective, "model.reset_head") or head.suffix is None:
        return False
    if made.objective != task.objective:
        return True
    if not head.named:
        return False
    trained = head_labels(locate(str(folder)).config, head.suffix)
    wanted = recipe.data.labels if recipe.data.labels != "auto" else task.labels
    wanted = wanted or labels_in_data(recipe, offline=offline)
    return trained is None or wanted is None or not same_labels(trained, wanted)
