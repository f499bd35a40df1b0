"""The published model: a plain Hugging Face folder that needs nothing of bertctl to be used.

Beside weights, configuration and tokenizer it holds `bertctl.json` (what `eval` and `predict` must know: task, columns,
length, threshold, precision, scores), a model card and the sums of all its files. It appears in one rename.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bert_cli import card
from bert_cli.data.split import Split
from bert_cli.env import cpu_name, versions
from bert_cli.errors import ModelError
from bert_cli.families import family_of
from bert_cli.families.base import Prepared
from bert_cli.files import drafted, finite
from bert_cli.models.locate import Located
from bert_cli.recipe.schema import Recipe
from bert_cli.run.asked import WITH_THRESHOLD
from bert_cli.run.build import Built
from bert_cli.run.rundir import RunDir
from bert_cli.run.state import Best, TrainState
from bert_cli.runtime import Runtime
from bert_cli.seal import seal
from bert_cli.tasks import Task

FACTS = "bertctl.json"


@dataclass(frozen=True)
class ModelFacts:
    """What travels with a published model.

    Attributes:
        columns: role -> column of the training data.
        max_length: longest sequence in tokens; batch_tokens: the size of scoring batches.
        precision, onednn: the arithmetic that the scores were taken in.
        threshold: probability from which a label counts (multi-label).
        scores: split -> metric -> value, as recorded when this model was the best.
        splits: scored split -> `origin` (its file), `rows` and `held_out` (share of the origin, where it is one).
        reading: the part of the run's recipe that says how data are read and answers made, as `read_as` gives it.
    """

    task: str
    objective: str
    columns: dict[str, str]
    max_length: int
    batch_tokens: int
    precision: str
    onednn: bool = False
    threshold: float = 0.5
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    reading: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> ModelFacts | None:
        """The facts in a model folder, or None where bertctl did not write it.

        Raises:
            ModelError: the file is damaged (L040).
        """
        file = folder / FACTS
        if not file.is_file():
            return None
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ModelError(
                "L040", f"{FACTS} cannot be read: {error}", where=str(file), help="copy the model again"
            ) from error


def read_as(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe must travel with its model, so that texts are read and answers made as in the run."""
    parts = {
        "data": {"max_length", "labels", "label_separator", "stride", "aggregate", "scheme"},
        "model": {"pooling"},
        "eval": {"n_best", "max_answer_length", "depth"},
    }
    return recipe.model_dump(mode="json", include=parts, exclude_defaults=True)


def publish_best(
    prepared: Prepared, built: Built, *, run: RunDir, best: Best, state: TrainState, runtime: Runtime
) -> None:
    """Write `best/` from the model as it is now, which must be that of the best step."""
    recipe, task = prepared.recipe, prepared.task
    facts = ModelFacts(
        task=task.name,
        objective=task.objective,
        columns=dict(prepared.store.facts["columns"]),
        max_length=recipe.data.max_length,
        batch_tokens=recipe.eval.batch_tokens,
        precision=runtime.precision.name,
        onednn=runtime.precision.onednn,
        threshold=best.threshold,
        scores=best.scores,
        splits={name: _split_facts(split) for name, split in prepared.store.splits.items() if name in best.scores},
        reading=read_as(recipe),
    )
    with drafted(run.best) as draft:
        save_model(prepared, built.model, draft)
        kept = json.dumps(finite(vars(facts)), ensure_ascii=False, indent=1)
        (draft / FACTS).write_text(kept + "\n", encoding="utf-8")
        text = card.model_card(_card(prepared, run=run, best=best, state=state, runtime=runtime))
        (draft / "README.md").write_text(text, encoding="utf-8")
        seal(draft)


def save_model(prepared: Prepared, model: Any, folder: Path) -> None:
    """Weights, configuration, tokenizer and what else the family's models have, for any library to load."""
    model.save_pretrained(str(folder))
    for each in {file.parent for file in folder.rglob("config.json")}:
        _save_tokenizer(prepared.tokenizer, each, max_length=prepared.recipe.data.max_length)
    family_of(prepared.task.objective).furnish(folder, model, prepared)


