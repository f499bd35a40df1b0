"""A picture of lengths and classes."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest
from small_splits import small

from bert_cli.errors import UsageError
from bert_cli.inspect import picture
from bert_cli.inspect.contents import Contents
from bert_cli.inspect.lengths import Lengths, lengths_of_text
from bert_cli.inspect.picture import TOP, check_place, draw, writable

pytest.importorskip("matplotlib", reason="matplotlib is optional: pip install 'bertctl[pictures]'")


def size(file: Path) -> tuple[int, int]:
    """Width and height of a PNG file."""
    head = file.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def with_words(*splits: Contents) -> list[tuple[Contents, Lengths]]:
    return [(split, lengths_of_text(split, "words")) for split in splits]


def test_lengths_and_classes_stand_side_by_side(tmp_path: Path) -> None:
    train, test = small("train", ["a b", "c", "d e f"], ["x", "y", "x"]), small("test", ["a"], ["$y$"])
    file = tmp_path / "new" / "two.png"
    assert draw(file, with_words(train, test), title="toy: 4 rows", max_length=8) is None
    lone = tmp_path / "one.png"
    assert draw(lone, with_words(small("train", ["a b"])), title="toy", max_length=8) is None
    assert size(file)[0] == 2 * size(lone)[0]


def test_scores_are_drawn_as_a_histogram(tmp_path: Path) -> None:
    split = small("train", ["a b", "c"], ["0.5", "4"], numeric=True)
    assert draw(tmp_path / "scores.png", with_words(split), title="toy", max_length=8) is None
    assert size(tmp_path / "scores.png")[0] > 1000


def test_a_picture_of_many_classes_does_not_grow_with_them(tmp_path: Path) -> None:
    heights = []
    for count in (TOP, 300):
        golds = [f"class number {place}" for place in range(count)]
        file = tmp_path / f"{count}.png"
        draw(file, with_words(small("train", golds, golds)), title="toy", max_length=8)
        heights.append(size(file)[1])
    assert heights[0] == heights[1] < 1200


@pytest.mark.parametrize("max_length", [4, 40, 5000])
def test_the_limit_of_tokens_is_drawn_wherever_it_lies(tmp_path: Path, max_length: int) -> None:
    split = small("train", ["x"] * 50, ["a", "b"] * 25)
    lengths = Lengths("tokens", np.arange(1, 51), np.arange(1, 51), 0, 0, 0)
    assert draw(tmp_path / "limit.png", [(split, lengths)], title="toy", max_length=max_length) is None


def test_names_that_no_font_can_write_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "_installed", lambda: ())
    monkeypatch.setattr(picture, "_characters", lambda: frozenset(map(ord, "abc")))
    assert writable("a cab") and not writable("体育")
    split = small("train", ["x y", "z"], ["体育", "ab"])
    said = draw(tmp_path / "fonts.png", with_words(split), title="toy", max_length=8)
    assert said == "no font here can write 1 class name: install one, as fonts-noto-cjk"


def test_the_font_of_matplotlib_writes_latin_letters_and_no_chinese_unless_another_is_there() -> None:
    assert writable("Größe_1 (naïve)?")
    assert writable("体育") == bool(picture._installed() and 0x4F53 in picture._characters())


@pytest.mark.parametrize(("name", "help"), [("data.jpg", "data.png"), ("data", "data/data.png")])
def test_only_png_files_are_written(name: str, help: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_place(Path(name))
    assert caught.value.code == "U112" and str(caught.value.help) == f"--picture {help}"


def test_without_matplotlib_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    check_place(Path("data.png"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        check_place(Path("data.png"))
    assert caught.value.code == "U110" and "bertctl[pictures]" in str(caught.value.help)
