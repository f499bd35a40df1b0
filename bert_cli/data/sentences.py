"""Where sentences end in English and Chinese text: end marks, and what around them says that one is no end.

Sentences are cut, never changed: the pieces of a text, put together, are the text, so tokens are those of running text.
Rules decide (Grefenstette & Tapanainen 1994), not a trained model; they read some 30 MB a second.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_CLOSERS = "\"'”’»›)\\]}」』）】》〉〕"
_CANDIDATE = re.compile(rf"[.!?…‼⁇⁈⁉。！？；｡]+[{_CLOSERS}]*(?:\[\d{{1,3}}\])*(?P<gap>\s*)")
_OPENERS = "\"'“‘«‹([{¿¡「『（【《〈〔—–-"
_TAIL = 12
"""Characters at the end of a piece that tell whether it is closed."""
_WIDE_MARKS = frozenset("。！？；｡")
_GOES_ON = frozenset(",;:.!?…)]}，、：；。！？）】》〉」』”’")
"""No sentence begins with these."""

CJK = "\u2e80-\u312f\u31a0-\u4dbf\u4e00-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff"
"""Characters that no space stands between, as the inside of a character class: Chinese, kana, wide forms."""
_CJK = re.compile(f"[{CJK}]")
# Chinese and Western text share these, so they go with their neighbour.
_SHARED = frozenset("“”‘’…—·")


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


# Never the end of a sentence: a name follows, or what they introduce.
_NEVER = _words(
    "mr mrs ms mx dr prof gen col capt cmdr lt sgt cpl maj adm rev fr hon sen rep gov pres supt messrs mme mlle",
    "vs viz cf e.g i.e approx ca",
)
# No end before a number.
_BEFORE_NUMBERS = _words("no nos fig figs eq eqs vol vols pp ch chap sec sect art ref refs op par vv ver fl")
# An end only where the next word is one that begins sentences (the idea of Kiss & Strunk 2006, with a fixed list).
_EITHER = _words(
    "st mt ft inc ltd co corp bros jr sr esq etc al dept assn ave blvd hwy ph.d m.d b.sc m.sc",
    "jan feb mar apr jun jul aug sep sept oct nov dec",
)
_STARTERS = _words(
    "a an the this that these those he she it they we you his her its their our my i in on at by for from to of with",
    "as after before during since while when where if although though because however but and or so yet then there",
    "here thus hence therefore meanwhile moreover furthermore instead also both each every many most some several all",
    "no not what who why how which under until upon despite according one two three later today",
)


def split_sentences(text: str, *, capitals: bool = True) -> list[str]:
    """The sentences of a text; each keeps the white space before it, and together they are the text.

    A Western mark ends a sentence before white space, a Chinese one anywhere; closing quotes, brackets and footnote
    marks belong to the sentence that they close. Text without an end mark is one sentence, empty text is none.

    Args:
        capitals: sentences begin with capital letters, so that a small one tells that none begins.
    """
    pieces, begin = [], 0
    for mark in _CANDIDATE.finditer(text):
        if _ends(text, mark, capitals=capitals):
            end = mark.start("gap")
            pieces.append(text[begin:end])
            begin = end
    if begin < len(text):
        pieces.append(text[begin:])
    return pieces


def document_pieces(lines: Sequence[str], *, by: str) -> list[str]:
    """The sentences of a document, which together are its running text.

    A line's end is a sentence's end, except where the line has no end mark and the next one begins with a small letter:
    there the text is only broken to fit a page. Documents without any capital are cut at every mark and every line.
    Lines are joined by a space, between Chinese characters by nothing.

    Args:
        lines: without white space around them; none is empty.
        by: `split` looks for sentences inside of lines, `lines` takes each line as one.
    """
    pieces: list[str] = []
    # Parts of the last piece, which the next line may go on with.
    parts: list[str] = []
    capitals = any(line != line.lower() for line in lines)
    for line in lines:
        found = [line] if by == "lines" else split_sentences(line, capitals=capitals)
        if parts:
            glue = "" if _no_space_between(parts[-1][-1], line[0]) else " "
            found[0] = glue + found[0]
            if by != "lines" and capitals and line[0].islower() and not _closed("".join(parts[-_TAIL:])):
                parts.append(found.pop(0))
        if found:
            pieces += ["".join(parts), *found[:-1]] if parts else found[:-1]
            parts = found[-1:]
    return [*pieces, "".join(parts)] if parts else pieces


def _ends(text: str, mark: re.Match[str], *, capitals: bool) -> bool:
    """Whether a sentence ends at this candidate."""
    after = mark.end()
    if after == len(text):
        return False
    following = text[after]
    if following in _GOES_ON:
        return False
    marks = mark.group().rstrip()
    if not _WIDE_MARKS.isdisjoint(marks):
        return True
    if not mark["gap"]:
        # Western marks and the ellipsis of both scripts: only a Chinese character can follow without a space.
        return marks[0] != "." and _CJK.match(following) is not None
    first = text[after : after + 4].lstrip(_OPENERS)
    if (capitals and first[:1].islower()) or first[:1] in _GOES_ON:
        return False
    return marks != "." or not _shortens(text, mark.start(), after)


def _shortens(text: str, period: int, after: int) -> bool:
    """Whether the period only marks an abbreviation, an initial or the number of a list entry."""
    window = text[max(0, period - 24) : period]
    words = window.split()
    if not words or window[-1:].isspace():
        return False
    word = words[-1].lstrip(_OPENERS)
    plain = word.lower()
    following = _first_word(text, after)
    if word.isdecimal():
        return len(word) <= 3 and not text[: period - len(word)].strip()
    if plain in _NEVER:
        return True
    if plain in _BEFORE_NUMBERS and following[:1].isdecimal():
        return True
    initial = len(word) == 1 and word.isalpha() and word != "I"
    dotted = "." in word and all(len(part) == 1 for part in word.split("."))
    return (initial or dotted or plain in _EITHER) and following.lower() not in _STARTERS


def _first_word(text: str, start: int) -> str:
    """The word that begins at `start`, without quotes and brackets around it."""
    words = text[start : start + 24].split(maxsplit=1)
    return words[0].strip(_OPENERS + ",.;:!?”’)]}'") if words else ""


def _no_space_between(left: str, right: str) -> bool:
    """Whether lines join without a space: both sides are Chinese, or one is and the other belongs to both scripts."""
    wide = _CJK.match(left) is not None, _CJK.match(right) is not None
    return all(wide) or (any(wide) and (left if wide[1] else right) in _SHARED)


def _closed(piece: str) -> bool:
    """Whether a piece ends with an end mark, closing quotes and brackets apart."""
    tail = piece[-_TAIL:]
    return any(mark.end() == len(tail) for mark in _CANDIDATE.finditer(tail))
