"""Building a model: the encoder is the checkpoint's in every weight, and a head is reused only for its own labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny import FAMILIES, POSITIONS, tiny_config, tiny_data, tiny_model, tiny_recipe, tiny_tokenizer

from bert_cli.errors import ModelError, UsageError
from bert_cli.models.attention import choose_attention
from bert_cli.models.build import check_fits, load_config, load_model, load_tokenizer, new_model
from bert_cli.models.heads import head_labels, same_labels
from bert_cli.models.locate import locate
from bert_cli.run.build import build_model
from bert_cli.run.finetune import prepare

SEQUENCE, MASKED = "AutoModelForSequenceClassification", "AutoModelForMaskedLM"
PAIRS = "AutoModelForPreTraining"


def load(folder: Path, **options: Any) -> Any:
    return load_model(locate(str(folder)), **{"auto_class": SEQUENCE, "labels": ["a", "b"], **options})


def headed(folder: Path, labels: tuple[str, ...], *, seed: int = 1) -> Path:
    """A tiny model saved with a trained head."""
    tiny_model(folder)
    load(folder, labels=labels, seed=seed, problem_type="single_label_classification").save_pretrained(str(folder))
    return folder


def change_weights(folder: Path, change: Any) -> None:
    tensors = load_file(str(folder / "model.safetensors"))
    change(tensors)
    save_file(tensors, str(folder / "model.safetensors"), {"format": "pt"})


@pytest.fixture
def folder(tiny_bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bert, tmp_path / "model"))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("auto_class", [SEQUENCE, MASKED])
def test_every_weight_below_the_head_is_the_checkpoints(tmp_path: Path, family: str, auto_class: str) -> None:
    folder = tiny_model(tmp_path / family, family)
    model = load(folder, auto_class=auto_class, labels=["a", "b"] if auto_class == SEQUENCE else None)
    ours = {name.removeprefix(f"{model.base_model_prefix}."): tensor for name, tensor in model.state_dict().items()}
    stored = load_file(str(folder / "model.safetensors"))
    kept = [name for name in stored if name in ours]
    assert all(torch.equal(ours[name], stored[name]) for name in kept)
    assert {name for name in stored if "pooler" not in name} <= set(kept)
    assert {tensor.dtype for tensor in model.state_dict().values() if tensor.is_floating_point()} == {torch.float32}


def test_a_file_written_over_later_does_not_reach_into_the_model(folder: Path) -> None:
    """Training may last days, and weights that stay a map of the file would follow whatever is written there."""
    model, file = load(folder), folder / "model.safetensors"
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with file.open("r+b") as stream:
        size = file.stat().st_size
        stream.seek(size // 2)
        stream.write(bytes([63]) * (size - size // 2))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_new_weights_depend_on_the_seed_alone(folder: Path) -> None:
    first = load(folder, seed=1).classifier.weight
    torch.manual_seed(123)
    assert torch.equal(load(folder, seed=1).classifier.weight, first)
    assert not torch.equal(load(folder, seed=2).classifier.weight, first)


def test_labels_and_problem_are_written_into_the_configuration(folder: Path) -> None:
    config = load(folder, labels=["no", "maybe", "yes"], problem_type="multi_label_classification").config
    assert config.id2label == {0: "no", 1: "maybe", 2: "yes"}
    assert config.label2id == {"no": 0, "maybe": 1, "yes": 2}
    assert (config.num_labels, config.problem_type) == (3, "multi_label_classification")


@pytest.mark.parametrize("family", FAMILIES)
def test_one_dropout_replaces_all_of_them(tmp_path: Path, family: str) -> None:
    folder = tiny_model(tmp_path / family, family)
    rates = {
        rate: {module.p for module in load(folder, dropout=rate).modules() if isinstance(module, torch.nn.Dropout)}
        for rate in (0.0, 0.25)
    }
    assert rates == {0.0: {0.0}, 0.25: {0.25}}
    model = load(folder, dropout=0.0).train()
    ids = torch.tensor([[2, 5, 6, 7, 8, 3]])
    assert torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)
    model = load(folder).train()
    assert not torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)


def test_a_checkpoint_without_some_encoder_weight_is_refused(folder: Path) -> None:
    name = "encoder.layer.1.output.dense.weight"
    change_weights(folder, lambda tensors: tensors.pop(name))
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert (caught.value.code, caught.value.exit_code) == ("L023", 4)
    assert name in str(caught.value.found)


def test_a_weight_of_another_shape_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}), encoding="utf-8")
    for reset in (False, True):
        with pytest.raises(ModelError) as caught:
            load(folder, reset_head=reset)
        assert caught.value.code == "L024"
        assert "intermediate" in str(caught.value.found)


def test_damaged_weights_are_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert caught.value.code == "L025"


def test_an_unknown_architecture_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "no-such-kind"}', encoding="utf-8")
    with pytest.raises(ModelError) as caught:
        load_config(folder)
    assert caught.value.code == "L022"


# Heads


def test_a_head_is_kept_bit_for_bit(tmp_path: Path) -> None:
    folder = headed(tmp_path / "model", ("a", "b"), seed=1)
    stored = load_file(str(folder / "model.safetensors"))
    model = load(folder, seed=2)
    assert torch.equal(model.classifier.weight, stored["classifier.weight"])
    assert torch.equal(model.bert.pooler.dense.weight, stored["bert.pooler.dense.weight"])


def test_reset_head_draws_a_fresh_one_and_leaves_the_encoder(tmp_path: Path) -> None:
    folder = headed(tmp_path / "model", ("a", "b"), seed=1)
    stored = load_file(str(folder / "model.safetensors"))
    model = load(folder, reset_head=True, seed=2)
    assert not torch.equal(model.classifier.weight, stored["classifier.weight"])
    assert torch.equal(model.classifier.weight, load(folder, reset_head=True, seed=2).classifier.weight)
    assert float(model.classifier.weight.detach().std()) == pytest.approx(model.config.initializer_range, rel=0.5)
    assert not model.classifier.bias.any()
    rest = [name for name in stored if not name.startswith("classifier")]
    assert all(torch.equal(model.state_dict()[name], stored[name]) for name in rest)


def test_a_head_of_another_size_is_refused_unless_it_is_reset(tmp_path: Path) -> None:
    folder = headed(tmp_path / "model", ("a", "b"))
    with pytest.raises(ModelError) as caught:
        load(folder, labels=["x", "y", "z"])
    assert caught.value.code == "L024"
    assert "reset_head" in str(caught.value.help)
    assert load(folder, labels=["x", "y", "z"], reset_head=True).classifier.weight.shape == (3, 32)


def test_training_goes_on_with_a_head_of_the_same_labels_and_keeps_their_order(tmp_path: Path) -> None:
    folder, data = headed(tmp_path / "model", ("Good", "Bad")), tiny_data(tmp_path / "data", 16, 8)
    prepared = prepare(tiny_recipe(folder, data, tmp_path / "run", data__labels=("bad", "good")))
    assert [name.casefold() for name in prepared.labels or ()] == ["good", "bad"]
    stored = load_file(str(folder / "model.safetensors"))
    assert torch.equal(build_model(prepared).classifier.weight, stored["classifier.weight"])
    targets = prepared.store.splits["train"].targets
    assert targets is not None and targets[:2].tolist() == [1, 0], "the first row is bad, the second good"


def test_a_head_of_other_labels_is_refused_by_name(tmp_path: Path) -> None:
    folder, data = headed(tmp_path / "model", ("cat", "dog")), tiny_data(tmp_path / "data", 16, 8)
    labels = ("bad", "good")
    with pytest.raises(ModelError) as caught:
        prepare(tiny_recipe(folder, data, tmp_path / "run", data__labels=labels))
    assert (caught.value.code, caught.value.key) == ("L030", "model.reset_head")
    prepared = prepare(tiny_recipe(folder, data, tmp_path / "run", data__labels=labels, model__reset_head=True))
    assert prepared.labels == labels
    stored = load_file(str(folder / "model.safetensors"))
    assert not torch.equal(build_model(prepared).classifier.weight, stored["classifier.weight"])


def test_head_labels_come_in_the_order_of_the_outputs() -> None:
    config = {"architectures": ["BertForSequenceClassification"], "id2label": {"10": "k", "2": "c", "0": "a"}}
    assert head_labels(config, "ForSequenceClassification") == ("a", "c", "k")
    assert head_labels({"architectures": ["BertModel"]}, "ForSequenceClassification") is None
    assert head_labels({}, "ForSequenceClassification") is None
    assert same_labels(("a", "B"), ("b", "A")) and not same_labels(("a", "b"), ("a", "c"))


# What must fit together


@pytest.mark.parametrize("family", FAMILIES)
def test_a_length_beyond_the_positions_is_refused_and_the_longest_computes(tmp_path: Path, family: str) -> None:
    """The limit is the true one: a row of exactly that length goes through the model."""
    folder = tiny_model(tmp_path / family, family)
    model, tokenizer = load(folder).eval(), load_tokenizer(folder)
    check_fits(model, tokenizer, max_length=POSITIONS)
    model(input_ids=torch.full((1, POSITIONS), 5))
    with pytest.raises(UsageError) as caught:
        check_fits(model, tokenizer, max_length=POSITIONS + 1)
    assert (caught.value.code, caught.value.allowed) == ("R032", f"at most {POSITIONS}")
    if family != "modernbert":
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, POSITIONS + 1), 5))


def test_a_tokenizer_larger_than_the_embedding_is_refused(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", vocab_size=50)
    model = load(folder)
    with pytest.raises(ModelError) as caught:
        check_fits(model, tiny_tokenizer(), max_length=8)
    assert (caught.value.code, caught.value.allowed) == ("L026", "at most 50")
    check_fits(load(tiny_model(tmp_path / "padded", vocab_size=512)), tiny_tokenizer(), max_length=8)


def test_a_missing_tokenizer_and_one_without_padding_are_refused(folder: Path, tmp_path: Path) -> None:
    whole = tiny_tokenizer()
    type(whole)(tokenizer_object=whole.backend_tokenizer, unk_token="[UNK]").save_pretrained(str(tmp_path / "unpadded"))
    with pytest.raises(ModelError) as caught:
        load_tokenizer(tmp_path / "unpadded")
    assert caught.value.code == "L021"
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(ModelError) as caught:
        load_tokenizer(folder)
    assert caught.value.code == "L020"


# From scratch


def test_a_model_from_scratch_has_the_sizes_asked_for_and_the_seeds_weights() -> None:
    settings = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokenizer = tiny_tokenizer()
    one, same, other = (new_model(settings, auto_class=MASKED, tokenizer=tokenizer, seed=seed) for seed in (1, 1, 2))
    assert one.get_input_embeddings().weight.shape == (len(tokenizer), 32)  # type: ignore[operator,union-attr]
    weights = [model.state_dict()["bert.encoder.layer.0.output.dense.weight"] for model in (one, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("settings", "code", "suggestion"),
    [({"model_type": "brt"}, "L028", "bert"), ({"hiden_size": 32}, "L029", "hidden_size")],
)
def test_unknown_kinds_and_keys_are_refused_with_the_nearest_name(
    settings: dict[str, Any], code: str, suggestion: str
) -> None:
    with pytest.raises(UsageError) as caught:
        new_model(settings, auto_class=MASKED, tokenizer=tiny_tokenizer(), seed=0)
    assert caught.value.code == code
    assert caught.value.suggestion() == suggestion


def scratch(family: str, auto_class: str = MASKED, **changes: Any) -> Any:
    """A tiny model of a family, given its sizes alone."""
    sizes = {name: value for name, value in tiny_config(family).to_diff_dict().items() if name in SIZES}
    settings = {"model_type": family, **sizes, **changes}
    return new_model(settings, auto_class=auto_class, tokenizer=tiny_tokenizer(family), seed=0)


SIZES = (
    "hidden_size",
    "embedding_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "dim",
    "n_layers",
    "n_heads",
    "hidden_dim",
)
PRETRAINED = (*FAMILIES, "albert")


@pytest.mark.parametrize("family", PRETRAINED)
def test_a_model_from_scratch_knows_the_tokenizers_special_tokens(family: str) -> None:
    """ModernBERT's own ids, as 50,283 for padding, would lie beyond a small vocabulary."""
    tokenizer, config = tiny_tokenizer(family), scratch(family).config
    assert config.vocab_size == len(tokenizer)
    ids = {name: value for name, value in config.to_dict().items() if name.endswith("_token_id") and value is not None}
    assert ids["pad_token_id"] == tokenizer.pad_token_id
    assert all(0 <= value < len(tokenizer) for value in ids.values()), ids
    ends = {"cls_token_id": "cls", "bos_token_id": "cls", "sep_token_id": "sep", "eos_token_id": "sep"}
    for name, role in ends.items():
        if name in ids:
            assert ids[name] == getattr(tokenizer, f"{role}_token_id"), name
    if family == "modernbert":
        assert ends.keys() < ids.keys()


