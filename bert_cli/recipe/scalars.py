"""What an unquoted YAML scalar means, and how a value is written so that it is read back as it was.

The rules are YAML 1.2's core schema without infinities; text that YAML 1.1 readers would take for something else is
quoted on writing. `plain(flow(value))` without its quotes is `value`; costs nothing to import.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]

MAX_DIGITS = 40

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_HEX_OCTAL = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_BARE = re.compile(r"[^\W\d][\w./-]*")
# From `y` on, only YAML 1.1 readers take them for booleans.
_WORDS = frozenset(("null", "true", "false", "y", "n", "yes", "no", "on", "off"))


def plain(text: str) -> Value:
    """The value of an unquoted scalar.

    A whole number with leading zeros stays text: YAML 1.1 reads `012` as ten, YAML 1.2 as twelve.

    Raises:
        ValueError: not a finite number, or one with too many digits.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text) or _HEX_OCTAL.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise ValueError("has too many digits")
        return int(text, 0)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError("is not a finite number")
    if _FLOAT.fullmatch(text) and not text.lstrip("+-").isdecimal():
        number = float(text)
        if not math.isfinite(number):
            raise ValueError("is beyond the range of floats")
        return number
    return text


def unsafe_text(text: str) -> str | None:
    """Why `text` can be neither a path nor UTF-8, or None where it can."""
    if "\0" in text:
        return "a NUL character"
    if any("\ud800" <= char <= "\udfff" for char in text):
        return "half of a surrogate pair"
    return None


def _escaped(char: str) -> str:
    if char in '\\"':
        return "\\" + char
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _text(text: str) -> str:
    if _BARE.fullmatch(text) and text.casefold() not in _WORDS:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def flow(value: object) -> str:
    """`value` on one line of YAML; text is quoted wherever it could be read as something else.

    Raises:
        TypeError: not a value that a recipe can hold.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(str(key))}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Iterable):
        return "[" + ", ".join(map(flow, value)) + "]"
    raise TypeError(f"a recipe cannot hold a {type(value).__name__}")
