"""Classes: those that one split lacks, rare and overwhelming ones, names that hardly differ, another mix of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bert_cli.errors import listing
from bert_cli.inspect.contents import Contents
from bert_cli.inspect.equal import normalised
from bert_cli.inspect.finding import Finding, percent, verb
from bert_cli.inspect.mixes import excess

_NUMBER = re.compile(r"[+-]?\d[\d.,]*")

FEW_ROWS = 10
"""Examples below which a class can hardly be learnt."""
UNEQUAL = 10
"""How many times as often as the rarest class the most frequent one occurs, from which on it is told."""
OVERWHELMING = 0.9
"""Share of one class from which on the accuracy says little."""
OTHER_MIX = 0.1
"""How far two mixes of classes must be apart to be told, total variation."""
NAMED = 8
"""Classes that a finding names."""


def class_findings(splits: Sequence[Contents]) -> Iterator[Finding]:
    """Everything about classes; splits without any are left out."""
    counted = {split.name: split for split in splits if split.classes is not None and split.golds is not None}
    known = {name: split.classes for name, split in counted.items() if split.classes}
    yield from _similar(known)
    train = known.get("train")
    if train is not None:
        yield from _of_train(counted["train"], train)
    for name, classes in known.items():
        if name == "train":
            continue
        yield from _alone(counted[name], classes)
        if train is not None:
            yield from _unlearnt(counted[name], classes, train)
            yield from _mix(counted[name], classes, train)
    yield from _absent(known)


def _of_train(split: Contents, classes: Mapping[str, int]) -> Iterator[Finding]:
    present = {name: count for name, count in classes.items() if count}
    if not present:
        return
    rare = sorted((count, name) for name, count in present.items() if count < FEW_ROWS)
    if rare:
        yield Finding(
            "note",
            "rare-classes",
            f"{_classes(len(rare), len(classes))} of train {verb(len(rare), 'has', 'have')} fewer than {FEW_ROWS} "
            f"{split.unit}: {listing((f'{name} ({count})' for count, name in rare), NAMED)}",
            split=split.name,
            count=len(rare),
            help="they will hardly be learnt: label more, or merge them",
        )
    most, least = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
    total = len(split) if split.unit == "rows" else sum(present.values())
    if len(present) > 1 and present[most] >= UNEQUAL * present[least]:
        yield Finding(
            "warning" if present[most] >= OVERWHELMING * total else "note",
            "imbalance",
            f"'{most}' has {present[most]:,} {split.unit} of train ({percent(present[most], total)}), "
            f"'{least}' has {present[least]:,}: {present[most] / present[least]:.0f} times as many",
            split=split.name,
            count=present[most],
            help="eval.metric=f1_macro counts classes alike, train.class_weights=balanced learns them alike"
            if split.unit == "rows"
            else "scores by class tell whether the rare ones are learnt",
        )


def _similar(known: Mapping[str, Mapping[str, int]]) -> Iterator[Finding]:
    """Names that are one but for case, spaces and punctuation, which in numbers count: a class written in two ways."""
    by_key: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for classes in known.values() for name in classes):
        by_key.setdefault(name if _NUMBER.fullmatch(name) else normalised(name), []).append(name)
    alike = [" and ".join(f"'{name}'" for name in names) for names in by_key.values() if len(names) > 1]
    if alike:
        yield Finding(
            "warning",
            "similar-classes",
            f"{verb(len(alike), 'two classes have', 'some classes have')} nearly the same name: "
            f"{listing(alike, NAMED)}",
            count=len(alike),
            help="write each class in one way only",
        )


def _unlearnt(split: Contents, classes: Mapping[str, int], train: Mapping[str, int]) -> Iterator[Finding]:
    new = {name: count for name, count in classes.items() if count and not train.get(name)}
    if new:
        yield Finding(
            "warning",
            "unseen-classes",
            f"{_classes(len(new), len(classes))} of {split.name} {verb(len(new), 'has', 'have')} no {split.unit} in "
            f"train: {listing((f'{name} ({count})' for name, count in new.items()), NAMED)}",
            split=split.name,
            count=sum(new.values()),
            help="no model can learn them: add examples to train",
        )
    gone = [name for name, count in train.items() if count and not classes.get(name)]
    if gone:
        yield Finding(
            "note",
            "missing-classes",
            f"{_classes(len(gone), len(train))} of train {verb(len(gone), 'has', 'have')} no {split.unit} in "
            f"{split.name}: {listing(gone, NAMED)}",
            split=split.name,
            count=len(gone),
            help="scores say nothing about them",
        )


def _alone(split: Contents, classes: Mapping[str, int]) -> Iterator[Finding]:
    present = [name for name, count in classes.items() if count]
    if len(present) == 1 and len(classes) > 1 and len(split) > 1:
        yield Finding(
            "warning",
            "one-class",
            f"every label of {split.name} is '{present[0]}'",
            split=split.name,
            count=len(split),
            help="a model that always says so would be right: take a split with all classes",
        )


def _mix(split: Contents, classes: Mapping[str, int], train: Mapping[str, int]) -> Iterator[Finding]:
    names = list(dict.fromkeys([*train, *classes]))
    here, there = (np.array([counts.get(name, 0) for name in names]) for counts in (classes, train))
    most = excess(here, there, least=OTHER_MIX)
    if most is not None:
        ours, theirs = percent(here[most], here.sum()), percent(there[most], there.sum())
        yield Finding(
            "note",
            "class-mix",
            f"{split.name} has another mix of classes than train: '{names[most]}' has {ours} of its {split.unit} and "
            f"{theirs} of train's",
            split=split.name,
            help="a score over all of it tells less about train's mix than scores by class do",
        )


def _absent(known: Mapping[str, Mapping[str, int]]) -> Iterator[Finding]:
    """Classes that the task or the recipe names and no split has; one that another split has is told there."""
    names = dict.fromkeys(name for classes in known.values() for name in classes)
    absent = [name for name in names if not any(classes.get(name) for classes in known.values())]
    if absent:
        yield Finding(
            "warning" if "train" in known else "note",
            "absent-classes",
            f"{_classes(len(absent), len(names))} {verb(len(absent), 'occurs', 'occur')} in no split: "
            f"{listing(absent, NAMED)}",
            count=len(absent),
            help="the model gets outputs that nothing teaches: leave them out of data.labels",
        )


def _classes(count: int, whole: int) -> str:
    return f"{count} of {whole} classes"
