"""What is said about classes."""

from __future__ import annotations

import numpy as np
import pytest
from small_splits import small

from bert_cli.inspect.classes import class_findings
from bert_cli.inspect.contents import Contents, answered
from bert_cli.inspect.finding import Finding


def split(name: str, **counts: int) -> Contents:
    golds = [label for label, count in counts.items() for _ in range(count)]
    return small(name, [f"{name} {i}" for i in range(len(golds))], golds, classes=counts)


def said(*splits: Contents) -> dict[str, Finding]:
    findings = list(class_findings(splits))
    assert len({finding.name for finding in findings}) == len(findings)
    return {finding.name: finding for finding in findings}


def test_balanced_classes_of_all_splits_give_nothing_to_say() -> None:
    assert said(split("train", good=50, bad=40), split("test", good=12, bad=9)) == {}


def test_a_class_that_train_lacks_and_one_that_only_train_has() -> None:
    findings = said(split("train", a=40, b=40, c=0), split("test", a=30, b=0, c=30))
    assert findings["unseen-classes"].severity == "warning" and findings["unseen-classes"].count == 30
    assert findings["unseen-classes"].what == "1 of 3 classes of test has no rows in train: c (30)"
    assert findings["missing-classes"].what == "1 of 3 classes of train has no rows in test: b"
    assert findings["missing-classes"].severity == "note"


def test_a_class_of_no_split_is_told_once() -> None:
    findings = said(split("train", a=40, b=40, c=0), split("test", a=10, b=10, c=0))
    assert list(findings) == ["absent-classes"] and findings["absent-classes"].what.endswith("occurs in no split: c")


def test_rare_and_overwhelming_classes() -> None:
    findings = said(split("train", a=970, b=28, c=2))
    assert findings["rare-classes"].what == "1 of 3 classes of train has fewer than 10 rows: c (2)"
    assert findings["imbalance"].severity == "warning"
    assert findings["imbalance"].what == "'a' has 970 rows of train (97.0 %), 'c' has 2: 485 times as many"
    assert said(split("train", a=800, b=40, c=160))["imbalance"].severity == "note"


def test_a_split_of_one_class_and_one_of_another_mix() -> None:
    train = split("train", a=500, b=500)
    findings = said(train, split("test", a=100, b=0))
    assert findings["one-class"].what == "every label of test is 'a'"
    assert said(train, split("test", a=140, b=60))["class-mix"].what == (
        "test has another mix of classes than train: 'a' has 70.0 % of its rows and 50.0 % of train's"
    )


def test_another_mix_that_chance_explains_is_not_told() -> None:
    assert said(split("train", a=500, b=500), split("test", a=7, b=3)) == {}
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(40, 5.0))
    train = split("train", **{f"c{place}": int(10_000 * share) + 20 for place, share in enumerate(shares)})
    for _ in range(20):
        draw = rng.multinomial(200, np.array(list(train.classes.values())) / len(train))  # type: ignore[union-attr]
        test = split("test", **{f"c{place}": int(count) for place, count in enumerate(draw)})
        assert "class-mix" not in said(train, test)


def test_names_that_are_one_but_for_their_writing() -> None:
    finding = said(split("train", **{"Good": 40, "good ": 40, "bad": 40}))["similar-classes"]
    assert finding.severity == "warning" and "'Good' and 'good '" in finding.what


def test_spans_are_counted_as_spans() -> None:
    train = small("train", ["a b"], ["B-PER O"], classes={"PER": 900, "LOC": 5}, unit="spans")
    findings = said(train)
    assert findings["rare-classes"].what == "1 of 2 classes of train has fewer than 10 spans: LOC (5)"
    assert "(99.4 %)" in findings["imbalance"].what


def test_splits_without_classes_or_labels_are_left_out() -> None:
    unlabelled = small("test", ["a"], None, classes={"a": 0, "b": 0})
    assert said(split("train", a=40, b=40), unlabelled) == {}
    assert said(small("train", ["a"], ["1.5"], numeric=True)) == {}


@pytest.mark.parametrize(
    ("targets", "golds", "classes"),
    [
        (np.array([1, 0, 1]), ["bad", "good", "bad"], {"good": 1, "bad": 2, "ugly": 0}),
        (np.array([[1, 0, 1], [0, 0, 0]], dtype=np.float32), ["good, ugly", ""], {"good": 1, "bad": 0, "ugly": 1}),
    ],
)
def test_targets_become_names_and_counts(targets: np.ndarray, golds: list[str], classes: dict[str, int]) -> None:
    given = answered(targets, ("good", "bad", "ugly"))
    assert (given.golds, given.classes, given.numeric) == (golds, classes, False)


def test_names_that_are_numbers_differ_by_their_signs_and_points() -> None:
    counts = {"-1": 20, "1": 20, "1.0": 20, "10": 20}
    assert said(split("train", **counts)) == {}
    assert "similar-classes" in said(split("train", **counts, **{"no 1": 20, "No-1": 20}))


def test_scores_keep_their_digits() -> None:
    scores = np.array([0.1, 4.2, 12345678, 1e20, -3], dtype=np.float32)
    golds = answered(scores, None).golds
    assert golds == ["0.1", "4.2", "12345678", "100000000000000000000", "-3"]
    assert np.array(golds, dtype=np.float32).tolist() == scores.tolist()


def test_scores_become_numbers_and_nothing_stays_nothing() -> None:
    scores = answered(np.array([1.5, 2.0], dtype=np.float32), None)
    assert (scores.golds, scores.classes, scores.numeric) == (["1.5", "2"], None, True)
    assert answered(None, ("a", "b")) == answered(None, None)
