"""One's own query and text pairs, ranked by a model that reads both together."""

from __future__ import annotations

from bert_cli.tasks.base import Task
from bert_cli.tasks.generic import SPLITS
from bert_cli.tasks.similarity import LABEL, NEGATIVE, SEARCHED, TEXT, TEXT_PAIR

TASKS: tuple[Task, ...] = (
    Task(
        name="text-ranking",
        objective="text-ranking",
        summary="your own queries with relevant texts and others",
        folders=("qrels",),
        splits=SPLITS,
        columns={"text": TEXT, "text_pair": TEXT_PAIR, "negative": NEGATIVE, "label": ("relevance", *LABEL)},
        metrics=SEARCHED,
        primary="ndcg_at_10",
        optional=frozenset({"negative", "label"}),
        language=None,
    ),
)
