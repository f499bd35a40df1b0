"""A strict reader of YAML 1.2 for recipes: plain values, the place of every key, no surprises.

Guarantees: only text, numbers, booleans, null, lists and mappings with text keys come out; nothing is constructed from
a tag, nothing is shared by aliases, and every refusal is a `UsageError` with file and line. Costs ruamel.yaml (0.1 s)
on import; size, depth and the number of values are capped, so that the worst text takes about a second.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from bert_cli.errors import UsageError, raise_all
from bert_cli.recipe.files import read_text
from bert_cli.recipe.scalars import Value, plain, unsafe_text

MAX_DEPTH = 50
MAX_VALUES = 20_000

_CORE = "tag:yaml.org,2002:"
# What the scanner raises on malformed escapes and directives besides its own errors.
_FOREIGN = (YAMLError, ValueError, OverflowError, IndexError, KeyError, AttributeError, TypeError, AssertionError)


@dataclass(frozen=True)
class Document:
    """What one text says.

    Attributes:
        value: the top-level value; a mapping for files.
        places: dotted key (list items by index) -> line and column, both from 1; mapping entries at their key.
        texts: dotted key -> the text as written, for values that are not text.
        problems: mistakes that did not stop the reading; their values are left out.
    """

    value: Value
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    problems: tuple[UsageError, ...] = ()


class _Refused(Exception):
    """One value was refused and noted as a problem; reading goes on behind it."""


class _Reader:
    """Builds values from the parser's events, so that depth and aliases are refused before anything is built."""

    def __init__(self, text: str, name: str, *, inline: bool) -> None:
        self.text = text
        self.name = name
        self.inline = inline
        self.places: dict[str, tuple[int, int]] = {}
        self.texts: dict[str, str] = {}
        self.problems: list[UsageError] = []
        self.end = 0
        self.count = 0
        self._events: Iterator[Any] = YAML(typ="safe", pure=True).parse(text)

    def where(self, line: int, column: int | None = None) -> str:
        if self.inline:
            return self.name
        return f"{self.name}:{line}" + (f":{column}" if column else "")

    def error(self, code: str, message: str, event: Any, **facts: Any) -> UsageError:
        return UsageError(code, message, where=self.where(event.start_mark.line + 1), **facts)

    def refuse(self, code: str, message: str, event: Any, **facts: Any) -> _Refused:
        self.problems.append(self.error(code, message, event, **facts))
        return _Refused()

    def next(self) -> Any:
        try:
            event = next(self._events)
        except _FOREIGN as error:
            raise self.syntax(error) from None
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            sign = "*" if isinstance(event, AliasEvent) else "&"
            message = "anchors and aliases are not allowed in a recipe"
            hint = "write the value out; text that begins with * or & needs quotes"
            raise self.error("R008", message, event, found=f"{sign}{event.anchor}", help=hint)
        self.end = event.end_mark.index
        return event

    def syntax(self, error: Exception) -> UsageError:
        """The scanner's complaint, with line and column where it knows them."""
        reason, line, column = "the text cannot be read", 1, None
        if isinstance(error, MarkedYAMLError):
            reason = str(error.problem or error.context or reason)
            mark = error.problem_mark or error.context_mark
            if mark is not None:
                line, column = mark.line + 1, mark.column + 1
        elif isinstance(getattr(error, "position", None), int):
            before = self.text[: error.position]  # type: ignore[attr-defined]
            reason, line, column = "a control character", before.count("\n") + 1, len(before) - before.rfind("\n")
        return UsageError(
            "R005",
            f"this is not YAML: {reason}",
            where=self.where(line, column),
            help="quote text that holds one of : # { } [ ] , & * ! | > ' \" % @ `; indent with spaces",
        )

    def document(self, prefix: str) -> Value:
        self.next()
        event = self.next()
        if isinstance(event, StreamEndEvent):
            return None
        assert isinstance(event, DocumentStartEvent)
        if event.version is not None and str(event.version) not in ("1.2", "(1, 2)"):
            raise self.error("R007", "recipes are YAML 1.2", event, found="%YAML", help="remove the %YAML line")
        root = self.next()
        if not self.inline and not isinstance(root, MappingStartEvent) and not _is_empty(root):
            raise self.error("R012", "a recipe is a mapping of keys to values", root, allowed="key: value")
        try:
            value = self.node(root, prefix, 0)
        except _Refused:
            value = None
        end = self.end
        self.next()
        last = self.next()
        if not isinstance(last, StreamEndEvent):
            raise self.error("R011", "a recipe is one document", last, found="---", help="one file per recipe")
        self.end = end
        return value

    def node(self, event: Any, path: str, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise self.error("R010", f"values are nested more than {MAX_DEPTH} deep", event)
        self.count += 1
        if self.count > MAX_VALUES:
            raise self.error("R015", f"the recipe holds more than {MAX_VALUES} values", event)
        if isinstance(event, ScalarEvent):
            return self.scalar(event, path)
        kind = "map" if isinstance(event, MappingStartEvent) else "seq"
        refused = event.tag not in (None, "!", _CORE + kind)
        if refused:
            self.refuse("R007", "tags are not allowed in a recipe", event, key=path or None, found=event.tag)
        value = self.mapping(path, depth) if isinstance(event, MappingStartEvent) else self.sequence(path, depth)
        if refused:
            raise _Refused
        return value

    def mapping(self, path: str, depth: int) -> Value:
        values: dict[str, Value] = {}
        seen: dict[str, int] = {}
        while not isinstance(event := self.next(), MappingEndEvent):
            key = self.key(event, path, depth)
            inner = f"{path}.{key}" if path and key is not None else key or path
            line = event.start_mark.line + 1
            if key is not None and key in seen:
                self.refuse(
                    "R006",
                    f"the key '{key}' is given twice",
                    event,
                    key=inner,
                    found=f"{key}, first on line {seen[key]}",
                    help="keep one of the two",
                )
                key = None
            elif key is not None:
                seen[key] = line
                self.places[inner] = (line, event.start_mark.column + 1)
            try:
                value = self.node(self.next(), inner, depth + 1)
            except _Refused:
                continue
            if key is not None:
                values[key] = value
        return values

    def key(self, event: Any, path: str, depth: int) -> str | None:
        """The key, or None where it was refused."""
        try:
            value = self.node(event, "", depth + 1)
        except _Refused:
            return None
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            # Lengths and batch sizes are keys too; every key is kept as the text that was written.
            return str(event.value)
        found = event.value if isinstance(event, ScalarEvent) else "a list or a mapping"
        self.refuse("R009", "keys are text", event, key=path or None, found=found or "nothing", help="quote the key")
        return None

    def sequence(self, path: str, depth: int) -> Value:
        values: list[Value] = []
        while not isinstance(event := self.next(), SequenceEndEvent):
            inner = f"{path}.{len(values)}" if path else str(len(values))
            self.places[inner] = (event.start_mark.line + 1, event.start_mark.column + 1)
            try:
                values.append(self.node(event, inner, depth + 1))
            except _Refused:
                continue
        return values

    def scalar(self, event: Any, path: str) -> Value:
        text: str = event.value
        if reason := unsafe_text(text):
            raise self.refuse("R014", f"text cannot hold {reason}", event, key=path or None)
        quoted = event.style is not None or event.tag in ("!", _CORE + "str")
        if event.tag not in (None, "!", *(_CORE + kind for kind in ("str", "int", "float", "bool", "null"))):
            raise self.refuse(
                "R007",
                "tags are not allowed in a recipe",
                event,
                key=path or None,
                found=event.tag,
                help="remove the tag; text that begins with ! needs quotes",
            )
        if quoted and event.tag in (None, "!", _CORE + "str"):
            return text
        try:
            value = _tagged(plain(text), event.tag)
        except ValueError as error:
            raise self.refuse(
                "R013", f"'{text}' {error}", event, key=path or None, found=text, help="quote text"
            ) from None
        if not isinstance(value, str):
            self.texts.setdefault(path, text)
        return value


def _tagged(value: Value, tag: str | None) -> Value:
    """`value` under an explicit core tag, which may only say what the text says anyway."""
    if tag == _CORE + "float" and type(value) is int:
        return float(value)
    name = {bool: "bool", int: "int", float: "float", type(None): "null"}.get(type(value), "str")
    if tag is not None and tag != _CORE + name:
        raise ValueError(f"is not what the tag !!{tag.removeprefix(_CORE)} says")
    return value


def _is_empty(event: Any) -> bool:
    return (
        isinstance(event, ScalarEvent) and (event.style, event.tag) == (None, None) and event.value in ("", "~", "null")
    )


def parse_text(text: str, *, name: str) -> Document:
    """The recipe in `text`; mistakes that do not stop the reading are in `problems`.

    Raises:
        UsageError: syntax (R005), alias (R008), depth (R010), two documents (R011), no mapping (R012), no key (R016).
    """
    reader = _Reader(text, name, inline=False)
    value = reader.document("")
    if not value and not reader.problems:
        allowed, help = "at least one key, as task: sst2", f"bertctl recipe cp sst2 {shlex.quote(name)} --force"
        raise UsageError("R016", "the recipe is empty", where=name, found="no key", allowed=allowed, help=help)
    return Document(value or {}, reader.places, reader.texts, tuple(reader.problems))


def parse_value(text: str, *, name: str, key: str) -> Document:
    """One scalar, `[list]` or `{mapping}` from a command line; nothing of `text` is ignored.

    Raises:
        UsageError: as `parse_text`, and R035 where the text is a block, ends with a comment or needs quotes.
    """
    quote = f"""quote the value: '{key}="…"'"""
    if not text.strip():
        return Document(None)
    reader = _Reader(text, name, inline=True)
    try:
        value = reader.document(key)
    except UsageError as error:
        error.key, error.help = key, quote
        raise
    stripped = text.rstrip()
    block = isinstance(value, (list, dict)) and not stripped.endswith(("]", "}"))
    partial = reader.end < len(stripped) or "\n" in stripped or stripped.startswith(("---", "#"))
    if not reader.problems and (block or partial):
        message = "the value is not one scalar, [list] or {mapping}"
        raise UsageError("R035", message, where=name, key=key, found=text, help=quote)
    return Document(value, reader.places, reader.texts, tuple(reader.problems))


def read_document(path: Path, *, name: str | None = None) -> Document:
    """The recipe file, its local mistakes listed in `problems`; raises what `read_text` and `parse_text` raise."""
    return parse_text(read_text(path, name=name), name=name or str(path))


def read_yaml(path: Path, *, name: str | None = None) -> tuple[dict[str, Value], dict[str, tuple[int, int]]]:
    """The values of a recipe file and the line and column of every dotted key; all mistakes are raised together."""
    document = read_document(path, name=name)
    raise_all(document.problems)
    assert isinstance(document.value, dict)
    return document.value, document.places
