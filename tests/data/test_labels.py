"""Class names and ids."""

from __future__ import annotations

import numpy as np
import pytest

from bert_cli.data.labels import LabelSet, encode_classes, encode_multi_hot, infer_labels
from bert_cli.errors import DataError

SENTIMENT = LabelSet(("negative", "positive"), {"pos": "positive", "gone": "neutral"})


def refusal(call: object, *args: object, **options: object) -> DataError:
    with pytest.raises(DataError) as caught:
        call(*args, **options)  # type: ignore[operator]
    assert len(caught.value.render().splitlines()) <= 6
    return caught.value


@pytest.mark.parametrize("raw", ["positive", "POSITIVE", "pos", 1, "1", 1.0, "1.0", "+1"])
def test_a_class_may_be_written_as_name_alias_or_id(raw: object) -> None:
    assert SENTIMENT.resolve(raw) == 1


@pytest.mark.parametrize("raw", ["neutral", "gone", 2, -1, "-1", 1.5, "", None, True, "1e0", [1]])
def test_other_values_are_no_class(raw: object) -> None:
    assert SENTIMENT.resolve(raw) is None


def test_a_name_wins_over_an_id() -> None:
    stars = LabelSet(("1", "2", "3"))
    assert [stars.resolve(raw) for raw in ("1", 2, 3.0, "02")] == [0, 1, 2, 1]
    assert stars.resolve(0) is None


def test_a_folded_name_must_be_unique() -> None:
    assert LabelSet(("us", "US")).resolve("Us") is None


def test_json_booleans_are_classes() -> None:
    assert infer_labels([True, False, True], [1, 2, 3], origin="t").names == ("false", "true")
    assert LabelSet(("false", "true")).resolve(True) == 1


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["10", "9", "1"], ("1", "9", "10")),
        ([2, 0, 2], ("0", "2")),
        ([1.0, 0.0], ("0", "1")),
        (["b", "a", "B"], ("B", "a", "b")),
    ],
)
def test_classes_are_sorted_numerically_or_lexically(values: list[object], names: tuple[str, ...]) -> None:
    assert infer_labels(values, range(len(values)), origin="t").names == names


@pytest.mark.parametrize("values", [["1", "good"], [1, "1"], ["1", "0.5"], [True, 1]])
def test_labels_of_different_kinds_are_refused_naming_both(values: list[object]) -> None:
    error = refusal(infer_labels, values, [4, 9], origin="train.csv")
    assert (error.code, error.where) == ("D034", "train.csv:9")
    assert all(f"{value!r}" in error.message for value in values)
    assert "line 4" in error.message and "line 9" in error.message


def test_fractions_are_sent_to_regression() -> None:
    error = refusal(infer_labels, [0.5, 0.25], [1, 2], origin="t")
    assert error.code == "D035" and "text-regression" in str(error.help)


def test_one_class_is_too_few() -> None:
    assert refusal(infer_labels, ["a", "a"], [1, 2], origin="t").code == "D037"


def test_an_id_out_of_range_is_refused_with_line_and_names() -> None:
    error = refusal(encode_classes, ["0", "2"], [2, 3], SENTIMENT, origin="t.csv")
    assert (error.code, error.where, error.found) == ("D032", "t.csv:3", "2")
    assert "negative, positive" in str(error.allowed)


def test_an_unseen_label_is_refused_with_the_nearest_class() -> None:
    error = refusal(encode_classes, ["negative", "postive"], [2, 3], SENTIMENT, origin="dev.csv")
    assert (error.code, error.where, error.suggestion()) == ("D033", "dev.csv:3", "positive")


@pytest.mark.parametrize("mark", [-1, "-1", -1.0])
def test_a_split_of_minus_ones_has_no_labels(mark: object) -> None:
    assert encode_classes([mark, mark], [1, 2], SENTIMENT, origin="t") is None


def test_some_minus_ones_are_refused_unless_minus_one_is_a_class() -> None:
    assert refusal(encode_classes, ["1", "-1"], [2, 3], SENTIMENT, origin="t").code == "D031"
    three = LabelSet(("-1", "0", "1"))
    np.testing.assert_array_equal(encode_classes(["-1", "1", "0"], [1, 2, 3], three, origin="t"), [0, 2, 1])


@pytest.mark.parametrize("missing", [None, "", " ", float("nan")])
def test_missing_labels_are_refused_with_their_lines(missing: object) -> None:
    error = refusal(encode_classes, ["1", missing, missing], [2, 3, 4], SENTIMENT, origin="t")
    assert (error.code, error.where) == ("D030", "t:3") and "3, 4" in str(error.found)
    assert refusal(infer_labels, ["a", missing, "b"], [2, 3, 4], origin="t").code == "D030"


def test_a_list_is_no_single_label() -> None:
    assert refusal(encode_classes, [["positive"]], [2], SENTIMENT, origin="t").code == "D036"
    assert refusal(infer_labels, [{"a": 1}, "b"], [2, 3], origin="t").code == "D036"


def test_true_and_one_are_not_confused_by_equality() -> None:
    labels = LabelSet(("true", "one"))
    np.testing.assert_array_equal(encode_classes([True, 1], [1, 2], labels, origin="t"), [0, 1])


def test_multi_hot_rows_may_be_empty_or_repeat_a_class() -> None:
    targets = encode_multi_hot([["positive", "0"], [], ["pos", 1]], [1, 2, 3], SENTIMENT, origin="t")
    np.testing.assert_array_equal(targets, np.asarray([[1, 1], [0, 0], [0, 1]], dtype=np.float32))
    assert refusal(encode_multi_hot, [["positive"], ["x"]], [5, 6], SENTIMENT, origin="t").where == "t:6"
