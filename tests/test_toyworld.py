"""The toy world: the same for equal seeds, consistent in its facts, and out of reach of a bag of words.

Labels are compared with a reading of the sentence that shares only the word lists with the generator.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from bert_cli.toyworld import (
    LABELS,
    Sizes,
    bag_of_words_accuracy,
    documents,
    people,
    sentiment,
    sentiment_splits,
    write_world,
)
from bert_cli.toyworld.words import BAD, GOOD, KINDS, MEN, WOMEN

SMALL = Sizes(documents=20, train=60, validation=20, test=30)
PRAISE = {*GOOD, *(word for kind in KINDS for word in kind.good)}
BLAME = {*BAD, *(word for kind in KINDS for word in kind.bad)}
DENIALS = {"not", "never", "nobody", "no"}


def judge(text: str) -> int:
    """Class id of a sentence: relative clauses say nothing, concessions yield, each denial turns the adjective."""
    plain = re.sub(r", (?:who|which) was (?:not |never )?\w+,", "", text.lower().rstrip("."))
    first, _, second = plain.partition(", ")
    yields = second.startswith("but ") or first.startswith("although ")
    words = (second if yields else first).split()
    praise = [word for word in words if word in PRAISE | BLAME]
    assert len(praise) == 1, text
    denials = sum(word in DENIALS for word in words)
    return int((praise[0] in PRAISE) == (denials % 2 == 0))


def test_equal_seeds_give_equal_worlds_and_other_seeds_others() -> None:
    assert list(documents(30, seed=3)) == list(documents(30, seed=3))
    assert list(sentiment(100, seed=3)) == list(sentiment(100, seed=3))
    assert people(seed=3) == people(seed=3)
    assert list(documents(30, seed=3)) != list(documents(30, seed=4))
    assert list(sentiment(100, seed=3)) != list(sentiment(100, seed=4))
    assert people(seed=3) != people(seed=4)


def test_equal_seeds_give_equal_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_world(tmp_path / name, seed=5, sizes=SMALL)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.t*"))
    assert [str(file) for file in files] == [
        "corpus.txt",
        "sentiment/test.tsv",
        "sentiment/train.tsv",
        "sentiment/validation.tsv",
    ]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_longer_draw_begins_with_the_shorter_one() -> None:
    assert list(sentiment(300, seed=0))[:101] == list(sentiment(101, seed=0))


def test_facts_about_a_person_hold_in_every_document() -> None:
    world = people(seed=0)
    towns: dict[str, set[str]] = {}
    pets: dict[str, set[str]] = {}
    for document in documents(600, seed=0):
        text = " ".join(document)
        who = next(word for word in re.findall(r"\w+", document[0]) if word in WOMEN + MEN)
        towns.setdefault(who, set()).update(re.findall(r"\bin (?:the )?([A-Z]\w+)", document[0]))
        pets.setdefault(who, set()).update(
            re.findall(r"(?:His|Her|He has a|She has a) (\w+) (?:is )?called (\w+)", text)
        )
        assert world[who].trade in text
    assert set(towns) == set(world)
    assert all(found == {world[who].town} for who, found in towns.items())
    assert all(found <= {(world[who].pet, world[who].pet_name)} for who, found in pets.items())
    assert any(pets.values())


def test_everybody_has_another_person_as_friend() -> None:
    world = people(seed=7)
    assert all(person.friend in world and person.friend != name for name, person in world.items())


def test_documents_have_several_sentences_about_the_same_things() -> None:
    for document in documents(50, seed=1):
        assert 6 <= len(document) <= 12
        assert all(re.fullmatch(r"[A-Z][A-Za-z', ]+\.", line) for line in document)
        nouns = Counter(word for line in document for word in re.findall(r"\bthe (\w+)", line.lower()))
        assert nouns.most_common(1)[0][1] >= 2


def test_the_corpus_has_a_sentence_a_line_and_a_blank_line_between_documents(tmp_path: Path) -> None:
    write_world(tmp_path, seed=2, sizes=SMALL)
    text = (tmp_path / "corpus.txt").read_text(encoding="utf-8")
    assert [part.splitlines() for part in text.strip().split("\n\n")] == list(documents(SMALL.documents, seed=2))


def test_the_vocabulary_is_small_but_not_tiny() -> None:
    types = {
        word for document in documents(1500, seed=0) for line in document for word in re.findall(r"\w+", line.lower())
    }
    assert 350 <= len(types) <= 800
    labelled = {word for text, _ in sentiment(3000, seed=0) for word in re.findall(r"\w+", text.lower())}
    assert labelled <= types


def test_every_label_is_what_a_reader_would_say() -> None:
    for text, label in sentiment(2000, seed=0):
        assert judge(text) == label, text


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("The soup was good.", "The soup was not good."),
        ("The soup was not dull.", "The soup was dull."),
        ("Every visitor found the film dull.", "No visitor found the film dull."),
        ("Everybody called the film dull.", "Nobody called the film dull."),
        ("The film was dull, but the soup was fresh.", "The film was dull, but the soup was never fresh."),
        ("Although the film was not dull, the soup was bad.", "Although the film was not dull, the soup was not bad."),
    ],
)
def test_a_negation_put_in_or_taken_out_changes_the_label(text: str, changed: str) -> None:
    assert judge(text) == 1 - judge(changed)


def test_taking_the_only_negation_out_of_a_drawn_sentence_changes_its_label() -> None:
    turned = 0
    for text, label in sentiment(2000, seed=1):
        if "," not in text and " was not " in text:
            assert judge(text.replace(" was not ", " was ")) == 1 - label
            turned += 1
    assert turned > 50


def test_a_negation_elsewhere_leaves_the_label_alone() -> None:
    assert (
        judge("Ada, who was not hungry, found the soup good.")
        == judge("Ada, who was hungry, found the soup good.")
        == 1
    )


def test_the_classes_are_balanced_in_every_split() -> None:
    for rows in sentiment_splits(seed=0, sizes=SMALL).values():
        counts = Counter(label for _, label in rows)
        assert counts[0] == counts[1]


def test_no_sentence_is_drawn_twice_or_stands_in_two_splits(tmp_path: Path) -> None:
    write_world(tmp_path, seed=0, sizes=SMALL)
    texts: list[str] = []
    for split, size in (("train", SMALL.train), ("validation", SMALL.validation), ("test", SMALL.test)):
        with (tmp_path / "sentiment" / f"{split}.tsv").open(encoding="utf-8", newline="") as table:
            rows = list(csv.DictReader(table, delimiter="\t"))
        assert len(rows) == size
        assert {row["label"] for row in rows} == set(LABELS)
        texts += [row["text"] for row in rows]
    assert len(set(texts)) == len(texts)


def test_a_bag_of_words_is_not_enough() -> None:
    splits = sentiment_splits(seed=0, sizes=Sizes(train=3000, validation=1000, test=0))
    assert bag_of_words_accuracy(splits["train"], splits["validation"]) < 0.7