def test_settings_go_before_what_the_tokenizer_says() -> None:
    assert scratch("bert", vocab_size=512).config.vocab_size == 512


@pytest.mark.parametrize("family", PRETRAINED)
def test_masks_are_filled_with_what_was_saved_and_nothing_is_missing(tmp_path: Path, family: str) -> None:
    tokenizer = tiny_tokenizer(family)
    model = scratch(family)
    choose_attention(model, "auto", device="cpu")
    assert_whole(model, tmp_path)
    tokenizer.save_pretrained(str(tmp_path))
    filler = transformers.pipeline("fill-mask", model=str(tmp_path), device="cpu")
    answers = filler(f"the film was {tokenizer.mask_token}", top_k=3)
    assert len(answers) == 3 and all(0 < answer["score"] < 1 for answer in answers)


def assert_whole(model: Any, folder: Path) -> Any:
    """Save a model and load it with the class that it names: nothing is missing, and it answers the same."""
    model.save_pretrained(str(folder))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (name,) = config["architectures"]
    loaded, info = getattr(transformers, name).from_pretrained(str(folder), output_loading_info=True)
    assert type(loaded) is type(model)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ids = torch.tensor([[2, 7, 8, 9, 3]])
    torch.testing.assert_close(loaded.eval()(input_ids=ids)[0], model.eval()(input_ids=ids)[0])
    return loaded


