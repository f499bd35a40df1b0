"""docs/stages.md is true: its recipes are written, its commands run, what it says of them is compared."""

from __future__ import annotations

import json
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny import tiny_data, tiny_model, tiny_texts, write_table

from bert_cli.cli.app import run as run_command
from bert_cli.recipe.keys import known_keys
from bert_cli.recipe.load import load_recipe

GUIDE = (Path(__file__).parents[1] / "docs" / "stages.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"^```console\n(.*?)^```$", GUIDE, re.M | re.S) for line in block.splitlines()]
RECIPES = dict(re.findall(r"^```yaml\n# (\S+)\n(.*?)^```$", GUIDE, re.M | re.S))
QUICK = ["--max-length", "48", "--batch-size", "16", "--epochs", "1", "--precision", "fp32", "--quiet"]


@dataclass(frozen=True)
class World:
    """The folder in which the guide was carried out, and the exit code of each of its commands."""

    folder: Path
    codes: dict[str, int]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The commands of the guide, in one folder and in its order, on small data and a small model."""
    folder = tmp_path_factory.mktemp("stages-guide")
    tiny_model(folder / "google-bert" / "bert-base-uncased", max_position_embeddings=512)
    tiny_data(folder / "reviews", n_train=32, n_validation=12)
    tiny_data(folder / "data" / "sst2", n_train=32, n_validation=12, text="sentence", labels=("0", "1"))
    write_pairs(folder / "data" / "mnli", ("premise", "hypothesis"), ("entailment", "neutral", "contradiction"))
    write_pairs(folder / "data" / "rte", ("sentence1", "sentence2"), ("entailment", "not_entailment"))
    (folder / "reviews.txt").write_text("\n\n".join(text for text, _ in tiny_texts(60, longest=40)), encoding="utf-8")
    for name, text in RECIPES.items():
        (folder / name).write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("BERTCTL_DATA", str(folder / "data"))
        patch.setenv("HOME", str(folder))
        patch.delenv("BERTCTL_CACHE")
        patch.delenv("XDG_CACHE_HOME", raising=False)
        return World(folder, {command: call(command) for command in COMMANDS})


def write_pairs(folder: Path, columns: tuple[str, str], labels: tuple[str, ...]) -> None:
    ones, others = tiny_texts(12, seed=1), tiny_texts(12, seed=2)
    rows = [(ones[i][0], others[i][0], labels[i % len(labels)]) for i in range(12)]
    for split in ("train", "validation"):
        write_table(folder / f"{split}.tsv", (*columns, "label"), rows)


def call(command: str) -> int:
    """The exit code of a command, patterns in it expanded as a shell does."""
    words = []
    for word in shlex.split(command)[1:]:
        place = os.path.expanduser(word)
        words += sorted(map(str, Path("/").glob(place[1:]))) if word != place else [word]
    return run_command(words + (QUICK if words[0] == "finetune" else []))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_guide_works(command: str, world: World) -> None:
    assert world.codes[command] == 0


def test_the_stage_is_run_once(world: World) -> None:
    names = sorted(run.name.rpartition("-")[0] for run in (world.folder / ".cache/bertctl/stages").iterdir())
    assert names == ["adapt", "mnli", "sst2"]
    firsts = []
    for out in ("adapted", "slower", "longer"):
        lock = json.loads((world.folder / "runs" / out / "lock.json").read_text(encoding="utf-8"))
        firsts.append(lock["stages"][0]["fingerprint"])
    assert len(set(firsts)) == 1


def test_the_shipped_chain_is_the_recipe_with_one_line_more() -> None:
    chain, last = load_recipe("chain/mnli-rte").recipe, load_recipe("finetune/rte").recipe
    assert chain == last.model_copy(update={"stages": ("finetune/mnli",)})


def test_the_guide_names_keys_that_there_are() -> None:
    sections = {name.partition(".")[0] for name in known_keys().fields} - {"task"}
    keys = {key for key in re.findall(r"`(\w+\.\w+)`", GUIDE) if key.partition(".")[0] in sections}
    assert len(keys) >= 6 and keys <= set(known_keys().fields) | set(known_keys().mappings)


def test_lines_of_the_guide_are_short() -> None:
    assert all(len(line) <= 120 for line in GUIDE.splitlines())
