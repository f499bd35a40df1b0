"""What a model said about each example, as JSON lines.

One object a line, in the split's order: text, gold, predicted label and probabilities. Written beside its place and
renamed, so a reader never sees half a file; a pipe or a device is written to as it is.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from bert_cli.data.split import Split
from bert_cli.files import sync


def describe(
    objective: str, score: np.ndarray | float, *, labels: Sequence[str] | None, threshold: float
) -> dict[str, Any]:
    """One prediction: `label` and `probabilities`, `labels` and `probabilities`, or `score`.

    Args:
        score: probabilities `[C]`, or one value.
    """
    if objective == "text-regression":
        return {"score": _rounded(float(score))}
    assert labels is not None
    probabilities = {name: _rounded(float(p)) for name, p in zip(labels, np.asarray(score), strict=True)}
    if objective == "multi-label-classification":
        return {
            "labels": [labels[int(i)] for i in np.flatnonzero(np.asarray(score) >= threshold)],
            "probabilities": probabilities,
        }
    return {"label": labels[int(np.argmax(score))], "probabilities": probabilities}


def gold(objective: str, target: Any, labels: Sequence[str] | None) -> Any:
    """A target in the words of the data."""
    if objective == "text-regression":
        return float(target)
    assert labels is not None
    if objective == "multi-label-classification":
        return [labels[int(i)] for i in np.flatnonzero(target)]
    return labels[int(target)]


def rows(
    store: Split, scores: np.ndarray, *, objective: str, labels: Sequence[str] | None, threshold: float
) -> Iterator[dict[str, Any]]:
    """One object for each example of a split."""
    for row in range(len(store)):
        record: dict[str, Any] = {"line": store.value("line", row), "text": store.value("text", row)}
        pair = store.value("text_pair", row)
        if pair is not None:
            record["text_pair"] = pair
        if store.targets is not None:
            record["gold"] = gold(objective, store.targets[row], labels)
        yield record | describe(objective, scores[row], labels=labels, threshold=threshold)


def write(
    path: Path,
    store: Split,
    scores: np.ndarray,
    *,
    objective: str,
    labels: Sequence[str] | None,
    threshold: float,
) -> None:
    """All predictions of a split as one file."""
    with place_for(path) as file:
        for record in rows(store, scores, objective=objective, labels=labels, threshold=threshold):
            file.write(line(record))


def line(record: Mapping[str, Any]) -> str:
    """One prediction as JSON, with the end of the line."""
    return json.dumps(record, ensure_ascii=False) + "\n"


@contextmanager
def place_for(path: Path) -> Iterator[IO[str]]:
    """A text file that takes its place, forced to disk, only when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8") as file:
            yield file
        return
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with draft.open("w", encoding="utf-8") as file:
            yield file
        sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _rounded(value: float) -> float:
    return float(f"{value:.7g}")
