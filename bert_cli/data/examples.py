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
from bert_cli.data.holdout import holdout
from bert_cli.data.source import Source
from bert_cli.data.targets import TargetReader, Targets
from bert_cli.errors import DataError, UsageError, listing
from bert_cli.recipe.schema import AUTO_SHARE, DataSection
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

    def take(self, rows: npt.NDArray[np.int64], *, name: str | None = None) -> Split:
        """The given rows as a split of their own."""
        return replace(
            self,
            name=name or self.name,
            texts=[self.texts[row] for row in rows],
            pairs=None if self.pairs is None else [self.pairs[row] for row in rows],
            targets=None if self.targets is None else self.targets[rows],
            lines=self.lines[rows],
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
    wanted, validation = _wanted(data, sources, splits)
    held_out = validation is None and "validation" in wanted
    places = {name: validation if name == "validation" and validation else name for name in wanted}
    if held_out:
        del places["validation"]
        places = {"train": "train", **places}
    reader = TargetReader(task, data, labels)
    if reader.needs_training_split and "train" in sources:
        places = {"train": "train", **places}
    tables: dict[str, Columns] = {}
    for name, place in places.items():
        if place not in sources:
            raise _absent(place if name in wanted else "validation", sources)
        tables[name] = read_columns(task, data, sources[place], require_label=name in require_labels)
        check_agreement(next(iter(tables.values())), tables[name])
    reader.learn(tables)
    loaded = {name: _split(name, table, reader) for name, table in tables.items()}
    if held_out:
        loaded["train"], loaded["validation"] = _hold_out(loaded["train"], data, seed)
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


def _wanted(
    data: DataSection, sources: Mapping[str, Source], splits: tuple[str, ...] | None
) -> tuple[list[str], str | None]:
    """Names of the splits to return, and the source of the validation split (None: a share of train)."""
    validation: str | None = None
    if data.validation == "auto":
        validation = "validation" if "validation" in sources else None
    elif (named := data.validation_split) is not None:
        validation = next((name for name, source in sources.items() if named in (name, source.stem)), named)
    if validation is not None and validation.startswith("test"):
        raise UsageError(
            "U064",
            "the test split never selects a model",
            key="data.validation",
            found=data.validation,
            allowed="auto, a share of train as '10%' or 0.1, or another split",
            help="data.validation=10%",
        )
    if splits is not None:
        return list(dict.fromkeys(splits)), validation
    wanted = [name for name in sources if not name.startswith("test") and name != validation]
    if "validation" not in wanted and (validation or "train" in sources):
        wanted.insert(wanted.index("train") + 1 if "train" in wanted else 0, "validation")
    return wanted, validation


def _absent(name: str, sources: Mapping[str, Source]) -> DataError:
    return DataError(
        "D043",
        f"there is no split '{name}' in the data",
        key="data.source",
        found=name,
        allowed=list(sources) or "a folder with train.*",
        help=f"the data have {listing(source.origin for source in sources.values())}; add the split or name another",
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


def _hold_out(train: Split, data: DataSection, seed: int) -> tuple[Split, Split]:
    share = data.validation_share or AUTO_SHARE
    if len(train) < 2:
        raise DataError(
            "D047",
            "nothing can be held out of a single row",
            where=train.origin,
            key="data.validation",
            found=f"{len(train)} row",
            allowed="two rows or more",
            help="add rows, or a validation file",
        )
    targets = np.zeros(len(train), dtype=np.float32) if train.targets is None else train.targets
    stay, held = holdout(targets, share, seed=seed)
    return train.take(stay), replace(train.take(held, name="validation"), held_out=share)
