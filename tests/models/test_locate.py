"""Finding a model: what is safe is found, what is not is refused before anything of it is read."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bert_cli.errors import HubError, ModelError
from bert_cli.models.locate import locate
from bert_cli.models.pooling import pooling_of, write_modules


@pytest.fixture
def folder(tiny_bert: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may change."""
    return Path(shutil.copytree(tiny_bert, tmp_path / "models" / "my-model"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BERTCTL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def refused(name: Path | str, **options: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        locate(str(name), **options)
    assert caught.value.exit_code == 4
    return caught.value


def pickled(folder: Path, content: Any = None) -> dict[str, torch.Tensor]:
    """Turn a model into one that has only a `.bin`."""
    tensors = load_file(str(folder / "model.safetensors"))
    (folder / "model.safetensors").unlink()
    torch.save(tensors if content is None else content, folder / "pytorch_model.bin")
    return tensors


def change_config(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | values), encoding="utf-8")


def test_a_model_folder_is_itself(folder: Path) -> None:
    located = locate(str(folder))
    assert located.folder == folder
    assert located.hub_id is None
    assert located.config["model_type"] == "bert"


def test_a_run_folder_means_its_best_model(folder: Path) -> None:
    run = folder.parent / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text("task: sst2\n", encoding="utf-8")
    assert refused(run).code == "L001"
    shutil.copytree(folder, run / "best")
    assert locate(str(run)).folder == run / "best"


def test_a_wrong_path_suggests_the_nearest_folder(folder: Path) -> None:
    error = refused(folder.with_name("my-modle"))
    assert error.code == "L003"
    assert error.help == f"did you mean {folder}?"
    assert "did you mean" not in str(refused(folder.with_name("zzzzzzzzzz")).help)


@pytest.mark.parametrize(
    ("name", "help"),
    [
        ("models/my-modle", "did you mean models/my-model?"),
        ("./modles/my-model", "did you mean models/my-model?"),
        ("./modles/other", "did you mean models?"),
        ("models/zzz", "the folders in models are my-model"),
        ("runs/x", "the folders here are hub, models"),
        ("model/best", "did you mean models?"),
        ("models/my-model/zzz", "check the path with ls"),
    ],
)
def test_a_path_into_folders_that_are_here_is_never_asked_of_the_hub(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, help: str
) -> None:
    (folder.parent.parent / "hub").mkdir()
    monkeypatch.chdir(folder.parent.parent)
    error = refused(name)
    assert (error.code, error.help) == ("L003", help)


def test_an_owner_and_a_name_are_asked_of_the_hub_where_no_such_folder_is_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent.parent)
    for name in ("model/my-model", "nobody/my-model"):
        with pytest.raises(HubError) as caught:
            locate(name, offline=True)
        assert caught.value.code == "E003"


def test_a_name_that_the_hub_does_not_give_suggests_the_nearest_model_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    with pytest.raises(HubError) as caught:
        locate("my-modle", offline=True)
    assert caught.value.help == "did you mean the folder my-model?"


def test_a_file_is_not_a_model(folder: Path) -> None:
    assert refused(folder / "config.json").code == "L002"


def test_without_a_network_a_hub_name_says_what_is_missing() -> None:
    with pytest.raises(HubError) as caught:
        locate("nobody/no-such-model", offline=True)
    assert (caught.value.code, caught.value.exit_code) == ("E003", 5)
    assert "nobody/no-such-model" in caught.value.message and "offline" in caught.value.message


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (lambda folder: (folder / "config.json").unlink(), "L004"),
        (lambda folder: (folder / "config.json").write_text("{", encoding="utf-8"), "L005"),
        (lambda folder: (folder / "model.safetensors").unlink(), "L007"),
    ],
)
def test_a_folder_without_configuration_or_weights_is_refused(folder: Path, harm: Any, code: str) -> None:
    harm(folder)
    assert refused(folder).code == code


@pytest.mark.parametrize(
    "key", ["auto_map", "_attn_implementation", "_attn_implementation_internal", "_experts_implementation_internal"]
)
def test_a_configuration_that_asks_for_code_is_refused(folder: Path, key: str) -> None:
    change_config(folder, **{key: {"AutoModel": "theirs.Model"}})
    error = refused(folder)
    assert error.code == "L006"
    assert error.found == key


