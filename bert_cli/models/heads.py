"""What a checkpoint says about its own head: class names in the order of its outputs.

Label names travel with a model, and two orders of the same names are the same labels; anything else is not guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bert_cli.errors import ModelError


def head_labels(config: dict[str, Any], kind: str) -> tuple[str, ...] | None:
    """Class names of the checkpoint's head, or None when `architectures` names no head of this `kind`.

    Raises:
        ModelError: the classes are not numbered (L015).
    """
    names = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    try:
        if not any(str(name).endswith(kind) for name in config.get("architectures") or ()):
            return None
        return tuple(str(names[key]) for key in sorted(names, key=int))
    except (ValueError, TypeError) as error:
        raise ModelError(
            "L015",
            "config.json does not say which class each output is",
            where="config.json",
            key="id2label",
            found=names,
            allowed='architectures as a list, and id2label as {"0": "negative", "1": "positive"}',
            help="copy the model again, or write its class names into config.json",
        ) from error


def unnamed(labels: Sequence[str]) -> bool:
    """Whether these are the placeholders LABEL_0, LABEL_1 … that say nothing about the classes."""
    return all(name == f"LABEL_{i}" for i, name in enumerate(labels))


def same_labels(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two lists name the same classes, in any order and case."""
    return sorted(name.casefold() for name in one) == sorted(name.casefold() for name in other)
