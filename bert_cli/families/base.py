"""What a family of tasks is: everything outside the training step that differs between labelled kinds of data.

Training, `eval` and `predict` take one road: read rows, encode them to tokens, let the model score those, and turn what
it said into answers. A family says how rows become tokens and how scores become answers; an objective, which it makes,
says how they are learnt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bert_cli.data.read import Record
from bert_cli.data.source import Source
from bert_cli.data.split import Split
from bert_cli.data.store import EncodedChunk, Store
from bert_cli.inspect.contents import Contents
from bert_cli.metrics import Scorer
from bert_cli.models.locate import Located
from bert_cli.objectives.base import Objective
from bert_cli.recipe.schema import Recipe
from bert_cli.tasks import Task
from bert_cli.train.evaluate import Scored


@dataclass(frozen=True)
class Reading:
    """How data are read, and what the outputs of a model mean.

    Attributes:
        recipe: the run's, or the part of it that travels with a published model.
        task: with the recipe's columns and labels worked in.
        labels: class names in the order of the model's outputs; None where there are no classes.
        folder: where the model lies; None for one from scratch.
    """

    recipe: Recipe
    task: Task
    tokenizer: Any
    labels: tuple[str, ...] | None
    folder: Path | None = None

    @property
    def task_order(self) -> tuple[int, ...] | None:
        """Place of each of the task's classes in `labels`, in the task's order; None where they agree."""
        given = self.recipe.data.labels if self.recipe.data.labels != "auto" else self.task.labels
        if self.labels is None or given is None:
            return None
        places = {name.casefold(): place for place, name in enumerate(self.labels)}
        order = tuple(places[name.casefold()] for name in given)
        return None if order == tuple(range(len(order))) else order


@dataclass(frozen=True, kw_only=True)
class Prepared(Reading):
    """A recipe whose names have all been found, and its data as tokens.

    Attributes:
        located: the encoder's folder, or None for a model from scratch.
    """

    located: Located | None
    store: Store

    @property
    def identity(self) -> dict[str, str]:
        """What the rows come from: fingerprints of the sources by name, and of corpora their tokenizer and mixture."""
        facts = self.store.facts
        return {**facts["fingerprints"], **{name: facts[name] for name in ("tokenizer", "mix") if name in facts}}


@dataclass(frozen=True)
class Request:
    """What is to be read of the data.

    Attributes:
        recipe: its `data` section and seed count.
        sources: where each split is.
        splits: names of those to read, in this order.
        labelled: those of them that are no use without labels.
        model_labels: class names of a trained model, which the data must use; None where the data say them.
    """

    recipe: Recipe
    task: Task
    sources: Mapping[str, Source]
    splits: tuple[str, ...]
    labelled: tuple[str, ...]
    model_labels: tuple[str, ...] | None = None


class Rows(Protocol):
    """Examples of one split as a family reads them; `encode` knows what else they hold.

    Attributes:
        origin: the file inside the given folder, or the split on the hub.
        held_out: share of `origin` that they are, where they were held out of it for validation.
        empty_texts: how many of them have nothing to read.
    """

    @property
    def name(self) -> str: ...
    @property
    def origin(self) -> str: ...
    @property
    def held_out(self) -> float | None: ...
    @property
    def empty_texts(self) -> int: ...

    def __len__(self) -> int: ...

    def contents(self, labels: tuple[str, ...] | None) -> Contents:
        """What checks of data look at; `labels` are the names of the classes."""
        ...


@dataclass(frozen=True)
class Loaded:
    """Splits by name, with what was found out about all of them.

    Attributes:
        labels: class names in the order of their ids; None where there are no classes.
        columns: the column of each role.
        doubts: sentences for the user about data that can be read but are probably not what was meant.
    """

    splits: Mapping[str, Rows]
    labels: tuple[str, ...] | None
    columns: dict[str, str]
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Head:
    """The head that a family's models have.

    Attributes:
        auto_class: the class of `transformers` that builds it.
        suffix: how the names in `architectures` end where a checkpoint has one; None where a bare encoder serves.
        what: what it reads, for messages (`texts`, `tokens`).
        named: whether its outputs are classes with names.
    """

    auto_class: str
    suffix: str | None
    what: str
    named: bool = True


class Answers(Protocol):
    """What a model said about the examples of a split, and what that is worth.

    Attributes:
        n: examples, however many rows of tokens they were read in.
        scores: losses and metrics by name; empty where nothing is known to compare with.
        threshold: the one that decisions were taken at.
    """

    @property
    def n(self) -> int: ...
    @property
    def scores(self) -> dict[str, float]: ...
    @property
    def threshold(self) -> float: ...

    def report(self) -> dict[str, Any]:
        """The scores in detail, as plain values."""
        ...

    def rows(self) -> Iterator[dict[str, Any]]:
        """One object for each example, in the split's order: what was read, gold where it is known, and the answer."""
        ...

    def files(self) -> Mapping[str, Any]:
        """Further files of predictions: suffix -> JSON value; those of a format that official scorers read."""
        ...


class Family(Protocol):
    """One kind of task, beside its training step."""

    head: Head

    def model_settings(self, reading: Reading) -> dict[str, Any]:
        """What `load_model` must know beside the class: `labels`, `problem_type`."""
        return {}

    def objective(
        self, reading: Reading, *, takes_type_ids: bool, training: bool = False, train: Split | None = None
    ) -> Objective:
        """How it is learnt and scored.

        Args:
            takes_type_ids: whether model and tokenizer know segments.
            training: whether class weights, label smoothing and the like count.
            train: the split that is trained on, where `training`.
        """
        ...

    def answers(
        self, split: Split, scored: Scored, reading: Reading, *, threshold: float | None, scorer: Scorer | None = None
    ) -> Answers:
        """What the model said about a split.

        Args:
            split: rows of tokens as `encode` made them, on disk or in memory.
            scored: its scores, in the split's order.
            threshold: at which decisions are taken; None tunes it on this split.
            scorer: the metrics that are asked for; None where nothing is known to compare with.
        """
        ...

    def furnish(self, folder: Path, model: Any, reading: Reading) -> None:
        """Write what a published model has beside its weights, configuration and tokenizer; usually nothing."""
        return None


class Labelled(Family, Protocol):
    """A family whose data are rows with labels, scores or other answers."""

    def load(self, request: Request) -> Loaded:
        """Read and check the splits asked for; every mistake names its file and line."""
        ...

    def records(self, records: Sequence[Record], reading: Reading, *, origin: str, columns: Mapping[str, str]) -> Rows:
        """Rows without labels, as `predict` reads them; `reading.task.columns` has the names a model knows.

        Args:
            origin: what to call their source in messages.
            columns: role -> column, where the user says it.
        """
        ...

    def encode(self, rows: Any, reading: Reading) -> Iterator[EncodedChunk]:
        """Examples as rows of tokens, about `CHUNK` rows at a time."""
        ...


@dataclass(frozen=True)
class Plain:
    """Answers whose scores were found when they were made, without a report of their own.

    Attributes:
        threshold: 0.5 where no decision depends on one.
    """

    n: int
    scores: dict[str, float]
    threshold: float = 0.5
    details: dict[str, Any] = field(default_factory=dict)

    def report(self) -> dict[str, Any]:
        """The details as they are."""
        return self.details

    def rows(self) -> Iterator[dict[str, Any]]:
        """None: examples have no answers of their own."""
        return iter(())

    def files(self) -> Mapping[str, Any]:
        """None."""
        return {}
