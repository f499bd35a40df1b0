"""ELECTRA's two networks: one set of word embeddings for good, and two plain models on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors import safe_open
from tiny import tiny_config, tiny_model, tiny_tokenizer

from bert_cli.errors import ModelError, UsageError
from bert_cli.models.attention import choose_attention, is_unpadded
from bert_cli.models.build import check_fits
from bert_cli.models.cheap import Dropout, make_cheap
from bert_cli.models.electra import ElectraPair, load_electra, new_electra, parts
from bert_cli.models.params import depth, freeze, groups, level

SIZES = {
    "hidden_size": 32,
    "embedding_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
IDS = torch.tensor([[2, 7, 8, 4, 10, 3]])


def pair(**options: Any) -> ElectraPair:
    given = {"tokenizer": tiny_tokenizer("electra"), "generator": 0.25, "seed": 1, **options}
    return new_electra({**SIZES, **given.pop("settings", {})}, **given)


def saved(model: ElectraPair, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def assert_shared(model: ElectraPair) -> None:
    """One embeddings module, whose words are also the generator's output layer."""
    words = model.get_input_embeddings().weight
    assert model.generator.electra.embeddings is model.discriminator.electra.embeddings
    assert model.generator.generator_lm_head.weight is words


def train(model: ElectraPair, steps: int = 3) -> None:
    """A few updates of both networks."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = model.generator(input_ids=IDS).logits.square().mean() + model.discriminator(input_ids=IDS).logits.sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def test_the_generator_is_narrower_as_deep_and_reads_the_same_words() -> None:
    model = pair()
    small, large = model.generator.config, model.discriminator.config
    assert (small.hidden_size, small.num_attention_heads, small.intermediate_size) == (8, 1, 16)
    assert (large.hidden_size, large.num_attention_heads, large.intermediate_size) == (32, 4, 64)
    assert small.num_hidden_layers == large.num_hidden_layers == 2
    assert small.embedding_size == large.embedding_size == 16
    assert_shared(model)


@pytest.mark.parametrize(("share", "width", "heads"), [(1.0, 32, 4), (0.5, 16, 2), (1 / 3, 11, 1), (0.01, 1, 1)])
def test_the_width_is_the_share_asked_for_rounded_to_whole_heads(share: float, width: int, heads: int) -> None:
    config = pair(generator=share).generator.config
    assert (config.hidden_size, config.num_attention_heads) == (width, heads)
    assert config.hidden_size % config.num_attention_heads == 0


def test_weights_depend_on_the_seed_alone() -> None:
    one, same, other = (pair(seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(
        one["generator.electra.encoder.layer.0.output.dense.weight"],
        other["generator.electra.encoder.layer.0.output.dense.weight"],
    )


def test_ties_hold_after_training_loading_and_moving() -> None:
    model = pair()
    make_cheap(model)
    before = model.get_input_embeddings().weight.detach().clone()
    train(model)
    assert_shared(model)
    assert not torch.equal(model.get_input_embeddings().weight, before)
    model.load_state_dict(pair(seed=5).state_dict())
    assert_shared(model)
    assert_shared(model.to(torch.float64).to(torch.float32))
    assert torch.equal(model.get_input_embeddings().weight, pair(seed=5).get_input_embeddings().weight)


def test_each_shared_tensor_is_kept_once_and_put_back_everywhere() -> None:
    """A checkpoint holds each tensor under one name; loading it with the others missing restores both networks."""
    model, seen = pair(), set[int]()
    train(model)
    kept = {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            kept[name] = tensor.clone()
    assert not [name for name in kept if name.startswith("generator.electra.embeddings.")]
    assert "generator.generator_lm_head.weight" not in kept
    other = pair(seed=9)
    missing, unexpected = other.load_state_dict(kept, strict=False)
    assert not unexpected
    assert all("embeddings" in name or name == "generator.generator_lm_head.weight" for name in missing)
    wanted, found = model.state_dict(), other.state_dict()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_both_folders_load_with_the_class_that_they_name_and_nothing_missing(tmp_path: Path) -> None:
    model = pair()
    for part in parts(model):
        assert choose_attention(part, "unpadded", device="cpu") is None
    train(model)
    saved(model, tmp_path)
    for name, kind in (("generator", "ElectraForMaskedLM"), ("discriminator", "ElectraForPreTraining")):
        config = json.loads((tmp_path / name / "config.json").read_text(encoding="utf-8"))
        assert config["architectures"] == [kind]
        assert "bertctl" not in json.dumps(config)
        loaded, info = getattr(transformers, kind).from_pretrained(tmp_path / name, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
        own = getattr(model, name).eval()
        torch.testing.assert_close(loaded.eval()(input_ids=IDS).logits, own(input_ids=IDS).logits)
        with safe_open(tmp_path / name / "model.safetensors", "pt") as file:
            assert "generator_lm_head.weight" not in list(file.keys())


@pytest.mark.parametrize("part", ["", "discriminator"])
def test_training_goes_on_from_both_folders(tmp_path: Path, part: str) -> None:
    model = pair()
    train(model)
    notes: list[str] = []
    loaded = load_electra(saved(model, tmp_path) / part, generator=0.5, trained=True, note=notes.append)
    assert_shared(loaded)
    assert not notes
    wanted, found = model.state_dict(), loaded.state_dict()
    assert wanted.keys() == found.keys() and all(torch.equal(wanted[name], found[name]) for name in wanted)
    train(loaded)
    assert_shared(loaded)


def test_a_discriminator_alone_gets_a_new_generator_unless_it_must_be_trained(tmp_path: Path) -> None:
    model = pair()
    model.discriminator.save_pretrained(tmp_path / "model")
    notes: list[str] = []
    loaded = load_electra(tmp_path / "model", generator=0.5, seed=3, note=notes.append)
    assert loaded.generator.config.hidden_size == 16
    assert_shared(loaded)
    assert torch.equal(loaded.get_input_embeddings().weight, model.get_input_embeddings().weight)
    assert len(notes) == 1 and "generator is new" in notes[0]
    with pytest.raises(ModelError) as caught:
        load_electra(tmp_path / "model", generator=0.5, trained=True)
    assert caught.value.code == "L037"


def test_an_encoder_alone_gets_two_new_heads(tmp_path: Path) -> None:
    folder, notes = tiny_model(tmp_path / "model", "electra"), list[str]()
    load_electra(folder, generator=0.5, note=notes.append)
    assert len(notes) == 2 and "head for replaced tokens" in notes[0]


def test_a_generator_with_words_of_its_own_takes_over_the_discriminators(tmp_path: Path) -> None:
    saved(pair(seed=1), tmp_path)
    pair(seed=2).generator.save_pretrained(tmp_path / "generator")
    notes: list[str] = []
    loaded = load_electra(tmp_path, generator=0.5, note=notes.append)
    assert_shared(loaded)
    assert torch.equal(loaded.get_input_embeddings().weight, pair(seed=1).get_input_embeddings().weight)
    assert len(notes) == 1 and "embeddings" in notes[0]


def test_a_generator_of_another_shape_is_refused(tmp_path: Path) -> None:
    saved(pair(), tmp_path)
    pair(settings={"embedding_size": 24}).generator.save_pretrained(tmp_path / "generator")
    with pytest.raises(ModelError) as caught:
        load_electra(tmp_path, generator=0.5)
    assert caught.value.code == "L038"
    assert "embedding_size" in str(caught.value.found)


def test_other_families_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_electra(tiny_model(tmp_path / "bert"), generator=0.5)
    assert caught.value.code == "L036"
    with pytest.raises(UsageError) as wrong:
        pair(settings={"model_type": "bert"})
    assert wrong.value.code == "L035"


def test_layers_freezing_and_cheap_dropout_know_both_networks() -> None:
    model = pair()
    assert depth(model) == 2
    assert level(model, "discriminator.electra.embeddings.word_embeddings.weight") == 0
    assert level(model, "generator.electra.embeddings_project.weight") == 0
    assert level(model, "generator.electra.encoder.layer.1.output.dense.weight") == 2
    assert level(model, "discriminator.discriminator_predictions.dense.weight") == 3
    freeze(model, 1)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert {name.split(".")[0] for name in frozen} == {"generator", "discriminator"}
    assert all("embeddings" in name or ".layer.0." in name for name in frozen)
    trained = [parameter for group in groups(model) for _, parameter in group.named]
    assert len({id(p) for p in trained}) == len(trained)
    make_cheap(model)
    assert {type(m) for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {Dropout}
    assert type(model.get_input_embeddings()) is torch.nn.Embedding, "the output layer gives it a dense gradient"
    assert_shared(model)


def test_both_networks_can_drop_padding_and_fit_the_tokenizer() -> None:
    model = pair()
    for part in parts(model):
        check_fits(part, tiny_tokenizer("electra"), max_length=64)
        assert choose_attention(part, "auto", device="cpu") is None
    assert is_unpadded(model) and all(is_unpadded(part) for part in parts(model))
    plain = transformers.ElectraForMaskedLM._from_config(tiny_config("electra"))
    assert parts(plain) == (plain,)
