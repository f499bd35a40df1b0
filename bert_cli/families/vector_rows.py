"""Rows of the store that vectors are made of: what is learnt from together, and what is scored by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from bert_cli.data.bm25 import BM25
from bert_cli.data.collection import relevant
from bert_cli.data.compared import Compared
from bert_cli.data.queries import Queries
from bert_cli.objectives.parts import Row

_TEXT: dict[str, pa.DataType] = {"text": pa.string()}
_LINE: dict[str, pa.DataType] = {"line": pa.int64()}
_PAIR: dict[str, pa.DataType] = {**_TEXT, "text_pair": pa.string()}
_SCORE: dict[str, pa.DataType] = {"target": pa.float32()}
_SEARCH: dict[str, pa.DataType] = {
    **_TEXT,
    **_LINE,
    "query": pa.int8(),
    "itself": pa.int32(),
    "id": pa.string(),
    "judged": pa.list_(pa.int32()),
    "grades": pa.list_(pa.int32()),
}


@dataclass(frozen=True)
class Made:
    """Rows for the store, and the Arrow type of each of their further columns."""

    rows: list[Row]
    types: dict[str, pa.DataType]


def learnt(rows: Compared, *, negatives: int, score_range: tuple[float, float] | None) -> Made:
    """Rows to learn from in the form that their loss reads.

    Args:
        negatives: most texts of a row that are unlike its first.
        score_range: lowest and highest score; None: of these rows.
    """
    lines = rows.lines.tolist()
    if rows.learns == "simcse":
        texts = [one[0] for one in rows.texts]
        return Made(
            [Row([text], {"text": text, "line": line}) for text, line in zip(texts, lines, strict=True)], _TEXT | _LINE
        )
    if rows.learns == "cosine":
        assert rows.targets is not None
        targets = scaled(rows.targets, score_range).tolist()
        made = [_pair(rows.texts[row][:2], lines[row], target=target) for row, target in enumerate(targets)]
        return Made(made, _PAIR | _LINE | _SCORE)
    places = list(range(len(rows)))
    if rows.learns == "triplet":
        negatives = max(1, negatives)
        places = [row for row in places if len(rows.texts[row]) > 2]
    elif rows.targets is not None:
        places = np.flatnonzero(rows.targets > 0).tolist()
    return Made([_pair(rows.texts[row][: 2 + negatives], lines[row]) for row in places], _PAIR | _LINE)


def learnt_queries(rows: Queries, *, negatives: int, seed: int) -> Made:
    """A row for each relevant text of a query: query, text, and hard negatives of a first search."""
    texts = rows.collection.texts
    count = max(1, negatives) if rows.learns == "triplet" else negatives
    unlike = rows.hard_negatives(BM25(texts) if count else None, count=count, seed=seed)
    made = [
        _pair((query, texts[place], *(texts[other] for other in others)), line)
        for query, line, grades, drawn in zip(rows.texts, rows.lines.tolist(), rows.grades, unlike, strict=True)
        for place, others in zip(relevant(grades), drawn, strict=True)
    ]
    return Made(made, _PAIR | _LINE)


def scaled(scores: np.ndarray, known: tuple[float, float] | None) -> np.ndarray:
    """Scores from 0 to 1: as shares of the known range, else of that of the scores themselves if they go beyond."""
    low, high = known or (min(0.0, float(scores.min())), max(1.0, float(scores.max())))
    found: np.ndarray = ((scores - low) / (high - low)).astype(np.float32)
    return found


def compared_rows(rows: Compared) -> Made:
    """Texts or pairs as they are, with lines and targets where these are known."""
    types = _TEXT if rows.single else _PAIR
    known: dict[str, list[Any]] = {"text": [texts[0] for texts in rows.texts]}
    if not rows.single:
        known["text_pair"] = [texts[1] for texts in rows.texts]
    if len(rows.lines):
        types, known["line"] = types | _LINE, rows.lines.tolist()
    if rows.targets is not None:
        types, known["target"] = types | _SCORE, rows.targets.tolist()
    cells = [dict(zip(known, values, strict=True)) for values in zip(*known.values(), strict=True)]
    return Made([Row(texts[:2], own) for texts, own in zip(rows.texts, cells, strict=True)], types)


def searched_rows(rows: Queries) -> Made:
    """All texts that are searched, in their order, then the queries.

    `itself` is the place of a text that is a query over again, and no answer to it; -1 where there is none.
    """
    none: dict[str, Any] = {"text": "", "line": -1, "query": 0, "itself": -1, "judged": [], "grades": []}
    places = {text: place for place, text in enumerate(rows.collection.texts)} if rows.mutual else {}
    made = [
        Row([text], {**none, "id": name}) for name, text in zip(rows.collection.ids, rows.collection.texts, strict=True)
    ]
    for name, text, line, grades in zip(rows.ids, rows.texts, rows.lines.tolist(), rows.grades, strict=True):
        itself = places.get(text, -1)
        own = {
            "text": text,
            "line": line,
            "query": 1,
            "id": name,
            "itself": -1 if grades.get(itself, 0) > 0 else itself,
        }
        made.append(Row([text], {**own, "judged": list(grades), "grades": list(grades.values())}))
    return Made(made, _SEARCH)


def _pair(texts: Sequence[str], line: int, **more: Any) -> Row:
    return Row(texts, {"text": texts[0], "text_pair": texts[1], "line": line, **more})
