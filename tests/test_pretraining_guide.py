"""docs/pretraining.md is true: its commands run, its names exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from bert_cli.cli.app import run as run_command
from bert_cli.models.sizes import size_names
from bert_cli.recipe.files import shipped_recipes
from bert_cli.recipe.keys import known_keys
from bert_cli.tasks import all_tasks
from bert_cli.toyworld.documents import documents

GUIDE = (Path(__file__).parents[1] / "docs" / "pretraining.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"^```console\n(.*?)^```$", GUIDE, re.M | re.S) for line in block.splitlines()]
NEW = ["model.config.hidden_size=32", "model.config.num_attention_heads=2", "model.config.intermediate_size=64"]
QUICK = [
    "data.max_length=48",
    "data.validation=20%",
    "train.batch_size=8",
    "train.budget=2 steps",
    "train.precision=fp32",
]


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """The commands of the guide, carried out in one folder and in its order, on a small corpus and small models."""
    folder = tmp_path_factory.mktemp("guide")
    for name, seed in (("corpus", 1), ("fresh", 2)):
        text = "\n\n".join("\n".join(lines) for lines in documents(30, seed=seed))
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in COMMANDS:
            words = shlex.split(command)[1:]
            if words[0] == "pretrain":
                words += [*QUICK, "eval.every=2 steps", "run.save_every=2 steps", "--quiet"]
                words += [] if "--model" in words else NEW
            found[command] = run_command(words)
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_guide_works(command: str, codes: dict[str, int]) -> None:
    assert codes[command] == 0


def test_the_guide_lists_the_recipes_that_there_are() -> None:
    shown = set(re.findall(r"^\| `([\w-]+)` \|", GUIDE.partition("## Text")[0], re.M))
    assert shown == {name.removeprefix("pretrain/") for name in shipped_recipes() if name.startswith("pretrain/")}


def test_the_guide_names_sizes_that_there_are() -> None:
    table = GUIDE.partition("| `model.size` |")[2].partition("```")[0]
    shown = set(re.findall(r"`([\w-]+-(?:tiny|mini|small|medium|base|large))`", table))
    assert shown <= set(size_names())
    assert {name for name in size_names() if not name.startswith("roberta-")} <= shown


def test_the_guide_names_keys_and_tasks_that_there_are() -> None:
    sections = {name.partition(".")[0] for name in known_keys().fields} - {"task"}
    keys = {key for key in re.findall(r"`(\w+\.\w+(?:\.\w+)?)(?:=[^`]*)?`", GUIDE) if key.partition(".")[0] in sections}
    assert len(keys) > 15
    mappings = known_keys().mappings
    assert not [key for key in keys if key not in known_keys().fields and key.rpartition(".")[0] not in mappings]
    named = set(re.findall(r"--task ([\w-]+)", GUIDE)) | set(re.findall(r"^\| `(fill-mask[\w-]*)`", GUIDE, re.M))
    assert named <= set(all_tasks())


def test_lines_of_the_guide_are_short() -> None:
    assert all(len(line) <= 120 for line in GUIDE.splitlines())
