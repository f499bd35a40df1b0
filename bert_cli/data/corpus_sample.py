"""The beginning of a corpus, which stands for all of it where nobody wants to wait, as before a dry run.

Whole documents are read up to a size and kept in memory. How often they fit into the corpus is told from how much of
its bytes (of tables: rows) was read until then, so it is exact where documents are alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bert_cli.data.corpus import CorpusPart, Reading
from bert_cli.data.documents import Document, Gauge
from bert_cli.data.portions import CorpusSettings

CHARACTERS = 1 << 24
"""Of a sample; two cores tokenise so many in some five seconds."""


@dataclass(frozen=True)
class SampledPart:
    """Documents that have been read; see `bert_cli.data.corpus.Part`."""

    name: str
    held: tuple[Document, ...]

    @property
    def fingerprint(self) -> str:
        return f"the first {len(self.held)} documents"

    def documents(self, reading: Reading) -> Iterator[Document]:
        """All of them, whatever the reading says now."""
        return iter(self.held)


@dataclass(frozen=True)
class Sample:
    """The beginning of a corpus.

    Attributes:
        times: how often it fits into the whole; 1 where it is the whole.
    """

    parts: tuple[SampledPart, ...]
    times: float


def beginning(parts: Sequence[CorpusPart], settings: CorpusSettings, *, characters: int = CHARACTERS) -> Sample:
    """The first documents of a corpus, up to the one that brings them to so many characters.

    Raises:
        DataError: see `CorpusPart.documents`.
    """
    found, read, room = [], 0.0, characters
    left = math.inf if settings.limit is None else settings.limit
    for part in parts:
        held, gauge = [], Gauge()
        for document in part.documents(settings.reading, gauge):
            if not left:
                break
            held.append(document)
            room, left = room - sum(map(len, document)), left - 1
            # What has been read to its end is in memory already.
            if room <= 0 and gauge.share < 1:
                break
        else:
            gauge.read = gauge.of
        found.append(SampledPart(part.name, tuple(held)))
        read += part.size * gauge.share
        if room <= 0 or not left:
            break
    times = sum(part.size for part in parts) / read if read else 1.0
    if settings.limit is not None and left < settings.limit:
        times = min(times, settings.limit / (settings.limit - left))
    return Sample(tuple(found), times)
