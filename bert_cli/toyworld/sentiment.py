"""Sentences of praise and blame in which negation and word order decide, never the words alone.

A clause is a frame that negates its adjective an even or odd number of times; of two contrasted clauses the main one
counts. The label follows exactly from these two rules, while every word is about as frequent under both labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from bert_cli.toyworld.words import BAD, GOOD, KINDS, MEN, MOODS, WOMEN, Kind

LABELS = ("negative", "positive")

AFFIRMING = (
    "{thing} was {word}",
    "{thing} was {word}",
    "{thing} was really {word}",
    "{thing} was truly {word}",
    "everybody called {thing} {word}",
    "every visitor found {thing} {word}",
    "{name} found {thing} truly {word}",
    "{name}, who was not {mood}, found {thing} {word}",
    "{thing}, {pronoun} was never {trait}, was {word}",
)
NEGATING = (
    "{thing} was not {word}",
    "{thing} was not {word}",
    "{thing} was never {word}",
    "{thing} was not {word} at all",
    "nobody called {thing} {word}",
    "no visitor found {thing} {word}",
    "{name} did not find {thing} really {word}",
    "{name}, who was {mood}, never found {thing} {word}",
    "{thing}, {pronoun} was {trait}, was not {word}",
)
# Which of the two clauses is the main one is told by the order alone; plain and joined sentences agree with themselves.
CONTRASTS = (
    "{aside}, but {main}",
    "although {aside}, {main}",
    "{main}, although {aside}",
)


def draw_thing(rng: Random) -> tuple[str, Kind]:
    """A thing with its article, and the kind that says which adjectives suit it."""
    kind = rng.choice(KINDS)
    return f"the {rng.choice(kind.nouns)}", kind


def clause(rng: Random, thing: str, *, kind: Kind, positive: bool) -> str:
    """A clause that praises (or blames) `thing`, half of the time by denying the opposite."""
    negate = rng.random() < 0.3
    words = (*GOOD, *kind.good) if positive != negate else (*BAD, *kind.bad)
    return rng.choice(NEGATING if negate else AFFIRMING).format(
        thing=thing,
        word=rng.choice(words),
        name=rng.choice(WOMEN + MEN),
        mood=rng.choice(MOODS),
        trait=rng.choice(kind.traits),
        pronoun=kind.pronoun,
    )


def verdict(rng: Random, *, positive: bool) -> str:
    """One or two clauses that amount to praise or blame, without capital and full stop."""
    thing, kind = draw_thing(rng)
    main = clause(rng, thing, kind=kind, positive=positive)
    shape = rng.random()
    if shape < 0.4:
        return main
    other, other_kind = draw_thing(rng)
    while other == thing:
        other, other_kind = draw_thing(rng)
    if shape < 0.6:
        return f"{main}, and {clause(rng, other, kind=other_kind, positive=positive)}"
    aside = clause(rng, other, kind=other_kind, positive=not positive)
    return rng.choice(CONTRASTS).format(main=main, aside=aside)


def sentence(text: str) -> str:
    """`text` with a capital and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


def sentiment(n: int, *, seed: int) -> Iterator[tuple[str, int]]:
    """`n` different sentences with their class id (0 negative, 1 positive).

    The classes take turns in random order within each pair, so every even number of leading sentences is balanced and
    consecutive slices are disjoint, balanced splits. A longer draw begins with the shorter one.
    """
    rng = Random(f"sentiment {seed}")
    seen: set[str] = set()
    labels: list[int] = []
    while len(seen) < n:
        labels = labels or rng.sample((0, 1), 2)
        text = sentence(verdict(rng, positive=labels[-1] == 1))
        if text not in seen:
            seen.add(text)
            yield text, labels.pop()
