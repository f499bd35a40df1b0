"""Examples that stand more than once: counted as by hand, with places and sentences that say what is what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st
from small_splits import small

from bert_cli.inspect.contents import Contents
from bert_cli.inspect.equal import Keys, keys_of, normalised
from bert_cli.inspect.finding import Finding
from bert_cli.inspect.repeats import conflicts, overlaps, repeats, shared_parts

Check = Callable[[Sequence[Contents], Sequence[Keys]], Iterator[Finding]]

ROWS = st.lists(st.tuples(st.sampled_from(["a", "A.", "b", "c d", "cd", " "]), st.sampled_from("xy")), min_size=1)


def found(check: Check, *splits: Contents) -> list[Finding]:
    return list(check(splits, keys_of(splits)))


def test_repeated_rows_are_counted_with_those_to_the_letter_first() -> None:
    (finding,) = found(repeats, small("train", ["good.", "bad", "Good", "bad", "new"]))
    assert finding.what == "2 of 5 rows (40.0 %) of train repeat an earlier one, 1 of them to the letter"
    assert finding.where == ("train.csv:5 = train.csv:3", "train.csv:4 = train.csv:2")
    assert (finding.severity, finding.count, finding.example) == ("warning", 2, "bad")


def test_repeats_that_are_not_to_the_letter_are_a_note() -> None:
    (finding,) = found(repeats, small("test", ["good", "bad", "Good!"]))
    assert finding.severity == "note" and "twice in every score" in str(finding.help)
    assert finding.what == "1 of 3 rows (33.3 %) of test repeats an earlier one but for case, spaces and punctuation"


def test_a_contradiction_names_both_answers() -> None:
    (finding,) = found(conflicts, small("train", ["so so", "fine", "so so", "So so"], ["bad", "good", "good", "bad"]))
    assert finding.what == "1 of 4 rows (25.0 %) of train contradicts an earlier row of the same text"
    assert finding.where == ("train.csv:4 (good) ≠ train.csv:2 (bad)",)
    assert finding.severity == "warning"


def test_scores_contradict_each_other_only_where_they_are_far_apart() -> None:
    texts = ["a", "b", "a", "b"]
    assert not found(conflicts, small("train", texts, ["1", "5", "1.3", "4.8"], numeric=True))
    (finding,) = found(conflicts, small("train", texts, ["1", "5", "2", "4.8"], numeric=True))
    assert finding.count == 1 and finding.where == ("train.csv:4 (2) ≠ train.csv:2 (1)",)


def test_answers_to_each_word_are_compared_where_rows_are_equal_to_the_letter() -> None:
    words = {"unit": "entities", "classes": {"PER": 1}}
    train = small("train", ["Hi Bo .", "Hi Bo", "Hi Bo ."], ["O B-PER O", "O B-PER", "O O O"], **words)
    (finding,) = found(conflicts, train)
    assert finding.count == 1 and finding.where == ("train.csv:4 (O O O) ≠ train.csv:2 (O B-PER O)",)
    (overlap,) = found(
        overlaps, small("train", ["Hi Bo."], ["O B-PER"], **words), small("test", ["hi Bo"], ["O O"], **words)
    )
    assert overlap.what.endswith("but for case, spaces and punctuation")


def test_of_long_answers_the_place_where_they_part_is_shown() -> None:
    tags = ["O " * 30 + "B-PER O", "O " * 30 + "B-LOC O"]
    (finding,) = found(conflicts, small("train", ["x", "x"], tags))
    assert finding.where == ("train.csv:3 (… B-LOC O) ≠ train.csv:2 (… B-PER O)",)


def test_rows_of_train_in_another_split_are_a_warning_with_what_to_do() -> None:
    train, test = small("train", ["a", "b", "c"], ["x", "x", "y"]), small("test", ["B", "d"], ["y", "x"])
    (finding,) = found(overlaps, train, test)
    assert finding.what == (
        "1 of 2 rows (50.0 %) of test stands in train too but for case, spaces and punctuation; "
        "1 of them with another label there"
    )
    assert finding.where == ("test.csv:2 = train.csv:3",) and finding.severity == "warning"
    assert finding.help == "delete them from train.csv: a model may know them by heart"


def test_what_was_held_out_of_train_is_mended_there() -> None:
    train = small("train", ["a", "b"])
    held = Contents("validation", "train.csv", [4], {"text": ["a"]}, held_out=0.1)
    (finding,) = found(overlaps, train, held)
    assert finding.where == ("train.csv:4 = train.csv:2",)
    assert finding.help == "it was held out of train.csv: delete the repeats there"


def test_few_shared_rows_and_rows_that_two_other_splits_share_are_notes() -> None:
    many = [f"row {i}" for i in range(300)]
    (few,) = found(overlaps, small("train", ["row 7"]), small("test", many))
    assert few.severity == "note" and "(0.3 %)" in few.what
    (other,) = found(overlaps, small("validation", ["a"]), small("test", ["a"]))
    assert other.severity == "note" and other.help is None


def test_a_part_that_stands_in_train_beside_another_counterpart_is_told() -> None:
    train = small("train", ["p", "q"], parts={"text_pair": ["h", "i"]})
    test = small("test", ["p", "r"], parts={"text_pair": ["j", "k"]})
    (finding,) = shared_parts([train, test])
    assert finding.what == "the text of 1 of 2 rows (50.0 %) of test stands in train too"
    assert not list(shared_parts([small("train", ["p"]), small("test", ["p"])]))


def test_a_part_that_one_split_lacks_is_passed_over() -> None:
    train = small("train", ["p"], parts={"context": ["c"], "choices": ["x"]})
    assert [one.name for one in shared_parts([train, small("test", ["p"], parts={"choices": ["y"]})])] == [
        "shared-parts"
    ]


@given(ROWS, ROWS)
def test_counts_are_those_of_loops_over_all_rows(ours: list[tuple[str, str]], theirs: list[tuple[str, str]]) -> None:
    train = small("train", [text for text, _ in ours], [gold for _, gold in ours])
    test = small("test", [text for text, _ in theirs], [gold for _, gold in theirs])
    for split, rows in ((train, ours), (test, theirs)):
        keys = [normalised(text) for text, _ in rows]
        first = {key: rows[place] for place, key in reversed(list(enumerate(keys)))}
        again = [row for place, row in enumerate(rows) if keys[place] and keys.index(keys[place]) < place]
        assert _count(found(repeats, split)) == len(again)
        assert _count(found(conflicts, split)) == sum(first[normalised(text)][1] != gold for text, gold in again)
    known = {normalised(text) for text, _ in ours} - {""}
    assert _count(found(overlaps, train, test)) == sum(normalised(text) in known for text, _ in theirs)


def _count(findings: list[Finding]) -> int:
    assert len(findings) < 2
    return sum(finding.count for finding in findings)


def test_each_pair_of_splits_is_compared() -> None:
    splits = [small(name, ["same"]) for name in ("train", "validation", "test")]
    pairs = {finding.where[0] for finding in found(overlaps, *splits)}
    assert pairs == {f"{b.origin}:2 = {a.origin}:2" for a, b in combinations(splits, 2)}
