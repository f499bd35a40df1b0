"""All checks that need nothing but the examples themselves, and the sentences that a run says about them.

67,000 short rows take less than a second.
"""

from __future__ import annotations

from collections.abc import Sequence

from bert_cli.inspect.classes import class_findings
from bert_cli.inspect.contents import Contents
from bert_cli.inspect.equal import keys_of
from bert_cli.inspect.finding import Finding, worst_first
from bert_cli.inspect.repeats import conflicts, overlaps, repeats, shared_parts
from bert_cli.inspect.scripts import Scripts, script_findings, scripts_of
from bert_cli.inspect.texts import text_findings


def examine(splits: Sequence[Contents], scripts: Sequence[Scripts] | None = None) -> tuple[Finding, ...]:
    """What is to be said about the splits of one data set, worst first.

    Args:
        splits: `train` first where there is one.
        scripts: those of each split, where they are known already.
    """
    keys = keys_of(splits)
    return worst_first(
        [
            *overlaps(splits, keys),
            *conflicts(splits, keys),
            *repeats(splits, keys),
            *class_findings(splits),
            *text_findings(splits),
            *script_findings(splits, scripts or [scripts_of(split) for split in splits]),
            *shared_parts(splits),
        ]
    )


def doubts_of(splits: Sequence[Contents]) -> tuple[str, ...]:
    """The warnings among them, one sentence each, for the log of a run."""
    return tuple(finding.sentence for finding in examine(splits) if finding.severity != "note")
