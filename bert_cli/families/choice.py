"""Questions with choices, one of which is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from bert_cli.data.choices import ChoiceRows, given_choices, load_choices
from bert_cli.data.read import Record
from bert_cli.data.split import Split
from bert_cli.data.store import CHUNK, EncodedChunk
from bert_cli.families.base import Answers, Head, Labelled, Loaded, Reading, Request
from bert_cli.files import rounded
from bert_cli.metrics import Scorer
from bert_cli.metrics.scores import check_finite
from bert_cli.objectives.choice import ChoiceObjective, encode_choices
from bert_cli.objectives.groups import SIZES
from bert_cli.train.evaluate import Scored


@dataclass(frozen=True)
class ChoiceAnswers:
    """Which choice a model takes in each row."""

    split: Split
    scored: Scored
    scores: dict[str, float]
    threshold: float = 0.5

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.split)

    @cached_property
    def taken(self) -> np.ndarray:
        """The place of the most probable choice; the first among equals. Shape: `[n]` int64."""
        return np.array([int(self.scored.of(row).argmax()) for row in range(self.n)], dtype=np.int64)

    def report(self) -> dict[str, Any]:
        """Accuracy by the number of choices, what guessing would give, and how often each place is right and taken."""
        assert self.split.targets is not None, "there is nothing to compare with"
        counts = np.diff(self.scored.ends, prepend=0)
        right = self.taken == self.split.targets
        places = int(counts.max())
        return {
            "n": self.n,
            "accuracy": float(right.mean()),
            "chance": float((1 / counts).mean()),
            "by_choices": [
                {
                    "choices": int(count),
                    "n": int((counts == count).sum()),
                    "accuracy": float(right[counts == count].mean()),
                }
                for count in np.unique(counts)
            ],
            "places": [
                {"choice": place, "gold": int(gold), "taken": int(taken)}
                for place, (gold, taken) in enumerate(
                    zip(
                        np.bincount(self.split.targets, minlength=places),
                        np.bincount(self.taken, minlength=places),
                        strict=True,
                    )
                )
            ],
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """What was read, gold where it is known, and the choice that is taken."""
        for row, taken in enumerate(self.taken.tolist()):
            record: dict[str, Any] = {}
            for name in ("line", "context", "question"):
                cell = self.split.value(name, row)
                if cell not in (None, ""):
                    record[name] = cell
            choices = self.split.value("choices", row)
            record["choices"] = choices
            if self.split.targets is not None:
                record["gold"] = int(self.split.targets[row])
            yield record | {
                "choice": taken,
                "answer": choices[taken],
                "probabilities": [rounded(p) for p in self.scored.of(row)],
            }

    def files(self) -> Mapping[str, Any]:
        """None: the rows say everything."""
        return {}


class ChoiceFamily(Labelled):
    """Multiple choice."""

    head = Head("AutoModelForMultipleChoice", "ForMultipleChoice", "choices", named=False)

    def load(self, request: Request) -> Loaded:
        """Questions with their choices; see `load_choices`."""
        found = load_choices(
            request.task,
            request.recipe.data,
            sources=request.sources,
            splits=request.splits,
            require_labels=request.labelled,
            seed=request.recipe.train.seed,
        )
        return Loaded(found.splits, None, found.columns, found.doubts)

    def records(
        self, records: Sequence[Record], reading: Reading, *, origin: str, columns: Mapping[str, str]
    ) -> ChoiceRows:
        """Questions without labels."""
        return given_choices(records, reading.task, origin=origin, columns=columns)

    def encode(self, rows: ChoiceRows, reading: Reading) -> Iterator[EncodedChunk]:
        """One row of tokens for each question: its choices one after another, and the length of each."""
        for start in range(0, len(rows), CHUNK):
            end = start + CHUNK
            found = encode_choices(
                reading.tokenizer,
                rows.heads[start:end],
                rows.tails[start:end],
                max_length=reading.recipe.data.max_length,
            )
            texts = pa.list_(pa.string())
            columns: dict[str, Any] = {
                SIZES: found.size_column,
                "text": rows.heads[start:end],
                "context": rows.contexts[start:end],
                "question": rows.questions[start:end],
                "choices": pa.array([list(choices.texts) for choices in rows.choices[start:end]], texts),
            }
            if rows.name:
                columns["line"] = rows.lines[start:end]
            if rows.targets is not None:
                columns["target"] = rows.targets[start:end]
            yield EncodedChunk(found.input_ids, found.type_ids, columns, found.truncated, found.lost_tokens)

    def objective(
        self, reading: Reading, *, takes_type_ids: bool, training: bool = False, train: Split | None = None
    ) -> ChoiceObjective:
        """Cross-entropy over the choices; label smoothing belongs to training alone."""
        return ChoiceObjective(
            pad_token_id=reading.tokenizer.pad_token_id,
            takes_type_ids=takes_type_ids,
            label_smoothing=reading.recipe.train.label_smoothing if training else 0.0,
        )

    def answers(
        self, split: Split, scored: Scored, reading: Reading, *, threshold: float | None, scorer: Scorer | None = None
    ) -> Answers:
        """The choices taken, and their accuracy.

        Raises:
            NonFiniteError: a probability is nan (M005).
        """
        check_finite(scored.scores)
        if scorer is None:
            return ChoiceAnswers(split, scored, {})
        assert split.targets is not None
        accuracy = float((ChoiceAnswers(split, scored, {}).taken == split.targets).mean())
        return ChoiceAnswers(split, scored, {**scored.losses, "accuracy": accuracy})


FAMILY = ChoiceFamily()
