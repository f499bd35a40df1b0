"""Class names and ids: which class a raw label means, and which classes a data set has.

A label may be written as name, alias or id; whatever means no class is refused with its file and line, so every target
is a class of the model. Values are looked at once each, then cost a dictionary access.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bert_cli.errors import DataError, listing

# With fewer rows, a class in nearly every one may be all that somebody has.
FEW_ROWS, MANY_ROWS = 10, 50

_WHOLE = re.compile(r"[+-]?\d+(\.0*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def label_text(raw: object) -> str:
    """The one spelling of a label: JSON booleans in lower case, whole floats as integers, all else as written."""
    if isinstance(raw, bool | np.bool_):
        return "true" if raw else "false"
    if isinstance(raw, float) and raw.is_integer():
        return str(int(raw))
    return str(raw)


def whole_number(raw: object) -> int | None:
    """The integer that a label writes (`3`, `"3"`, `3.0`), or None. Booleans are words, not numbers."""
    text = label_text(raw)
    return int(text.partition(".")[0]) if _WHOLE.fullmatch(text) and len(text) < 20 else None


def is_missing(raw: object) -> bool:
    """No label at all: null, an empty cell, NaN."""
    return raw is None or (isinstance(raw, str) and not raw.strip()) or (isinstance(raw, float) and math.isnan(raw))


@dataclass(frozen=True)
class LabelSet:
    """Class names in the order of their ids, with other spellings of them."""

    names: tuple[str, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _ids(self) -> dict[str, int]:
        ids = {name: index for index, name in enumerate(self.names)}
        return {**{alias: ids[name] for alias, name in self.aliases.items() if name in ids}, **ids}

    @cached_property
    def _folded(self) -> dict[str, int | None]:
        folded: dict[str, int | None] = {}
        for name, index in self._ids.items():
            fold = name.casefold()
            folded[fold] = index if folded.get(fold, index) == index else None
        return folded

    @cached_property
    def _numeric_names(self) -> bool:
        return any(whole_number(name) is not None for name in self.names)

    def resolve(self, raw: object) -> int | None:
        """The id of the class that `raw` means: a name, an alias, a name in another case, or an id; None for no class.

        Where names are themselves numbers, numbers are names only: 0 is no class of ("1", "2").
        """
        text = label_text(raw)
        if text in self._ids:
            return self._ids[text]
        folded = self._folded.get(text.casefold())
        if folded is not None:
            return folded
        number = whole_number(raw)
        if number is None:
            return None
        if self._numeric_names:
            return self._ids.get(str(number))
        return number if 0 <= number < len(self.names) else None

    def is_unlabelled(self, raw: object) -> bool:
        """The mark -1 of data that are published without labels, unless a class is called so."""
        return whole_number(raw) == -1 and self.resolve(raw) is None


def infer_labels(values: Sequence[object], lines: Sequence[int], *, origin: str) -> LabelSet:
    """The classes that the labels of a training split name: integers in numeric, words in lexical order; -1 is none.

    Raises:
        DataError: a missing label (D030), numbers among words (D034), fractions (D035), a single class (D037).
    """
    if any(is_missing(value) for value in values):
        raise _missing(values, lines, origin)
    # 1, 1.0 and True are one dictionary key, but no one label.
    different: dict[tuple[type, Hashable], int] = {}
    for value, line in zip(values, lines, strict=True):
        different.setdefault((type(value), scalar_label(value, where=f"{origin}:{line}")), line)
    first: dict[str, tuple[object, int]] = {}
    for (_, label), line in different.items():
        if whole_number(label) != -1:
            first.setdefault(f"{_kind(label)} {label_text(label)}", (label, line))
    seen = list(first.values())
    if seen and any(_kind(value) != _kind(seen[0][0]) for value, _ in seen):
        _refuse_mixture(seen, origin)
    if seen and _kind(seen[0][0]).endswith("fraction"):
        raise DataError(
            "D035",
            "the labels are fractions, which name no classes",
            where=f"{origin}:{seen[0][1]}",
            key="data.columns.label",
            found=seen[0][0],
            allowed="names, or whole numbers",
            help="--task text-regression learns scores",
        )
    numeric = {str(number) for value, _ in seen if (number := whole_number(value)) is not None}
    names = sorted(numeric, key=int) if numeric else sorted({label_text(value) for value, _ in seen})
    if len(names) < 2:
        raise DataError(
            "D037",
            "the training split has fewer than two classes",
            where=origin,
            found=listing(names) or "no label",
            allowed="two classes or more",
            help="name the classes, as data.labels=[negative,positive], or check data.columns.label",
        )
    return LabelSet(tuple(names))


def doubtful_classes(labels: LabelSet, rows: int, *, origin: str, column: str, columns: Sequence[str]) -> str | None:
    """A sentence about a label column whose values hardly recur, as those of texts and ids do; None for any other.

    Args:
        labels: the classes that the column was found to have.
        rows: how many rows they come from.
        columns: every column of the file.

    Raises:
        DataError: each of many rows is a class of its own (D049).
    """
    count = len(labels.names)
    hardly_recurs = count >= rows or (rows > MANY_ROWS and 2 * count > rows)
    if rows < FEW_ROWS or not hardly_recurs:
        return None
    help = "data.columns.label=COLUMN"
    if all(_NUMBER.fullmatch(name) for name in labels.names):
        help = f"--task text-regression learns numbers; {help} takes another column"
    if count < rows or rows <= MANY_ROWS:
        return f"the column '{column}' of {origin} has {count} classes in {rows} rows; if it is not the label: {help}"
    raise DataError(
        "D049",
        f"every row of {origin} is a class of its own",
        where=origin,
        key="data.columns.label",
        found=f"{count} classes in {rows} rows of the column '{column}'",
        allowed=f"a column whose values recur; the file has {listing(columns)}",
        help=help,
    )


def class_ids(values: Sequence[object], lines: Sequence[int], labels: LabelSet, *, origin: str) -> list[int]:
    """The class id of each label.

    Raises:
        DataError: a missing label (D030), -1 among labels (D031), an id out of range (D032), no such class (D033).
    """
    known: dict[tuple[type, Hashable], int] = {}
    ids: list[int] = []
    for value, line in zip(values, lines, strict=True):
        if is_missing(value):
            raise _missing(values, lines, origin)
        raw = scalar_label(value, where=f"{origin}:{line}")
        # 1, 1.0 and True are one dictionary key, but true is a word.
        key = (type(raw), raw)
        if key not in known:
            found = labels.resolve(raw)
            if found is None:
                raise _no_class(raw, labels, where=f"{origin}:{line}")
            known[key] = found
        ids.append(known[key])
    return ids


def encode_classes(
    values: Sequence[object], lines: Sequence[int], labels: LabelSet, *, origin: str
) -> npt.NDArray[np.int64] | None:
    """Targets `[n]`, or None where every label is -1; errors as in `class_ids`."""
    if all(labels.is_unlabelled(value) for value in values):
        return None
    return np.asarray(class_ids(values, lines, labels, origin=origin), dtype=np.int64)


def encode_multi_hot(
    values: Sequence[Sequence[object]], lines: Sequence[int], labels: LabelSet, *, origin: str
) -> npt.NDArray[np.float32] | None:
    """Targets `[n, C]` of zeros and ones, or None where every row's only label is -1; errors as in `class_ids`."""
    if all(len(row) == 1 and labels.is_unlabelled(row[0]) for row in values):
        return None
    flat = [value for row in values for value in row]
    rows = [index for index, row in enumerate(values) for _ in row]
    targets = np.zeros((len(values), len(labels.names)), dtype=np.float32)
    targets[rows, class_ids(flat, [lines[row] for row in rows], labels, origin=origin)] = 1.0
    return targets


