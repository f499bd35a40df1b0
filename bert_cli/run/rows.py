"""Which rows `eval` scores, and whether they are those of the recorded score.

A split lies in a source of its own, or it is the share of the training split that the run held out. Where a run is
scored on its own data, that source must be byte for byte what the run read, and nothing may be changed that decides
which rows were held out: other rows would be rows that the model was trained on. Costs the hashing of one file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from bert_cli.data.source import Source, called, find_sources
from bert_cli.errors import DataError, UsageError, listing
from bert_cli.recipe.schema import DataSection, Recipe
from bert_cli.run.corpora import NamedCorpus, corpora_of
from bert_cli.run.find import require_task
from bert_cli.run.rundir import RunDir

# What decides which rows of a training split are held out, with the flag that says the same.
_DRAWN_BY = {"data.limit": "--limit", "data.validation": "data.validation"}
_DRAWN_FROM_ROWS_BY = {**_DRAWN_BY, "train.seed": "train.seed"}
_DRAWN_FROM_DOCUMENTS_BY = {**_DRAWN_BY, "data.documents": "data.documents", "data.columns": "data.columns"}


@dataclass(frozen=True)
class Rows:
    """Where the rows of a split lie.

    Attributes:
        held_out: whether they are a share of the training split.
        sources: what is read, by the names of `lock.json`: a source of the data, or the corpora.
    """

    held_out: bool
    sources: Mapping[str, Source | NamedCorpus]

    @property
    def files(self) -> dict[str, str]:
        """Name -> path, or the hub's name of the split."""
        found: dict[str, str] = {}
        for name, source in self.sources.items():
            found |= source.files if isinstance(source, NamedCorpus) else {name: _shown(source)}
        return found

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Name -> SHA-256 of the file, or what stands for it on the hub."""
        found: dict[str, str] = {}
        for name, source in self.sources.items():
            found |= source.fingerprints if isinstance(source, NamedCorpus) else {name: source.fingerprint()}
        return found


def _shown(source: Source) -> str:
    return str(source.path) if source.path is not None else f"hub:{source.origin}"


def find_rows(recipe: Recipe, split: str, *, file_split: str, offline: bool = False) -> Rows:
    """Where the rows of `split` lie.

    Args:
        file_split: the split that a single data file stands for.

    Raises:
        DataError: the data have no such split (D043), and what `find_sources` and `corpora_of` raise.
    """
    task = require_task(recipe)
    if task.pretrains:
        corpora = corpora_of(recipe, offline=offline)
        if split not in ("train", "validation"):
            raise _no_split(split, ["train", "validation"])
        # A corpus named for this evaluation is scored whole; that of a run is mostly what it learned from.
        held_out = split == "validation" and file_split == "train"
        return Rows(held_out, {corpus.place: corpus for corpus in corpora})
    sources = find_sources(task, recipe.data, offline=offline, file_split=file_split)
    name = _source_of(split, recipe.data, sources)
    if name not in sources:
        raise _no_split(split, [*sources, *(["validation"] if "train" in sources else [])])
    return Rows(split == "validation" and name == "train", {name: sources[name]})


def _source_of(split: str, data: DataSection, sources: Mapping[str, Source]) -> str:
    """The name of the source that a split is read from."""
    if split != "validation":
        return split
    if data.validation == "auto":
        return "validation" if "validation" in sources or "train" not in sources else "train"
    named = data.validation_split
    if named is None:
        return "train"
    return called(sources, named) or named


def _no_split(split: str, there: list[str]) -> DataError:
    return DataError(
        "D043",
        f"there is no split '{split}' in the data",
        key="--split",
        found=split,
        allowed=list(dict.fromkeys(there)),
        help="name one of these, or score a file of your own: --data FILE",
    )


def check_unchanged(run: RunDir, rows: Rows, recipe: Recipe, split: str) -> None:
    """Refuse to score a run on data of its own that have changed since. What no training read is not recorded.

    Raises:
        DataError: another file, or the same with other bytes (D091).
    """
    if not run.lock.is_file():
        return
    then: dict[str, str] = json.loads(run.lock.read_text(encoding="utf-8"))["data"]
    if not require_task(recipe).pretrains:
        name = next(iter(rows.sources))
        if split == "validation" and recipe.data.validation == "auto":
            name = "validation" if "validation" in then else "train"
        then = {name: then[name]} if name in then else {}
    now = rows.fingerprints
    changed = sorted(name for name in {**then, **now} if then.get(name) != now.get(name))
    if then and changed:
        place = next((rows.files[name] for name in changed if name in now), str(recipe.data.source))
        raise DataError(
            "D091",
            f"the data behind the split '{split}' are not those that the run read",
            where=place,
            key="data.source",
            found=_fingerprints(now, changed),
            allowed=_fingerprints(then, changed),
            help="put the old file back, or score new data on purpose: --data FILE",
        )


def trained_on(run: RunDir, rows: Rows) -> str | None:
    """A word of doubt where the rows to be scored are those that the run has learned from; None of any others."""
    if rows.held_out or not run.lock.is_file():
        return None
    data: dict[str, str] = json.loads(run.lock.read_text(encoding="utf-8"))["data"]
    # A corpus is recorded by the names of its files, all of which were learned from.
    learned = {data["train"]} if "train" in data else set(data.values())
    files = [rows.files[name] for name, fingerprint in rows.fingerprints.items() if fingerprint in learned]
    return (
        f"{files[0]} is the file that the run was trained on: its scores say little about new texts" if files else None
    )


def _fingerprints(known: Mapping[str, str], names: list[str]) -> str:
    shown = [f"{name} {known[name][:12] if len(known[name]) == 64 else known[name]}" for name in names if name in known]
    return listing(shown, 4) or f"no {listing(names, 4)}"


def check_same_rows(run: RunDir, rows: Rows, recipe: Recipe, recorded: Recipe) -> None:
    """Refuse to hold out other rows of a run's training file than the run did.

    Raises:
        UsageError: a key that decides about them differs (U055).
    """
    if not rows.held_out or not run.lock.is_file():
        return
    then: dict[str, str] = json.loads(run.lock.read_text(encoding="utf-8"))["data"]
    if any(then.get(name) != fingerprint for name, fingerprint in rows.fingerprints.items()):
        return
    drawn_by = _DRAWN_FROM_DOCUMENTS_BY if require_task(recorded).pretrains else _DRAWN_FROM_ROWS_BY
    for key, name in drawn_by.items():
        section, _, field = key.partition(".")
        now, before = (getattr(getattr(each, section), field) for each in (recipe, recorded))
        if now != before:
            raise UsageError(
                "U055",
                "the run was trained on this file but for the rows that it held out, and these would be others",
                where=", ".join(rows.files.values()),
                key=name,
                found=f"{key}={_shown_value(now)}",
                allowed=f"{key}={_shown_value(before)}, as in the run",
                help="bertctl eval RUN alone scores the rows held out; --data FILE scores other data",
            )


def _shown_value(value: object) -> str:
    return "null" if value is None else str(value)
