"""Which splits are read, from where, and which rows are held out of the training split for validation.

The same for every kind of data: a validation split of its own selects the best model, else a share of train does, drawn
from the seed; test splits never do, and are read only when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, Self, TypeVar

import numpy as np

from bert_cli.data.holdout import holdout
from bert_cli.data.source import Source, called
from bert_cli.errors import DataError, UsageError, listing
from bert_cli.recipe.schema import AUTO_SHARE, DataSection


class Part(Protocol):
    """Rows of a split that a share can be held out of."""

    @property
    def origin(self) -> str: ...

    def __len__(self) -> int: ...

    def take(self, rows: np.ndarray, *, name: str | None = None, held_out: float | None = None) -> Self:
        """The given rows as a split of their own.

        Args:
            held_out: share of its origin that it is, where it was held out of it.
        """
        ...


P = TypeVar("P", bound=Part)


def places(
    data: DataSection, sources: Mapping[str, Source], splits: tuple[str, ...] | None, *, also_train: bool = False
) -> tuple[list[str], dict[str, str]]:
    """Names of the splits that are wanted, and the source that each split to read lies in.

    A wanted `validation` without a place is to be held out of `train`.

    Args:
        splits: names that are asked for; None: all but test splits.
        also_train: whether the training split is read even where nobody asks for it, for what only it can tell.

    Raises:
        UsageError: a test split or the training split is to select the best model (U064).
        DataError: an absent split (D043).
    """
    wanted, validation = _wanted(data, sources, splits)
    found = {name: validation if name == "validation" and validation else name for name in wanted}
    if validation is None and "validation" in wanted:
        del found["validation"]
        found = {"train": "train", **found}
    if also_train and "train" in sources:
        found = {"train": "train", **found}
    for name, place in found.items():
        if place not in sources:
            raise _absent(place if name in wanted else "validation", sources)
    return wanted, found


def load_splits(
    data: DataSection,
    sources: Mapping[str, Source],
    splits: tuple[str, ...] | None,
    *,
    seed: int,
    read: Callable[[str, Source], P],
    also_train: bool = False,
    strata: Callable[[P], np.ndarray] = lambda part: np.zeros(len(part), dtype=np.float32),
) -> dict[str, P]:
    """The wanted splits, in their order.

    Args:
        seed: of the rows that are held out where the validation split is a share of train.
        read: a split from its source.
        also_train: whether the training split is read first even where nobody asks for it.
        strata: class ids `[n]` (int64) to draw each class alike by, or anything else of that length.

    Raises:
        UsageError, DataError: see `places`; too few rows to hold some out (D047), and what `read` raises.
    """
    wanted, found = places(data, sources, splits, also_train=also_train)
    loaded = {name: read(name, sources[place]) for name, place in found.items()}
    if "validation" in wanted and "validation" not in loaded:
        loaded["train"], loaded["validation"] = hold_out(loaded["train"], strata(loaded["train"]), data, seed)
    return {name: loaded[name] for name in wanted}


def hold_out(train: P, strata: np.ndarray, data: DataSection, seed: int) -> tuple[P, P]:
    """The training split without, and with only, the rows that validation takes.

    Raises:
        DataError: there is a single row (D047).
    """
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
    stay, held = holdout(strata, share, seed=seed)
    return train.take(stay), train.take(held, name="validation", held_out=share)


def _wanted(
    data: DataSection, sources: Mapping[str, Source], splits: tuple[str, ...] | None
) -> tuple[list[str], str | None]:
    """Names of the splits to return, and the source of the validation split (None: a share of train)."""
    validation = validation_place(data, sources)
    if splits is not None:
        return list(dict.fromkeys(splits)), validation
    wanted = [name for name in sources if not name.startswith("test") and name != validation]
    if "validation" not in wanted and (validation or "train" in sources):
        wanted.insert(wanted.index("train") + 1 if "train" in wanted else 0, "validation")
    return wanted, validation


def validation_place(data: DataSection, sources: Mapping[str, Source]) -> str | None:
    """Name of the source that the validation split is, there or not; None where it is a share of train.

    Raises:
        UsageError: a test split or the training split is to select the best model (U064).
    """
    validation: str | None = None
    if data.validation == "auto":
        validation = "validation" if "validation" in sources else None
    elif (named := data.validation_split) is not None:
        validation = called(sources, named) or named
    if validation is not None and (validation == "train" or validation.startswith("test")):
        raise UsageError(
            "U064",
            "neither the test split nor the training split selects a model",
            key="data.validation",
            found=data.validation,
            allowed="auto, a share of train as '10%' or 0.1, or another split",
            help="data.validation=10%",
        )
    return validation


def _absent(name: str, sources: Mapping[str, Source]) -> DataError:
    return DataError(
        "D043",
        f"there is no split '{name}' in the data",
        key="data.source",
        found=name,
        allowed=list(sources) or "a folder with train.*",
        help=f"the data have {listing(source.origin for source in sources.values())}; add the split or name another",
    )
