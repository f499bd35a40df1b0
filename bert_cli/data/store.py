"""Tokens on disk: each split is tokenised once, written as Arrow, and read as zero-copy views.

A store is published by one rename, so a half-written one is never read, and it is named by everything that shaped it,
so a stale one is never read either. Reading a row costs a slice; resident memory does not grow with the data.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from bert_cli.data.cache import evict, only_writer, touch
from bert_cli.data.split import Split
from bert_cli.files import drafted

CHUNK = 4096


@dataclass(frozen=True)
class EncodedChunk:
    """Some rows on their way to the store, about `CHUNK`; all columns have the same length.

    Attributes:
        input_ids: token ids of each example.
        type_ids: segment ids of each token, or None where all are 0.
        columns: any further columns (`text`, `text_pair`, `target`, `line`), as Arrow arrays where values do not tell
            their type.
        truncated: examples that did not fit.
        lost_tokens: tokens cut from them.
    """

    input_ids: Sequence[Sequence[int] | np.ndarray]
    type_ids: Sequence[Sequence[int] | np.ndarray] | None
    columns: dict[str, Any]
    truncated: int = 0
    lost_tokens: int = 0


def write_split(path: Path, chunks: Iterable[EncodedChunk], facts: Mapping[str, Any]) -> None:
    """Write one split as an Arrow file; `facts` and the truncation counts lie beside it."""
    with pa.OSFile(str(path), "wb") as sink:
        counted = _write_chunks(sink, chunks)
    path.with_suffix(".json").write_text(json.dumps({**facts, **counted}, ensure_ascii=False), encoding="utf-8")


def _write_chunks(sink: pa.NativeFile, chunks: Iterable[EncodedChunk]) -> dict[str, int]:
    """The chunks as record batches; what was cut off while they were made."""
    from pyarrow import ipc

    truncated = lost = 0
    writer = None
    for chunk in chunks:
        arrays: dict[str, pa.Array] = {"input_ids": pa.array(chunk.input_ids, pa.list_(pa.int32()))}
        if chunk.type_ids is not None:
            arrays["type_ids"] = pa.array(chunk.type_ids, pa.list_(pa.int8()))
        arrays |= {name: _array(column) for name, column in chunk.columns.items()}
        batch = pa.RecordBatch.from_pydict(arrays)
        if writer is None:
            writer = ipc.new_file(sink, batch.schema)
        writer.write_batch(batch)
        truncated += chunk.truncated
        lost += chunk.lost_tokens
    assert writer is not None, "a split has at least one example"
    writer.close()
    return {"truncated": truncated, "lost_tokens": lost}


def _array(column: Any) -> pa.Array:
    if isinstance(column, pa.Array):
        return column
    if isinstance(column, np.ndarray) and column.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(column.ravel()), column.shape[1])
    return pa.array(column)


class SplitStore:
    """One split, memory-mapped.

    Attributes:
        lengths: tokens of each example. Shape: `[N]` int64.
        targets: class ids, multi-hot rows or scores (see `Batch.targets`), or None. Shape: `[N]` or `[N, C]`.
        facts: what was counted while writing (`origin`, `truncated`, `lost_tokens`, …).
    """

    def __init__(self, arrow: pa.NativeFile, facts: dict[str, Any]) -> None:
        from pyarrow import ipc

        self._file = ipc.open_file(arrow)
        self.facts = facts
        self._batches = [self._file.get_batch(i) for i in range(self._file.num_record_batches)]
        self._starts = list(accumulate((batch.num_rows for batch in self._batches[:-1]), initial=0))
        self._ids = [_views(batch.column("input_ids")) for batch in self._batches]
        names = self._file.schema.names
        self._types = [_views(batch.column("type_ids")) for batch in self._batches] if "type_ids" in names else None
        self._lists: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        self.lengths = np.concatenate([np.diff(offsets) for _, offsets in self._ids]).astype(np.int64)
        self.targets: np.ndarray | None = self.column("target")

    @classmethod
    def open(cls, path: Path) -> Self:
        """The split at `path`, memory-mapped."""
        return cls(pa.memory_map(str(path)), json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))

    @classmethod
    def of(cls, chunks: Iterable[EncodedChunk], facts: Mapping[str, Any]) -> Self:
        """A split that is never on disk."""
        sink = pa.BufferOutputStream()
        counted = _write_chunks(sink, chunks)
        return cls(pa.BufferReader(sink.getvalue()), {**facts, **counted})

    def __len__(self) -> int:
        return len(self.lengths)

    def input_ids(self, row: int) -> np.ndarray:
        """Token ids of one example, a read-only view. Shape: `[length]` int32."""
        batch, at = self._place(row)
        values, offsets = self._ids[batch]
        return values[offsets[at] : offsets[at + 1]]

    def type_ids(self, row: int) -> np.ndarray | None:
        """Segment ids of one example, or None where all are 0. Shape: `[length]` int8."""
        if self._types is None:
            return None
        batch, at = self._place(row)
        values, offsets = self._types[batch]
        return values[offsets[at] : offsets[at + 1]]

    def value(self, name: str, row: int) -> Any:
        """One cell of a further column (`text`, `text_pair`, `line`), or None where the split has no such column."""
        if name not in self._file.schema.names:
            return None
        batch, at = self._place(row)
        return self._batches[batch].column(name)[at].as_py()

    def _place(self, row: int) -> tuple[int, int]:
        """The record batch that holds a row, and the row's place in it."""
        batch = bisect_right(self._starts, row) - 1
        return batch, row - self._starts[batch]

    def values(self, name: str, row: int) -> np.ndarray:
        """One cell of a column of lists of numbers, a read-only view. Shape: `[n]`."""
        if name not in self._lists:
            self._lists[name] = [_views(batch.column(name)) for batch in self._batches]
        batch, at = self._place(row)
        values, offsets = self._lists[name][batch]
        return values[offsets[at] : offsets[at + 1]]

    def column(self, name: str) -> np.ndarray | None:
        """A column of numbers (or of lists of one length) as one array, None where there is no such column."""
        if name not in self._file.schema.names:
            return None
        parts = []
        for batch in self._batches:
            column = batch.column(name)
            if pa.types.is_fixed_size_list(column.type):
                parts.append(_view(column.flatten()).reshape(len(column), -1))
            else:
                parts.append(_view(column))
        return np.concatenate(parts)


