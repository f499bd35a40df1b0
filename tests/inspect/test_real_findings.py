"""Real data sets where they are at hand (see tests/data/test_real_data.py): counts that others have published."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from bert_cli.inspect.equal import keys_of, repeated, shared
from bert_cli.inspect.examine import examine
from bert_cli.recipe.schema import Recipe
from bert_cli.run.check import check_data

ROOT = Path(os.environ.get("BERTCTL_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")


@pytest.mark.parametrize("name", ["sst2", "chnsenticorp", "goemotions", "rte"])
def test_repeats_and_overlaps_are_those_in_the_description_of_the_data(name: str) -> None:
    if not (ROOT / name).is_dir():
        pytest.skip(f"no folder '{name}' in BERTCTL_TEST_DATA")
    facts = json.loads((ROOT / name / "meta.json").read_text(encoding="utf-8"))
    checked = check_data(Recipe.model_validate({"task": name, "data": {"source": str(ROOT / name)}}), judge=False)
    splits = [one.contents for one in checked.splits]
    keys = dict(zip((split.name for split in splits), keys_of(splits), strict=True))
    for split, key in keys.items():
        assert len(repeated(key.exact)[0]) == facts["splits"][split]["duplicates"]
    for split, count in facts.get("overlap_with_train", {}).items():
        if split in keys:
            # There each text counts once.
            rows, _ = shared(keys[split].exact, keys["train"].exact)
            assert len(np.unique(keys[split].exact[rows])) == count
    assert {finding.split for finding in examine(splits) if finding.name == "duplicates"} <= set(keys)


@pytest.mark.parametrize("name", ["arc_easy", "commonsenseqa"])
def test_sound_data_give_nothing_to_say(name: str) -> None:
    if not (ROOT / name).is_dir():
        pytest.skip(f"no folder '{name}' in BERTCTL_TEST_DATA")
    checked = check_data(Recipe.model_validate({"task": name, "data": {"source": str(ROOT / name)}}))
    assert [finding.what for finding in checked.findings if finding.severity != "note"] == []
