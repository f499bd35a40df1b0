"""Where the run of a stage is kept, by what went in: its recipe, its data, and the model that it starts from.

A stage whose fingerprint has a finished run is not run again, whichever recipe names it and wherever that writes to.
Costs the hashing of the stages' data and of the first model's weights. Runs stay until their folder is deleted: they
are hours of work, and never make room for tokens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bert_cli.env import cache_dir
from bert_cli.models.locate import locate
from bert_cli.recipe.schema import Recipe
from bert_cli.run.corpora import corpora_of, in_order_of_content
from bert_cli.run.inputs import data_facts, model_facts, tokenizer_facts
from bert_cli.run.resume import settings_of
from bert_cli.run.rundir import RunDir
from bert_cli.run.stages import Chain, Stage

FORMAT = 1
"""Raised when training itself changes so that kept runs would mislead."""
FOLDER = "stages"
# Where a model lies says nothing about it: its bytes, or the fingerprint of the stage that made it, stand for it.
_OF_THE_START = ("stages", "model.name", "model.revision", "model.allow_bin", "model.tokenizer")


@dataclass(frozen=True)
class Kept:
    """A stage and the run folder that belongs to its fingerprint, which may not be there yet."""

    stage: Stage
    fingerprint: str
    run: RunDir

    @property
    def finished(self) -> bool:
        """Whether it need not be run again."""
        return self.run.read_status().get("state") == "done" and self.run.best.is_dir()

    @property
    def begun(self) -> bool:
        """Whether there is something to go on with."""
        return self.run.path.is_dir() and any(self.run.path.iterdir())

    @property
    def reached(self) -> str:
        """What a finished run was selected by."""
        result = self.run.read_status()["result"]
        value = result["value"]
        return f"{result['metric']} {'undefined' if value is None else f'{value:.4f}'}"

    @property
    def lock(self) -> Path:
        """Held while a process looks at the run or makes it."""
        return self.run.path.with_name(f".lock-{self.run.path.name}")

    def facts(self) -> dict[str, str]:
        """For the lock file of what starts from it."""
        return {"name": self.stage.name, "fingerprint": self.fingerprint}


def kept(chain: Chain, *, offline: bool = False) -> list[Kept]:
    """The run folder of every stage, in their order.

    Raises:
        BertctlError: data or model cannot be found, with the stage named.
    """
    found: list[Kept] = []
    before = ""
    for stage in chain.stages:
        with stage.named():
            if stage.number == 1:
                before = _start(stage.recipe, offline=offline)
            before = _fingerprint(stage.recipe, before, offline=offline)
        folder = cache_dir() / FOLDER / f"{stage.name}-{before[:16]}"
        found.append(Kept(stage, before, RunDir(folder)))
    return found


def left(runs: Sequence[Kept]) -> Sequence[Kept]:
    """The last finished run and those after it: what came before is in its model."""
    last = max((index for index, run in enumerate(runs) if run.finished), default=0)
    return runs[last:]


def _fingerprint(recipe: Recipe, start: str, *, offline: bool) -> str:
    settings = {key: value for key, value in settings_of(recipe).items() if key not in _OF_THE_START}
    if recipe.data.mix:
        corpora = in_order_of_content(corpora_of(recipe, offline=offline))
        settings["data.mix"] = [corpus.weight for corpus in corpora]
    facts = {
        "format": FORMAT,
        "recipe": settings,
        "data": data_facts(recipe, offline=offline),
        "start": start,
        "tokenizer": tokenizer_facts(recipe, offline=offline),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _start(recipe: Recipe, *, offline: bool) -> str:
    """The bytes of the model that the first stage starts from; empty from scratch."""
    model = recipe.model
    if model.name is None:
        return ""
    located = locate(model.name, revision=model.revision, allow_bin=model.allow_bin, offline=offline)
    sums = model_facts(recipe, located, offline=offline)["sha256"]
    return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()
