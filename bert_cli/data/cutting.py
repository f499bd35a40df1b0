"""Where a shard of documents is cut into blocks: pure functions of token, sentence and document ends.

Every token of the documents chosen is in exactly one block. Cutting by tokens is array arithmetic; by sentences, only
documents longer than a block are walked through, one search for each of their blocks.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

STRETCH = np.dtype([("start", "<i8"), ("length", "<i4")])


@dataclass(frozen=True)
class Cut:
    """The blocks of a shard.

    Attributes:
        starts, lengths: first token and tokens of each block. Shape: `[N]` int64.
        documents: place of its document (of its first token) among all of the shard. Shape: `[N]` int64.
        counts: how many of `parts` each block has; None where there are no parts. Shape: `[N]` int64.
        parts: the blocks' parts one after the other: tokens of each piece `[P]` int32, or stretches of tokens `[P]`.
    """

    starts: np.ndarray
    lengths: np.ndarray
    documents: np.ndarray
    counts: np.ndarray | None = None
    parts: np.ndarray | None = None


def by_tokens(ends: np.ndarray, chosen: np.ndarray, room: int) -> Cut:
    """Each document's tokens in blocks of `room`, the last one shorter.

    Args:
        ends: end of each document in tokens. Shape: `[D]`.
        chosen: the documents to cut, ascending. Shape: `[C]`.
    """
    first = _starts(ends)[chosen]
    counts = -(-(ends[chosen] - first) // room)
    owner = np.repeat(np.arange(len(chosen)), counts)
    starts = first[owner] + _within(counts) * room
    return Cut(starts, np.minimum(room, ends[chosen][owner] - starts), chosen[owner])


def across_documents(ends: np.ndarray, chosen: np.ndarray, room: int) -> Cut:
    """The documents as one stream in blocks of `room`, the last one shorter; its parts are stretches of tokens.

    Args: as of `by_tokens`.
    """
    first = _starts(ends)[chosen]
    sizes = ends[chosen] - first
    places = np.cumsum(sizes) - sizes
    blocks = np.arange(0, int(sizes.sum()), room)
    # Documents that lie behind each other are one run; a stretch ends where a run or a block does.
    runs = np.flatnonzero(np.r_[True, first[1:] != ends[chosen][:-1]]) if len(chosen) else np.arange(0)
    edges = np.union1d(blocks, places[runs])
    run = runs[np.searchsorted(places[runs], edges, side="right") - 1]
    parts = np.empty(len(edges), dtype=STRETCH)
    parts["start"] = first[run] + edges - places[run]
    parts["length"] = np.diff(edges, append=int(sizes.sum()))
    begins = np.searchsorted(edges, blocks)
    return Cut(
        starts=parts["start"][begins],
        lengths=np.minimum(room, int(sizes.sum()) - blocks),
        documents=chosen[np.searchsorted(places, blocks, side="right") - 1],
        counts=np.diff(begins, append=len(edges)),
        parts=parts,
    )


def by_sentences(sentences: np.ndarray, documents: np.ndarray, chosen: np.ndarray, room: int) -> Cut:
    """Whole sentences in blocks of at most `room` tokens; its parts are the sentences, or pieces of long ones.

    A sentence longer than `room // 2` is first cut into pieces of even length, so that two of them always fit. A block
    has one piece only where its document has no other, or has one too many: a last piece that would stand alone takes
    from the block before it, and where that has but two, the longer of the outer pieces stays alone.

    Args:
        sentences: end of each sentence in tokens. Shape: `[S]`.
        documents: end of each document in sentences. Shape: `[D]`.
        chosen: the documents to cut, ascending. Shape: `[C]`.
        room: at least 2.
    """
    sizes = np.diff(sentences, prepend=0)
    counts = -(-sizes // (room // 2))
    owner = np.repeat(np.arange(len(sizes)), counts)
    # End of each piece in tokens, and of each document in pieces.
    ends = _starts(sentences)[owner] + sizes[owner] * (_within(counts) + 1) // counts[owner]
    last = np.cumsum(counts)[documents - 1]
    first = _starts(last)
    heads = _heads(ends, first[chosen], last[chosen], room)
    document = np.searchsorted(last, heads, side="right")
    tails = np.minimum(np.append(heads, last[-1])[1:], last[document])
    starts = _starts(ends)[heads]
    taken = _ranges(heads, tails - heads)
    return Cut(
        starts=starts,
        lengths=ends[tails - 1] - starts,
        documents=document,
        counts=tails - heads,
        parts=np.diff(ends, prepend=0)[taken].astype(np.int32),
    )


def _heads(ends: np.ndarray, first: np.ndarray, last: np.ndarray, room: int) -> np.ndarray:
    """The first piece of each block, ascending; documents have the pieces `first` to `last`."""
    long = np.flatnonzero(ends[last - 1] - _starts(ends)[first] > room)
    more = [
        begin + head
        for begin, end in zip(first[long].tolist(), last[long].tolist(), strict=True)
        for head in packed((ends[begin:end] - (ends[begin - 1] if begin else 0)).tolist(), room)[1:]
    ]
    return np.sort(np.concatenate([first, np.array(more, dtype=np.int64)]))


def packed(ends: list[int], room: int) -> list[int]:
    """The first piece of each block of one document, which is longer than a block.

    Args:
        ends: end of each piece in tokens, counted from the document's start; no piece is longer than `room // 2`.
    """
    heads, head, start = [], 0, 0
    while head < len(ends):
        heads.append(head)
        head = bisect_right(ends, start + room, head)
        start = ends[head - 1]
    if heads[-1] == len(ends) - 1:
        heads[-1] = _balanced(ends, heads[-2])
    return heads


def _balanced(ends: list[int], head: int) -> int:
    """Where the last block of a document begins, when the one before begins at `head` and one piece would be left."""
    n, begin = len(ends), ends[head - 1] if head else 0
    if n - head == 3:
        return head + 1 if ends[head] - begin > ends[-1] - ends[-2] else n - 1
    middle = (begin + ends[-1]) / 2
    return min(range(head + 2, n - 1), key=lambda place: abs(ends[place - 1] - middle))


def _starts(ends: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], ends[:-1]]).astype(np.int64)


def _within(counts: np.ndarray) -> np.ndarray:
    """0, 1, … for each of the counts, one after the other."""
    places: np.ndarray = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return places


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """`counts` whole numbers from each start on, one after the other."""
    numbers: np.ndarray = np.repeat(starts, counts) + _within(counts)
    return numbers
