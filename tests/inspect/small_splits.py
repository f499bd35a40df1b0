"""Splits of a few texts, as every check takes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from bert_cli.inspect.contents import Contents


def small(name: str, texts: Sequence[str], golds: Sequence[str] | None = None, **fields: Any) -> Contents:
    """A split of a file NAME.csv whose rows begin on line 2; `classes` are counted from the golds."""
    parts = {"text": list(texts), **fields.pop("parts", {})}
    if golds is not None and not fields.get("numeric"):
        fields.setdefault("classes", dict(Counter(golds)))
    return Contents(name, f"{name}.csv", range(2, len(texts) + 2), parts, golds, **fields)
