"""Schemes of tags: told apart, checked, and equal after they were turned into BIO."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_cli.data.schemes import InvalidTags, Scheme, detect, to_bio

Entity = tuple[int, int, str]


@st.composite
def annotated(draw: st.DrawFn) -> tuple[int, list[Entity]]:
    """A sentence as its length and its entities, in order."""
    entities, at = [], draw(st.integers(0, 2))
    for kind in draw(st.lists(st.sampled_from(["PER", "LOC", "creative-work"]), max_size=5)):
        end = at + draw(st.integers(1, 4))
        entities.append((at, end, kind))
        at = end + draw(st.integers(0, 2))
    return at + draw(st.integers(0, 2)), entities


def written(sentence: tuple[int, list[Entity]], scheme: str) -> list[str]:
    """The tags of a sentence."""
    length, entities = sentence
    tags = ["O"] * length
    for number, (start, end, kind) in enumerate(entities):
        letters = ["I"] * (end - start)
        if scheme in ("bioes", "bilou", "bmewo"):
            inside, last, single = {"bioes": "IES", "bilou": "ILU", "bmewo": "MEW"}[scheme]
            letters = ["B", *[inside] * (end - start - 2), last] if end - start > 1 else [single]
        elif scheme == "bio" or (number and entities[number - 1][1] == start and entities[number - 1][2] == kind):
            letters[0] = "B"
        tags[start:end] = [f"{letter}-{kind}" for letter in letters]
    return tags


def bio(sentence: tuple[int, list[Entity]]) -> list[tuple[str, str]]:
    parts = [tag.partition("-") for tag in written(sentence, "bio")]
    return [(letter, kind) for letter, _, kind in parts]


SCHEMES: dict[str, Scheme] = {"iob1": "iob1", "bio": "bio", "bioes": "bioes", "bilou": "bioes", "bmewo": "bioes"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_says_the_same_in_bio(scheme: str) -> None:
    @given(annotated())
    def check(sentence: tuple[int, list[Entity]]) -> None:
        assert to_bio(written(sentence, scheme), SCHEMES[scheme]) == bio(sentence)

    check()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_scheme_of_a_split_is_found_and_reads_it_right(scheme: str) -> None:
    @given(st.lists(annotated(), min_size=1, max_size=6))
    def check(sentences: list[tuple[int, list[Entity]]]) -> None:
        tags = [written(sentence, scheme) for sentence in sentences]
        found = detect(tags)
        assert [to_bio(each, found) for each in tags] == [bio(sentence) for sentence in sentences]
        if any(end - start > 1 for _, entities in sentences for start, end, _ in entities) and scheme != "bio":
            assert found == SCHEMES[scheme]

    check()


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["NOUN", "VERB"], "plain"),
        (["PER", "O"], "plain"),
        (["S-NOM", "V"], "plain"),
        (["O", "O"], "bio"),
        (["O", "B-PER", "PER"], "bio"),
        (["I-PER", "O", "B-LOC"], "bio"),
    ],
)
def test_tags_of_no_scheme_are_plain_unless_they_stand_among_those_of_entities(tags: list[str], scheme: str) -> None:
    assert detect([tags]) == scheme


@pytest.mark.parametrize(
    ("tags", "scheme", "place"),
    [
        (["I-PER"], "bio", 0),
        (["O", "I-PER"], "bio", 1),
        (["B-LOC", "I-PER"], "bio", 1),
        (["B-PER", "E-PER"], "bio", 1),
        (["B-PER", "PER"], "bio", 1),
        (["B-PER", "O"], "bioes", 1),
        (["B-PER"], "bioes", 0),
        (["O", "E-PER"], "bioes", 1),
        (["S-PER", "I-PER"], "bioes", 1),
        (["B-PER", "I-PER", "S-PER"], "bioes", 2),
        (["B-PER", "E-LOC"], "bioes", 1),
        (["O", "-"], "iob1", 1),
    ],
)
def test_tags_that_cannot_stand_where_they_do_are_named(tags: list[str], scheme: Scheme, place: int) -> None:
    with pytest.raises(InvalidTags) as caught:
        to_bio(tags, scheme)
    assert caught.value.place == place and f"'{tags[place]}'" in caught.value.reason


def test_iob1_mends_whatever_obeys_no_scheme() -> None:
    def parts(tags: Sequence[str]) -> list[str]:
        return [f"{letter}-{kind}".rstrip("-") for letter, kind in to_bio(tags, "iob1")]

    assert parts(["I-PER", "I-PER", "B-PER", "I-LOC", "O", "I-LOC"]) == [
        *("B-PER", "I-PER", "B-PER", "B-LOC", "O", "B-LOC"),
    ]
    assert parts(["E-PER", "I-PER", "S-PER", "E-PER"]) == ["B-PER", "B-PER", "B-PER", "B-PER"]
