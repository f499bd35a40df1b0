"""Examples that stand more than once: in one split, with answers that contradict each other, or in two splits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from bert_cli.errors import printable
from bert_cli.inspect.contents import Contents
from bert_cli.inspect.equal import Keys, Rows, numbered, repeated, shared
from bert_cli.inspect.finding import PLACES, Finding, of_rows, verb

MANY_REPEATS = 0.01
"""Share of rows that repeat another to the letter that is worth a warning."""
MANY_CONFLICTS = 0.002
"""Share of rows with another label than one equal to the letter that is worth a warning."""
MUCH_OVERLAP = 0.005
"""Share of a split's rows in another that is worth a warning."""
ANSWER = 40
"""Characters of an answer that a place shows."""
MUCH_SHARED = 0.1
"""Share of a split's rows of which one part alone stands in another split, from which on it is told."""


def repeats(splits: Sequence[Contents], keys: Sequence[Keys]) -> Iterator[Finding]:
    """Rows that repeat another of their split; one finding for each split that has any."""
    for split, key in zip(splits, keys, strict=True):
        rows, earlier = repeated(key.loose)
        if not len(rows):
            continue
        same, _ = repeated(key.exact)
        # The first place shown is an exact one where there are any.
        order = np.argsort(~np.isin(rows, same), kind="stable")
        yield Finding(
            "warning" if len(same) >= MANY_REPEATS * len(split) else "note",
            "duplicates",
            f"{of_rows(len(rows), len(split))} of {split.name} {verb(len(rows), 'repeats', 'repeat')} an earlier one"
            + _nearly(len(same), len(rows)),
            split=split.name,
            count=len(rows),
            where=_pairs(split, rows[order], split, earlier[order]),
            example=split.excerpt(int(rows[order][0])),
            help="keep one of each, unless they are meant to count more"
            if split.name == "train"
            else "keep one of each: a repeated row counts twice in every score",
        )


def conflicts(splits: Sequence[Contents], keys: Sequence[Keys]) -> Iterator[Finding]:
    """Equal rows of a split with different answers; one finding for each split that has any."""
    for split, key in zip(splits, keys, strict=True):
        rows, earlier = _contradictions(key, key.loose)
        if not len(rows):
            continue
        same, _ = _contradictions(key, key.exact)
        texts = len(np.unique(key.loose[rows]))
        order = np.argsort(~np.isin(rows, same), kind="stable")
        yield Finding(
            "warning" if len(same) >= MANY_CONFLICTS * len(split) else "note",
            "conflicting-labels",
            f"{of_rows(len(rows), len(split))} of {split.name} "
            f"{verb(len(rows), 'contradicts', 'contradict')} an earlier row of the same text"
            + (f", {texts:,} texts in all" if texts < len(rows) else "")
            + _nearly(len(same), len(rows)),
            split=split.name,
            count=len(rows),
            where=_pairs(split, rows[order], split, earlier[order], sign="≠", golds=True),
            example=split.excerpt(int(rows[order][0])),
            help="no model can get all of them right: correct them, or keep one of each",
        )


def overlaps(splits: Sequence[Contents], keys: Sequence[Keys]) -> Iterator[Finding]:
    """Rows of a split that stand in an earlier one too; one finding for each pair of splits that share any."""
    for (first, its), (second, other) in combinations(zip(splits, keys, strict=True), 2):
        rows, there = shared(other.loose, its.loose)
        if not len(rows):
            continue
        same, _ = shared(other.exact, its.exact)
        differ = int(np.count_nonzero(other.differ(rows, its, there)))
        order = np.argsort(~np.isin(rows, same), kind="stable")
        trained = first.name == "train"
        yield Finding(
            "warning" if trained and len(rows) >= MUCH_OVERLAP * len(second) else "note",
            "overlap",
            f"{of_rows(len(rows), len(second))} of {second.name} {verb(len(rows), 'stands', 'stand')} in {first.name} "
            + f"too{_nearly(len(same), len(rows))}"
            + (f"; {differ:,} of them with another {'score' if second.numeric else 'label'} there" if differ else ""),
            split=second.name,
            count=len(rows),
            where=_pairs(second, rows[order], first, there[order]),
            example=second.excerpt(int(rows[order][0])),
            help=_mend(first, second) if trained else None,
        )


def shared_parts(splits: Sequence[Contents]) -> Iterator[Finding]:
    """One part of a row (a question, a premise) that stands in an earlier split beside another counterpart."""
    roles = [role for role in splits[0].parts if all(role in split.parts for split in splits)] if splits else []
    for role in roles if len(roles) > 1 else ():
        columns = numbered([split.parts[role] for split in splits])
        for (first, its), (second, other) in combinations(zip(splits, columns, strict=True), 2):
            rows, there = shared(other, its)
            if first.name != "train" or len(rows) < MUCH_SHARED * len(second):
                continue
            yield Finding(
                "note",
                "shared-parts",
                f"the {role} of {of_rows(len(rows), len(second))} of {second.name} stands in {first.name} too",
                split=second.name,
                count=len(rows),
                where=_pairs(second, rows, first, there),
                help="scores say little about a new one",
            )


def _contradictions(key: Keys, numbers: Rows) -> tuple[Rows, Rows]:
    """Rows whose answer is another than that of the first equal row, and that row."""
    rows, earlier = repeated(numbers)
    differ = key.differ(rows, key, earlier)
    return rows[differ], earlier[differ]


def _nearly(same: int, loose: int) -> str:
    """How many are equal to the letter, where not all are."""
    if same == loose:
        return ""
    return f", {same:,} of them to the letter" if same else " but for case, spaces and punctuation"


def _mend(train: Contents, other: Contents) -> str:
    if other.held_out is not None:
        return f"it was held out of {train.origin}: delete the repeats there"
    return f"delete them from {train.origin}: a model may know them by heart"


def _pairs(
    split: Contents, rows: Rows, other: Contents, there: Rows, *, sign: str = "=", golds: bool = False
) -> tuple[str, ...]:
    """The first few pairs as `FILE:LINE = FILE:LINE`, with their answers on request."""

    pairs = list(zip(rows[:PLACES].tolist(), there[:PLACES].tolist(), strict=True))
    if not golds or split.golds is None or other.golds is None:
        return tuple(f"{split.place(row)} {sign} {other.place(mate)}" for row, mate in pairs)
    answers = [_difference(split.golds[row], other.golds[mate]) for row, mate in pairs]
    return tuple(
        f"{split.place(row)} ({ours}) {sign} {other.place(mate)} ({theirs})"
        for (row, mate), (ours, theirs) in zip(pairs, answers, strict=True)
    )


def _difference(ours: str, theirs: str) -> tuple[str, str]:
    """Two answers in few characters; of long ones what comes before their first difference is left out."""
    if max(len(ours), len(theirs)) > ANSWER:
        words, others = ours.split(" "), theirs.split(" ")
        same = next((at for at, pair in enumerate(zip(words, others, strict=False)) if pair[0] != pair[1]), 0)
        if same:
            ours, theirs = (" ".join(["…", *rest[same:]]) for rest in (words, others))
    return printable(ours, ANSWER), printable(theirs, ANSWER)
