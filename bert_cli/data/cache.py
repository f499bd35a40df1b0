"""How much the caches may hold: tokens of labelled data, tokens of corpora and indexes over them, each in folders.

A folder is whole when its marker is there, and the marker's time says when it was last used. Maps stay readable after
their files are gone, so what another process reads may be deleted too.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from bert_cli.errors import ResourceError, UsageError

MAX_GB = 20.0
MARKERS = {"tokens": "store.json", "corpora": "corpus.json", "blocks": "blocks.json"}
"""Cache -> the file that each of its folders has when it is whole."""
DAY = 86_400
NO_ROOM = "free some space, or name a cache folder on another disk with BERTCTL_CACHE; then give the same command"
"""What to do where the disk of the cache is full."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def only_writer(lock: Path, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Wait until no other process writes the same folder: several seeds or ranks then tokenise once.

    A file system without locks (`OSError`) lets both write; a folder is published whole all the same.

    Args:
        waiting: called before this process waits for another.
    """
    while True:
        with lock.open("w") as held:
            with contextlib.suppress(OSError):
                _hold(held.fileno(), waiting)
            # The writer before may have deleted the file that this one waited for.
            if _same_file(held.fileno(), lock):
                try:
                    yield
                finally:
                    lock.unlink(missing_ok=True)
                return


@contextmanager
def named_shortage(folder: Path, *, help: str) -> Iterator[None]:
    """Tell a full disk from other errors of the system, where `folder` is written inside the block.

    Args:
        help: what to do then.

    Raises:
        ResourceError: the disk is full (P021).
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        place = next(path for path in (folder, *folder.parents) if path.is_dir())
        raise ResourceError(
            "P021",
            f"the disk is full: {error.strerror}",
            where=str(folder),
            found=f"{shutil.disk_usage(place).free / 1e6:.0f} MB free",
            help=help,
        ) from error


def _hold(handle: int, waiting: Callable[[], None]) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waiting()
        fcntl.flock(handle, fcntl.LOCK_EX)


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def touch(marker: Path) -> None:
    """Say that a folder is in use; a cache that may only be read needs no time of use."""
    with contextlib.suppress(OSError):
        os.utime(marker)


def evict(home: Path, *, keep: Collection[Path]) -> None:
    """Delete the longest unused folders until all fit `BERTCTL_CACHE_GB` (default 20), and drafts of a day ago.

    Args:
        home: holds the caches.
        keep: folders that stay.

    Raises:
        UsageError: the size is not a number (U070).
    """
    room = _room()
    for draft in (draft for cache in MARKERS for draft in (home / cache).glob(".tmp-*")):
        if time.time() - _used(draft) > DAY:
            shutil.rmtree(draft, ignore_errors=True)
    used = {found.parent: _used(found) for cache, name in MARKERS.items() for found in (home / cache).glob(f"*/{name}")}
    sizes = {folder: sum(_size(file) for file in folder.rglob("*") if not file.is_dir()) for folder in used}
    total = sum(sizes.values())
    for folder in sorted(used, key=lambda folder: used[folder]):
        if total <= room:
            return
        if folder not in keep:
            doomed = folder.parent / f".tmp-evicted-{folder.name}-{os.getpid()}"
            # Renamed first, so that no reader finds half a folder; another process may have been faster.
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
