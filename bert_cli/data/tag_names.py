"""Tags as the data write them, turned into strings: names as they are, ids by what they stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bert_cli.data.labels import whole_number
from bert_cli.errors import DataError

Where = Callable[[int], str]
"""Place of a word in its sentence -> file and line."""


class TagNames:
    """Tags of the data as strings: ids are looked up among the given names.

    Args:
        names: class names in the order of the ids; None where only strings can be read.
    """

    def __init__(self, names: tuple[str, ...] | None) -> None:
        self._names = names
        self._known: dict[object, str] = {}

    def read(self, cell: Sequence[object], *, where: Where) -> list[str]:
        """The tags of one sentence.

        Raises:
            DataError: an id without a name (D102), or something that is no tag (D109).
        """
        return [self._one(tag, where, place) for place, tag in enumerate(cell)]

    def _one(self, tag: object, where: Where, place: int) -> str:
        if isinstance(tag, bool) or not isinstance(tag, str | int):
            raise DataError(
                "D109",
                "a tag must be a name or an id",
                where=where(place),
                key="data.columns.tags",
                found="null" if tag is None else repr(tag),
                allowed="one string or whole number for each token",
                help="write 'O' where nothing is marked",
            )
        if tag not in self._known:
            self._known[tag] = self._named(tag, where(place))
        return self._known[tag]

    def _named(self, tag: str | int, where: str) -> str:
        if isinstance(tag, str) and (self._names is None or tag in self._names or whole_number(tag) is None):
            return tag
        number = whole_number(tag)
        if self._names is None or number is None or not 0 <= number < len(self._names):
            raise DataError(
                "D102",
                "this tag is an id that has no name",
                where=where,
                key="data.labels",
                found=tag,
                allowed=f"ids from 0 to {len(self._names) - 1}" if self._names else "names, or ids with data.labels",
                help="name the classes in the order of their ids, as data.labels=[O,B-PER,I-PER]",
            )
        return self._names[number]
