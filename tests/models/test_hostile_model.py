"""E1, E3, E4 and E7: a model folder made to run code, to reach outside, to hang or to mislead is refused."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_recipe

from bert_cli.errors import BertctlError, ModelError
from bert_cli.models.build import load_config, load_model, load_tokenizer
from bert_cli.models.heads import head_labels
from bert_cli.models.locate import Located, locate
from bert_cli.models.weights import INDEX
from bert_cli.run.evaluate import evaluate
from bert_cli.run.finetune import finetune

LIMIT = 5.0
"""Seconds that a refusal may take on a machine that does other things too; alone it takes a few ms."""


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.marker,)


@pytest.fixture
def folder(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a model, to be harmed, where nothing can be asked of a network."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network is not asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return Path(shutil.copytree(tiny_bert, tmp_path / "model"))


def refused(folder: Path, **access: Any) -> ModelError:
    """The error by which a folder is refused, before or while it is loaded, soon."""
    began = time.process_time()
    with pytest.raises(ModelError) as caught:
        located = locate(str(folder), **access)
        load_tokenizer(located.folder)
        load_model(located, auto_class="AutoModel")
    assert time.process_time() - began < LIMIT
    assert len(caught.value.render().splitlines()) <= 6
    return caught.value


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def sharded(folder: Path, weight_map: dict[str, Any] | None = None) -> Path:
    """The weights in one shard; the index."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    index = folder / INDEX
    index.write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map or dict.fromkeys(tensors, "model-1.safetensors")})
    )
    return index


