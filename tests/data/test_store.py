"""The token store: what was written is read back, as views, from files that are whole or not there."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_cli.data import store as stores
from bert_cli.data.store import EncodedChunk, SplitStore, open_or_write, write_split


def examples(n: int, *, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 12, n)
    return {
        "ids": [rng.integers(0, 30_000, length).tolist() for length in lengths],
        "types": [rng.integers(0, 2, length).tolist() for length in lengths],
        "text": [f"text {i} “ü”" for i in range(n)],
        "target": rng.integers(0, 3, n),
    }


def chunks(found: dict[str, Any], *, types: bool = True) -> Iterator[EncodedChunk]:
    size = stores.CHUNK
    for start in range(0, len(found["ids"]), size):
        cut = slice(start, start + size)
        columns = {"text": found["text"][cut], "target": found["target"][cut]}
        yield EncodedChunk(found["ids"][cut], found["types"][cut] if types else None, columns, 1, 10)


def write_one(folder: Path, *, n: int = 5, seed: int = 0) -> dict[str, Any]:
    write_split(folder / "train.arrow", chunks(examples(n, seed=seed)), {"origin": f"seed {seed}"})
    return {"labels": ["a", "b", "c"]}


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "CHUNK", 7)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("n", [1, 7, 8, 23])
def test_every_column_of_every_chunk_is_read_back(tmp_path: Path, n: int) -> None:
    found = examples(n)
    write_split(tmp_path / "train.arrow", chunks(found), {"origin": "here"})
    split = SplitStore.open(tmp_path / "train.arrow")
    assert len(split) == n
    np.testing.assert_array_equal(split.lengths, [len(ids) for ids in found["ids"]])
    np.testing.assert_array_equal(split.targets, found["target"])
    for row in range(n):
        assert split.input_ids(row).tolist() == found["ids"][row]
        types = split.type_ids(row)
        assert types is not None and types.tolist() == found["types"][row]
        assert split.value("text", row) == found["text"][row]
        assert split.value("text_pair", row) is None
    number = -(-n // 7)
    assert split.facts == {"origin": "here", "truncated": number, "lost_tokens": 10 * number}


@pytest.mark.usefixtures("small_chunks")
def test_multi_hot_targets_keep_their_shape_over_chunks(tmp_path: Path) -> None:
    found = examples(16) | {"target": np.random.default_rng(1).integers(0, 2, (16, 3)).astype(np.float32)}
    write_split(tmp_path / "train.arrow", chunks(found, types=False), {})
    split = SplitStore.open(tmp_path / "train.arrow")
    assert split.targets is not None and split.targets.dtype == np.float32
    np.testing.assert_array_equal(split.targets, found["target"])
    assert split.type_ids(3) is None


def test_rows_are_views_of_the_mapped_file(tmp_path: Path) -> None:
    write_one(tmp_path, n=5)
    split = SplitStore.open(tmp_path / "train.arrow")
    rows = [split.input_ids(row) for row in range(5)]
    assert not any(row.flags.owndata or row.flags.writeable for row in rows)
    start = rows[0].__array_interface__["data"][0]
    ends = np.cumsum([0, *split.lengths])
    assert [row.__array_interface__["data"][0] for row in rows] == [start + 4 * int(end) for end in ends[:-1]]
    with pytest.raises(ValueError, match="read-only"):
        rows[0][0] = 1


def test_a_store_is_written_once_and_then_read(tmp_path: Path) -> None:
    calls = []

    def write(folder: Path) -> dict[str, Any]:
        calls.append(folder)
        return write_one(folder)

    first = open_or_write(tmp_path, "key", write)
    second = open_or_write(tmp_path, "key", write)
    assert len(calls) == 1
    assert first.facts == second.facts == {"labels": ["a", "b", "c"]}
    np.testing.assert_array_equal(first.splits["train"].input_ids(2), second.splits["train"].input_ids(2))
    open_or_write(tmp_path, "another", write)
    assert len(calls) == 2


def test_of_several_at_once_one_writes_and_all_read(tmp_path: Path) -> None:
    calls = []

    def write(folder: Path) -> dict[str, Any]:
        calls.append(folder)
        time.sleep(0.2)
        return write_one(folder)

    results: list[stores.Store] = []
    threads = [threading.Thread(target=lambda: results.append(open_or_write(tmp_path, "key", write))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert [len(result.splits["train"]) for result in results] == [5] * 4
    assert [entry.name for entry in (tmp_path / "tokens").iterdir()] == ["key"]


def test_without_locks_both_write_and_one_is_published_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError("not supported")

    both_write = threading.Barrier(2, timeout=20)

    def write(folder: Path) -> dict[str, Any]:
        facts = write_one(folder)
        both_write.wait()
        return facts

    monkeypatch.setattr(fcntl, "flock", no_locks)
    results: list[stores.Store] = []
    threads = [threading.Thread(target=lambda: results.append(open_or_write(tmp_path, "key", write))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(result.splits["train"]) for result in results] == [5, 5]
    assert [entry.name for entry in (tmp_path / "tokens").iterdir()] == ["key"]


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> dict[str, Any]:
        write_one(folder)
        raise RuntimeError("out of paper")

    with pytest.raises(RuntimeError, match="out of paper"):
        open_or_write(tmp_path, "key", fail)
    assert list((tmp_path / "tokens").iterdir()) == []


def test_what_a_killed_writer_leaves_is_never_read(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from bert_cli.data.store import EncodedChunk, open_or_write, write_split\n"
        "def write(folder):\n"
        "    write_split(folder / 'train.arrow', [EncodedChunk([[9]], None, {})], {})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "open_or_write(Path(sys.argv[1]), 'key', write)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, timeout=60)
    assert killed.returncode == -9
    left = list((tmp_path / "tokens").iterdir())
    (draft,) = [entry for entry in left if entry.name.startswith(".tmp-")]
    assert list(draft.rglob("train.arrow")) and not (tmp_path / "tokens" / "key").exists()
    store = open_or_write(tmp_path, "key", write_one)
    assert len(store.splits["train"]) == 5


def test_drafts_of_a_day_ago_are_cleared_and_younger_ones_are_not(tmp_path: Path) -> None:
    old, young = tmp_path / "tokens" / ".tmp-old", tmp_path / "tokens" / ".tmp-young"
    for draft in (old, young):
        draft.mkdir(parents=True)
    os.utime(old, (0, 0))
    open_or_write(tmp_path, "key", write_one)
    assert not old.exists() and young.exists()


def test_without_keep_the_store_is_readable_and_the_cache_stays_empty(tmp_path: Path) -> None:
    store = open_or_write(tmp_path / "cache", "key", write_one, keep=False)
    assert store.splits["train"].input_ids(0).tolist() == examples(5)["ids"][0]
    assert not (tmp_path / "cache").exists()


def test_eviction_deletes_the_longest_unused_and_keeps_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i, key in enumerate(("first", "second", "third")):
        open_or_write(tmp_path, key, lambda folder: write_one(folder, n=200))
        os.utime(tmp_path / "tokens" / key / "store.json", (1000 + i, 1000 + i))
    open_or_write(tmp_path, "first", write_one)
    size = sum(file.stat().st_size for file in (tmp_path / "tokens" / "first").iterdir())
    monkeypatch.setenv("BERTCTL_CACHE_GB", str(3.5 * size / 1e9))
    open_or_write(tmp_path, "fourth", lambda folder: write_one(folder, n=200))
    assert sorted(entry.name for entry in (tmp_path / "tokens").iterdir()) == ["first", "fourth", "third"]
    monkeypatch.setenv("BERTCTL_CACHE_GB", "0")
    last = open_or_write(tmp_path, "fifth", lambda folder: write_one(folder, n=200))
    assert [entry.name for entry in (tmp_path / "tokens").iterdir()] == ["fifth"]
    assert len(last.splits["train"]) == 200
