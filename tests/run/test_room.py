"""Who goes with whom is told from configurations, for every shape that has a name and for models on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import FAMILIES, POSITIONS, tiny_model, tiny_tokenizer

from bert_cli.errors import BertctlError
from bert_cli.models.locate import locate
from bert_cli.models.sizes import size_config, size_names
from bert_cli.objectives.frame import Frame
from bert_cli.recipe.load import load_recipe
from bert_cli.run.room import check_blocks, check_model


def refusal(*overrides: str, folder: Path | None = None, family: str = "bert") -> BertctlError | None:
    """What `check_model` says, None where it says nothing."""
    recipe = load_recipe(overrides=["task=fill-mask", *overrides]).recipe
    try:
        check_model(recipe, None if folder is None else locate(str(folder)), tiny_tokenizer(family))
    except BertctlError as error:
        return error
    return None


@pytest.mark.parametrize("size", size_names())
def test_every_named_shape_has_room_for_its_own_length_and_no_more(size: str) -> None:
    family = "roberta" if size.startswith("roberta") else "bert"
    task = "task=replaced-token-detection" if size.startswith("electra") else "task=fill-mask"
    room = {"roberta": 512, "modernbert": 8192}.get(str(size_config(size)["model_type"]), 512)
    assert refusal(task, f"model.size={size}", f"data.max_length={room}", family=family) is None
    error = refusal(task, f"model.size={size}", f"data.max_length={room + 1}", family=family)
    assert error is not None and (error.code, error.help) == ("R032", f"data.max_length={room}")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_on_disk_has_room_for_its_positions_and_no_more(family: str, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", family)
    assert refusal(f"data.max_length={POSITIONS}", folder=folder, family=family) is None
    error = refusal(f"data.max_length={POSITIONS + 1}", folder=folder, family=family)
    assert error is not None and error.code == "R032"


@pytest.mark.parametrize(("task", "least"), [("fill-mask", 4), ("fill-mask-nsp", 5), ("replaced-token-detection", 4)])
def test_the_shortest_block_holds_two_tokens_beside_the_special_ones(task: str, least: int) -> None:
    def check(shortest: int) -> None:
        lengths = f"data.lengths={{{shortest}: 0.5, 16: 0.5}}"
        check_blocks(
            load_recipe(overrides=[f"task={task}", lengths, "data.max_length=16"]).recipe, Frame.of(tiny_tokenizer())
        )

    check(least)
    with pytest.raises(BertctlError) as error:
        check(least - 1)
    assert (error.value.code, error.value.allowed) == ("R034", f"at least {least}")
