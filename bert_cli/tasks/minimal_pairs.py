"""Pairs of sentences that differ in one point, for masked language models as they are: BLiMP and CrowS-Pairs.

A model passes a pair of BLiMP (Warstadt et al. 2020) when it finds the acceptable sentence the more likely one: 67
paradigms (`uid`) of 1,000 pairs, in 13 phenomena (`term`) of four fields. CrowS-Pairs (Nangia et al. 2020) counts how
often the more stereotyping sentence is the more likely one, ideally in half of its 1,508 pairs. Neither lies on the hub
as one data set; the authors' files serve: BLiMP's joined by `cat data/*.jsonl > test.jsonl`, CrowS-Pairs' with a name
for the first column, `sed '1s/^,/id,/'`.
"""

from __future__ import annotations

from bert_cli.tasks.base import MINIMAL_PAIRS, Row, Task


def _one_spelling(row: Row) -> Row:
    """The published files write one field in two ways, `syntax/semantics` and `syntax_semantics`."""
    field = row.get("field")
    return {**row, "field": field.replace("/", "_")} if isinstance(field, str) else row


TASKS: tuple[Task, ...] = (
    Task(
        name="blimp",
        objective=MINIMAL_PAIRS,
        summary="which of two sentences is good English? (eval only)",
        folders=("blimp", "BLiMP"),
        splits={"test": ("test", "blimp")},
        columns={
            "text": ("sentence_good",),
            "text_pair": ("sentence_bad",),
            "field": ("field",),
            "term": ("term", "linguistics_term"),
            "uid": ("uid", "UID"),
        },
        optional=frozenset({"field", "term"}),
        metrics=("accuracy",),
        primary="accuracy",
        prepare=_one_spelling,
    ),
    Task(
        name="crows_pairs",
        objective=MINIMAL_PAIRS,
        summary="does the model prefer stereotypes? (eval only)",
        folders=("crows_pairs", "crows-pairs"),
        splits={"test": ("test", "crows_pairs_anonymized")},
        columns={
            "text": ("sent_more",),
            "text_pair": ("sent_less",),
            "direction": ("stereo_antistereo", "direction"),
            "bias_type": ("bias_type",),
        },
        metrics=("stereotype_score",),
        primary="stereotype_score",
        shared_tokens=True,
    ),
)
