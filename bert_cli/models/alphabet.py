"""Which characters of a corpus get tokens of their own, before pieces are learnt over them.

Every corpus holds characters that come once or twice: a token for each would take room from pieces that can be learnt.
Costs one pass over the texts, some 10 million characters a second; memory holds the counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from bert_cli.errors import DataError

LEAST = 3
"""A character that comes less often is unknown."""
LEAST_SHARE = 1e-7
"""So is one that is a smaller share of all characters: with it, English Wikipedia keeps about as many characters as the
vocabulary of BERT has, and Chinese Wikipedia as many as that of Chinese BERT."""


def count_characters(texts: Iterable[str]) -> Counter[str]:
    """How often each character comes in the texts.

    Raises:
        DataError: they hold nothing but white space (D070).
    """
    require_text(texts)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    return counts


def require_text(texts: Iterable[str]) -> None:
    """Refuse texts that hold nothing but white space; reads up to the first that holds more.

    Raises:
        DataError: they do (D070).
    """
    if all(not text or text.isspace() for text in texts):
        raise DataError(
            "D070",
            "there is no text to learn a tokenizer from",
            key="data.source",
            found="no character but white space",
            allowed="a corpus with words in it",
            help="name a corpus that holds text",
        )


def frequent_characters(
    counts: Counter[str], normalise: Callable[[str], str], *, cost: Callable[[str], int], room: int
) -> list[str]:
    """The characters that get tokens, as they are after normalisation, the most frequent first.

    Args:
        counts: of characters as they are in the texts.
        normalise: what the tokenizer does to a text first; of one character it may make several or none.
        cost: how many tokens a character takes.
        room: how many tokens there may be.

    Raises:
        DataError: no character comes often enough (D071).
    """
    normal: Counter[str] = Counter()
    for character, count in counts.items():
        for part in normalise(character):
            if not part.isspace():
                normal[part] += count
    least = max(LEAST, LEAST_SHARE * normal.total())
    chosen = []
    # Of equally frequent ones the first in Unicode, so that the order of the texts decides nothing.
    for character in sorted(normal, key=lambda character: (-normal[character], character)):
        room -= cost(character)
        if normal[character] < least or room < 0:
            break
        chosen.append(character)
    if not chosen:
        raise DataError(
            "D071",
            "the corpus is too small to learn a tokenizer from",
            key="data.source",
            found=f"{normal.total()} characters",
            allowed=f"at least one character that comes {LEAST} times",
            help="name a corpus with more text, or model.tokenizer=FOLDER for a tokenizer that is there",
        )
    return chosen
