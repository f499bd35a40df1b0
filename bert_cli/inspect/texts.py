"""Texts that say nothing, or not what was written: empty ones, names of nothing, characters of a wrong encoding."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from bert_cli.inspect.contents import Contents
from bert_cli.inspect.finding import PLACES, Finding, of_rows, verb

MANY_DAMAGED = 0.01
"""Share of rows with damaged characters that is worth a warning."""
_NOTHING = frozenset({"nan", "none", "null", "n/a", "#n/a", "nat", "<na>", "undefined"})
"""What programs write where there is no value."""
# U+FFFD, UTF-8 that was read as Latin-1 or Windows-1252, and control characters that no text has (but next line).
_DAMAGED = re.compile("\ufffd|[ÂÃ][\u0080-\u00bf]|â€|[\u0080-\u0084\u0086-\u009f]")


def text_findings(splits: Sequence[Contents]) -> Iterator[Finding]:
    """One finding for each kind of trouble, split and role that has any; and for answers that are not there."""
    for split in splits:
        for role, texts in split.parts.items():
            yield from _of_role(split, role, texts)
        if split.golds is None:
            yield Finding(
                "note",
                "no-labels",
                f"{split.name} has no labels",
                split=split.name,
                count=len(split),
                help="nothing can be scored on it; bertctl predict reads it",
            )
        elif split.classes is not None and (bare := [row for row, gold in enumerate(split.golds) if not gold]):
            yield Finding(
                "note",
                "no-class",
                f"{of_rows(len(bare), len(split))} of {split.name} {verb(len(bare), 'has', 'have')} no class at all",
                split=split.name,
                count=len(bare),
                where=tuple(map(split.place, bare[:PLACES])),
                example=split.excerpt(bare[0]),
            )


def _of_role(split: Contents, role: str, texts: Sequence[str]) -> Iterator[Finding]:
    def found(wanted: Callable[[str], object]) -> list[int]:
        return [row for row, text in enumerate(texts) if wanted(text)]

    what = f"of {split.name}" if role == "text" else f"of {split.name}, in {role},"
    if empty := found(lambda text: not text or text.isspace()):
        yield Finding(
            "warning",
            "empty-text",
            f"{of_rows(len(empty), len(split))} {what} {verb(len(empty), 'is', 'are')} empty",
            split=split.name,
            count=len(empty),
            where=tuple(map(split.place, empty[:PLACES])),
            help="delete them, or mend what wrote them",
        )
    if null := found(lambda text: len(text) < 10 and text.strip().casefold() in _NOTHING):
        yield Finding(
            "note",
            "null-text",
            f"{of_rows(len(null), len(split))} {what} {verb(len(null), 'says', 'say')} only '{texts[null[0]].strip()}' "
            "or the like",
            split=split.name,
            count=len(null),
            where=tuple(map(split.place, null[:PLACES])),
            help="often written where a value was missing",
        )
    if damaged := found(lambda text: not text.isascii() and _DAMAGED.search(text)):
        yield Finding(
            "warning" if len(damaged) >= MANY_DAMAGED * len(split) else "note",
            "damaged-text",
            f"{of_rows(len(damaged), len(split))} {what} {verb(len(damaged), 'holds', 'hold')} characters that a wrong "
            "encoding leaves",
            split=split.name,
            count=len(damaged),
            where=tuple(map(split.place, damaged[:PLACES])),
            example=split.excerpt(damaged[0]),
            help="write the files again as UTF-8, or name the encoding that they have: data.encoding",
        )
