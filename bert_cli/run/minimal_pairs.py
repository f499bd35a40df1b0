"""The verb `eval` on minimal pairs: how often a masked language model finds the counted sentence the more likely one.

Nothing is trained and nothing is cut. Equal scores count as a pair that is not passed, and are reported. Costs a short
forward pass for each token of each sentence; BLiMP's 67,000 pairs are 1.3 million copies.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from bert_cli.data.columns import TEXT_ROLES
from bert_cli.models.build import check_fits, load_model, positions
from bert_cli.models.locate import Access, Located
from bert_cli.objectives.likelihood import pseudo_log_likelihoods
from bert_cli.recipe.load import load_recipe
from bert_cli.recipe.schema import Recipe
from bert_cli.run import predictions
from bert_cli.run.asked import batch_tokens
from bert_cli.run.find import check_keys, require_task
from bert_cli.run.gates import Gate, check_names
from bert_cli.run.masked_heads import check_masked_head, masking_tokenizer
from bert_cli.run.pairs import Pairs, check_lengths, encode_pairs, read_pairs
from bert_cli.run.rundir import default_out
from bert_cli.run.subject import Subject, find_subject
from bert_cli.runtime import Runtime
from bert_cli.tasks import Task
from bert_cli.track import clock

Note = Callable[[str], None]

MASKINGS = ("token", "word")
EVERY = 20.0
"""Seconds between two lines of progress."""


@dataclass(frozen=True)
class PairScores:
    """How a model did on a set of minimal pairs.

    Attributes:
        origin: the file that was read; n: pairs scored, of so many in it.
        masking: one of `MASKINGS`.
        scores: metric -> share of the pairs whose first sentence is the more likely one.
        groups: role -> one object for each group, with `name`, `n` and the metric.
        equal: pairs whose sentences are equally likely, which are not among that share.
        seconds: time of the forward passes, over 2 · n sentences.
        predictions: the file written.
    """

    model: str
    task: str
    split: str
    origin: str
    n: int
    of: int
    masking: str
    scores: dict[str, float]
    groups: dict[str, list[dict[str, Any]]]
    equal: int
    precision: str
    seconds: float
    predictions: Path

    @property
    def sentences_per_s(self) -> float:
        """Sentences scored in a second."""
        return 2 * self.n / max(self.seconds, 1e-9)

    @property
    def rows(self) -> str:
        """What was scored, in words."""
        if self.n == self.of:
            return f"{self.split}: {self.origin}, {self.n} pairs"
        spread = f", the same share of every {' and '.join(self.groups)}" if self.groups else ""
        return f"{self.split}: {self.origin}, {self.n} of {self.of} pairs{spread}"

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return {**vars(self), "sentences_per_s": self.sentences_per_s, "predictions": str(self.predictions)}


def score_pairs(
    target: str,
    *,
    task: str,
    data: str | None = None,
    split: str = "test",
    masking: str = "token",
    flags: Mapping[str, object] | None = None,
    batch_size: int | None = None,
    overrides: tuple[str, ...] = (),
    gates: Sequence[Gate] = (),
    write_to: Path | None = None,
    note: Note = lambda _: None,
    **access: Unpack[Access],
) -> PairScores:
    """Score a masked language model on a set of minimal pairs, by pseudo-log-likelihood.

    Args:
        target: run folder, model folder or hub id.
        masking: `token` masks each scored token alone (Salazar et al. 2020); `word` masks the rest of its word with it
            (Kauf & Ivanova 2023).
        flags: recipe key -> value, None where it is not given; `data.limit` is a number of pairs in all.
        batch_size: texts of `data.max_length` in one forward pass; shorter ones are more.
        gates: whose scores must be there; `check_gates` compares them.
        write_to: where predictions go; default: the run's folder, or here for a bare model.
        access: see `locate`.

    Raises:
        ModelError: no head for masked words (L045, L027), no mask token (L046), no word boundaries (L047).
        UsageError: a gate on a score that is not there (U053), or a key that is never read (U016).
        DataError: no such split (D043), missing columns (D040), a sentence that is too long (D097) or empty (D098).
    """
    subject, flags = find_subject(target, **access), flags or {}
    recipe = _recipe(subject, flags, task=task, data=data, overrides=overrides, batch_size=batch_size)
    kind = _check_asked(subject, recipe, gates)
    tokenizer = masking_tokenizer(subject.located, masking)
    pairs = read_pairs(kind, recipe.data, split, offline=access.get("offline", False))
    onednn = subject.facts.onednn if subject.facts is not None and flags.get("train.precision") is None else None
    runtime = Runtime(device=recipe.dist.device, precision=recipe.train.precision, onednn=onednn)
    likelihoods, seconds = _likelihoods(
        subject.located, recipe, pairs, tokenizer, whole_words=masking == "word", runtime=runtime, note=note
    )
    path = write_to or _predictions_path(subject, recipe, split, masking, len(pairs) if pairs.limited else None)
    _write(path, pairs, likelihoods)
    return PairScores(
        model=target,
        task=kind.name,
        split=split,
        origin=pairs.origin,
        n=len(pairs),
        of=pairs.of,
        masking=masking,
        **_counted(pairs, likelihoods, kind.primary),
        precision=runtime.precision.name,
        seconds=seconds,
        predictions=path,
    )


def _check_asked(subject: Subject, recipe: Recipe, gates: Sequence[Gate]) -> Task:
    """The task, after refusing what cannot be answered, before any data are read."""
    task = require_task(recipe)
    check_keys(recipe)
    # A set has one score; eval.metrics adds none, and no help may say so.
    check_names(gates, task.metrics, objective="")
    check_masked_head(subject.located, task=task.name)
    return task


def _counted(pairs: Pairs, likelihoods: np.ndarray, metric: str) -> dict[str, Any]:
    """The share of pairs whose first sentence is the more likely one, of all and of each group."""
    first, second = likelihoods.T
    passed = first > second
    return {
        "scores": {metric: float(passed.mean())},
        "groups": {role: _by_group(pairs.cells[role], passed, metric) for role in pairs.groups},
        "equal": int((first == second).sum()),
    }


def _recipe(
    subject: Subject,
    flags: Mapping[str, object],
    *,
    task: str,
    data: str | None,
    overrides: tuple[str, ...],
    batch_size: int | None,
) -> Recipe:
    """Defaults, the arithmetic that the model was selected in, then `overrides`, then `flags`."""
    own = [f"train.precision={subject.facts.precision}"] if subject.facts is not None else []
    flags = {**flags, "data.source": data, "model.name": str(subject.located.folder)}
    recipe = load_recipe(None, task=task, overrides=[*own, *overrides], flags=flags).recipe
    tokens = batch_tokens(batch_size, recipe.data.max_length, default=recipe.eval.batch_tokens)
    return recipe.model_copy(update={"eval": recipe.eval.model_copy(update={"batch_tokens": tokens})})


def _likelihoods(
    located: Located,
    recipe: Recipe,
    pairs: Pairs,
    tokenizer: Any,
    *,
    whole_words: bool,
    runtime: Runtime,
    note: Note,
) -> tuple[np.ndarray, float]:
    """Log-likelihoods of both sentences of each pair `[P, 2]`, and the seconds of the forward passes."""
    encoded = encode_pairs(require_task(recipe), pairs, tokenizer, whole_words=whole_words)
    model: Any = load_model(
        located, auto_class="AutoModelForMaskedLM", need_head=True, attention=recipe.model.attention
    )
    check_fits(model, tokenizer, max_length=0)
    check_lengths(pairs, encoded, positions(model))
    began = time.monotonic()
    flat = pseudo_log_likelihoods(
        model.to(runtime.device),
        [sentence for pair in encoded for sentence in pair],
        mask_token_id=tokenizer.mask_token_id,
        runtime=runtime,
        max_tokens=recipe.eval.batch_tokens,
        progress=_progress(note, 2 * len(pairs)),
    )
    return flat.reshape(-1, 2), time.monotonic() - began


def _progress(note: Note, sentences: int) -> Callable[[float], None]:
    """A line of log now and then: what is done, and how long the rest will take."""
    began = last = time.monotonic()

    def tell(share: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= EVERY and share < 1:
            last = now
            spent = now - began
            left = clock(spent * (1 - share) / share)
            note(f"{100 * share:.0f} % of {sentences} sentences, {sentences * share / spent:.0f} a second, {left} left")

    return tell


def _by_group(names: Sequence[str], passed: np.ndarray, metric: str) -> list[dict[str, Any]]:
    """Size and score of each group, in the order of their names."""
    column = np.array(names)
    rows = [(str(name), passed[column == name]) for name in np.unique(column)]
    return [{"name": name, "n": len(own), metric: float(own.mean())} for name, own in rows]


def _write(path: Path, pairs: Pairs, likelihoods: np.ndarray) -> None:
    """One object for each pair: its cells by role, both log-likelihoods, and which sentence is the more likely one."""
    with predictions.place_for(path) as file:
        for row, (first, second) in enumerate(likelihoods.tolist()):
            likelier = None if first == second else TEXT_ROLES[0] if first > second else TEXT_ROLES[1]
            record = {"line": pairs.lines[row], **{role: cells[row] for role, cells in pairs.cells.items()}}
            file.write(predictions.line(record | {"log_likelihoods": [first, second], "likelier": likelier}))


def _predictions_path(subject: Subject, recipe: Recipe, split: str, masking: str, limit: int | None) -> Path:
    """In the run's folder, or here for a bare model; other data and other settings have another name."""
    words = [split, *([f"{limit}-pairs"] if limit else []), *([masking] if masking != "token" else [])]
    if (source := recipe.data.source) is not None:
        # Two files of one name are two files.
        place = source if source.startswith("hub:") else os.path.abspath(Path(source).expanduser())
        words = [Path(place).name, hashlib.sha256(place.encode()).hexdigest()[:6], *words]
    if subject.run is not None:
        return subject.run.predictions / f"{'-'.join([str(recipe.task), *words])}.jsonl"
    model = default_out(str(recipe.task), str(subject.located.folder)).name
    return Path(f"predictions-{'-'.join([model, *words])}.jsonl")
