"""Query and text read together (cross-encoder): candidates of a first search are ranked anew, or those that are given.

Learnt from judgements with negatives of the first search, from triplets, or from labelled pairs; scored as any ranking
is. A relevant text that the first search did not find is missed, and counts so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bert_cli.data.bm25 import BM25
from bert_cli.data.cells import text_cell
from bert_cli.data.collection import relevant
from bert_cli.data.columns import Columns, check_agreement, check_chosen
from bert_cli.data.compared import PARTLY, Compared, read_compared
from bert_cli.data.queries import Queries
from bert_cli.data.read import Record
from bert_cli.data.searches import are_judgements, load_searches
from bert_cli.data.source import Source
from bert_cli.data.split import Split
from bert_cli.data.splits import load_splits
from bert_cli.data.store import EncodedChunk, SplitStore
from bert_cli.errors import DataError
from bert_cli.families.base import Answers, Head, Labelled, Loaded, Reading, Request
from bert_cli.families.losses import ranking_loss
from bert_cli.families.retrieval import Query, Rankings, cell
from bert_cli.files import rounded
from bert_cli.metrics import Scorer
from bert_cli.metrics.ranking import largest_first
from bert_cli.metrics.scores import check_finite
from bert_cli.models.pooling import write_ranker
from bert_cli.objectives.parts import Row, encode_parts
from bert_cli.objectives.ranking import Binary, Listwise, PairScores
from bert_cli.train.evaluate import Scored

_PAIR = {"text": pa.string(), "text_pair": pa.string()}
_LEARNT = {"text": pa.string(), "line": pa.int64()}
_RANKED = {
    "query": pa.int32(),
    "id": pa.string(),
    "query_id": pa.string(),
    "text": pa.string(),
    "line": pa.int64(),
    "judged": pa.list_(pa.string()),
    "grades": pa.list_(pa.int32()),
}
_FIRST_ONLY: dict[str, Any] = {"query_id": None, "text": None, "judged": None, "grades": None}


class RankingFamily(Labelled):
    """Cross-encoders."""

    head = Head("AutoModelForSequenceClassification", "ForSequenceClassification", "pairs", named=False)

    def load(self, request: Request) -> Loaded:
        """Queries with candidates of a first search where the data are judgements, else with those that are given.

        Raises:
            UsageError, DataError: see `load_searches` and `read_compared`; a loss that the data do not allow
                (D159), a split without anything that is not relevant (D161).
        """
        data, seed = request.recipe.data, request.recipe.train.seed
        labelled = False
        columns: dict[str, str] = {}
        doubts: tuple[str, ...] = ()
        if are_judgements(request.sources):
            found, doubts = load_searches(data, request.sources, request.splits, seed=seed)
        else:
            given = _Given(request)
            found = load_splits(data, request.sources, request.splits, seed=seed, read=given.read)
            check_chosen(data, given.tables)
            labelled, columns, doubts = given.labelled, given.columns, tuple(given.doubts)
        splits = dict(found)
        for name, rows in found.items():
            if name == "train" and len(found) > 1:
                splits[name] = replace(rows, learns=ranking_loss(request.recipe.train.loss, rows, labelled=labelled))
            else:
                _check_ranks(rows)
        return Loaded(splits, None, columns, doubts)

    def records(
        self, records: Sequence[Record], reading: Reading, *, origin: str, columns: Mapping[str, str]
    ) -> Compared:
        """Pairs of a query and a text."""
        names = reading.task.columns
        texts = [
            tuple(text_cell(record, role, names[role], origin=origin, columns=columns) for role in _PAIR)
            for record in records
        ]
        return Compared("", texts, None, np.empty(0, dtype=np.int64), origin, asked=True)

    def encode(self, rows: Compared | Queries, reading: Reading) -> Iterator[EncodedChunk]:
        """To learn from, a relevant pair and others in one row, or each in its own; else one row for each pair."""
        if isinstance(rows, Compared):
            made = [Row([(one, other)], {"text": one, "text_pair": other}) for one, other, *_ in rows.texts]
            types: dict[str, pa.DataType] = _PAIR
        elif rows.learns:
            made = _learnt(rows, reading)
            types = {**_LEARNT, "target": pa.float32()} if rows.learns == "binary" else _LEARNT
        else:
            made, types = _ranked(rows, depth=reading.recipe.eval.depth), _RANKED
        return encode_parts(reading.tokenizer, made, max_length=reading.recipe.data.max_length, types=types)

    def model_settings(self, reading: Reading) -> dict[str, Any]:
        """One output, which is no class."""
        return {"labels": ("score",), "problem_type": "regression"}

    def objective(
        self, reading: Reading, *, takes_type_ids: bool, training: bool = False, train: Split | None = None
    ) -> PairScores:
        """The loss that the rows were made for; scores alone where nothing is learnt."""
        kind = PairScores
        if training:
            assert train is not None
            kind = Listwise if train.targets is None else Binary
        return kind(pad_token_id=reading.tokenizer.pad_token_id, takes_type_ids=takes_type_ids)

    def answers(
        self, split: Split, scored: Scored, reading: Reading, *, threshold: float | None, scorer: Scorer | None = None
    ) -> Answers:
        """The candidates of each query by their scores, or the scores of pairs."""
        assert isinstance(split, SplitStore)
        check_finite(scored.scores)
        if split.column("query") is None:
            return ScoredPairs(split, scored.scores)
        return _rankings(split, scored.scores)

    def furnish(self, folder: Path, model: Any, reading: Reading) -> None:
        """Let Sentence Transformers give the same scores."""
        write_ranker(folder)


@dataclass(frozen=True)
class ScoredPairs:
    """Scores of pairs, without anything to compare them with. Shape of `outputs`: `[N]`."""

    split: Split
    outputs: np.ndarray
    threshold: float = 0.5

    @property
    def n(self) -> int:
        """Pairs."""
        return len(self.split)

    @property
    def scores(self) -> dict[str, float]:
        """None."""
        return {}

    def report(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each pair with its score, the larger the more relevant; not a probability."""
        for row, score in enumerate(self.outputs.tolist()):
            yield {name: cell(self.split, name, row) for name in _PAIR} | {"score": rounded(score)}

    def files(self) -> Mapping[str, Any]:
        """None."""
        return {}


