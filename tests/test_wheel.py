"""E13: what is shipped is the package and its recipes, and nothing that happens to lie beside them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

import bert_cli

ROOT = Path(bert_cli.__file__).parent.parent
hatchling = pytest.importorskip("hatchling.builders.wheel", reason="the tool that builds wheels is not installed")
if not (ROOT / "pyproject.toml").is_file():
    pytest.skip("a wheel is built from a checkout only", allow_module_level=True)


def test_E13_a_wheel_holds_the_sources_the_recipes_and_its_own_description(tmp_path: Path) -> None:
    (wheel,) = hatchling.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    about = f"bertctl-{bert_cli.__version__}.dist-info"
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "bert_cli").rglob("*.py")}
    recipes = {f"bert_cli/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "recipes").rglob("*.yaml")}
    own = {f"{about}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert len(sources) > 150 and len(recipes) > 20
    assert names == sources | recipes | own
