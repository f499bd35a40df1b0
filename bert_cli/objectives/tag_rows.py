"""Tagged sentences as rows of tokens: one for each window, the label of a word on its first piece.

Words that the tokenizer does not see have no place in any row; they are in the columns of their sentence all the same,
so a split is scored on all of its words. What belongs to a sentence stands in its first row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bert_cli.data.store import CHUNK, EncodedChunk
from bert_cli.data.tagged import TaggedRows
from bert_cli.data.word_pieces import WordPieces
from bert_cli.data.word_windows import word_windows
from bert_cli.objectives.frame import Frame
from bert_cli.objectives.strides import stride_of

Ints = npt.NDArray[np.int32]
_INTS = pa.list_(pa.int32())


@dataclass
class _Rows:
    """The columns of some windows; see `encode_tagged`."""

    input_ids: list[Ints] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    truncated: int = 0
    lost: int = 0

    def add(self, ids: Ints, **cells: Any) -> None:
        """One window."""
        self.input_ids.append(ids)
        for name, cell in cells.items():
            self.columns.setdefault(name, []).append(cell)

    def chunk(self) -> EncodedChunk:
        """The windows on their way to the store."""
        types = {"text": pa.string(), "tokenised": pa.bool_(), "line": pa.int64(), "example": pa.int32()}
        columns = {
            name: np.stack(cells) if name == "target" else pa.array(cells, types.get(name, _INTS))
            for name, cells in self.columns.items()
        }
        return EncodedChunk(self.input_ids, None, columns, self.truncated, self.lost)


def encode_tagged(
    rows: TaggedRows, tokenizer: Any, *, max_length: int, stride: int | None, classes: int
) -> Iterator[EncodedChunk]:
    """Windows of all sentences, those of about `CHUNK` sentences at a time.

    Columns: `example` (which sentence), `at` (place of the first piece of each word that is scored in the row), `word`
    (which words these are); with labels `label` (their class ids) and `target` (how many of each class). In the first
    row of a sentence, else empty: `text`, `line`, `tokenised` (whether the data say what the words are), `words` (begin
    and end of each word, in characters, one after another); with labels `gold` (class of each word) and, unless tags
    are plain, `spans` (begin, end and type of each gold entity).

    Args:
        classes: how many there are.
        stride: tokens that neighbouring windows share; None means a third of `max_length`.

    Raises:
        UsageError: `stride` is more than half of a window, see `stride_of`.
        ModelError: the tokenizer's special tokens cannot be told from the text (L032).
    """
    around = Frame.of(tokenizer).one
    room = max_length - around.size
    shared = stride_of(stride, max_length=max_length, room=room, most=room // 2)
    pieces = WordPieces(tokenizer)
    before, after = (np.array(part, dtype=np.int32) for part in around.pieces)
    for start in range(0, len(rows), CHUNK):
        end = min(start + CHUNK, len(rows))
        made = _Rows()
        tokens = pieces.of(rows.texts[start:end], rows.words[start:end])
        for example, words in enumerate(tokens, start):
            _encode(made, rows, example, words, around=(before, after), room=room, stride=shared, classes=classes)
        yield made.chunk()


def _encode(
    made: _Rows,
    rows: TaggedRows,
    example: int,
    tokens: list[Ints],
    *,
    around: tuple[Ints, Ints],
    room: int,
    stride: int,
    classes: int,
) -> None:
    """Add the windows of one sentence."""
    whole = np.fromiter(map(len, tokens), dtype=np.int64, count=len(tokens))
    counts = np.minimum(whole, room)
    lost = int((whole - counts).sum())
    made.truncated += lost > 0
    made.lost += lost
    flat = [ids[:room] for ids in tokens]
    for number, window in enumerate(word_windows(counts, room=room, stride=stride)):
        scored = window.scored[counts[window.scored] > 0]
        starts = np.cumsum(counts[window.first : window.end]) - counts[window.first : window.end]
        cells: dict[str, Any] = {
            "example": example,
            "at": starts[scored - window.first] + len(around[0]),
            "word": scored,
        }
        if rows.tags is not None:
            labels = rows.tags[example][scored]
            cells |= {"label": labels, "target": np.bincount(labels, minlength=classes).astype(np.int32)}
        ids = np.concatenate([around[0], *flat[window.first : window.end], around[1]])
        made.add(ids, **cells, **_sentence(rows, example, first=number == 0))


def _sentence(rows: TaggedRows, example: int, *, first: bool) -> dict[str, Any]:
    """The cells that only the first row of a sentence fills."""
    cells: dict[str, Any] = {"text": rows.texts[example] if first else None, "tokenised": first and rows.tokenised}
    if len(rows.lines):
        cells["line"] = int(rows.lines[example]) if first else None
    cells["words"] = rows.words[example].ravel() if first else []
    if rows.tags is not None:
        cells["gold"] = rows.tags[example] if first else []
    if rows.spans is not None:
        cells["spans"] = rows.spans[example].ravel() if first else []
    return cells
