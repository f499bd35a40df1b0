"""A reader that goes away (`bertctl task ls | head -1`) ends a command without a word."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("words", [["--version"], ["recipe", "schema"]])
def test_a_reader_that_went_away_is_no_bug(words: list[str], buffered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", "" if buffered else "1")
    there, here = os.pipe()
    os.close(there)
    try:
        command = [sys.executable, "-m", "bert_cli", *words]
        done = subprocess.run(command, stdout=here, stderr=subprocess.PIPE, text=True, timeout=60)
    finally:
        os.close(here)
    assert (done.returncode, done.stderr) == (141, "")
