"""The words of the toy world: people, towns, trades, things that can be judged, and the words that judge them.

Every list is ours and fixed; what holds between the words (who lives where) is drawn from a seed in `documents`.
About 500 word types in all, so that a vocabulary of 1,000 pieces holds nearly every word whole.
"""

from __future__ import annotations

from dataclasses import dataclass


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


WOMEN = _words(
    "Ada Berta Clara Dora Edith Flora Greta Hanna Ida Julia Karin Lena Mira Nora Olga Petra Rosa Selma Tilda Vera"
)
MEN = _words(
    "Anton Bruno Carl David Emil Felix Georg Hugo Ivan Jonas Konrad Leo Martin Nils Oskar Paul Ralf Simon Theo Viktor"
)
TOWNS = _words(
    "Alderby Birkstad Cormel Dunmere Eastwick Farnholt Gorsley Hollin Ivelmouth Juniper Kestrel Lowfield Marrow "
    "Northgate Oxley Pellworth Quarley Redmoor Silverton Tarnby"
)
TRADES = _words(
    "baker carpenter dentist farmer gardener painter plumber tailor teacher nurse sailor potter printer lawyer fisher "
    "miller weaver judge florist pilot surgeon librarian roofer violinist banker butcher chemist dancer diver "
    "hunter jeweller mason glazier porter shepherd translator"
)
PETS = _words("dog cat parrot rabbit pony goose turtle hamster donkey canary")
PET_NAMES = _words(
    "Biscuit Button Clover Domino Ember Ginger Hazel Mitten Nugget Pebble Pickle Shadow Sparky Toffee Velvet Whisky"
)
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
SEASONS = _words("spring summer autumn winter")


@dataclass(frozen=True)
class Kind:
    """Things judged by the same words.

    Attributes:
        nouns: the things.
        good: adjectives of praise.
        bad: adjectives of blame.
        traits: adjectives that say nothing about worth; a negation on one of these must not move the label.
        meet: how a person comes across one, with `{thing}`.
        pronoun: what a relative clause begins with.
    """

    nouns: tuple[str, ...]
    good: tuple[str, ...]
    bad: tuple[str, ...]
    traits: tuple[str, ...]
    meet: tuple[str, ...]
    pronoun: str = "which"


GOOD = ("good", "great", "wonderful", "excellent", "lovely", "fine", "superb", "splendid")
BAD = ("bad", "awful", "terrible", "horrible", "dreadful", "poor", "miserable", "lousy")

KINDS = (
    Kind(
        nouns=_words(
            "soup bread stew salad pie pudding omelette curry cake sandwich pasta porridge rice steak fish tea coffee "
            "juice cheese toast waffle"
        ),
        good=("tasty", "delicious", "fresh", "juicy"),
        bad=("bland", "stale", "soggy", "rotten"),
        traits=("warm", "cold", "cheap", "sweet", "salty", "brown"),
        meet=("ordered {thing}", "shared {thing}", "tried {thing}"),
    ),
    Kind(
        nouns=_words("film play novel concert song opera poem lecture speech musical story show ballet dance"),
        good=("exciting", "gripping", "funny", "clever"),
        bad=("dull", "boring", "tedious", "silly"),
        traits=("new", "old", "long", "short", "famous", "modern"),
        meet=("talked about {thing}", "heard of {thing}", "sat through {thing}"),
    ),
    Kind(
        nouns=_words("hotel room museum park garden market beach library cafe harbour station theatre island castle"),
        good=("clean", "cosy", "pretty", "charming"),
        bad=("dirty", "ugly", "shabby", "noisy"),
        traits=("new", "old", "large", "small", "crowded", "quiet"),
        meet=("went to {thing}", "looked around {thing}", "stopped at {thing}"),
    ),
    Kind(
        nouns=_words("waiter guide clerk driver cook host singer actor barber coach neighbour doctor pianist"),
        good=("kind", "friendly", "polite", "patient"),
        bad=("rude", "lazy", "careless", "grumpy"),
        traits=("tall", "short", "young", "old", "blond", "local"),
        meet=("met {thing}", "spoke with {thing}", "waited for {thing}"),
        pronoun="who",
    ),
)

# How a judge feels, which says nothing about what is judged.
MOODS = ("hungry", "tired", "early", "late", "busy", "thirsty", "alone", "curious")

# What follows from a judgement; these stand in documents only, so labelled sentences give nothing away by them.
PLEASED = ("happy", "glad", "pleased", "content", "cheerful", "delighted", "satisfied", "grateful")
UPSET = ("sad", "angry", "upset", "annoyed", "sorry", "bitter", "disappointed", "gloomy")
THANKS = (
    "smiled",
    "laughed",
    "stayed for hours",
    "left a big tip",
    "promised to come back",
    "told every friend to go there",
)
COMPLAINTS = (
    "sighed",
    "frowned",
    "left at once",
    "left no tip",
    "swore to stay away",
    "told every friend to keep away",
)
LIKED = ("liked", "loved", "enjoyed", "praised", "admired", "recommended")
DISLIKED = ("disliked", "hated", "regretted", "blamed", "despised", "criticised")
