"""Which parameters learn and how fast, for every family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import FAMILIES, tiny_model

from bert_cli.errors import UsageError
from bert_cli.models.build import load_model
from bert_cli.models.locate import locate
from bert_cli.models.params import depth, freeze, groups, level

LAYERS = 2


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("params")
    return {family: tiny_model(root / family, family) for family in FAMILIES}


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Any:
    located = locate(str(folders[request.param]))
    return load_model(located, auto_class="AutoModelForSequenceClassification", labels=["a", "b"])


def names(model: Any) -> list[str]:
    return [name for name, _ in model.named_parameters()]


def layers_of(model: Any) -> Any:
    """The list of layers, found as transformers' own code finds it."""
    base = model.base_model
    return {
        "bert": lambda: base.encoder.layer,
        "roberta": lambda: base.encoder.layer,
        "electra": lambda: base.encoder.layer,
        "distilbert": lambda: base.transformer.layer,
        "modernbert": lambda: base.layers,
    }[model.config.model_type]()


def expected_levels(model: Any) -> dict[int, int]:
    """Level of each parameter by identity, from the modules and not from their names."""
    levels = {id(parameter): LAYERS + 1 for parameter in model.parameters()}
    levels |= {id(parameter): 0 for parameter in model.base_model.embeddings.parameters()}
    if hasattr(model.base_model, "embeddings_project"):
        levels |= {id(parameter): 0 for parameter in model.base_model.embeddings_project.parameters()}
    for i, layer in enumerate(layers_of(model)):
        levels |= {id(parameter): i + 1 for parameter in layer.parameters()}
    return levels


def test_every_parameter_is_on_the_level_of_its_module(model: Any) -> None:
    assert depth(model) == LAYERS
    expected = expected_levels(model)
    assert set(expected.values()) == {0, 1, 2, 3}
    assert {name: level(model, name) for name in names(model)} == {
        name: expected[id(parameter)] for name, parameter in model.named_parameters()
    }


def test_each_trainable_parameter_is_in_one_group(model: Any) -> None:
    for layer_decay in (1.0, 0.9):
        found = [name for group in groups(model, layer_decay=layer_decay) for name, _ in group.named]
        assert sorted(found) == sorted(names(model))


def test_biases_and_norms_do_not_decay_and_matrices_do(model: Any) -> None:
    kinds = (torch.nn.LayerNorm,)
    norms = {id(p) for module in model.modules() if isinstance(module, kinds) for p in module.parameters()}
    assert norms
    for group in groups(model):
        for name, parameter in group.named:
            assert group.decay == (id(parameter) not in norms and not name.endswith("bias")), name


def test_layer_decay_scales_each_level_by_its_distance_from_the_head(model: Any) -> None:
    expected = expected_levels(model)
    found = groups(model, layer_decay=0.5)
    for group in found:
        for name, parameter in group.named:
            assert group.lr_scale == 0.5 ** (LAYERS + 1 - expected[id(parameter)]), name
    assert {group.lr_scale for group in found} == {1.0, 0.5, 0.25, 0.125}
    assert {group.lr_scale for group in groups(model)} == {1.0}


@pytest.mark.parametrize("lower", [0, 1, 2, "encoder"])
def test_freezing_stops_the_lower_levels_and_leaves_pooler_and_head(model: Any, lower: int | str) -> None:
    expected = expected_levels(model)
    count = freeze(model, lower)
    base = {id(parameter) for parameter in model.base_model.parameters()}
    pooler = {id(p) for name, p in model.named_parameters() if "pooler" in name}
    for name, parameter in model.named_parameters():
        below = id(parameter) in base - pooler
        limit = LAYERS + 1 if lower == "encoder" else int(lower)
        frozen = below and limit > 0 and expected[id(parameter)] <= limit
        assert parameter.requires_grad == (not frozen), name
    assert count == sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad)
    trained = {name for group in groups(model) for name, _ in group.named}
    assert trained == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert any(name.startswith(("classifier", "pre_classifier", "head")) for name in trained)


def test_more_layers_than_there_are_cannot_be_frozen(model: Any) -> None:
    with pytest.raises(UsageError) as caught:
        freeze(model, LAYERS + 1)
    assert caught.value.code == "R033"
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_frozen_encoder_gets_no_gradient_and_the_head_does(model: Any) -> None:
    freeze(model, "encoder")
    model(input_ids=torch.tensor([[2, 5, 6, 3]])).logits.square().sum().backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == {
        name for name, p in model.named_parameters() if p.requires_grad
    }


def test_a_bare_encoder_has_the_same_levels(folders: dict[str, Path]) -> None:
    for family, folder in folders.items():
        bare = load_model(locate(str(folder)), auto_class="AutoModel")
        headed = load_model(locate(str(folder)), auto_class="AutoModelForSequenceClassification", labels=["a", "b"])
        prefix = f"{headed.base_model_prefix}."
        assert depth(bare) == LAYERS, family
        for name, _ in bare.named_parameters():
            if f"{prefix}{name}" in dict(headed.named_parameters()):
                assert level(bare, name) == level(headed, f"{prefix}{name}"), (family, name)
        freeze(bare, "encoder")
        assert [name for name, parameter in bare.named_parameters() if parameter.requires_grad] == [
            name for name, _ in bare.named_parameters() if "pooler" in name
        ], family