def scalar_label(value: object, *, where: str) -> Hashable:
    """`value` itself, if it is one value.

    Raises:
        DataError: a list or an object (D036).
    """
    if isinstance(value, list | dict | tuple | set) or not isinstance(value, Hashable):
        raise DataError(
            "D036",
            "a label must be one value",
            where=where,
            found=value,
            allowed="a class name or id",
            help="--task multi-label takes lists of labels",
        )
    return value


def _kind(value: object) -> str:
    shape = "JSON " if isinstance(value, int | float) and not isinstance(value, bool) else ""
    if whole_number(value) is not None:
        return f"{shape}integer"
    if not isinstance(value, bool) and _NUMBER.fullmatch(str(value)):
        return f"{shape}fraction"
    return "word"


def _refuse_mixture(seen: Sequence[tuple[object, int]], origin: str) -> None:
    value, line = seen[0]
    other, other_line = next((later, at) for later, at in seen if _kind(later) != _kind(value))
    if {_kind(value), _kind(other)} in ({"integer", "fraction"}, {"JSON integer", "JSON fraction"}):
        kinds, help = "whole numbers and fractions", "--task text-regression learns scores"
    else:
        kinds, help = "labels of different kinds", "write all labels in one way, or name the classes: data.labels=[…]"
    raise DataError(
        "D034",
        f"the training split has {kinds}: {value!r} (line {line}) and {other!r} (line {other_line})",
        where=f"{origin}:{other_line}",
        found=f"{_kind(value)} {value!r}, {_kind(other)} {other!r}",
        allowed="labels of one kind",
        help=help,
    )


def _missing(values: Sequence[object], lines: Sequence[int], origin: str) -> DataError:
    places = [line for value, line in zip(values, lines, strict=True) if is_missing(value)]
    return DataError(
        "D030",
        f"{len(places)} {'row has' if len(places) == 1 else 'rows have'} no label",
        where=f"{origin}:{places[0]}",
        found=f"no label on {'line' if len(places) == 1 else 'lines'} {listing(places, 5)}",
        allowed="a label in every row, or in none (-1)",
        help="label these rows or delete them",
    )


def _no_class(raw: Hashable, labels: LabelSet, *, where: str) -> DataError:
    number = whole_number(raw)
    if number == -1:
        return DataError(
            "D031",
            "some rows have the label -1, which means 'no label', but others are labelled",
            where=where,
            found=raw,
            allowed=labels.names,
            help="delete these rows; if -1 is a class, name the classes: data.labels=[…]",
        )
    if number is not None:
        return DataError(
            "D032",
            f"the label {number} is out of range for {len(labels.names)} classes",
            where=where,
            found=raw,
            allowed=f"0 to {len(labels.names) - 1}, or {listing(labels.names)}",
            help="correct the row, or name the classes: data.labels=[…]",
        )
    return DataError(
        "D033",
        f"'{raw}' is not one of the {len(labels.names)} classes",
        where=where,
        found=raw,
        allowed=labels.names,
        help="correct the row, or name the classes: data.labels=[…]",
    )