def _views(column: pa.ListArray) -> tuple[np.ndarray, np.ndarray]:
    return _view(column.values), _view(column.offsets)


def _view(column: pa.Array) -> np.ndarray:
    """A read-only array over the same memory; `to_numpy` would import pandas for it."""
    return np.from_dlpack(column)


@dataclass(frozen=True)
class Store:
    """All splits of one dataset as one tokenizer sees them.

    Attributes:
        facts: `labels`, `columns`, `fingerprints` and whatever else the writer noted.
    """

    splits: Mapping[str, Split]
    facts: dict[str, Any]


def open_or_write(home: Path, key: str, write: Callable[[Path], dict[str, Any]], *, keep: bool = True) -> Store:
    """The store named `key`, written first where the cache lacks it.

    Args:
        home: folder of all caches.
        key: digest of everything that shapes the store.
        write: fills an empty folder with `SPLIT.arrow` files and returns the store's facts.
        keep: publish a new store; without it the files are gone when the result is.
    """
    cache = home / "tokens"
    folder = cache / key
    with contextlib.suppress(FileNotFoundError):
        # Written, and not evicted by another process meanwhile.
        found = _open(folder)
        touch(folder / "store.json")
        return found
    if not keep:
        with tempfile.TemporaryDirectory() as name:
            # The maps stay readable after their files are unlinked.
            return _open(_written(Path(name) / key, write))
    cache.mkdir(parents=True, exist_ok=True)
    with only_writer(cache / f".lock-{key}"):
        if not (folder / "store.json").exists():
            with drafted(folder) as draft:
                _written(draft, write)
    evict(home, keep={folder})
    return _open(folder)


def _written(folder: Path, write: Callable[[Path], dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    facts = write(folder)
    (folder / "store.json").write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
    return folder


def _open(folder: Path) -> Store:
    facts = json.loads((folder / "store.json").read_text(encoding="utf-8"))
    return Store({path.stem: SplitStore.open(path) for path in sorted(folder.glob("*.arrow"))}, facts)
