"""The splits of judgements in the layout of BEIR: queries over one collection, which is read once.

A split is a file of judgements; its queries and texts lie beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

from bert_cli.data.collection import (
    DOCUMENT,
    GRADE,
    ID,
    QUERY,
    TEXT,
    TITLE,
    Collection,
    read_collection,
    read_judgements,
)
from bert_cli.data.queries import Queries, judged
from bert_cli.data.source import Source
from bert_cli.data.splits import load_splits
from bert_cli.errors import UsageError
from bert_cli.recipe.schema import DataSection


def are_judgements(sources: Mapping[str, Source]) -> bool:
    """Whether the splits are judgements about texts that lie beside them."""
    return any(source.beside for source in sources.values())


def load_searches(
    data: DataSection, sources: Mapping[str, Source], splits: tuple[str, ...], *, seed: int
) -> tuple[dict[str, Queries], tuple[str, ...]]:
    """The wanted splits, and what to tell about them.

    Raises:
        UsageError, DataError: as `load_splits` and `read_judgements` do; columns are named, which nothing would read
            (U063).
    """
    if data.columns:
        role = next(iter(data.columns))
        raise UsageError(
            "U063",
            "judgements have columns of their own: ids, and title and text",
            key=f"data.columns.{role}",
            found=data.columns[role],
            allowed=f"{QUERY[0]}, {DOCUMENT[0]} and {GRADE[0]}; {ID[0]}, {TITLE[0]} and {TEXT[0]}",
            help=f"leave data.columns.{role} out, and rename the column where it has another name",
        )
    shared: dict[str, Collection] = {}
    doubts: list[str] = []

    def read(name: str, source: Source) -> Queries:
        for part, place in source.beside.items():
            if part not in shared:
                shared[part] = read_collection(place, data)
        queries, texts = shared["queries"], shared["corpus"]
        rows, doubt = judged(
            name,
            read_judgements(source, data, queries=queries, texts=texts),
            queries=queries,
            collection=texts,
            origin=source.origin,
            limit=data.limit,
        )
        doubts.extend(filter(None, [doubt]))
        return rows

    return load_splits(data, sources, splits, seed=seed, read=read), tuple(doubts)
