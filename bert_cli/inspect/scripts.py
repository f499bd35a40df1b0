"""Which scripts the letters of a text belong to, by their Unicode blocks; a language is never guessed.

Digits, punctuation, symbols and emoji belong to none. Texts in ASCII cost next to nothing, others some 15 ns a
character.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from bert_cli.inspect.contents import Contents
from bert_cli.inspect.finding import PLACES, Finding, of_rows, percent, verb
from bert_cli.inspect.mixes import excess

CHUNK = 1 << 20
"""Characters that are looked at together, some 30 bytes each."""
SHIFT = 0.1
"""How far a split's mix of main scripts must be from train's to be told, total variation."""
USUAL = 0.5
"""Share of the rows of a split in one script, from which on rows in another one are exceptions."""

# Blocks of the Unicode Standard 16.0 (Blocks.txt) that hold letters, as first-last code points.
_BLOCKS = {
    "Latin": "41-5a 61-7a aa ba c0-d6 d8-f6 f8-2af 1d00-1dbf 1e00-1eff 2071-209c 2c60-2c7f "
    "a720-a7ff ab30-ab6f fb00-fb06 ff21-ff3a ff41-ff5a",
    "Greek": "370-3ff 1f00-1fff",
    "Cyrillic": "400-52f 1c80-1c8f 2de0-2dff a640-a69f",
    "Armenian": "530-58f",
    "Hebrew": "590-5ff fb1d-fb4f",
    "Arabic": "600-6ff 750-77f 870-8ff fb50-fdff fe70-feff",
    "Syriac": "700-74f",
    "Thaana": "780-7bf",
    "Devanagari": "900-97f a8e0-a8ff",
    "Bengali": "980-9ff",
    "Gurmukhi": "a00-a7f",
    "Gujarati": "a80-aff",
    "Oriya": "b00-b7f",
    "Tamil": "b80-bff",
    "Telugu": "c00-c7f",
    "Kannada": "c80-cff",
    "Malayalam": "d00-d7f",
    "Sinhala": "d80-dff",
    "Thai": "e00-e7f",
    "Lao": "e80-eff",
    "Tibetan": "f00-fff",
    "Myanmar": "1000-109f a9e0-a9ff aa60-aa7f",
    "Georgian": "10a0-10ff 1c90-1cbf 2d00-2d2f",
    "Hangul": "1100-11ff 3130-318f a960-a97f ac00-d7ff",
    "Ethiopic": "1200-139f 2d80-2ddf ab00-ab2f",
    "Khmer": "1780-17ff",
    "Mongolian": "1800-18af",
    "Kana": "3040-30ff 31f0-31ff ff66-ff9f",
    "Han": "2e80-2fdf 3005-3007 3100-312f 31a0-31bf 3400-4dbf 4e00-9fff f900-faff 20000-3ffff",
}
NAMES = (*_BLOCKS, "other")
NONE = -1
_LATIN = NAMES.index("Latin")
_NO_LETTER = len(NAMES)
SPACELESS = frozenset({"Han", "Kana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"})
"""Scripts that put no spaces between words."""


@dataclass(frozen=True, eq=False)
class Scripts:
    """The scripts of the texts of one split.

    Attributes:
        letters: how many letters are of each script, most frequent first; absent ones are left out.
        main: the script of most letters of each row, a place in `NAMES`, or `NONE` without letters. Shape: `[n]`.
    """

    letters: dict[str, int]
    main: npt.NDArray[np.int64]

    @property
    def shares(self) -> dict[str, float]:
        """Share of the letters that are of each script."""
        whole = sum(self.letters.values())
        return {name: count / whole for name, count in self.letters.items()}

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """How many rows are mostly in each script. Shape: `[len(NAMES)]`."""
        return np.bincount(self.main[self.main >= 0], minlength=len(NAMES))

    @property
    def spaceless(self) -> bool:
        """Whether most letters are of scripts without spaces, so that words cannot be counted."""
        shares = self.shares
        return sum(shares.get(name, 0.0) for name in SPACELESS) > 0.5


def scripts_of(split: Contents) -> Scripts:
    """The scripts of all parts of the examples of a split."""
    letters = np.zeros((len(split), len(NAMES)), dtype=np.int32)
    for texts in split.parts.values():
        ascii_only = np.fromiter(map(str.isascii, texts), dtype=bool, count=len(texts))
        plain = np.flatnonzero(ascii_only)
        for rows, chosen in _chunks(plain, texts):
            letters[rows, _LATIN] += _ascii_letters(chosen).astype(np.int32)
        for rows, chosen in _chunks(np.flatnonzero(~ascii_only), texts):
            letters[rows] += _letters(chosen).astype(np.int32)
    total = letters.sum(axis=0)
    order = [int(place) for place in np.argsort(-total, kind="stable") if total[place]]
    # Japanese is written in both.
    letters[:, NAMES.index("Han")] += letters[:, NAMES.index("Kana")]
    letters[:, NAMES.index("Kana")] = 0
    main = np.where(letters.any(axis=1), letters.argmax(axis=1), NONE)
    return Scripts({NAMES[place]: int(total[place]) for place in order}, main)


def script_findings(splits: Sequence[Contents], scripts: Sequence[Scripts]) -> Iterator[Finding]:
    """Rows in another script than most of their split, and splits in other scripts than train."""
    for split, found in zip(splits, scripts, strict=True):
        counts = found.rows
        usual = int(counts.argmax())
        others = np.flatnonzero((found.main != usual) & (found.main >= 0))
        if not len(others) or counts[usual] < USUAL * counts.sum():
            continue
        names = [NAMES[place] for place in np.argsort(-counts, kind="stable").tolist() if counts[place]]
        yield Finding(
            "note",
            "other-script",
            f"{of_rows(len(others), len(split))} of {split.name} {verb(len(others), 'is', 'are')} mostly in "
            f"{' or '.join(names[1:4])} letters, the others in {NAMES[usual]}",
            split=split.name,
            count=len(others),
            where=tuple(map(split.place, others[:PLACES].tolist())),
            example=split.excerpt(int(others[0])),
        )
    yield from _shifts(splits, scripts)


def _shifts(splits: Sequence[Contents], scripts: Sequence[Scripts]) -> Iterator[Finding]:
    rows = {split.name: found.rows for split, found in zip(splits, scripts, strict=True)}
    for split in splits:
        here, there = rows[split.name], rows.get("train", np.zeros(len(NAMES), dtype=np.int64))
        most = excess(here, there, least=SHIFT)
        if most is not None:
            yield Finding(
                "warning",
                "script-shift",
                f"{percent(here[most], here.sum())} of the rows of {split.name} are in {NAMES[most]} letters, of train "
                f"{percent(there[most], there.sum())}",
                split=split.name,
                help="scores on it are about another language than is learnt",
            )


def _chunks(rows: npt.NDArray[np.int64], texts: Sequence[str]) -> Iterator[tuple[npt.NDArray[np.int64], list[str]]]:
    """The rows, and the texts of these, in parts of about `CHUNK` characters; each text also has a row of counts."""
    sizes = np.cumsum([len(texts[row]) + len(NAMES) for row in rows.tolist()])
    for part in np.split(rows, np.flatnonzero(np.diff(sizes // CHUNK)) + 1) if len(rows) else ():
        yield part, [texts[row] for row in part.tolist()]


def _ascii_letters(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Letters of each text in ASCII. Shape: `[n]`."""
    codes = np.frombuffer("".join(texts).encode(), dtype=np.uint8)
    before = np.concatenate([[0], np.cumsum(_table()[:128][codes] == _LATIN)])
    ends = np.cumsum([len(text) for text in texts])
    letters: npt.NDArray[np.int64] = np.diff(before[ends], prepend=0)
    return letters


def _letters(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Letters of each text by script. Shape: `[n, len(NAMES)]`."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), dtype="<u4")
    owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    width = _NO_LETTER + 1
    cells = np.bincount(owner * width + _table()[codes], minlength=len(texts) * width)
    found: npt.NDArray[np.int64] = cells.reshape(len(texts), width)[:, :_NO_LETTER]
    return found


@cache
def _table() -> npt.NDArray[np.uint8]:
    """The script of each code point, a place in `NAMES`, or `_NO_LETTER`. Shape: `[0x110000]`."""
    table = np.full(0x110000, _NO_LETTER, dtype=np.uint8)
    letters = [code for code in range(0x20000) if chr(code).isalpha()]
    table[letters] = NAMES.index("other")
    for name, blocks in _BLOCKS.items():
        for block in blocks.split():
            first, _, last = block.partition("-")
            of_block = slice(int(first, 16), int(last or first, 16) + 1)
            table[of_block][table[of_block] == NAMES.index("other")] = NAMES.index(name)
    table[0x20000:0x40000] = NAMES.index("Han")
    return table