class _Given:
    """Reads splits of pairs and triplets as queries with candidates, and keeps what it learns on the way."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.labelled = False
        self.tables: dict[str, Columns] = {}
        self.columns: dict[str, str] = {}
        self.doubts: list[str] = []

    def read(self, name: str, source: Source) -> Queries:
        compared, columns = read_compared(self.request.task, self.request.recipe.data, source, name=name)
        _check_whole(compared)
        self.tables[name] = columns
        check_agreement(next(iter(self.tables.values())), columns, may_differ=PARTLY)
        self.labelled |= compared.targets is not None
        self.columns |= columns.names
        rows, doubt = compared.queries(given=True)
        self.doubts += filter(None, [doubt])
        return rows


def _check_whole(rows: Compared) -> None:
    """Refuse grades that are no whole numbers (D155)."""
    if rows.targets is None:
        return
    odd = np.flatnonzero(rows.targets % 1)
    if len(odd):
        raise DataError(
            "D155",
            "a judgement is a whole number",
            where=f"{rows.origin}:{rows.lines[odd[0]]}",
            key="data.columns.label",
            found=f"{rows.targets[odd[0]]:g}",
            allowed="0 (not relevant), 1, 2 …",
            help="round the scores, or learn them: --task text-regression",
        )


def _check_ranks(rows: Queries) -> None:
    """Refuse candidates that are all relevant (D161)."""
    if rows.given and all(min(grades.values()) > 0 for grades in rows.grades):
        raise DataError(
            "D161",
            "every text is relevant to its query, so any ranking is right",
            where=rows.origin,
            found=f"{len(rows)} queries with relevant texts only",
            allowed="texts that are not relevant too: label 0, or a column for negative",
            help="add such rows, or search all texts with vectors: --task sentence-similarity",
        )


def _learnt(rows: Queries, reading: Reading) -> list[Row]:
    """Rows to learn from in the form that their loss reads."""
    texts, seed = rows.collection.texts, reading.recipe.train.seed
    count = max(1, reading.recipe.data.negatives)
    made = []
    if rows.learns == "binary" and rows.given:
        for query, line, grades in zip(rows.texts, rows.lines.tolist(), rows.grades, strict=True):
            made += [_labelled(query, texts[place], line, grade > 0) for place, grade in grades.items()]
        return made
    unlike = rows.hard_negatives(None if rows.given else BM25(texts), count=count, seed=seed)
    for query, line, grades, drawn in zip(rows.texts, rows.lines.tolist(), rows.grades, unlike, strict=True):
        for place, others in zip(relevant(grades), drawn, strict=True):
            if rows.learns == "binary":
                made += [_labelled(query, texts[other], line, other == place) for other in (place, *others)]
            elif others:
                pairs = [(query, texts[other]) for other in (place, *others)]
                made.append(Row(pairs, {"text": query, "line": line}))
    return made


def _labelled(query: str, text: str, line: int, relevant: bool) -> Row:
    return Row([(query, text)], {"text": query, "line": line, "target": float(relevant)})


def _ranked(rows: Queries, *, depth: int) -> list[Row]:
    """A row for each candidate of each query, best first; what is known of a query stands in its first row."""
    search = None if rows.given else BM25(rows.collection.texts)
    made = []
    for query, found in enumerate(rows.found_by(search, depth=depth)):
        grades = rows.grades[query]
        known = {
            "query_id": rows.ids[query],
            "text": rows.texts[query],
            "judged": [rows.collection.ids[place] for place in grades],
            "grades": list(grades.values()),
        }
        for number, place in enumerate(found):
            own = {"query": query, "id": rows.collection.ids[place], "line": int(rows.lines[query])}
            pair = (rows.texts[query], rows.collection.texts[place])
            made.append(Row([pair], own | (known if number == 0 else _FIRST_ONLY)))
    return made


def _rankings(split: SplitStore, scores: np.ndarray) -> Rankings:
    """Candidates by score, of equal ones the one with the larger id first; and the first search, to compare with."""
    queries = split.column("query")
    assert queries is not None
    ends = np.flatnonzero(np.diff(queries, append=-1)) + 1
    found, before = [], []
    for first, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        ids = [cell(split, "id", row) for row in range(first, end)]
        own = scores[first:end]
        order = largest_first(ids)
        order = order[np.argsort(-own[order], kind="stable")]
        ranking = [(ids[place], float(own[place])) for place in order.tolist()]
        grades = dict(zip(cell(split, "judged", first), cell(split, "grades", first), strict=True))
        query = Query(
            cell(split, "query_id", first), cell(split, "text", first), cell(split, "line", first), grades, ranking
        )
        found.append(query)
        before.append(replace(query, ranking=[(name, 0.0) for name in ids]))
    searched = Rankings(before, len(split), {})
    return Rankings(found, len(split), {"first_search": searched.scores})


FAMILY = RankingFamily()
