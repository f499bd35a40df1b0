"""Documents about the people of the toy world, for pretraining.

The facts of a person (town, trade, pet, friend) are drawn once per seed and hold in every document; judgements are
followed by what they lead to, so that the text itself teaches which words praise and what a negation does.
A document costs some 50 microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from bert_cli.toyworld import words
from bert_cli.toyworld.sentiment import clause, draw_thing, sentence, verdict
from bert_cli.toyworld.words import Kind


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody, with the facts that never change; `friend` is the name of another person."""

    name: str
    she: str
    her: str
    town: str
    trade: str
    pet: str
    pet_name: str
    friend: str


def people(*, seed: int) -> dict[str, Person]:
    """Everybody in the world of `seed`, by name."""
    rng = Random(f"people {seed}")
    names = words.WOMEN + words.MEN
    ring = rng.sample(names, len(names))
    friends = dict(zip(ring, ring[1:] + ring[:1], strict=True))
    return {
        name: Person(
            name=name,
            she="she" if name in words.WOMEN else "he",
            her="her" if name in words.WOMEN else "his",
            town=rng.choice(words.TOWNS),
            trade=rng.choice(words.TRADES),
            pet=rng.choice(words.PETS),
            pet_name=rng.choice(words.PET_NAMES),
            friend=friends[name],
        )
        for name in names
    }


def _introduction(rng: Random, who: Person, friend: Person) -> Iterator[str]:
    yield rng.choice(
        (
            f"{who.name} is a {who.trade} in {who.town}",
            f"{who.name} lives in {who.town} and works as a {who.trade}",
            f"in {who.town} there lives a {who.trade} called {who.name}",
        )
    )
    if rng.random() < 0.6:
        yield rng.choice(
            (
                f"{who.she} has a {who.pet} called {who.pet_name}",
                f"{who.her} {who.pet} is called {who.pet_name}",
                f"{who.pet_name} is the {who.pet} of the {who.trade}",
            )
        )
    yield rng.choice(
        (
            f"on {rng.choice(words.DAYS)} {who.she} met {friend.name}, a {friend.trade} from {friend.town}",
            f"{who.her} best friend is {friend.name}, who works as a {friend.trade} in {friend.town}",
            f"last {rng.choice(words.SEASONS)} {friend.name} came from {friend.town} to see {who.name}",
        )
    )


def _outcome(rng: Random, who: Person, *, positive: bool) -> str:
    feeling = rng.choice(words.PLEASED if positive else words.UPSET)
    deed = rng.choice(words.THANKS if positive else words.COMPLAINTS)
    return rng.choice(
        (
            f"{who.she} was {feeling}",
            f"{who.name} {deed}",
            f"{who.she} was {feeling} and {deed}",
            f"{who.name} felt {feeling}",
        )
    )


def _judgement(rng: Random, who: Person, thing: str, *, kind: Kind, positive: bool) -> Iterator[str]:
    first = clause(rng, thing, kind=kind, positive=positive)
    again = clause(rng, thing, kind=kind, positive=positive)
    yield rng.choice(
        (
            f"{first}, so {_outcome(rng, who, positive=positive)}",
            f"{_outcome(rng, who, positive=positive)} because {first}",
            f"{first}, and {again}",
        )
    )
    if rng.random() < 0.5:
        yield f"{who.she} {rng.choice(words.LIKED if positive else words.DISLIKED)} {thing} because {again}"


def _ending(rng: Random, who: Person, friend: Person) -> str:
    return rng.choice(
        (
            f"in the evening {who.name} went back to {who.town}",
            f"{friend.name} went home to {friend.town}",
            f"at home {who.pet_name} the {who.pet} was waiting",
            f"{who.she} fed {who.pet_name} and went to bed",
            f"the next day the {who.trade} went to work in {who.town}",
        )
    )


def documents(n: int, *, seed: int) -> Iterator[list[str]]:
    """`n` documents of 6 to 12 sentences; each follows one person, a friend and the things that they come across."""
    world = people(seed=seed)
    rng = Random(f"documents {seed}")
    for _ in range(n):
        who = rng.choice(list(world.values()))
        friend = world[who.friend]
        lines = list(_introduction(rng, who, friend))
        for _ in range(rng.randint(1, 2)):
            thing, kind = draw_thing(rng)
            positive = rng.random() < 0.5
            lines.append(f"{rng.choice(('they', who.she, friend.name))} {rng.choice(kind.meet).format(thing=thing)}")
            lines.extend(_judgement(rng, who, thing, kind=kind, positive=positive))
        positive = rng.random() < 0.5
        lines.append(f"{verdict(rng, positive=positive)}, so in the end {_outcome(rng, who, positive=positive)}")
        lines.append(_ending(rng, who, friend))
        yield [sentence(line) for line in lines]
