"""What vectors of texts say: how near the texts of a pair are, and which texts are nearest to a query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bert_cli.data.split import Split
from bert_cli.data.store import SplitStore
from bert_cli.families.retrieval import Query, Rankings, cell
from bert_cli.files import rounded
from bert_cli.metrics.names import MAIN_SCORE
from bert_cli.metrics.ranking import largest_first
from bert_cli.metrics.scores import check_finite
from bert_cli.metrics.search import nearest
from bert_cli.metrics.similarity import against_labels, against_scores, cosines, uniformity


def searched(split: SplitStore, vectors: np.ndarray, *, depth: int) -> Rankings:
    """The `depth` nearest texts for each query, of all texts but itself.

    Args:
        split: as `searched_rows` made it.
        vectors: one of length 1 for each row. Shape: `[N, D]`.
    """
    check_finite(vectors)
    kinds, itself = split.column("query"), split.column("itself")
    assert kinds is not None and itself is not None
    texts, queries = np.flatnonzero(kinds == 0), np.flatnonzero(kinds == 1)
    ids = [cell(split, "id", int(row)) for row in texts]
    order = largest_first(ids)
    places, products = nearest(vectors[queries], vectors[texts[order]], depth=depth + 1)
    found = [
        Query(
            cell(split, "id", row),
            cell(split, "text", row),
            cell(split, "line", row),
            {
                ids[place]: grade
                for place, grade in zip(
                    split.values("judged", row).tolist(), split.values("grades", row).tolist(), strict=True
                )
            },
            [
                (ids[place], score)
                for place, score in zip(order[near].tolist(), near_by.tolist(), strict=True)
                if place != itself[row]
            ][:depth],
        )
        for row, near, near_by in zip(queries.tolist(), places, products, strict=True)
    ]
    return Rankings(found, len(texts), {"depth": min(depth, len(texts))})


@dataclass(frozen=True)
class PairAnswers:
    """Cosines of pairs.

    Attributes:
        compared: whether scores are to be found; else pairs are only answered.
    """

    split: Split
    vectors: np.ndarray
    compared: bool
    threshold: float = 0.5

    @property
    def n(self) -> int:
        """Pairs."""
        return len(self.split)

    @cached_property
    def cosines(self) -> np.ndarray:
        """Shape: `[n]` float32."""
        check_finite(self.vectors)
        return cosines(self.vectors[0::2], self.vectors[1::2])

    @cached_property
    def scores(self) -> dict[str, float]:
        """Correlations with scores, and for labels the average precision."""
        gold = self.split.targets
        if not self.compared:
            return {}
        assert gold is not None
        found = against_scores(self.cosines, gold)
        if np.isin(gold, (0, 1)).all():
            found = {**against_labels(self.cosines, gold), **found}
        return {**found, MAIN_SCORE: next(iter(found.values()))}

    def report(self) -> dict[str, Any]:
        """Where the cosines lie."""
        at = {
            name: float(np.quantile(self.cosines, share))
            for name, share in (("p5", 0.05), ("median", 0.5), ("p95", 0.95))
        }
        return {"pairs": self.n, "cosine": {"mean": float(self.cosines.mean()), **at}}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each pair with its cosine as `score`, and with its gold where that is known."""
        for row, cosine in enumerate(self.cosines.tolist()):
            line = self.split.value("line", row)
            record: dict[str, Any] = {} if line is None else {"line": line}
            record |= {name: cell(self.split, name, row) for name in ("text", "text_pair")}
            if self.split.targets is not None:
                record["gold"] = rounded(float(self.split.targets[row]))
            yield record | {"score": rounded(cosine)}

    def files(self) -> Mapping[str, Any]:
        """None: the rows say everything."""
        return {}


@dataclass(frozen=True)
class TextAnswers:
    """Vectors of single texts; attributes as in `PairAnswers`."""

    split: Split
    vectors: np.ndarray
    compared: bool
    threshold: float = 0.5

    @property
    def n(self) -> int:
        """Texts."""
        return len(self.split)

    @cached_property
    def scores(self) -> dict[str, float]:
        """How evenly the vectors lie; nothing else can be known of texts alone."""
        if not self.compared:
            return {}
        check_finite(self.vectors)
        found = uniformity(self.vectors)
        return {"uniformity": found, MAIN_SCORE: -found}

    def report(self) -> dict[str, Any]:
        """How many there are."""
        return {"texts": self.n, "dimensions": int(self.vectors.shape[1])}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each text with its vector as `embedding`; none where texts are only scored."""
        if self.compared:
            return
        for row, vector in enumerate(self.vectors.tolist()):
            yield {"text": cell(self.split, "text", row), "embedding": [rounded(value) for value in vector]}

    def files(self) -> Mapping[str, Any]:
        """None: the rows say everything."""
        return {}
