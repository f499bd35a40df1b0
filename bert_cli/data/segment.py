"""Words of a text, and the text of words: what a tag belongs to where the data do not say.

A word is a run of letters and digits with their marks; every other visible character is one by itself, and so is every
character of a script written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan). Costs one table
look-up a character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_SPACELESS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3031, 0x30FF),  # kana
    (0x3100, 0x312F),  # bopomofo
    (0x31A0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # narrow kana
    (0x20000, 0x3FFFF),
)
_WORD, _ALONE, _MARK, _OTHER, _SPACE = "wcmp "
_PATTERN = re.compile(r"w[wm]*|[cp]m*|m+")


class _Kinds(dict[int, str]):
    """Code point -> the kind of its character, looked up once each."""

    def __missing__(self, point: int) -> str:
        kind = self[point] = _kind(chr(point))
        return kind


def _kind(character: str) -> str:
    category = unicodedata.category(character)
    if character.isspace() or category in ("Cc", "Zs", "Zl", "Zp"):
        return _SPACE
    if category[0] == "M" or category == "Cf":
        return _MARK
    if category[0] in "LN":
        point = ord(character)
        return _ALONE if any(first <= point <= last for first, last in _SPACELESS) else _WORD
    return _OTHER


_KINDS = _Kinds()


def segment(text: str) -> npt.NDArray[np.int32]:
    """Where the words of a text begin and end, in characters. Shape: `[words, 2]`."""
    places = [match.span() for match in _PATTERN.finditer(text.translate(_KINDS))]
    return np.array(places, dtype=np.int32).reshape(-1, 2)


def join(tokens: Sequence[str]) -> tuple[str, npt.NDArray[np.int32]]:
    """Tokens as a text, and where each lies in it.

    One space stands between two tokens, none beside a character of a script written without spaces, unless a letter or
    digit of another script is its neighbour.

    Returns:
        The text, and begin and end of each token in characters. Shape: `[tokens, 2]`.
    """
    pieces: list[str] = []
    places = np.empty((len(tokens), 2), dtype=np.int32)
    at = 0
    for i, token in enumerate(tokens):
        if i and not _touch(tokens[i - 1], token):
            pieces.append(" ")
            at += 1
        pieces.append(token)
        places[i] = at, at + len(token)
        at += len(token)
    return "".join(pieces), places


def _touch(left: str, right: str) -> bool:
    """Whether nothing stands between two neighbours."""
    if not left or not right:
        return False
    kinds = _KINDS[ord(left[-1])], _KINDS[ord(right[0])]
    return _ALONE in kinds and _WORD not in kinds
