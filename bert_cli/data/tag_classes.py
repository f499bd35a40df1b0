"""The classes of a tagger: which there are, and which one each tag of the data means.

Tags of entities become BIO, whatever scheme they are written in: the classes are `O` and, for each type, `B-` and `I-`,
in the order of the recipe or the task where these name all of them, else in the lexical order of the types. Plain tags
are classes as they are. What means no class is refused with file and line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import numpy as np
import numpy.typing as npt

from bert_cli.data.schemes import InvalidTags, Scheme, detect, to_bio
from bert_cli.data.tag_names import Where
from bert_cli.errors import DataError
from bert_cli.metrics.entities import OUTSIDE, entity_types, marks_entities, tag_parts
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks.base import Task


def given_names(task: Task, data: DataSection) -> tuple[str, ...] | None:
    """The names that recipe or task give, in the order of the ids in the data; None where neither does."""
    return data.labels if data.labels != "auto" else task.labels


def bio_classes(types: Sequence[str]) -> tuple[str, ...]:
    """The classes of a tagger for these types of entities."""
    return (OUTSIDE, *(f"{letter}-{kind}" for kind in types for letter in "BI"))


@dataclass(frozen=True)
class TagClasses:
    """What a tagger tells apart.

    Attributes:
        names: class names in the order of the model's outputs.
        scheme: of the tags in the data.
        known_from: who says so, as the end of "a type that …".
        aliases: other spellings of types, or of plain tags; see `spellings`.
        of_model: whether a trained model says what the classes are.
    """

    names: tuple[str, ...]
    scheme: Scheme
    known_from: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    of_model: bool = False

    @cached_property
    def types(self) -> tuple[str, ...]:
        """Types of entities; those of plain tags are the tags."""
        return self.names if self.scheme == "plain" else entity_types(self.names)

    @cached_property
    def _types(self) -> dict[str, int]:
        """Name of a type, or another spelling of it -> its place."""
        places = {name: place for place, name in enumerate(self.types)}
        others = {other: places[name] for other, name in self.aliases.items() if name in places}
        return {**others, **places}

    @cached_property
    def _folded(self) -> dict[str, int]:
        """The same in lower case, where no two types are alike."""
        folded: dict[str, set[int]] = {}
        for name, place in self._types.items():
            folded.setdefault(name.casefold(), set()).add(place)
        return {name: found.pop() for name, found in folded.items() if len(found) == 1}

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    def type_id(self, name: str, *, where: str) -> int:
        """The place of a type in `types`; its case does not matter where no two types are alike.

        Raises:
            DataError: there is no such type (D104), or the model has none (D105).
        """
        found = self._types.get(name, self._folded.get(name.casefold()))
        if found is None:
            raise self._unknown(name, where)
        return found

    @property
    def outside(self) -> int:
        """Class id of words outside of entities."""
        return self._ids[OUTSIDE]

    def span_ids(self, kind: int, length: int, *, where: str) -> list[int]:
        """Class ids of the words of one entity.

        Args:
            kind: place of its type in `types`.
        """
        name = self.types[kind]
        return [self._class_id("I" if place else "B", name, where=where) for place in range(length)]

    def encode(self, tags: Sequence[str], *, where: Where) -> npt.NDArray[np.int32]:
        """Class ids of the tags of one sentence.

        Raises:
            DataError: an unknown type or tag (D104, D105), or tags that their scheme forbids (D106).
        """
        parts: Sequence[tuple[str, str]]
        if self.scheme == "plain":
            parts = [("", tag) for tag in tags]
        else:
            try:
                parts = to_bio(tags, self.scheme)
            except InvalidTags as error:
                raise self._invalid(error, where(error.place), len(tags)) from None
        ids = np.empty(len(tags), dtype=np.int32)
        for place, part in enumerate(parts):
            if part not in self._parts:
                self._parts[part] = self._class_id(*part, where=where(place))
            ids[place] = self._parts[part]
        return ids

    @cached_property
    def _parts(self) -> dict[tuple[str, str], int]:
        """Letter and type of a tag -> class id, as they come."""
        return {}

    def _class_id(self, letter: str, kind: str, *, where: str) -> int:
        if self.scheme == "plain":
            return self.type_id(kind, where=where)
        name = OUTSIDE if letter == OUTSIDE else f"{letter}-{self.types[self.type_id(kind, where=where)]}"
        if name not in self._ids:
            raise self._unknown(name, where)
        return self._ids[name]

    def _unknown(self, name: str, where: str) -> DataError:
        what = "tag" if self.scheme == "plain" else "type of entity"
        if self.of_model:
            return DataError(
                "D105",
                f"the model has no {what} '{name}'",
                where=where,
                key="data.labels",
                found=name,
                allowed=self.types,
                help="score data with the model's classes, or train a new head: model.reset_head=true",
            )
        return DataError(
            "D104",
            f"'{name}' is no {what} that {self.known_from}",
            where=where,
            key="data.labels",
            found=name,
            allowed=self.types,
            help="correct the tag, or name all classes: data.labels=[…]",
        )

    def _invalid(self, error: InvalidTags, where: str, length: int) -> DataError:
        return DataError(
            "D106",
            f"these tags are not valid {self.scheme.upper()}: {error.reason}",
            where=where,
            key="data.scheme",
            found=f"tag {error.place + 1} of {length}",
            allowed="tags of one scheme: iob1, bio or bioes; plain where each is a class of its own",
            help="correct the tag, or data.scheme=iob1, which begins an entity where none goes on",
        )


def settle(
    task: Task,
    data: DataSection,
    *,
    tags: Sequence[Sequence[str]] | None,
    labels: Sequence[str],
    model: tuple[str, ...] | None,
    origin: str,
) -> TagClasses:
    """Which classes there are, and in which scheme the data are written.

    Args:
        tags: of the sentences that are to tell the scheme; None where the data mark passages of texts.
        labels: types of those passages, empty where there are tags.
        model: class names of a trained model.
        origin: where the tags come from.

    Raises:
        DataError: nothing but `O` is known (D116), or the model's classes are no tags of BIO (D105).
    """
    given = given_names(task, data)
    scheme = _scheme(task, data, tags, model=model)
    aliases = spellings(task.label_aliases, scheme)
    if model is not None:
        _check_model(model, scheme)
        return TagClasses(model, scheme, "the model has", aliases, of_model=True)
    if given is not None:
        return TagClasses(_declared(given, scheme), scheme, "task or recipe name", aliases)
    seen = {tag for sentence in tags or () for tag in sentence}
    if scheme == "plain":
        names = tuple(sorted({aliases.get(tag, tag) for tag in seen}))
    else:
        types = {part[1] for part in map(tag_parts, seen) if part and part[1]} | set(labels)
        names = bio_classes(sorted({aliases.get(kind, kind) for kind in types}))
    if len(names) < 2:
        raise DataError(
            "D116",
            f"{origin} marks nothing that could be learnt",
            where=origin,
            key="data.labels",
            found=f"nothing but '{names[0]}'" if names else "no tag",
            allowed="two classes or more",
            help="check data.columns, or name the classes: data.labels=[…]",
        )
    return TagClasses(names, scheme, f"{origin} has", aliases)


def spellings(aliases: Mapping[str, str], scheme: Scheme) -> dict[str, str]:
    """Other spellings of classes as those of types: of `B-NR` for `B-PER`, `NR` is one for `PER`."""
    if scheme == "plain":
        return dict(aliases)
    pairs = ((tag_parts(other), tag_parts(name)) for other, name in aliases.items())
    return {other[1]: name[1] for other, name in pairs if other and name}


def _scheme(
    task: Task, data: DataSection, tags: Sequence[Sequence[str]] | None, *, model: tuple[str, ...] | None
) -> Scheme:
    if tags is None:
        return "bio"
    declared = data.scheme if data.scheme != "auto" else task.scheme
    if declared != "auto":
        return cast(Scheme, declared)
    if model is not None and not marks_entities(model):
        return "plain"
    return detect(tags)


def _declared(given: tuple[str, ...], scheme: Scheme) -> tuple[str, ...]:
    """The classes that given names speak of: tags in any scheme, or types alone."""
    if scheme == "plain":
        return given
    types = entity_types(given) if marks_entities(given) else tuple(name for name in given if name != OUTSIDE)
    classes = bio_classes(types)
    return given if set(given) == set(classes) else classes


def _check_model(model: tuple[str, ...], scheme: Scheme) -> None:
    letters = {part[0] if part else None for part in map(tag_parts, model)}
    if scheme == "plain" or (letters <= {"O", "B", "I"} and OUTSIDE in model):
        return
    raise DataError(
        "D105",
        "the classes of the model are no tags of BIO, in which it is trained and scored here",
        key="model.name",
        found=", ".join(model[:8]),
        allowed="O, and B- and I- of each type",
        help="train a new head: model.reset_head=true",
    )