# With a head for pairs


@pytest.mark.parametrize("family", ["bert", "albert"])
def test_a_model_of_pairs_is_saved_whole_and_still_fills_masks(tmp_path: Path, family: str) -> None:
    model = scratch(family, PAIRS)
    assert type(model).__name__.endswith("ForPreTraining")
    assert_whole(model, tmp_path)
    tokenizer = tiny_tokenizer(family)
    tokenizer.save_pretrained(str(tmp_path))
    filler = transformers.pipeline("fill-mask", model=str(tmp_path), device="cpu")
    ids = tokenizer("the film [MASK] good", return_tensors="pt")
    with torch.inference_mode():
        wanted = float(model.eval()(**ids).prediction_logits[0, 3].softmax(-1).max())
    assert filler("the film [MASK] good", top_k=1)[0]["score"] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("family", ["roberta", "electra", "modernbert", "distilbert", "fnet"])
def test_families_without_a_head_for_pairs_are_refused_by_name(tmp_path: Path, family: str) -> None:
    calls = [lambda: new_model({"model_type": family}, auto_class=PAIRS, tokenizer=tiny_tokenizer(), seed=0)]
    if family in FAMILIES:
        folder = tiny_model(tmp_path / family, family)
        calls.append(lambda: load(folder, auto_class=PAIRS, labels=None))
    for call in calls:
        with pytest.raises(ModelError) as caught:
            call()
        assert caught.value.code == "L033"
        assert caught.value.allowed is not None and "bert" in caught.value.allowed


