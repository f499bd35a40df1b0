"""Splits of texts with targets: what an objective is given, whatever files the data came from.

Every target is checked against the classes or the score range before anything is trained, with file and line; a split
without labels says so instead of carrying made-up ones. Splits that nobody asks for are not read; 67,000 rows take
about half a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt

from bert_cli.data.columns import Columns, check_agreement, read_columns
from bert_cli.data.source import Source
from bert_cli.data.splits import hold_out, places
from bert_cli.data.targets import TargetReader, Targets
from bert_cli.errors import DataError
from bert_cli.inspect.contents import Contents, answered
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks.base import Task


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of one split.

    Attributes:
        texts: n strings, exactly as in the file.
        pairs: the second strings of pairs, or None.
        targets: `[n]` int64 class ids, `[n, C]` float32 multi-hot, `[n]` float32 scores; None without labels.
        lines: `[n]` int64, where each row begins in `origin`.
        origin: the file inside the given folder, or the split on the hub.
        held_out: share of `origin` that these rows are, where they were held out of it for validation.
        unlabelled: why there are no targets, as a sentence; None where there are.
    """

    name: str
    texts: list[str]
    pairs: list[str] | None
    targets: Targets | None
    lines: npt.NDArray[np.int64]
    origin: str
    unlabelled: str | None = None
    held_out: float | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def empty_texts(self) -> int:
        """How many rows have an empty first text."""
        return sum(not text for text in self.texts)

    def take(self, rows: npt.NDArray[np.int64], *, name: str | None = None, held_out: float | None = None) -> Split:
        """The given rows as a split of their own; `held_out`: share of its origin, where it was held out of it."""
        return replace(
            self,
            name=name or self.name,
            held_out=held_out,
            texts=[self.texts[row] for row in rows],
            pairs=None if self.pairs is None else [self.pairs[row] for row in rows],
            targets=None if self.targets is None else self.targets[rows],
            lines=self.lines[rows],
        )

    def contents(self, labels: tuple[str, ...] | None) -> Contents:
        """The rows as strings; `labels` are the class names that targets count."""
        parts = {"text": self.texts} if self.pairs is None else {"text": self.texts, "text_pair": self.pairs}
        given = answered(self.targets, labels)
        return Contents(
            name=self.name,
            origin=self.origin,
            lines=self.lines,
            parts=parts,
            golds=given.golds,
            classes=given.classes,
            numeric=given.numeric,
            held_out=self.held_out,
        )


@dataclass(frozen=True, eq=False)
class Examples:
    """Splits by name, with what was found out about all of them.

    Attributes:
        labels: class names in the order of their ids; None where there are no classes.
        columns: the column of each role.
        doubts: sentences for the user about data that can be read but are probably not what was meant.
    """

    splits: dict[str, Split]
    labels: tuple[str, ...] | None
    columns: dict[str, str]
    doubts: tuple[str, ...] = ()


def load_examples(
    task: Task,
    data: DataSection,
    *,
    sources: Mapping[str, Source],
    seed: int,
    labels: tuple[str, ...] | None = None,
    require_labels: tuple[str, ...] = ("train", "validation"),
    splits: tuple[str, ...] | None = None,
) -> Examples:
    """Read, check and encode the splits asked for.

    Args:
        sources: where the splits are, from `find_sources`.
        seed: of the rows held out where the validation split is a share of train.
        labels: class names of a trained model; ids in the data keep the meaning that the task or `data.labels` gives.
        require_labels: splits that are no use without labels.
        splits: names to read; None: all but test splits.

    Raises:
        DataError: an absent split (D043), absent labels (D044), too few rows to hold some out (D047), and what reading,
            `read_columns` and the encoding of labels raise.
        UsageError: an unknown role in `data.columns` (U063).
    """
    reader = TargetReader(task, data, labels)
    wanted, found = places(data, sources, splits, also_train=reader.needs_training_split)
    tables: dict[str, Columns] = {}
    for name, place in found.items():
        tables[name] = read_columns(task, data, sources[place], may_lack=() if name in require_labels else ("label",))
        check_agreement(next(iter(tables.values())), tables[name])
    reader.learn(tables)
    loaded = {name: _split(name, table, reader) for name, table in tables.items()}
    if "validation" in wanted and "validation" not in loaded:
        train = loaded["train"]
        strata = np.zeros(len(train), dtype=np.float32) if train.targets is None else train.targets
        loaded["train"], loaded["validation"] = hold_out(train, strata, data, seed)
    loaded = {name: loaded[name] for name in wanted}
    for name, split in loaded.items():
        if reader.has_labels and split.targets is None and name in require_labels:
            raise no_labels(split)
    first = next(iter(tables.values()), None)
    doubts = (reader.doubt,) if reader.doubt else ()
    return Examples(loaded, reader.names, first.names if first else {}, doubts)


def no_labels(split: Split) -> DataError:
    """What to say when a split without labels was to be learnt from or scored."""
    return DataError(
        "D044",
        split.unlabelled or f"split '{split.name}' has no labels",
        where=split.origin,
        key="data.columns.label",
        found=f"{len(split)} rows without a label",
        allowed="a label in every row",
        help="use a split with labels; bertctl predict needs none",
    )


def _split(name: str, table: Columns, reader: TargetReader) -> Split:
    targets, unlabelled = reader.encode(name, table)
    return Split(
        name=name,
        texts=cast(list[str], table.cells.get("text", [])),
        pairs=cast("list[str] | None", table.cells.get("text_pair")),
        targets=targets,
        lines=np.asarray(table.lines, dtype=np.int64),
        origin=table.origin,
        unlabelled=unlabelled,
    )
