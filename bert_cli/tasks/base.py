"""What a task is: data, not code.

A `Task` names where a dataset lies, which columns and labels it has and how it is scored; an objective does the rest.
Everything a recipe leaves open about the data comes from here. Costs nothing to import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bert_cli.errors import DataError

Row = dict[str, object]

MASKED, NEXT, ORDER = "fill-mask", "fill-mask-nsp", "fill-mask-sop"
REPLACED = "replaced-token-detection"
PRETRAINING = (MASKED, NEXT, ORDER, REPLACED)
"""Objectives that learn from raw text, which has no labels."""
MINIMAL_PAIRS = "minimal-pairs"
"""The objective of sets that a masked language model is measured on as it is; nothing is learnt from them."""


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A dataset on the hub: repository, configuration, and the hub's split name for each of ours.

    Attributes:
        splits: our split -> the hub's, or `OWNER/NAME:CONFIG:SPLIT` where it lies in another repository.
        beside: what all splits share, as `corpus` and `queries` of judgements -> configuration and split of it.
    """

    path: str
    config: str | None = None
    splits: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One dataset or one generic form of data.

    Attributes:
        name: what `--task` takes.
        objective: `text-classification`, `multi-label-classification`, `text-regression`, `token-classification`,
            `question-answering`, `multiple-choice`, `sentence-similarity`, `text-ranking`, `MINIMAL_PAIRS`, or one of
            `PRETRAINING`.
        summary: one line for `task ls`.
        hub: where the data lie when no folder is given; None where the hub has none.
        folders: names of the folder inside a local mirror of many tasks, most usual first.
        splits: our split name -> file stems that may hold it. The first `validation*` split selects the best model;
            further ones (`validation_mismatched`) are scored beside it.
        columns: role (`text`, `text_pair`, `label`) -> column names that may hold it, most usual first. Of minimal
            pairs, `text` is the sentence that is counted when it is the more likely one; roles beside the two texts
            name groups that are scored apart.
        labels: class names in the order of their ids; None means: read them from the training split.
        label_aliases: other spellings of a class name -> the class name.
        score_range: lowest and highest score of a regression.
        metrics: names that `bert_cli.metrics` knows.
        primary: the one of them that selects the best model; `bert_cli.metrics.larger_is_better` tells whether by its
            largest value or, as for `loss`, by its smallest.
        optional: roles that the data may lack (`text_pair` in the generic tasks).
        language: ISO 639-1 code, or None where any.
        prepare: changes one row (canonical roles in and out) before encoding; None leaves it out, as its publishers
            ask. It may raise a DataError, to which the reader adds file and line.
        scheme: how tags mark entities where `data.scheme` is `auto`; `auto` here too: as the tags say.
        shared_tokens: of minimal pairs, only the tokens that both sentences have are scored (Nangia et al. 2020).
    """

    name: str
    objective: str
    summary: str
    splits: Mapping[str, tuple[str, ...]]
    columns: Mapping[str, tuple[str, ...]]
    metrics: tuple[str, ...]
    primary: str
    hub: Hub | None = None
    folders: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None
    label_aliases: Mapping[str, str] = field(default_factory=dict)
    score_range: tuple[float, float] | None = None
    optional: frozenset[str] = frozenset()
    language: str | None = "en"
    prepare: Callable[[Row], Row | None] | None = None
    scheme: str = "auto"
    shared_tokens: bool = False

    @property
    def pretrains(self) -> bool:
        """Whether it learns from raw text."""
        return self.objective in PRETRAINING


@dataclass(frozen=True)
class Mark:
    """What is put around the characters from `start` to `end` of a text."""

    start: int
    end: int
    before: str
    after: str


def marked(text: str, *marks: Mark) -> str:
    """The text with marks around some of its characters, as a plain text classifier can read them.

    Raises:
        DataError: a mark lies outside the text (D148).
    """
    for mark in marks:
        if not 0 <= mark.start < mark.end <= len(text):
            raise DataError(
                "D148",
                "the characters that are asked about lie outside the text",
                found=f"{mark.start} to {mark.end} of {len(text)} characters",
                allowed="places inside of it, counted from 0",
                help="correct the row, or delete it",
            )
    pieces = [(mark.start, 1, mark.before) for mark in marks] + [(mark.end, 0, mark.after) for mark in marks]
    for place, _, piece in sorted(pieces, key=lambda item: item[:2], reverse=True):
        text = text[:place] + piece + text[place:]
    return text
