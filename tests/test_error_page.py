"""docs/errors.md has every error, and every code means one thing."""

from __future__ import annotations

import difflib
import importlib.util
import re
import sys
from itertools import combinations
from pathlib import Path
from types import ModuleType

import pytest

import bert_cli

DOCS = Path(bert_cli.__file__).parent.parent / "docs"
if not DOCS.is_dir():
    pytest.skip("the pages of documentation are in a checkout only", allow_module_level=True)

SAID_DIFFERENTLY = {
    "D148": "a row of a shipped task is not as its data set has them",
    "M002": "a metric does not fit the objective",
    "U063": "columns are named for a role that the data do not have",
}
"""Codes that mean one thing, in words of its own at each place."""


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    """The script that writes the page."""
    spec = importlib.util.spec_from_file_location("error_pages", DOCS / "errors.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(pages: ModuleType) -> None:
    assert (DOCS / "errors.md").read_text(encoding="utf-8") == pages.page(), "run: make docs"


def test_every_code_in_the_source_is_on_the_page(pages: ModuleType) -> None:
    """However it is raised: the scan must not have missed a way of raising."""
    named = set()
    for file in pages.ROOT.rglob("*.py"):
        named |= set(re.findall(r'"([A-Z]\d{3})"', file.read_text(encoding="utf-8")))
    assert len(named) > 300
    assert named | {"B001"} == set(re.findall(r"^\| ([A-Z]\d{3}) \|", pages.page(), re.MULTILINE))


def test_a_code_is_of_one_kind_and_ends_with_one_exit_code(pages: ModuleType) -> None:
    kinds: dict[str, set[str]] = {}
    for one in pages.raised():
        assert one.kinds, one
        kinds.setdefault(one.code, set()).update(one.kinds)
    # Stopped is stopped, by Ctrl-C or by whoever else may.
    assert {code: found for code, found in kinds.items() if len(found) > 1} == {"S001": {"Interrupted", "Preempted"}}


def test_a_code_means_one_thing_wherever_it_is_raised(pages: ModuleType) -> None:
    """Places in other files say nearly the same, or are known to mean the same."""
    places: dict[str, dict[str, tuple[str, ...]]] = {}
    for one in pages.raised():
        own = places.setdefault(one.code, {})
        own[one.module] = own.get(one.module, ()) + one.messages
    doubled = {
        code
        for code, by_module in places.items()
        for one, other in combinations(by_module.values(), 2)
        if not any(alike(a, b) for a in one for b in other)
    }
    assert doubled == set(SAID_DIFFERENTLY)


def alike(one: str, other: str) -> bool:
    """Whether most words are the same, or one of them is known only when it is said."""
    known = all(re.search("[a-z]", text) for text in (one, other))
    return not known or difflib.SequenceMatcher(None, one, other).ratio() > 0.5


def test_kinds_of_errors_are_told_by_exit_code(pages: ModuleType) -> None:
    headings = re.findall(r"^## Exit code (\d+): (.+)$", pages.page(), re.MULTILINE)
    codes = [int(code) for code, _ in headings]
    assert codes == sorted(codes) and {2, 3, 4, 5, 6, 7, 8, 9, 75, 130} <= set(codes)


def test_what_differs_from_case_to_case_is_left_open(pages: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        """
def f(name, what):
    message = "short" if name else f"long {name}"
    kind = Interrupted if name else Preempted
    raise UsageError("U001" if name else "U002", message + "!")
    raise kind("S009", what)
    DataError("D001", name or "nobody", help="x")


f("a", "said by the caller")
"""
    )
    found = {one.code: (one.kinds, one.messages) for one in pages.raised(tmp_path)}
    assert found == {
        "U001": (("UsageError",), ("short!", "long …!")),
        "U002": (("UsageError",), ("short!", "long …!")),
        "S009": (("Interrupted", "Preempted"), ("said by the caller",)),
        "D001": (("DataError",), ("a", "nobody")),
    }
