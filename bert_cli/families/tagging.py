"""Tags of words: named entities, parts of speech, chunks, slots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bert_cli.data.cells import cell, has_cell, text_cell
from bert_cli.data.read import Record
from bert_cli.data.segment import join, segment
from bert_cli.data.split import Split
from bert_cli.data.store import EncodedChunk
from bert_cli.data.tag_splits import load_tagged
from bert_cli.data.tag_table import TEXT, TOKENS, token_list
from bert_cli.data.tagged import TaggedRows
from bert_cli.errors import UsageError
from bert_cli.families.base import Answers, Head, Labelled, Loaded, Reading, Request
from bert_cli.families.tag_answers import TagAnswers
from bert_cli.metrics import Scorer
from bert_cli.metrics.entities import marks_entities
from bert_cli.objectives.tag_rows import encode_tagged
from bert_cli.objectives.tagging import TaggingObjective
from bert_cli.train.evaluate import Scored


class TaggingFamily(Labelled):
    """Token classification."""

    head = Head("AutoModelForTokenClassification", "ForTokenClassification", "tokens")

    def load(self, request: Request) -> Loaded:
        """Sentences with a class for each word; see `load_tagged`."""
        recipe, task = request.recipe, request.task
        found = load_tagged(
            task,
            recipe.data,
            sources=request.sources,
            seed=recipe.train.seed,
            splits=request.splits,
            labelled=request.labelled,
            model=request.model_labels,
        )
        labels = None if found.classes is None else found.classes.names
        return Loaded(found.splits, labels, found.columns, found.doubts)

    def records(
        self, records: Sequence[Record], reading: Reading, *, origin: str, columns: Mapping[str, str]
    ) -> TaggedRows:
        """Sentences without tags, from tokens where a record has them, else from its text."""
        names = reading.task.columns
        texts, words, tokenised = [], [], []
        for record in records:
            given = TEXT not in columns and has_cell(record, TOKENS, names[TOKENS], columns=columns)
            if given:
                value = cell(record, TOKENS, names[TOKENS], origin=origin, columns=columns)
                tokens = token_list(value, where=f"{origin}:{record.line}", column=columns.get(TOKENS, TOKENS))
                text, places = join(tokens)
            else:
                text = text_cell(record, TEXT, names[TEXT], origin=origin, columns=columns)
                places = segment(text)
            texts.append(text)
            words.append(places)
            tokenised.append(given)
        # No line: a reader of predictions knows the order of what it sent.
        return TaggedRows("", origin, np.empty(0, dtype=np.int64), texts, words, tokenised=all(tokenised))

    def encode(self, rows: TaggedRows, reading: Reading) -> Iterator[EncodedChunk]:
        """One row of tokens for each window of a sentence."""
        data = reading.recipe.data
        return encode_tagged(
            rows,
            reading.tokenizer,
            max_length=data.max_length,
            stride=data.stride,
            classes=len(reading.labels or ()),
        )

    def model_settings(self, reading: Reading) -> dict[str, Any]:
        """Class names."""
        return {"labels": reading.labels}

    def objective(
        self, reading: Reading, *, takes_type_ids: bool, training: bool = False, train: Split | None = None
    ) -> TaggingObjective:
        """Cross-entropy of the words.

        Raises:
            UsageError: a metric of entities is to select the best model, and tags are plain (D117).
        """
        if training and _is_plain(reading):
            _check_metric(reading.recipe.eval.metric or reading.task.primary)
        return TaggingObjective(pad_token_id=reading.tokenizer.pad_token_id, takes_type_ids=takes_type_ids)

    def answers(
        self, split: Split, scored: Scored, reading: Reading, *, threshold: float | None, scorer: Scorer | None = None
    ) -> Answers:
        """Entities or tags, and their scores."""
        assert reading.labels is not None
        losses = None if scorer is None else scored.losses
        return TagAnswers(split, scored, reading.labels, _is_plain(reading), losses)


def _is_plain(reading: Reading) -> bool:
    """Whether each tag is a class of its own."""
    scheme, task = reading.recipe.data.scheme, reading.task
    return "plain" in (scheme, task.scheme if scheme == "auto" else "") or not marks_entities(reading.labels or ())


def _check_metric(name: str) -> None:
    if name.startswith("entity_"):
        raise UsageError(
            "D117",
            f"the tags mark no entities, so '{name}' cannot select the best model",
            key="eval.metric",
            found=name,
            allowed="accuracy, loss",
            help="eval.metric=accuracy; data.scheme=bio where the tags are those of entities",
        )


FAMILY = TaggingFamily()
