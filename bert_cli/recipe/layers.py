"""Lays files, `key=value` and flags over each other, value by value, and remembers where each value came from.

Sections and the user's own mappings merge key by key, everything else (shares and weights too) is replaced whole. A
mistake never stops the collecting; all of them are raised together when the recipe is asked for.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from bert_cli.errors import BertctlError, UsageError, raise_all
from bert_cli.recipe.explain import explain
from bert_cli.recipe.files import RecipeFile, find_recipe
from bert_cli.recipe.keys import known_keys, unknown_key
from bert_cli.recipe.scalars import flow, unsafe_text
from bert_cli.recipe.schema import Recipe
from bert_cli.recipe.yaml import Document, parse_value, read_document

MAX_FILES = 32

Kind = Literal["default", "shipped", "extends", "file", "override", "flag"]
KeyPath = tuple[str, ...]

# Flags whose name is not the last part of their key.
_FLAGS = {
    "model.name": "--model",
    "data.source": "--data",
    "dist.device": "--gpus or --cpus",
    "dist.processes": "--gpus or --cpus",
}


@dataclass(frozen=True)
class Origin:
    """Which layer gave a value, and where: `file:line`, `key=value`, a flag, or nothing for a default."""

    kind: Kind
    place: str = ""

    def __str__(self) -> str:
        prefix = f"{self.kind} " if self.kind in ("shipped", "extends") else ""
        return f"{prefix}{self.place}" if self.place else self.kind


@dataclass(frozen=True)
class _Source:
    """One layer: its kind, where its keys stand, its unquoted values as they were written, and the folder of its file.

    Without a file, other recipes are looked for in the working folder.
    """

    kind: Kind
    place: Callable[[str], str]
    texts: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None


class Layers:
    """Collects the values of all layers, and all mistakes in them."""

    def __init__(self, verb: str) -> None:
        self.verb = verb
        self.values: dict[KeyPath, object] = {}
        self.origins: dict[str, Origin] = {}
        self.items: dict[str, str] = {}
        self.errors: list[BertctlError] = []
        self.files = 0
        keys = known_keys()
        self.fields = {tuple(name.split(".")) for name in keys.fields}
        self.mappings = {tuple(name.split(".")) for name in keys.mappings}
        self.whole = {tuple(name.split(".")) for name in keys.whole}
        self.sections = {tuple(filter(None, name.split("."))) for name in keys.sections}

    def add_named(self, name: str) -> None:
        """The recipe that the user named."""
        try:
            self.add_root(find_recipe(name, verb=self.verb, where=name))
        except BertctlError as error:
            self.errors.append(error)

    def add_root(self, file: RecipeFile) -> None:
        """A recipe that nothing extends, with all that it extends."""
        try:
            self.add_file(file, "shipped" if file.shipped else "file", (file.path.resolve(),))
        except BertctlError as error:
            self.errors.append(error)

    def add_file(self, file: RecipeFile, kind: Kind, trail: tuple[Path, ...]) -> None:
        """What the file extends, then the file. `trail` holds the files that led here, itself included."""
        document = read_document(file.path, name=file.name)
        self.errors.extend(document.problems)
        assert isinstance(document.value, dict)
        values = dict(document.value)
        source = _Source(kind, lambda dotted: _in_file(file.name, document, dotted), document.texts, file.path.parent)
        if "extends" in values:
            self.add_bases(values.pop("extends"), file, source.place("extends"), trail)
        self.put((), values, source)

    def add_bases(self, names: object, file: RecipeFile, where: str, trail: tuple[Path, ...]) -> None:
        bases = [names] if isinstance(names, str) else names
        if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
            allowed = "the name of a recipe, or a list of names"
            message = "extends names recipes"
            self.errors.append(
                UsageError("R040", message, where=where, key="extends", found=flow(names), allowed=allowed)
            )
            return
        for base in bases:
            try:
                found = find_recipe(base, verb=self.verb, beside=file.path.parent, where=where, key="extends")
                real = found.path.resolve()
                self.files += 1
                if real in trail:
                    raise UsageError(
                        "R041", "recipes extend each other in a circle", where=where, key="extends", found=base
                    )
                if self.files > MAX_FILES:
                    raise UsageError("R042", f"more than {MAX_FILES} recipes are extended", where=where, key="extends")
                self.add_file(found, "extends", (*trail, real))
            except BertctlError as error:
                self.errors.append(error)
                if self.files > MAX_FILES:
                    return

    def add_override(self, text: str) -> None:
        """`key=value`, the value in YAML."""
        key, sign, written = text.partition("=")
        key = key.strip()
        if not sign:
            message = f"'{text}' is not key=value"
            allowed, help = "key=value", f"for example: {key}=VALUE"
            self.errors.append(UsageError("R030", message, where=text, found=text, allowed=allowed, help=help))
            return
        path = tuple(key.split("."))
        if path in self.sections:
            below = [f"{key}.{name}" for name in known_keys().below(key)]
            message = f"{key} is a section; give one of its keys"
            self.errors.append(UsageError("R031", message, where=text, key=key, allowed=below))
            return
        try:
            document = parse_value(written, name=text, key=key)
        except UsageError as error:
            self.errors.append(error)
            return
        self.errors.extend(document.problems)
        if not document.problems:
            self.put(path, document.value, _Source("override", lambda _: text, document.texts))

    def add_flag(self, key: str, value: object) -> None:
        """A value that the command line has typed already."""
        flag = _FLAGS.get(key, "--" + key.rpartition(".")[2].replace("_", "-"))
        for part in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(part, float) and not math.isfinite(part):
                self.errors.append(UsageError("R013", "numbers are finite", where=flag, key=key, found=part))
                return
            if isinstance(part, str) and (reason := unsafe_text(part)):
                self.errors.append(
                    UsageError("R014", f"text cannot hold {reason}", where=flag, key=key, found=ascii(part))
                )
                return
        self.put(tuple(key.split(".")), value, _Source("flag", lambda _: flag))

    def put(self, path: KeyPath, value: object, source: _Source) -> None:
        """Takes over `value`, key by key as far down as keys are known."""
        dotted = ".".join(path)
        if path in self.sections or path in self.mappings:
            if isinstance(value, Mapping):
                if path in self.whole:
                    self.drop(path)
                for key, item in value.items():
                    self.put((*path, key), item, source)
            elif value is not None:
                message = f"{dotted} holds keys, not one value"
                allowed = known_keys().below(dotted) or "key: value pairs"
                where, found = source.place(dotted), flow(value)
                self.errors.append(UsageError("R024", message, where=where, key=dotted, found=found, allowed=allowed))
            elif path in self.mappings:
                self.drop(path)
        elif path in self.fields or path[:-1] in self.mappings:
            self.set(path, value, source)
        else:
            self.errors.append(unknown_key(path, where=source.place(dotted)))

    def set(self, path: KeyPath, value: object, source: _Source) -> None:
        dotted = ".".join(path)
        if isinstance(value, (list, tuple)):
            for index in range(len(value)):
                self.items[f"{dotted}.{index}"] = source.place(f"{dotted}.{index}")
            if path == ("data", "labels"):
                value = [_label(item, source.texts.get(f"{dotted}.{index}")) for index, item in enumerate(value)]
            elif path == ("stages",):
                value = [self.stage(item, source, f"{dotted}.{index}") for index, item in enumerate(value)]
        self.values[path] = _frozen(value)
        self.origins[dotted] = Origin(source.kind, source.place(dotted))

    def stage(self, name: object, source: _Source, dotted: str) -> object:
        """A recipe by a name that means the same everywhere: the shipped one, or the whole path of a file.

        A whole path is not looked up: what a run has recorded may be gone by the time its model is used.
        """
        if not isinstance(name, str) or os.path.isabs(name):
            return name
        try:
            found = find_recipe(name, verb=self.verb, beside=source.folder, where=source.place(dotted), key="stages")
        except BertctlError as error:
            self.errors.append(error)
            return name
        return found.name if found.shipped else os.path.abspath(found.path)

    def drop(self, path: KeyPath) -> None:
        for inner in [inner for inner in self.values if inner[:-1] == path]:
            del self.values[inner], self.origins[".".join(inner)]

    def place(self, dotted: str) -> str | None:
        origin = self.origins.get(dotted)
        return self.items.get(dotted) or (origin.place if origin else None)

    def recipe(self) -> Recipe:
        """The validated recipe; raises every mistake found so far and here."""
        tree: dict[str, object] = {}
        for path, value in self.values.items():
            node = tree
            for part in path[:-1]:
                node = node.setdefault(part, {})  # type: ignore[assignment]
            node[path[-1]] = value
        recipe = None
        try:
            recipe = Recipe.model_validate(tree)
        except ValidationError as error:
            self.errors.extend(explain(error, self.place))
        if isinstance(task := tree.get("task"), str):
            self.check_task(task)
        raise_all(_in_reading_order(self.errors))
        assert recipe is not None
        return recipe

    def check_task(self, name: str) -> None:
        # Scanning the tasks runs their modules; a recipe without a task need not wait for it.
        from bert_cli.tasks import find_task

        try:
            find_task(name, where=self.place("task"), key="task")
        except BertctlError as error:
            self.errors.append(error)


def _in_file(name: str, document: Document, dotted: str) -> str:
    line = document.places.get(dotted, (0, 0))[0]
    return f"{name}:{line}" if line else name


def _label(item: object, text: str | None) -> object:
    """A class name written without quotes, such as 0, is the text that was written."""
    if isinstance(item, (bool, int, float)):
        return text or flow(item)
    return item


def _frozen(value: object) -> object:
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value


def _in_reading_order(errors: Sequence[BertctlError]) -> list[BertctlError]:
    """Errors of one file by line; otherwise in the order in which they were found."""
    files: dict[str, int] = {}

    def order(error: BertctlError) -> tuple[int, int]:
        match = re.fullmatch(r"(.*?):(\d+)(:\d+)?", error.where or "", re.DOTALL)
        file, line = (match[1], int(match[2])) if match else (error.where or "", 0)
        return files.setdefault(file, len(files)), line

    return sorted(errors, key=order)
