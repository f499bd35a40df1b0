"""Rankings of texts for queries, however their scores were found: what they are worth, and how they are told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bert_cli.data.split import Split
from bert_cli.files import rounded
from bert_cli.metrics.names import MAIN_SCORE
from bert_cli.metrics.ranking import Floats, averaged, measured

TOLD = 10
"""Texts that a prediction names."""


@dataclass(frozen=True)
class Query:
    """One query and the ranking that it got.

    Attributes:
        grades: grade of each judged text by its id.
        ranking: ids and scores of texts, best first.
    """

    id: str
    text: str
    line: int
    grades: Mapping[str, int]
    ranking: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Rankings:
    """Rankings of the texts of a split.

    Attributes:
        searched: texts that were scored; those that are given for each query count once for each.
        details: what else a report says.
    """

    queries: Sequence[Query]
    searched: int
    details: Mapping[str, Any]
    threshold: float = 0.5

    @property
    def n(self) -> int:
        """Queries."""
        return len(self.queries)

    @cached_property
    def of_queries(self) -> dict[str, Floats]:
        """Each metric for each query. Shape of each: `[n]`."""
        return measured(
            [np.array([query.grades.get(name, 0) for name, _ in query.ranking]) for query in self.queries],
            [np.array(list(query.grades.values())) for query in self.queries],
        )

    @property
    def scores(self) -> dict[str, float]:
        """Means over queries; nDCG at 10 is the main one."""
        found = averaged(self.of_queries)
        return {**found, MAIN_SCORE: found["ndcg_at_10"]}

    def report(self) -> dict[str, Any]:
        """How many were searched, and how many queries found nothing."""
        missed = int((self.of_queries["map"] == 0).sum())
        return {"queries": self.n, "texts": self.searched, "queries_without_a_hit": missed, **self.details}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each query with its judged texts, and the best `TOLD` texts that were found."""
        for query in self.queries:
            yield {
                "line": query.line,
                "id": query.id,
                "text": query.text,
                "gold": dict(query.grades),
                "ranking": [{"id": name, "score": rounded(score)} for name, score in query.ranking[:TOLD]],
            }

    def files(self) -> Mapping[str, Any]:
        """The rankings as pytrec_eval reads them: query -> text -> score."""
        return {".run.json": {query.id: dict(query.ranking) for query in self.queries}}


def cell(split: Split, name: str, row: int) -> Any:
    """A cell that must be there."""
    value = split.value(name, row)
    assert value is not None, name
    return value