def test_pickled_weights_are_refused_without_consent(folder: Path, cache: Path) -> None:
    pickled(folder)
    error = refused(folder)
    assert error.code == "L008"
    assert "--allow-bin" in str(error.help)
    assert not cache.exists()


def test_pickled_weights_are_converted_once_on_consent(folder: Path, cache: Path) -> None:
    tensors = pickled(folder)
    located = locate(str(folder), allow_bin=True)
    assert cache in located.folder.parents
    converted = load_file(str(located.folder / "model.safetensors"))
    assert set(converted) == set(tensors)
    assert all(torch.equal(converted[name], tensors[name]) for name in tensors)
    assert (located.folder / "tokenizer.json").is_file() and not list(located.folder.glob("*.bin"))
    time = (located.folder / "model.safetensors").stat().st_mtime_ns
    assert locate(str(folder), allow_bin=True).folder == located.folder
    assert (located.folder / "model.safetensors").stat().st_mtime_ns == time


def test_a_converted_model_makes_its_vectors_as_before(folder: Path, cache: Path) -> None:
    write_modules(folder, width=32, mode="cls", max_length=12)
    pickled(folder)
    converted = locate(str(folder), allow_bin=True).folder
    assert cache in converted.parents and pooling_of(converted) == "cls"
    write_modules(folder, width=32, mode="mean", max_length=12)
    assert pooling_of(locate(str(folder), allow_bin=True).folder) == "mean"


def test_tied_weights_survive_the_conversion(folder: Path) -> None:
    shared = torch.randn(4, 4)
    pickled(folder, {"one": shared, "other": shared, "turned": shared.T})
    converted = load_file(str(locate(str(folder), allow_bin=True).folder / "model.safetensors"))
    assert torch.equal(converted["one"], shared) and torch.equal(converted["other"], shared)
    assert torch.equal(converted["turned"], shared.T)


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("allow_bin", [False, True])
def test_code_in_pickled_weights_is_never_run(folder: Path, cache: Path, allow_bin: bool) -> None:
    marker = folder.parent / "executed"
    pickled(folder, {"weight": torch.zeros(1), "evil": Evil(marker)})
    assert refused(folder, allow_bin=allow_bin).code == ("L011" if allow_bin else "L008")
    assert not marker.exists()
    assert not [entry for entry in cache.rglob("*") if entry.is_file()]
    # Negative control: the same bytes do run where pickle is trusted.
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert marker.exists()


def test_a_plain_pickle_is_not_run_either(folder: Path) -> None:
    marker = folder.parent / "executed"
    pickled(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(marker)))
    assert refused(folder, allow_bin=True).code == "L011"
    assert not marker.exists()


def sharded(folder: Path, name: str) -> None:
    tensors = load_file(str(folder / "model.safetensors"))
    (folder / "model.safetensors").unlink()
    save_file(tensors, str(folder / "model-00001-of-00001.safetensors"), {"format": "pt"})
    index = {"metadata": {}, "weight_map": dict.fromkeys(tensors, name)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def test_shards_beside_their_index_are_accepted(folder: Path) -> None:
    sharded(folder, "model-00001-of-00001.safetensors")
    assert locate(str(folder)).folder == folder


@pytest.mark.parametrize("kind", ["parent", "absolute", "subfolder", "missing", "pickle"])
def test_an_index_that_points_elsewhere_is_refused(folder: Path, tiny_bert: Path, kind: str) -> None:
    name = {
        "parent": "../other.safetensors",
        "absolute": str(tiny_bert / "model.safetensors"),
        "subfolder": "inner/model.safetensors",
        "missing": "model-00002-of-00002.safetensors",
        "pickle": "weights.bin",
    }[kind]
    if kind != "missing":
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        if kind != "absolute":
            shutil.copyfile(tiny_bert / "model.safetensors", target)
        assert target.is_file(), "refused for where it is, not because it is missing"
    sharded(folder, name)
    error = refused(folder)
    assert (error.code, error.found) == ("L010", name)


def test_an_index_that_cannot_be_read_is_refused(folder: Path) -> None:
    sharded(folder, "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": []}', encoding="utf-8")
    assert refused(folder).code == "L009"
