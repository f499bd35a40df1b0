"""Texts as vectors (bi-encoder): learnt from pairs, triplets, judgements or texts alone; scored by cosine.

What the data hold decides what is minimised and what is measured: scores of pairs are compared with cosines, pairs that
mean the same are to come first, and everything else is a search among all texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bert_cli.data.cells import has_cell, text_cell
from bert_cli.data.columns import Columns, check_agreement, check_chosen
from bert_cli.data.compared import PARTLY, Compared, read_compared
from bert_cli.data.queries import Queries
from bert_cli.data.read import Record
from bert_cli.data.searches import are_judgements, load_searches
from bert_cli.data.source import Source
from bert_cli.data.split import Split
from bert_cli.data.splits import load_splits
from bert_cli.data.store import EncodedChunk, SplitStore
from bert_cli.errors import DataError, listing
from bert_cli.families.base import Answers, Head, Labelled, Loaded, Reading, Request
from bert_cli.families.losses import check_measurable, similarity_loss
from bert_cli.families.vector_rows import compared_rows, learnt, learnt_queries, searched_rows
from bert_cli.families.vectors import PairAnswers, TextAnswers, searched
from bert_cli.metrics import Scorer
from bert_cli.models.pooling import pooling_of, write_modules
from bert_cli.objectives.groups import SIZES
from bert_cli.objectives.parts import encode_parts
from bert_cli.objectives.similarity import CosineScores, InBatchNegatives, Triplets, Vectors
from bert_cli.train.evaluate import Scored


class SimilarityFamily(Labelled):
    """Bi-encoders."""

    head = Head("AutoModel", None, "texts", named=False)

    def load(self, request: Request) -> Loaded:
        """Searches where the data are judgements, else texts and what each is compared with.

        Raises:
            UsageError, DataError: see `load_searches` and `read_compared`; a loss that the data do not allow
                (D159), a split without the scores that it needs (D044), or judgements without their texts (D150).
        """
        splits: dict[str, Compared | Queries]
        columns: dict[str, str] = {}
        doubts: tuple[str, ...] = ()
        if are_judgements(request.sources):
            found, doubts = load_searches(
                request.recipe.data, request.sources, request.splits, seed=request.recipe.train.seed
            )
            splits = {**found}
        elif request.task.columns:
            splits, columns, doubts = _compared(request)
        else:
            raise _no_collection(request)
        learns = "train" in splits and len(splits) > 1
        for name, rows in splits.items():
            if learns and name == "train":
                splits[name] = replace(rows, learns=similarity_loss(request.recipe.train.loss, rows))
        return Loaded(splits, None, columns, doubts)

    def records(
        self, records: Sequence[Record], reading: Reading, *, origin: str, columns: Mapping[str, str]
    ) -> Compared:
        """Pairs where the rows hold a second text, else texts."""
        names = reading.task.columns
        roles = ["text"]
        if "text_pair" in names and has_cell(records[0], "text_pair", names["text_pair"], columns=columns):
            roles.append("text_pair")
        texts = [
            tuple(text_cell(record, role, names[role], origin=origin, columns=columns) for role in roles)
            for record in records
        ]
        return Compared("", texts, None, np.empty(0, dtype=np.int64), origin, asked=True)

    def encode(self, rows: Compared | Queries, reading: Reading) -> Iterator[EncodedChunk]:
        """What is learnt from with its partner and hard negatives in one row; else texts by themselves or in pairs."""
        recipe = reading.recipe
        if isinstance(rows, Compared) and not (rows.learns or rows.asked or rows.single) and rows.targets is None:
            rows, _ = rows.queries(given=False)
        if isinstance(rows, Queries):
            given = {"negatives": recipe.data.negatives, "seed": recipe.train.seed}
            made = learnt_queries(rows, **given) if rows.learns else searched_rows(rows)
        elif rows.learns:
            made = learnt(rows, negatives=recipe.data.negatives, score_range=reading.task.score_range)
        else:
            made = compared_rows(rows)
        return encode_parts(reading.tokenizer, made.rows, max_length=recipe.data.max_length, types=made.types)

    def objective(
        self, reading: Reading, *, takes_type_ids: bool, training: bool = False, train: Split | None = None
    ) -> Vectors:
        """The loss that the recipe or the data ask for; vectors alone where nothing is learnt.

        Raises:
            ModelError: see `pooling_of`.
            DataError: a metric that the data do not allow (D160).
        """
        check_measurable(reading)
        recipe = reading.recipe
        options: dict[str, Any] = {
            "pooling": pooling_of(reading.folder, recipe.model.pooling),
            "pad_token_id": reading.tokenizer.pad_token_id,
            "takes_type_ids": takes_type_ids,
        }
        if not training:
            return Vectors(**options)
        assert isinstance(train, SplitStore)
        loss = _learnt_by(recipe.train.loss, train)
        if loss == "cosine":
            return CosineScores(**options)
        if loss == "triplet":
            return Triplets(margin=recipe.train.margin, **options)
        return InBatchNegatives(scale=recipe.train.scale, twice=loss == "simcse", **options)

    def answers(
        self, split: Split, scored: Scored, reading: Reading, *, threshold: float | None, scorer: Scorer | None = None
    ) -> Answers:
        """Rankings of a search, cosines of pairs, or vectors."""
        assert isinstance(split, SplitStore)
        if split.column("query") is not None:
            return searched(split, scored.scores, depth=reading.recipe.eval.depth)
        kind = PairAnswers if split.value("text_pair", 0) is not None else TextAnswers
        return kind(split, scored.scores, compared=scorer is not None)

    def furnish(self, folder: Path, model: Any, reading: Reading) -> None:
        """Make the folder one of Sentence Transformers."""
        recipe = reading.recipe
        write_modules(
            folder,
            width=model.config.hidden_size,
            mode=pooling_of(reading.folder, recipe.model.pooling),
            max_length=recipe.data.max_length,
        )


def _compared(request: Request) -> tuple[dict[str, Compared | Queries], dict[str, str], tuple[str, ...]]:
    """Splits of texts, pairs and triplets, the column of each role, and what to tell about them."""
    tables: dict[str, Columns] = {}

    def read(name: str, source: Source) -> Compared:
        rows, tables[name] = read_compared(request.task, request.recipe.data, source, name=name)
        return rows

    found = load_splits(
        request.recipe.data,
        request.sources,
        request.splits,
        seed=request.recipe.train.seed,
        read=read,
        strata=lambda rows: (
            rows.targets.astype(np.int64) if rows.labelled and rows.targets is not None else rows.lines * 0.0
        ),
    )
    first = next(iter(tables.values()))
    # Texts to learn from may have no partner where those that are scored have one.
    for other in tables.values():
        if "text_pair" in first.names or "text_pair" not in other.names:
            check_agreement(first, other, may_differ=PARTLY)
    check_chosen(request.recipe.data, tables)
    for name in request.labelled:
        rows = found[name]
        if rows.targets is None and "label" not in request.task.optional and not rows.single:
            raise _no_scores(rows)
    names = {role: column for table in tables.values() for role, column in table.names.items()}
    doubts = tuple(
        f"{table.origin}: texts without a second one are learnt from themselves, and the column "
        f"'{table.names['label']}' is not read"
        for table in tables.values()
        if "label" in table.names and "text_pair" not in table.names
    )
    return {**found}, names, doubts


def _no_collection(request: Request) -> DataError:
    return DataError(
        "D150",
        "there are judgements, and nothing beside them holds the corpus that they are about",
        key="data.source",
        found=listing(source.origin for source in request.sources.values()),
        allowed="a folder with corpus.jsonl, queries.jsonl and judgements in qrels",
        help="--task sentence-similarity reads pairs and texts",
    )


def _no_scores(rows: Compared) -> DataError:
    return DataError(
        "D044",
        f"split '{rows.name}' has no scores",
        where=rows.origin,
        key="data.columns.label",
        found=f"{len(rows)} rows without a score",
        allowed="a score in every row",
        help="use a split with scores; bertctl predict needs none",
    )


def _learnt_by(asked: str, train: SplitStore) -> str:
    """The loss of rows that were made to be learnt from, as `similarity_loss` chose it."""
    if asked != "auto":
        return asked
    if train.targets is not None:
        return "cosine"
    return "simcse" if len(train.values(SIZES, 0)) == 1 else "in-batch"


FAMILY = SimilarityFamily()
