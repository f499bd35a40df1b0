"""Tokens on disk: each split is tokenised once, written as Arrow, and read as zero-copy views.

A store is published by one rename, so a half-written one is never read, and it is named by everything that shaped it,
so a stale one is never read either. Reading a row costs a slice; resident memory does not grow with the data.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bert_cli.errors import UsageError
from bert_cli.files import drafted

CHUNK = 4096
MAX_GB = 20.0


@dataclass(frozen=True)
class EncodedChunk:
    """Up to `CHUNK` examples on their way to disk; all columns have the same length.

    Attributes:
        input_ids: token ids of each example.
        type_ids: segment ids of each token, or None where all are 0.
        columns: any further columns (`text`, `text_pair`, `target`, `line`).
        truncated: examples that did not fit.
        lost_tokens: tokens cut from them.
    """

    input_ids: list[list[int]]
    type_ids: list[list[int]] | None
    columns: dict[str, Any]
    truncated: int = 0
    lost_tokens: int = 0


def write_split(path: Path, chunks: Iterable[EncodedChunk], facts: Mapping[str, Any]) -> None:
    """Write one split as an Arrow file; `facts` and the truncation counts travel in its schema."""
    from pyarrow import ipc

    truncated = lost = 0
    writer = None
    with pa.OSFile(str(path), "wb") as sink:
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
    described = {**facts, "truncated": truncated, "lost_tokens": lost}
    path.with_suffix(".json").write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")


def _array(column: Any) -> pa.Array:
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

    def __init__(self, path: Path) -> None:
        from pyarrow import ipc

        self._file = ipc.open_file(pa.memory_map(str(path)))
        self.facts: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        self._batches = [self._file.get_batch(i) for i in range(self._file.num_record_batches)]
        self._ids = [_views(batch.column("input_ids")) for batch in self._batches]
        names = self._file.schema.names
        self._types = [_views(batch.column("type_ids")) for batch in self._batches] if "type_ids" in names else None
        self.lengths = np.concatenate([np.diff(offsets) for _, offsets in self._ids]).astype(np.int64)
        self.targets: np.ndarray | None = self._column("target") if "target" in names else None

    def __len__(self) -> int:
        return len(self.lengths)

    def input_ids(self, row: int) -> np.ndarray:
        """Token ids of one example, a read-only view. Shape: `[length]` int32."""
        values, offsets = self._ids[row // CHUNK]
        at = row % CHUNK
        return values[offsets[at] : offsets[at + 1]]

    def type_ids(self, row: int) -> np.ndarray | None:
        """Segment ids of one example, or None where all are 0. Shape: `[length]` int8."""
        if self._types is None:
            return None
        values, offsets = self._types[row // CHUNK]
        at = row % CHUNK
        return values[offsets[at] : offsets[at + 1]]

    def value(self, name: str, row: int) -> Any:
        """One cell of a further column (`text`, `text_pair`, `line`), or None where the split has no such column."""
        if name not in self._file.schema.names:
            return None
        return self._batches[row // CHUNK].column(name)[row % CHUNK].as_py()

    def _column(self, name: str) -> np.ndarray:
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

    splits: dict[str, SplitStore]
    facts: dict[str, Any]


def open_or_write(cache: Path, key: str, write: Callable[[Path], dict[str, Any]], *, keep: bool = True) -> Store:
    """The store named `key`, written first where the cache lacks it.

    Args:
        cache: folder that holds all stores.
        key: digest of everything that shapes the store.
        write: fills an empty folder with `SPLIT.arrow` files and returns the store's facts.
        keep: publish a new store; without it the files are gone when the result is.
    """
    folder = cache / key
    with contextlib.suppress(FileNotFoundError):
        # Written, and not evicted by another process meanwhile. A cache that may only be read needs no time of use.
        found = _open(folder)
        with contextlib.suppress(OSError):
            os.utime(folder / "store.json")
        return found
    if not keep:
        with tempfile.TemporaryDirectory() as name:
            # The maps stay readable after their files are unlinked.
            return _open(_written(Path(name) / key, write))
    cache.mkdir(parents=True, exist_ok=True)
    with _only_writer(cache / f".lock-{key}"):
        if not (folder / "store.json").exists():
            with drafted(folder) as draft:
                _written(draft, write)
    _evict(cache, keep=folder)
    return _open(folder)


def _written(folder: Path, write: Callable[[Path], dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    facts = write(folder)
    (folder / "store.json").write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
    return folder


@contextmanager
def _only_writer(lock: Path) -> Iterator[None]:
    """Wait until no other process writes the same store: several seeds or ranks then tokenise once.

    A file system without locks (`OSError`) lets both write; a store is published whole all the same.
    """
    while True:
        with lock.open("w") as held:
            with contextlib.suppress(OSError):
                fcntl.flock(held, fcntl.LOCK_EX)
            # The writer before may have deleted the file that this one waited for.
            if _same_file(held.fileno(), lock):
                try:
                    yield
                finally:
                    lock.unlink(missing_ok=True)
                return


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _open(folder: Path) -> Store:
    facts = json.loads((folder / "store.json").read_text(encoding="utf-8"))
    return Store({path.stem: SplitStore(path) for path in sorted(folder.glob("*.arrow"))}, facts)


def _evict(cache: Path, *, keep: Path) -> None:
    """Delete the longest unused stores until all fit `BERTCTL_CACHE_GB` (default 20), and drafts of a day ago."""
    for draft in cache.glob(".tmp-*"):
        if time.time() - _used(draft) > 86_400:
            shutil.rmtree(draft, ignore_errors=True)
    room = _room()
    stores = {marker.parent: _used(marker) for marker in cache.glob("*/store.json")}
    sizes = {folder: sum(_size(file) for file in folder.glob("*")) for folder in stores}
    total = sum(sizes.values())
    for folder in sorted(stores, key=lambda folder: stores[folder]):
        if total <= room:
            return
        if folder != keep:
            doomed = cache / f".tmp-evicted-{folder.name}-{os.getpid()}"
            # Renamed first, so that no reader finds half a store; another process may have been faster.
            with contextlib.suppress(OSError):
                folder.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
            total -= sizes[folder]


def _room() -> float:
    given = os.environ.get("BERTCTL_CACHE_GB", str(MAX_GB))
    try:
        return float(given) * 1e9
    except ValueError as error:
        raise UsageError(
            "U070",
            "the size of the cache is not a number",
            key="BERTCTL_CACHE_GB",
            found=given,
            allowed="gigabytes, as 20",
            help="unset BERTCTL_CACHE_GB",
        ) from error


def _used(path: Path) -> float:
    """When a file was last written; now, for one that another process has just deleted."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
