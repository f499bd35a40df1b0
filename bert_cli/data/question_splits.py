"""The splits of questions that a run wants: read, checked, and held out by whole contexts.

Questions about one context share its answers' surroundings, so a context is either learnt from or scored, never both.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from itertools import islice

import numpy as np

from bert_cli.data.holdout import holdout
from bert_cli.data.question_reader import no_answers, read_questions
from bert_cli.data.questions import Questions
from bert_cli.data.source import Source
from bert_cli.data.splits import places
from bert_cli.data.squad import asked
from bert_cli.errors import DataError
from bert_cli.recipe.schema import AUTO_SHARE, DataSection
from bert_cli.tasks.base import Task


def load_questions(
    task: Task,
    data: DataSection,
    *,
    sources: Mapping[str, Source],
    seed: int,
    splits: tuple[str, ...] | None = None,
    labelled: tuple[str, ...] = ("train", "validation"),
) -> tuple[dict[str, Questions], dict[str, str], tuple[str, ...]]:
    """The splits by name, the column of each role, and doubts.

    Args:
        sources: where the splits are, from `find_sources`.
        seed: of the contexts held out where the validation split is a share of train.
        splits: names to read; None: all but test splits.
        labelled: those that are no use without answers.

    Raises:
        DataError: a split without answers (D044), a single context to hold out of (D047), most answers of the training
            split without a place (D128), and what `places`, reading and `read_questions` raise.
    """
    wanted, found = places(data, sources, splits)
    whole = data.model_copy(update={"limit": None})
    loaded: dict[str, Questions] = {}
    columns: dict[str, str] = {}
    doubts: list[str] = []
    for name, place in found.items():
        source = sources[place]
        # A mistake in a row must not leave the file open.
        with closing(asked(source.records(whole), origin=source.origin, header=source.header)) as questions:
            # A nested file is one record, so the limit is on questions.
            given = islice(questions, data.limit)
            read = read_questions(name, given, task=task, data=data, origin=source.origin)
        if read.rows.golds is None and name in labelled:
            raise no_answers(read.rows)
        loaded[name], columns = read.rows, {**read.columns, **columns}
        doubts += read.doubts
    if "validation" in wanted and "validation" not in loaded:
        share = data.validation_share or AUTO_SHARE
        loaded["train"], loaded["validation"] = hold_out_contexts(loaded["train"], share, seed=seed)
    if "train" in wanted and "train" in labelled:
        loaded["train"] = _learnable(loaded["train"])
    return {name: loaded[name] for name in wanted}, columns, tuple(doubts)


def hold_out_contexts(train: Questions, share: float, *, seed: int) -> tuple[Questions, Questions]:
    """The questions of the contexts that stay, and those of the share of contexts that validation takes.

    Raises:
        DataError: all questions are about one context (D047).
    """
    numbers = train.context_numbers
    contexts = int(numbers.max(initial=-1)) + 1
    if contexts < 2:
        raise DataError(
            "D047",
            "nothing can be held out: all questions are about one context",
            where=train.origin,
            key="data.validation",
            found=f"{contexts} context",
            allowed="two contexts or more",
            help="add rows, or a validation file",
        )
    _, held = holdout(np.zeros(contexts, dtype=np.float32), share, seed=seed)
    out = np.isin(numbers, held)
    return train.take(np.flatnonzero(~out)), train.take(np.flatnonzero(out), name="validation", held_out=share)


def _learnable(train: Questions) -> Questions:
    """The training split without questions that nothing can be learnt from."""
    rows = train.learnable
    if 2 * len(rows) < len(train):
        raise DataError(
            "D128",
            f"most answers of {train.origin} do not stand in their contexts",
            where=train.origin,
            key="data.columns.answers",
            found=f"{len(train) - len(rows)} of {len(train)} questions without a certain place",
            allowed="answer_start in characters of the context, from 0",
            help="check what answer_start counts (characters, not bytes or words), and which text is the context",
        )
    return train.take(rows, held_out=train.held_out)
