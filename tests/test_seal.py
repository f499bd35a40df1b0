"""A sealed folder tells every file that is not what it was."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

import pytest

from bert_cli import seal
from bert_cli.seal import MANIFEST, Fault


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files, one of them in a subfolder, and what does not count."""
    folder = tmp_path / "sealed"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"first")
    (folder / "inner" / "b.txt").write_bytes(b"second")
    (folder / ".hidden").write_bytes(b"x")
    seal.seal(folder)
    return folder


def test_the_manifest_names_files_of_subfolders_with_sum_and_size(folder: Path) -> None:
    files = json.loads((folder / MANIFEST).read_text())["files"]
    assert files == {
        "a.txt": {"sha256": hashlib.sha256(b"first").hexdigest(), "bytes": 5},
        "inner/b.txt": {"sha256": hashlib.sha256(b"second").hexdigest(), "bytes": 6},
    }
    assert (list(seal.faults(folder)), seal.unrecorded(folder), seal.damage(folder)) == ([], [], None)


def test_a_fault_names_file_and_both_sums(folder: Path) -> None:
    (folder / "inner" / "b.txt").write_bytes(b"sECond")
    expected, found = (f"sha256 {hashlib.sha256(text).hexdigest()}" for text in (b"second", b"sECond"))
    assert list(seal.faults(folder)) == [Fault("inner/b.txt", expected, found)]
    assert seal.damage(folder) == f"inner/b.txt has {found}, the manifest says {expected}"


def test_what_is_missing_cut_or_new_is_told(folder: Path) -> None:
    (folder / "a.txt").unlink()
    (folder / "inner" / "b.txt").write_bytes(b"sec")
    (folder / "inner" / "c.txt").write_bytes(b"")
    assert [(fault.file, fault.found) for fault in seal.faults(folder)] == [
        ("a.txt", "no file"),
        ("inner/b.txt", "3 bytes"),
    ]
    assert [(fault.file, fault.found) for fault in seal.unrecorded(folder)] == [("inner/c.txt", "a file")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"files": []}',
        '{"files": {"a.txt": {}}}',
        '{"files": {"a.txt": 3}}',
        '{"files": {"a.txt": {"bytes": "many", "sha256": ""}}}',
        '{"files": {"../a.txt": {"bytes": 5, "sha256": ""}}}',
        '{"files": {"/etc/passwd": {"bytes": 5, "sha256": ""}}}',
        '{"files": {"a\\u0000": {"bytes": 5, "sha256": ""}}}',
        "[" * 100_000,
    ],
)
def test_a_manifest_that_says_nothing_to_go_by_is_the_fault(folder: Path, text: str) -> None:
    # As it would have been written where it can be, so that what it says is the fault and not how.
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        text = json.dumps({"version": 1, "files": json.loads(text)["files"]}, indent=1)
    (folder / MANIFEST).write_text(text)
    assert [fault.file for fault in seal.faults(folder)] == [MANIFEST]
    assert MANIFEST in str(seal.damage(folder))


def test_any_byte_of_the_manifest_counts(folder: Path) -> None:
    text = (folder / MANIFEST).read_bytes()
    for at in range(len(text)):
        (folder / MANIFEST).write_bytes(text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :])
        assert seal.damage(folder), at
    (folder / MANIFEST).write_bytes(text + b" ")
    assert seal.damage(folder)


def test_a_folder_that_stands_where_a_file_was_is_a_fault(folder: Path) -> None:
    (folder / "a.txt").unlink()
    (folder / "a.txt").mkdir()
    assert [fault.found for fault in seal.faults(folder)] == ["no file"]


def test_a_file_taken_out_is_not_missed(folder: Path) -> None:
    seal.take_out(folder, "inner/b.txt")
    assert not (folder / "inner" / "b.txt").exists()
    assert list(seal.recorded(folder)) == ["a.txt"]
    assert (seal.damage(folder), seal.unrecorded(folder)) == (None, [])