@pytest.mark.parametrize(
    ("family", "auto_class"),
    [("nomic_bert", "AutoModelForMultipleChoice"), ("eurobert", "AutoModelForQuestionAnswering")],
)
def test_families_without_the_head_of_a_task_are_refused_by_name(tmp_path: Path, family: str, auto_class: str) -> None:
    with pytest.raises(ModelError) as caught:
        load(tiny_model(tmp_path / family, family), auto_class=auto_class, labels=None)
    assert caught.value.code == "L033" and family in caught.value.message
    assert "deberta-v2" in str(caught.value.allowed) and caught.value.key == "model.name"


@pytest.mark.parametrize("family", ["bert", "albert"])
def test_a_trained_head_for_pairs_is_kept_and_a_missing_one_is_drawn_and_named(tmp_path: Path, family: str) -> None:
    scratch(family, PAIRS).save_pretrained(str(tmp_path / "pairs"))
    scratch(family).save_pretrained(str(tmp_path / "masked"))
    stored = load_file(str(tmp_path / "pairs" / "model.safetensors"))
    notes: list[str] = []
    kept = load(tmp_path / "pairs", auto_class=PAIRS, labels=None, seed=7, note=notes.append).state_dict()
    assert all(torch.equal(kept[name], stored[name]) for name in stored)
    assert not notes
    one, same, other = (
        load(tmp_path / "masked", auto_class=PAIRS, labels=None, seed=seed, note=notes.append).state_dict()
        for seed in (1, 1, 2)
    )
    head = next(name for name in one if name.endswith(("seq_relationship.weight", "sop_classifier.classifier.weight")))
    assert torch.equal(one[head], same[head]) and not torch.equal(one[head], other[head])
    masked = load_file(str(tmp_path / "masked" / "model.safetensors"))
    assert all(torch.equal(one[name], masked[name]) for name in masked)
    assert len(notes) == 3 and "the head for pairs" in notes[0] and "the pooler" in notes[0]
    assert "masked words" not in notes[0]


def test_new_heads_are_named_as_users_know_them(folder: Path) -> None:
    notes: list[str] = []
    load(folder, auto_class=MASKED, labels=None, note=notes.append)
    load(folder, auto_class=PAIRS, labels=None, note=notes.append)
    load(folder, note=notes.append)
    heads = [note.partition(": ")[2] for note in notes]
    assert heads == ["the head for masked words", "the head for masked words, the head for pairs", "the classifier"]


def test_a_model_that_reads_padding_as_text_is_refused() -> None:
    settings = {"model_type": "fnet", "hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 32}
    model = new_model(settings, auto_class=MASKED, tokenizer=tiny_tokenizer(), seed=0)
    with pytest.raises(ModelError) as caught:
        check_fits(model, tiny_tokenizer(), max_length=16)
    assert caught.value.code == "L034"


def test_the_tiny_families_are_what_they_claim_to_be() -> None:
    assert tiny_config("roberta").pad_token_id == 1 == tiny_tokenizer("roberta").pad_token_id
    assert [tiny_config(family).model_type for family in FAMILIES] == list(FAMILIES)
