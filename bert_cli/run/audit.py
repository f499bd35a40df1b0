"""What a run does not read: rows that were longer than the model takes, and the share of tokens that this cost.

Counted while the rows were tokenised, so it costs nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bert_cli.data.split import Split
from bert_cli.objectives.groups import SIZES


@dataclass(frozen=True)
class Cut:
    """What of a split was cut.

    Attributes:
        rows: examples that were longer than the model reads, of `examples`.
        tokens: share of all tokens that was cut, 0 to 1.
    """

    rows: int
    examples: int
    tokens: float


def cut_of(split: Split) -> Cut:
    """What was cut when the split was tokenised; of windows, examples are counted, of a search, its texts."""
    lost = int(split.facts["lost_tokens"])
    several = len(split) > 0 and split.value(SIZES, 0) is not None
    examples = len(split) if several else int(split.facts.get("examples", len(split)))
    return Cut(int(split.facts["truncated"]), examples, lost / max(1, lost + int(split.lengths.sum())))


def audit(splits: Mapping[str, Split], max_length: int) -> str:
    """A sentence about all splits of a run."""
    cuts = {name: cut_of(split) for name, split in splits.items()}
    told = [
        f"{cut.rows} of {cut.examples} rows of {name}, {100 * cut.tokens:.2g} % of its tokens"
        for name, cut in cuts.items()
        if cut.rows
    ]
    if not told:
        return f"no row is cut at {max_length} tokens"
    return f"cut at {max_length} tokens (data.max_length): {'; '.join(told)}"
