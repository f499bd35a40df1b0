"""Queries of one split, with the texts that they are to find: what is ranked, by vectors or pair by pair.

Every query has a relevant text; those without one say nothing about a ranking and are left out, which is told. What
they search is shared by all splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bert_cli.data.bm25 import BM25
from bert_cli.data.collection import Collection, Judgements, relevant
from bert_cli.errors import DataError
from bert_cli.inspect.contents import Contents

POOL = 100
"""Best texts of a first search among which hard negatives are drawn."""


@dataclass(frozen=True, eq=False)
class Queries:
    """Queries with judged texts.

    Attributes:
        ids, texts: of the queries.
        grades: of each query the grade of each judged text, by its place in `collection`.
        lines: where each query is judged first in `origin`. Shape: `[n]` int64.
        collection: what is searched.
        mutual: whether the texts come from the same rows as the queries, so that a text is no answer to itself.
        given: whether a query's judged texts are all that are ranked for it; else all of `collection` are.
        learns: the loss that they are learnt by; None where they are scored.
    """

    name: str
    ids: list[str]
    texts: list[str]
    grades: list[dict[int, int]]
    lines: npt.NDArray[np.int64]
    collection: Collection
    origin: str
    given: bool = False
    mutual: bool = False
    held_out: float | None = None
    learns: str | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def empty_texts(self) -> int:
        """How many queries have nothing to read."""
        return sum(not text.strip() for text in self.texts)

    def take(self, rows: np.ndarray, *, name: str | None = None, held_out: float | None = None) -> Queries:
        """The given queries as a split of their own."""
        places = [int(row) for row in rows]
        return replace(
            self,
            name=name or self.name,
            ids=[self.ids[place] for place in places],
            texts=[self.texts[place] for place in places],
            grades=[self.grades[place] for place in places],
            lines=self.lines[rows],
            held_out=held_out,
        )

    def contents(self, labels: tuple[str, ...] | None) -> Contents:
        """The judged pairs."""
        pairs = [(query, place) for query, grades in enumerate(self.grades) for place in grades]
        return Contents(
            self.name,
            self.origin,
            self.lines[[query for query, _ in pairs]],
            {
                "query": [self.texts[query] for query, _ in pairs],
                "document": [self.collection.texts[place] for _, place in pairs],
            },
            golds=[str(self.grades[query][place]) for query, place in pairs],
            numeric=True,
            held_out=self.held_out,
        )

    def found_by(self, search: BM25 | None, *, depth: int) -> list[list[int]]:
        """Places of the texts to rank for each query: those given where there is no search, or its best ones."""
        if search is None:
            return [list(grades) for grades in self.grades]
        found: list[list[int]] = search.search(self.texts, depth=depth).tolist()
        return found

    def hard_negatives(self, search: BM25 | None, *, count: int, seed: int) -> list[list[list[int]]]:
        """For each query and each of its relevant texts, places of `count` texts that are not relevant.

        They are drawn from those that were judged not relevant where texts are given, else from the best of a first
        search that nobody judged relevant; there may be fewer. Copies of the query or of a relevant text are none.
        """
        if search is None:
            near = [list(grades) for grades in self.grades]
        else:
            near = search.search(self.texts, depth=POOL).tolist()
        drawn = []
        for query, (grades, places) in enumerate(zip(self.grades, near, strict=True)):
            same = {self.texts[query], *(self.collection.texts[place] for place in relevant(grades))}
            pool = [place for place in places if grades.get(place, 0) <= 0 and self.collection.texts[place] not in same]
            random = np.random.default_rng((seed, query))
            drawn.append(
                [random.permutation(pool)[:count].astype(int).tolist() if pool else [] for _ in relevant(grades)]
            )
        return drawn


def judged(
    name: str, judgements: Judgements, *, queries: Collection, collection: Collection, origin: str, limit: int | None
) -> tuple[Queries, str | None]:
    """The queries of one split in the order of their judgements, and what to tell about those that are left out.

    Args:
        limit: most queries.

    Raises:
        DataError: none of them has a relevant text (D157).
    """
    known = [query for query, grades in judgements.grades.items() if relevant(grades)]
    without = len(judgements.grades) - len(known)
    check_some(known, origin)
    kept = known[:limit]
    rows = Queries(
        name,
        kept,
        [queries.texts[queries.places[query]] for query in kept],
        [judgements.grades[query] for query in kept],
        np.array([judgements.lines[query] for query in kept], dtype=np.int64),
        collection,
        origin,
    )
    return rows, left_out(without, origin)


def left_out(without: int, origin: str) -> str | None:
    """What to tell about queries that nothing is relevant to."""
    if not without:
        return None
    what = "1 query has" if without == 1 else f"{without} queries have"
    return f"{origin}: {what} no relevant text and {'is' if without == 1 else 'are'} left out"


def check_some(queries: Sequence[object], origin: str) -> None:
    """Refuse a split without a single query that can be scored (D157)."""
    if not queries:
        raise DataError(
            "D157",
            "no query has a relevant text",
            where=origin,
            found="grades of 0 or less only",
            allowed="a grade of 1 or more for some text of each query",
            help="check which column holds the grade, and what its numbers mean",
        )