def _examples(split: Split) -> int:
    """Its examples, or blocks of a corpus."""
    return int(split.facts.get("examples", len(split)))


def _split_facts(split: Split) -> dict[str, Any]:
    return {"origin": split.facts["origin"], "rows": _examples(split), "held_out": split.facts["held_out"]}


def _save_tokenizer(tokenizer: Any, folder: Path, *, max_length: int) -> None:
    """The tokenizer with this run's length, and without what its last call left in it."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
    tokenizer.model_max_length = max(max_length, min(tokenizer.model_max_length, 1_000_000))
    tokenizer.save_pretrained(str(folder))


def _card(prepared: Prepared, *, run: RunDir, best: Best, state: TrainState, runtime: Runtime) -> card.CardFacts:
    recipe, task = prepared.recipe, prepared.task
    splits = prepared.store.splits
    settings: dict[str, Any] = {**recipe.train.model_dump(), "max_length": recipe.data.max_length}
    if recipe.train.budget is not None:
        del settings["epochs"]
    if task.pretrains:
        settings |= {f"mask.{name}": value for name, value in recipe.mask.model_dump().items()}
    gpu = runtime.device_type == "cuda"
    return card.CardFacts(
        name=f"{run.path.name}/{run.best.name}",
        task=task.name,
        objective=task.objective,
        base=None if prepared.located is None else _base(prepared.located),
        data=_data(recipe, task),
        language=task.language,
        labels=prepared.labels or (),
        pairs="text_pair" in prepared.store.facts["columns"],
        aggregate=None if recipe.data.aggregate == "first" else recipe.data.aggregate,
        threshold=best.threshold if task.objective in WITH_THRESHOLD else None,
        splits=tuple(
            card.SplitScores(name, _examples(splits[name]), scores, held_out=splits[name].facts["held_out"])
            for name, scores in best.scores.items()
        ),
        selected_by=(recipe.eval.metric or task.primary, next(iter(best.scores))),
        steps=best.step,
        seed=recipe.train.seed,
        precision=runtime.precision.name,
        hardware="GPU" if gpu else f"CPU, {os.cpu_count()} cores ({cpu_name()})",
        train_examples=_examples(splits["train"]),
        fingerprint=_fingerprint(prepared.store.facts["fingerprints"]),
        hyperparameters=settings,
        versions=versions(),
    )


def _base(located: Located) -> card.Origin:
    """The encoder that training began with: a hub id, or the folder that the user named."""
    if located.hub_id is not None:
        return card.Origin(located.hub_id, True, revision=located.revision)
    # Not `located.folder`: that of a converted model lies in the cache, under a digest.
    folder = Path(os.path.abspath(Path(located.name).expanduser()))
    if (folder / "recipe.yaml").is_file():
        folder /= "best"
    named = located.config.get("_name_or_path")
    return card.Origin(str(folder), False, named=named if isinstance(named, str) else None)


def _fingerprint(fingerprints: dict[str, str]) -> str | None:
    """That of the training split; of a corpus, that of its only file, or one over all of them."""
    if "train" in fingerprints or not fingerprints:
        return fingerprints.get("train")
    if len(fingerprints) == 1:
        return next(iter(fingerprints.values()))
    return hashlib.sha256(json.dumps(fingerprints, sort_keys=True).encode()).hexdigest()


def _data(recipe: Recipe, task: Task) -> card.Origin:
    if recipe.data.mix:
        return card.Origin(", ".join(Path(place).name for place in recipe.data.mix), False)
    source = recipe.data.source or os.environ.get("BERTCTL_DATA")
    if source is None and task.hub is not None:
        return card.Origin(task.hub.path, True, config=task.hub.config)
    if source is not None and source.startswith("hub:"):
        path, _, config = source.removeprefix("hub:").partition(":")
        return card.Origin(path, True, config=config or None)
    return card.Origin(source or task.name, False)