def test_E1_pickles_beside_safe_weights_are_never_opened(
    folder: Path, sst_like: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the model, and in every folder of its run; neither by training nor by what uses the model."""
    marker = tmp_path / "ran"
    names = ("pytorch_model.bin", "model.bin", "optimizer.pt", "rng_state.pth", "training_args.bin", "scheduler.pt")

    def plant(place: Path) -> None:
        for name in names:
            torch.save({"evil": Evil(marker)}, place / name)

    def opened(*_: Any, **__: Any) -> None:
        raise AssertionError("torch.load was called")

    plant(folder)
    monkeypatch.setattr(torch, "load", opened)
    train = {"epochs": 1.0, "batch_size": 16, "lr": 1e-3, "precision": "fp32"}
    recipe = tiny_recipe(folder, sst_like, tmp_path / "run", task="sst2", train=train)
    finetune(recipe, quiet=True)
    plant(tmp_path / "run" / "best")
    for checkpoint in (tmp_path / "run" / "checkpoints").iterdir():
        plant(checkpoint)
    (tmp_path / "run" / "status.json").unlink()
    again = recipe.model_copy(update={"run": recipe.run.model_copy(update={"resume": "auto"})})
    finetune(again, quiet=True)
    plant(tmp_path / "run" / "best")
    assert evaluate(str(tmp_path / "run"), data=str(sst_like))
    assert not marker.exists()
    monkeypatch.undo()
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert marker.exists(), "the same bytes run where pickle is trusted"


def plant_code(folder: Path, name: str) -> None:
    """A module of the folder that leaves a mark where it is imported."""
    (folder / f"{name}.py").write_text(
        f"open({str(folder / 'ran')!r}, 'w').close()\nclass Model: ...\nclass Words: ...\n"
    )


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"auto_map": {"AutoModel": "theirs.Model", "AutoConfig": "theirs.Model"}}),
        ("config.json", {"auto_map": {"AutoModel": "evil/repo--theirs.Model"}}),
        ("config.json", {"auto_map": {"AutoModel": "theirs.Model"}, "model_type": "theirs"}),
        ("config.json", {"_attn_implementation_internal": "evil/kernel"}),
        ("config.json", {"_attn_implementation": "evil/kernel:attention"}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["theirs.Words", None]}}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil/repo--theirs.Words", None]}}),
    ],
)
def test_E3_a_model_that_asks_for_code_is_refused_by_name(folder: Path, file: str, values: dict[str, Any]) -> None:
    plant_code(folder, "theirs")
    change(folder / file, **values)
    error = refused(folder)
    assert (error.code, error.where) == ("L006", str(folder / file))
    assert "theirs" not in sys.modules and not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("tokenizer_config.json", {"tokenizer_class": "Words"}),
        ("tokenizer_config.json", {"tokenizer_class": "theirs.Words"}),
        ("config.json", {"model_type": "theirs", "architectures": ["theirs.Model"]}),
    ],
)
def test_E3_a_class_that_transformers_does_not_have_is_never_looked_for_in_the_folder(
    folder: Path, file: str, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_code(folder, "theirs")
    plant_code(folder, "tokenization_theirs")
    monkeypatch.chdir(folder)
    change(folder / file, **values)
    try:
        located = locate(str(folder))
        load_tokenizer(located.folder)
        load_model(located, auto_class="AutoModel")
    except ModelError as error:
        assert error.code in ("L020", "L022")
    assert not {"theirs", "tokenization_theirs"} & set(sys.modules) and not (folder / "ran").exists()


def fifo(file: Path) -> None:
    file.unlink(missing_ok=True)
    os.mkfifo(file)


def deep(file: Path) -> None:
    file.write_text('{"a": ' * 100_000)


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (lambda folder: (folder / "config.json").write_text("[1, 2]"), "L005"),
        (lambda folder: (folder / "config.json").write_bytes(b'{"a": "\xff"}'), "L005"),
        (lambda folder: deep(folder / "config.json"), "L005"),
        (lambda folder: deep(folder / "tokenizer_config.json"), "L005"),
        (lambda folder: os.truncate(folder / "config.json", 50_000_000), "L005"),
        (lambda folder: fifo(folder / "config.json"), "L004"),
        (lambda folder: fifo(folder / "model.safetensors"), "L007"),
        (lambda folder: change(folder / "config.json", hidden_size="wide"), None),
        (lambda folder: change(folder / "config.json", model_type=["bert"]), None),
        (lambda folder: change(folder / "config.json", hidden_size=33), None),
        (lambda folder: change(folder / "config.json", num_attention_heads=0), None),
        (lambda folder: change(folder / "config.json", vocab_size=-1), None),
        (lambda folder: change(folder / "config.json", hidden_act="no such"), None),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "L020"),
    ],
    ids=lambda value: "" if callable(value) else str(value),
)
def test_E3_a_configuration_made_to_break_is_refused_and_nothing_hangs(
    folder: Path, harm: Callable[[Path], None], code: str | None
) -> None:
    harm(folder)
    error = refused(folder)
    assert code is None or error.code == code


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["AForX"], "id2label": {"one": "a"}},
        {"architectures": ["AForX"], "id2label": ["a", "b"]},
        {"architectures": ["AForX"], "id2label": 3},
        {"architectures": 7},
    ],
)
def test_E3_class_names_made_to_break_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ModelError) as caught:
        head_labels(config, "ForX")
    assert caught.value.code == "L015" and len(caught.value.render().splitlines()) <= 6
    assert head_labels({"architectures": ["AForX"], "id2label": {"1": "b", "0": "a"}}, "ForX") == ("a", "b")


HOSTILE_NAMES: dict[str, Any] = {
    "parent": "../other.safetensors",
    "absolute": "/etc/passwd",
    "absolute weights": "/tmp/model.safetensors",
    "dots": "..",
    "empty": "",
    "NUL": "model-1\0.safetensors",
    "surrogate": "\ud800.safetensors",
    "long": "x" * 5000 + ".safetensors",
    "URL": "https://example.org/model.safetensors",
    "windows": "C:\\model.safetensors",
    "number": 7,
    "none": None,
}


@pytest.mark.parametrize("kind", HOSTILE_NAMES)
def test_E4_an_index_that_names_what_is_no_shard_is_refused(folder: Path, kind: str) -> None:
    shutil.copyfile(folder / "model.safetensors", folder.parent / "other.safetensors")
    sharded(folder, {"a": "model-1.safetensors", "b": HOSTILE_NAMES[kind]})
    assert refused(folder).code == "L010"


@pytest.mark.parametrize("kind", ["link outside", "link to nothing", "FIFO", "folder"])
def test_E4_a_shard_that_is_no_file_of_the_folder_is_refused(folder: Path, kind: str) -> None:
    sharded(folder)
    shard, outside = folder / "model-1.safetensors", folder.parent / "outside.safetensors"
    shard.rename(outside)
    if kind == "FIFO":
        os.mkfifo(shard)
    elif kind == "folder":
        shard.mkdir()
    else:
        shard.symlink_to(outside if kind == "link outside" else "nothing")
    error = refused(folder)
    assert (error.code, error.found) == ("L010", shard.name)


def test_E4_links_are_followed_inside_a_folder_and_in_the_cache_of_the_hub(folder: Path, tmp_path: Path) -> None:
    """Negative control."""
    sharded(folder)
    (folder / "model-1.safetensors").rename(folder / "real")
    (folder / "model-1.safetensors").symlink_to("real")
    assert locate(str(folder)).folder == folder
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    shutil.copytree(folder, snapshot, symlinks=True)
    (tmp_path / "models--a--b" / "blobs").mkdir()
    (snapshot / "real").rename(tmp_path / "models--a--b" / "blobs" / "sum")
    (snapshot / "model-1.safetensors").unlink()
    (snapshot / "model-1.safetensors").symlink_to("../../blobs/sum")
    assert locate(str(snapshot)).folder == snapshot


@pytest.mark.parametrize("kind", ["names", "entries", "deep", "large", "no map", "not UTF-8"])
def test_E4_an_index_made_to_exhaust_is_refused_or_read_soon(folder: Path, kind: str) -> None:
    index = sharded(folder)
    if kind == "names":
        text = json.dumps({"weight_map": {f"w{i}": f"model-{i}.safetensors" for i in range(100_000)}})
        index.write_text(text)
    elif kind == "entries":
        index.write_text(json.dumps({"weight_map": {f"w{i}": "model-1.safetensors" for i in range(100_000)}}))
        began = time.process_time()
        locate(str(folder))
        assert time.process_time() - began < LIMIT
        return
    elif kind == "deep":
        deep(index)
    elif kind == "large":
        os.truncate(index, 1 << 30)
    elif kind == "no map":
        index.write_text('{"weight_map": {"a": {}}}')
    else:
        index.write_bytes(b'{"weight_map": {"a": "\xff"}}')
    assert refused(folder).code == ("L010" if kind == "names" else "L009")


def header(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Header and values of the weights."""
    whole = (folder / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", whole[:8])
    return json.loads(whole[8 : 8 + size]), whole[8 + size :]


def write(folder: Path, head: dict[str, Any], values: bytes) -> None:
    text = json.dumps(head).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + values)


def huge(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(struct.pack("<Q", 200_000_000) + b"{")
    os.truncate(file, 200_000_100)


def overlapping(folder: Path) -> None:
    head, values = header(folder)
    one, other = [name for name in head if name != "__metadata__"][:2]
    head[other]["data_offsets"][0] = head[one]["data_offsets"][0]
    write(folder, head, values)


def beyond(folder: Path) -> None:
    head, values = header(folder)
    write(folder, head, values[: len(values) // 2])


def endless(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**63) + b"{}")


def with_value(value: float) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        tensors["embeddings.word_embeddings.weight"][3, 5] = value
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    return harm


def whole_numbers(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    name = "encoder.layer.0.output.dense.weight"
    tensors[name] = (tensors[name] * 127).to(torch.int8)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("harm", "code", "said"),
    [
        (huge, "L025", "weights cannot be loaded"),
        (endless, "L025", "weights cannot be loaded"),
        (overlapping, "L025", "weights cannot be loaded"),
        (beyond, "L025", "weights cannot be loaded"),
        (with_value(float("nan")), "L014", "embeddings.word_embeddings.weight"),
        (with_value(float("-inf")), "L014", "embeddings.word_embeddings.weight"),
        (whole_numbers, "L013", "encoder.layer.0.output.dense.weight I8"),
    ],
)
def test_E7_weights_that_are_no_sound_numbers_are_refused(
    folder: Path, harm: Callable[[Path], None], code: str, said: str
) -> None:
    harm(folder)
    error = refused(folder)
    assert error.code == code and said in error.render()


def test_E7_half_precision_and_buffers_of_whole_numbers_are_sound(folder: Path) -> None:
    """Negative control."""
    tensors = {name: value.half() for name, value in load_file(folder / "model.safetensors").items()}
    tensors["embeddings.position_ids"] = torch.arange(64).unsqueeze(0)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    model = load_model(Located(folder, "model"), auto_class="AutoModel")
    assert all(value.dtype == torch.float32 for value in model.parameters())


def test_E3_a_sound_configuration_is_read_with_the_network_shut(folder: Path) -> None:
    """Negative control."""
    assert load_config(locate(str(folder)).folder).model_type == "bert"
    with pytest.raises(AssertionError, match="network"):
        socket.create_connection(("example.org", 443))


def test_E11_addresses_are_no_models_and_no_data(folder: Path, tmp_path: Path) -> None:
    for address in ("http://169.254.169.254/latest", "https://127.0.0.1/model", "file:///etc", "s3://bucket/model"):
        with pytest.raises(BertctlError) as caught:
            locate(address)
        assert caught.value.code == "L003"
        with pytest.raises(BertctlError) as caught:
            finetune(tiny_recipe(folder, Path("x"), tmp_path / "run", data__source=address), quiet=True)
        assert caught.value.code == "D020"
    assert not (tmp_path / "run").exists()
