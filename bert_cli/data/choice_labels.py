"""Which choice a label means: by name, by letter, by number, or by its text.

Names that the choices bring along come first, then those of `data.labels`; then whole numbers, which count from 0 or
from 1 as the data show; then `A` is the first choice; then the text of one choice, which comes before numbers and
letters in data whose labels are texts elsewhere. Everything else is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bert_cli.data.choice_cells import Choices
from bert_cli.data.labels import is_missing, label_text, whole_number
from bert_cli.errors import DataError, listing


def unlabelled(cells: Sequence[object]) -> bool:
    """Whether no row has a label: all are absent, empty or -1."""
    return all(is_missing(cell) or whole_number(cell) == -1 for cell in cells)


class ChoiceLabels:
    """Reads labels of one data set; `learn` comes before `read`.

    Args:
        names: what labels call the first choice, the second …, as `data.labels` says; None where it does not.

    Attributes:
        first: the number of the first choice, 0 or 1; None until some label shows it.
        shown_by: the file and line of that label.
        worded: whether some label can only be the text of a choice.
    """

    def __init__(self, names: tuple[str, ...] | None = None) -> None:
        self.names = names
        self.first: int | None = None
        self.shown_by: str | None = None
        self.counted = 0
        self.worded = False

    def learn(
        self, cells: Sequence[object], choices: Sequence[Choices], lines: npt.NDArray[np.int64], origin: str
    ) -> None:
        """Look for labels that show what others mean: the number 0 or that of the last choice, or the text of one."""
        for cell, row, line in zip(cells, choices, lines, strict=True):
            number = self._number(cell, row)
            if number is None:
                letter = isinstance(cell, str) and _is_letter(cell.strip())
                if not letter and self._named(cell, row) is None and _by_text(cell, row) is not None:
                    self.worded = True
                continue
            self.counted += 1
            if self.first is None and number in (0, len(row.texts)):
                self.first, self.shown_by = int(number > 0), f"{origin}:{line}"

    @property
    def doubt(self) -> str | None:
        """A sentence where numbers are taken to count from 0 though no label shows it."""
        if not self.counted or self.first is not None:
            return None
        return (
            "no label is 0 or the number of the last choice, so they are taken to count from 0; "
            "data.labels=[1,2,3] says that they count from 1"
        )

    def read(
        self, cells: Sequence[object], choices: Sequence[Choices], lines: npt.NDArray[np.int64], origin: str
    ) -> npt.NDArray[np.int64]:
        """The place of the right choice in each row. Shape: `[n]` int64.

        Raises:
            DataError: no label (D143), or one that means no choice of its row (D141).
        """
        missing = [line for cell, line in zip(cells, lines, strict=True) if is_missing(cell) or _is_mark(cell)]
        if missing:
            raise DataError(
                "D143",
                f"{len(missing)} {'row has' if len(missing) == 1 else 'rows have'} no label",
                where=f"{origin}:{missing[0]}",
                key="data.columns.label",
                found=f"no label on {'line' if len(missing) == 1 else 'lines'} {listing(missing, 5)}",
                allowed="a label in every row, or in none (-1)",
                help="label these rows or delete them",
            )
        found = np.empty(len(cells), dtype=np.int64)
        for row, (cell, own, line) in enumerate(zip(cells, choices, lines, strict=True)):
            place = self._place(cell, own)
            if place is None:
                raise self._refusal(cell, own, where=f"{origin}:{line}")
            found[row] = place
        return found

    def _number(self, cell: object, choices: Choices) -> int | None:
        """The number that a label writes, where numbers count places: they are no names, and not below 0."""
        if any(whole_number(name) is not None for name in self._names(choices)):
            return None
        number = whole_number(cell)
        return None if number is None or number < 0 else number

    def _names(self, choices: Choices) -> tuple[str, ...]:
        return (*(choices.names or ()), *(self.names or ()))

    def _named(self, cell: object, choices: Choices) -> int | None:
        word = label_text(cell).strip()
        for names in (choices.names, self.names):
            if names is not None and word in names[: len(choices.texts)]:
                return names.index(word)
        return None

    def _place(self, cell: object, choices: Choices) -> int | None:
        named = self._named(cell, choices)
        if named is None and self.worded:
            named = _by_text(cell, choices)
        if named is not None:
            return named
        number = self._number(cell, choices)
        if number is not None:
            place = number - (self.first or 0)
            return place if 0 <= place < len(choices.texts) else None
        if not isinstance(cell, str):
            return None
        if _is_letter(cell.strip()) and not any(map(_is_letter, self._names(choices))):
            place = ord(cell.strip().upper()) - ord("A")
            return place if place < len(choices.texts) else None
        return _by_text(cell, choices)

    def _refusal(self, cell: object, choices: Choices, *, where: str) -> DataError:
        count = len(choices.texts)
        if self._number(cell, choices) is None:
            names = choices.names or (self.names or ())[:count]
            letters = f"A to {chr(ord('A') + min(count, 26) - 1)}, a number, or the text of one choice"
            allowed = listing(names) if names else letters
        else:
            first = self.first or 0
            allowed = f"{first} to {first + count - 1}" + (f"; {self.shown_by} shows this" if self.shown_by else "")
        return DataError(
            "D141",
            f"the label of this row is none of its {count} choices",
            where=where,
            key="data.columns.label",
            found=repr(cell),
            allowed=allowed,
            help="correct the row, or say what labels mean: data.labels=[1,2,3,4]",
        )


def _is_mark(cell: object) -> bool:
    """-1, which means 'no label'."""
    return whole_number(cell) == -1


def _by_text(cell: object, choices: Choices) -> int | None:
    """The place of the only choice whose text this is."""
    return choices.texts.index(cell) if isinstance(cell, str) and choices.texts.count(cell) == 1 else None


def _is_letter(word: str) -> bool:
    return len(word) == 1 and word.isascii() and word.isalpha()
