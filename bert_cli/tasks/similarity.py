"""Texts as vectors: one's own data in any form, scored pairs, question pairs, searches, and texts alone.

Scored pairs are those of STS-B read by two encoders instead of one (the task `stsb` reads both texts together). The
searches have the layout of BEIR (Thakur et al. 2021): `corpus`, `queries` and `qrels/`, title and text of a document
taken together; nDCG at 10 is BEIR's measure.
"""

from __future__ import annotations

from bert_cli.tasks.base import Hub, Task
from bert_cli.tasks.generic import SPLITS

OBJECTIVE = "sentence-similarity"
SCORED = ("spearman", "pearson")
SEARCHED = ("ndcg_at_10", "map", "mrr", "mrr_at_10", "recall_at_10", "recall_at_100")

TEXT = ("text", "anchor", "query", "question", "sentence1", "text1", "text_a", "question1", "premise", "sentence")
TEXT_PAIR = (
    "text_pair",
    "positive",
    "pos",
    "answer",
    "passage",
    "document",
    "sentence2",
    "text2",
    "text_b",
    "question2",
    "hypothesis",
)
NEGATIVE = ("negative", "negatives", "neg", "hard_negatives")
LABEL = ("label", "score", "labels", "similarity", "similarity_score", "is_duplicate")

_COMPARED = {"text": TEXT, "text_pair": TEXT_PAIR, "negative": NEGATIVE, "label": LABEL}


def _beir(name: str, summary: str, hub: dict[str, str] | None, splits: dict[str, tuple[str, ...]] = SPLITS) -> Task:
    """A search; `hub` is our split name -> that of the copy which MTEB keeps."""
    beside = {"corpus": ("corpus", "corpus"), "queries": ("queries", "queries")}
    return Task(
        name=name,
        objective=OBJECTIVE,
        summary=summary,
        hub=None if hub is None else Hub(path=f"mteb/{name}", config="default", splits=hub, beside=beside),
        folders=(f"{name}/qrels", "qrels"),
        splits=splits,
        columns={},
        metrics=SEARCHED,
        primary="ndcg_at_10",
    )


def _sts(name: str, summary: str, config: str, language: str, folders: tuple[str, ...]) -> Task:
    return Task(
        name=name,
        objective=OBJECTIVE,
        summary=summary,
        hub=Hub(
            path="PhilipMay/stsb_multi_mt",
            config=config,
            splits={"train": "train", "validation": "dev", "test": "test"},
        ),
        folders=folders,
        splits=SPLITS,
        columns={
            "text": ("sentence1",),
            "text_pair": ("sentence2",),
            "label": ("score", "similarity_score", "label"),
        },
        score_range=(0.0, 5.0),
        metrics=SCORED,
        primary="spearman",
        language=language,
    )


TASKS: tuple[Task, ...] = (
    Task(
        name="sentence-similarity",
        objective=OBJECTIVE,
        summary="your own pairs, triplets, searches or texts",
        folders=("qrels",),
        splits=SPLITS,
        columns=_COMPARED,
        metrics=("main_score", *SEARCHED, "average_precision", *SCORED, "uniformity"),
        primary="main_score",
        optional=frozenset({"text_pair", "negative", "label"}),
        language=None,
    ),
    _sts("stsb_similarity", "how similar are two sentences, by their vectors?", "en", "en", ("stsb", "STS-B")),
    _sts("stsb_zh", "similarity of Chinese sentences, by their vectors", "zh", "zh", ("stsb_zh",)),
    Task(
        name="quora_pairs",
        objective=OBJECTIVE,
        summary="which questions ask the same, by their vectors?",
        hub=Hub(path="nyu-mll/glue", config="qqp", splits={"train": "train", "validation": "validation"}),
        folders=("quora_pairs", "quora", "qqp", "QQP"),
        splits={"train": SPLITS["train"], "validation": SPLITS["validation"]},
        columns={
            "text": ("question1", "sentence1", "text"),
            "text_pair": ("question2", "sentence2", "text_pair"),
            "label": ("label", "is_duplicate"),
        },
        labels=("not_duplicate", "duplicate"),
        score_range=(0.0, 1.0),
        metrics=("average_precision", *SCORED),
        primary="average_precision",
    ),
    Task(
        name="simcse",
        objective=OBJECTIVE,
        summary="vectors from plain text alone (SimCSE)",
        folders=("simcse",),
        splits=SPLITS,
        columns={
            "text": TEXT,
            "text_pair": ("sentence2", "text_pair"),
            "label": ("score", "label", "similarity_score"),
        },
        metrics=("main_score", *SCORED, "uniformity"),
        primary="main_score",
        optional=frozenset({"text_pair", "label"}),
        language=None,
    ),
    _beir("scifact", "abstracts that prove or refute a scientific claim", {"train": "train", "test": "test"}),
    _beir(
        "nfcorpus",
        "medical abstracts for questions of laymen, graded",
        {"train": "train", "validation": "dev", "test": "test"},
    ),
    _beir(
        "cranfield",
        "abstracts about aerodynamics for 225 queries (eval)",
        None,
        splits={"test": SPLITS["test"]},
    ),
)
