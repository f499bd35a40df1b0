"""What the caches may hold, and what goes first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bert_cli.data.cache import MARKERS, evict, touch
from bert_cli.errors import UsageError


def entry(home: Path, cache: str, name: str, *, used: int, size: int = 1000) -> Path:
    """A whole folder of a cache, last used then."""
    folder = home / cache / name
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "content").write_bytes(bytes(size))
    (folder / MARKERS[cache]).touch()
    os.utime(folder / MARKERS[cache], (used, used))
    return folder


def test_the_longest_unused_goes_first_whichever_cache_it_is_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = entry(tmp_path, "corpora", "old", used=1)
    older = entry(tmp_path, "blocks", "older", used=0)
    new = entry(tmp_path, "tokens", "new", used=3)
    monkeypatch.setenv("BERTCTL_CACHE_GB", str(2_500 / 1e9))
    evict(tmp_path, keep=set())
    assert old.exists() and new.exists() and not older.exists()
    touch(old / MARKERS["corpora"])
    monkeypatch.setenv("BERTCTL_CACHE_GB", str(1_500 / 1e9))
    evict(tmp_path, keep=set())
    assert old.exists() and not new.exists()


def test_what_is_in_use_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, other = entry(tmp_path, "corpora", "kept", used=0), entry(tmp_path, "corpora", "other", used=1)
    monkeypatch.setenv("BERTCTL_CACHE_GB", "0")
    evict(tmp_path, keep={kept})
    assert kept.exists() and not other.exists()


def test_an_unfinished_folder_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Preparing a corpus goes on where it was stopped."""
    begun = tmp_path / "corpora" / "begun"
    begun.mkdir(parents=True)
    (begun / "preparing.json").touch()
    monkeypatch.setenv("BERTCTL_CACHE_GB", "0")
    evict(tmp_path, keep=set())
    assert (begun / "preparing.json").exists()


def test_a_size_that_is_no_number_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTCTL_CACHE_GB", "much")
    with pytest.raises(UsageError) as caught:
        evict(tmp_path, keep=set())
    assert caught.value.code == "U070"
