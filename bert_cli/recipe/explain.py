"""Turns pydantic's findings about a recipe into errors in the words of its user, one per mistake.

The branches of a union are one mistake, and what a key may hold comes from the schema, not from the validator that
happened to fail. Costs nothing beyond pydantic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from bert_cli.errors import UsageError
from bert_cli.recipe.keys import Node, allowed_values, choices, kinds, known_keys, unknown_key
from bert_cli.recipe.scalars import flow, plain

_SWITCH = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def explain(error: ValidationError, place: Callable[[str], str | None]) -> list[UsageError]:
    """One `UsageError` per mistake, in the order of the schema.

    Args:
        error: what `Recipe.model_validate` raised.
        place: where the value of a dotted key comes from.
    """
    details: dict[str, dict[str, list[Any]]] = {}
    found: list[UsageError] = []
    for detail in error.errors(include_url=False):
        if detail["type"] == "extra_forbidden":
            path = tuple(map(str, detail["loc"]))
            found.append(unknown_key(path, where=place(".".join(path))))
            continue
        field, key = _locate(detail["loc"])
        details.setdefault(field, {}).setdefault(key, []).append(detail)
    for field, by_key in details.items():
        # A list with one wrong item also fails the union's other branches as a whole.
        deeper = {key: group for key, group in by_key.items() if key != field}
        for key, group in (deeper or by_key).items():
            found.append(_rule(key, group[0], place) if not field else _mistake(field, key, group, place))
    return found


def _locate(loc: tuple[int | str, ...]) -> tuple[str, str]:
    """The field and the dotted key of a location, without the names of union branches."""
    keys = known_keys()
    for length in range(1, len(loc) + 1):
        field = ".".join(map(str, loc[:length]))
        if field in keys.fields:
            rest = loc[length:]
            named = 1 if field in keys.mappings else 0
            inner = [str(part) for place, part in enumerate(rest) if place < named or isinstance(part, int)]
            return field, ".".join([field, *inner])
    return "", ""


def _rule(key: str, detail: Any, place: Callable[[str], str | None]) -> UsageError:
    """A rule between several keys; its message names them."""
    reason = str(detail.get("ctx", {}).get("error") or detail["msg"])
    named = [name for name in known_keys().fields if "." in name and name in reason]
    places = [spot for spot in map(place, named) if spot]
    return UsageError("R023", reason, where=places[0] if places else None, key=key or ", ".join(named) or None)


def _mistake(field: str, key: str, group: list[Any], place: Callable[[str], str | None]) -> UsageError:
    node = known_keys().fields[field]
    detail = next((one for one in group if one["type"] == "value_error"), group[0])
    value = detail["input"]
    where = place(key) or place(field)
    if detail["type"] == "value_error":
        reason = str(detail["ctx"]["error"])
        shown = _shown(value)
        message = f"{key} cannot be {shown}"
        return UsageError("R023", message, where=where, key=key, found=shown, allowed=reason)
    if key != field:
        node = _inner(node)
    wrong_type = all(one["type"].endswith("_type") for one in group)
    allowed = allowed_values(node)
    shown = value if isinstance(value, str) and not isinstance(allowed, str) else _shown(value)
    wanted = allowed if isinstance(allowed, str) else " or ".join(allowed)
    message = f"{key} wants {wanted}, not {_kind(value)}" if wrong_type else f"{key} cannot be {_shown(value)}"
    return UsageError(
        "R021" if wrong_type else "R022",
        message,
        where=where,
        key=key,
        found=shown,
        allowed=allowed,
        help=_help(key, value, node),
    )


def _inner(node: Node) -> Node:
    """The schema of one item of a list or a mapping."""
    parts = [node, *node.get("anyOf", [])]
    inner = (part.get("items") or part.get("additionalProperties") for part in parts)
    return next((part for part in inner if isinstance(part, dict)), node)


def _shown(value: object) -> str:
    """The value as YAML; text always in quotes, so that '3' and 3 look different."""
    return f"'{value}'" if isinstance(value, str) else flow(value)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names: list[tuple[type | tuple[type, ...], str]] = [
        (bool, "true or false"),
        (int, "a whole number"),
        (float, "a number with a point or exponent"),
        (str, "text"),
        (Mapping, "key: value pairs"),
        ((tuple, list), "a list"),
    ]
    return next((name for kind, name in names if isinstance(value, kind)), type(value).__name__)


def _help(key: str, value: object, node: Node) -> str:
    forms = kinds(node)
    leaf = key.rpartition(".")[2]
    if isinstance(value, str) and any("number" in form for form in forms) and not choices(node):
        try:
            number = plain(value)
        except ValueError:
            number = None
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            return f"remove the quotes: {leaf}: {value}"
    if isinstance(value, str) and "true or false" in forms and value.casefold() in _SWITCH:
        return f"write {leaf}: {_SWITCH[value.casefold()]}"
    if isinstance(value, float) and value.is_integer() and any(form.startswith("a whole number") for form in forms):
        return f"write {leaf}: {int(value)}"
    if isinstance(value, (bool, int, float)) and "text" in forms:
        return f'quote it: {leaf}: "{flow(value)}"'
    return "bertctl recipe schema"
