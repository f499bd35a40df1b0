"""From a model's name to a local folder that is safe to load.

A name is a run folder, a model folder or a hub id; the result is always a folder on this disk whose weights are
safetensors and whose files ask for no code of their own. Never imports torch, except to convert `.bin` weights on
explicit consent.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from bert_cli.env import cache_dir
from bert_cli.errors import HubError, ModelError, closest, listing
from bert_cli.files import digest, drafted
from bert_cli.models.weights import INDEX, check_shards

GENERATOR, DISCRIMINATOR = "generator", "discriminator"
"""Folders of ELECTRA's two models."""
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")
_RUNS = "runs"
"""Where runs go unless `--out` names another place; nobody's name on the hub."""
MAX_SETTINGS = 16 << 20
"""Bytes of a configuration; transformers would read any number of them."""
_FILES = ["*.json", "*.txt", "*.model", "tokenizer*", "vocab*", "merges*", "spm*"]


class Access(TypedDict, total=False):
    """How a model may be fetched and read, as keywords of `locate`."""

    revision: str | None
    allow_bin: bool
    offline: bool


@dataclass(frozen=True)
class Located:
    """A model on this disk.

    Attributes:
        folder: holds `config.json`, tokenizer files and, usually, safetensors weights.
        name: what the user called it; hub_id: that name when it is one on the hub, with revision the commit found.
    """

    folder: Path
    name: str
    hub_id: str | None = None
    revision: str | None = None

    @property
    def config(self) -> dict[str, Any]:
        """`config.json`, parsed."""
        config: dict[str, Any] = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        return config


def locate(
    name: str, *, revision: str | None = None, allow_bin: bool = False, offline: bool = False, weights: bool = True
) -> Located:
    """Find a model and check it.

    Args:
        name: run folder (its `best/` is meant), model folder or hub id; `A/B` is a path where a folder `A` is here.
        revision: branch, tag or commit, for hub ids.
        allow_bin: convert pickled weights where there are no others.
        offline: look only at what is on this disk.
        weights: False when only configuration and tokenizer are needed.

    Raises:
        ModelError: no such model, or one that must not be loaded (L0xx).
        HubError: the hub does not answer or does not have it (E0xx).
    """
    path = Path(name).expanduser()
    if path.is_dir():
        if of_a_run := (path / "recipe.yaml").is_file():
            seeds = sorted(seed for seed in path.glob("seed-*") if (seed / "best").is_dir())
            if seeds:
                raise ModelError(
                    "L012",
                    "this folder holds a run for each of several seeds",
                    where=str(path),
                    key="MODEL",
                    found=path.name,
                    allowed=[str(seed) for seed in seeds],
                    help=f"name one of them: {seeds[0]}",
                )
            path = path / "best"
        if (path / DISCRIMINATOR / "config.json").is_file() and not (path / "config.json").exists():
            # Of the two, it is the encoder that is used further.
            path = path / DISCRIMINATOR
        if of_a_run and not (path / "config.json").is_file():
            raise ModelError(
                "L001",
                "this run has not published a model yet",
                where=str(path.parent),
                found="no best/ folder",
                help="let it finish: the same command with --resume auto",
            )
        located = Located(path, name)
    elif path.exists():
        raise ModelError(
            "L002",
            "a model is a folder, this is a file",
            where=str(path),
            key="model.name",
            found=path.name,
            allowed="a model folder, a run folder, or OWNER/NAME on the hub",
            help="name the folder that holds config.json",
        )
    elif not _may_be_on_hub(name):
        raise _no_folder(path)
    else:
        located = _download(name, revision=revision, allow_bin=allow_bin, offline=offline, weights=weights)
    return _checked(located, allow_bin=allow_bin, weights=weights)


def _may_be_on_hub(name: str) -> bool:
    owner, _, model = name.rpartition("/")
    of_a_run = owner == _RUNS or (owner and model == "best")
    return bool(_HUB_ID.match(name)) and not of_a_run and not (owner and Path(owner).is_dir())


def _no_folder(path: Path) -> ModelError:
    gap = next(part for part in (*reversed(path.parents), path) if not part.exists())
    beside = sorted(entry.name for entry in gap.parent.iterdir() if entry.is_dir()) if gap.parent.is_dir() else []
    near = closest(gap.name, beside)
    if near:
        whole = gap.parent / near / path.relative_to(gap)
        help = f"did you mean {whole if whole.is_dir() else gap.parent / near}?"
    else:
        place = "here" if gap.parent == Path() else f"in {gap.parent}"
        help = f"the folders {place} are {listing(beside, 6)}" if beside else "check the path with ls"
    return ModelError(
        "L003",
        f"there is no model folder '{path}'",
        key="model.name",
        found=str(path),
        allowed="a model folder, a run folder, or OWNER/NAME on the hub where no folder OWNER is here",
        help=help,
    )


def _folder_meant(name: str) -> str | None:
    """What to say where a name that the hub does not give is nearly that of a run or model here."""
    models = [path.parent.name for kind in ("recipe.yaml", "config.json") for path in Path().glob(f"*/{kind}")]
    near = closest(name, models)
    return f"did you mean the folder {near}?" if near else None


def _download(name: str, *, revision: str | None, allow_bin: bool, offline: bool, weights: bool) -> Located:
    # Set before the hub library is imported: it reads them once.
    os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", "10")
    os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", "5")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import huggingface_hub as hub
    from huggingface_hub import errors

    offline = offline or os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}
    patterns = (
        _FILES + (["model*.safetensors"] if weights else []) + (["pytorch_model*.bin"] if allow_bin and weights else [])
    )
    try:
        folder = hub.snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=offline)
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            "E001",
            f"the hub has no model called '{name}', or it is private",
            key="model.name",
            found=name,
            allowed="a model folder, a run folder, or OWNER/NAME on the hub",
            help=_folder_meant(name) or "check the name; for a private model set HF_TOKEN",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(
            "E002",
            f"'{name}' has no revision '{revision}'",
            key="model.revision",
            found=revision,
            help="leave it out for the newest",
        ) from error
    except Exception as error:  # the hub library lets many transport errors through
        raise HubError(
            "E003",
            f"'{name}' is neither a folder nor in the hub's cache"
            + (", and offline mode is on" if offline else ", and the hub does not answer"),
            key="model.name",
            found=name if offline else f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}",
            allowed="a model folder, a run folder, or OWNER/NAME on the hub",
            help=_folder_meant(name)
            or f"check the path; or, where there is a network: hf download {name} --local-dir DIR, then --model DIR",
        ) from error
    commit = Path(folder).name
    return Located(Path(folder), name, hub_id=name, revision=commit if re.fullmatch(r"[0-9a-f]{40}", commit) else None)


def _checked(located: Located, *, allow_bin: bool, weights: bool) -> Located:
    folder = located.folder
    config, tokenizer = folder / "config.json", folder / "tokenizer_config.json"
    if tokenizer.is_file():
        _refuse_code(tokenizer)
    if not weights and not config.exists():
        return located
    if not config.is_file():
        raise ModelError(
            "L004",
            "this folder holds no model",
            where=str(folder),
            found="no config.json",
            allowed="a folder with config.json and model.safetensors",
            help="name the folder that save_pretrained wrote, or a run folder",
        )
    _refuse_code(config)
    return _with_weights(located, allow_bin=allow_bin) if weights else located


def _settings(file: Path) -> dict[str, Any]:
    """One of the model's JSON files, which holds an object (L005)."""
    try:
        if file.stat().st_size > MAX_SETTINGS:
            raise ValueError(f"it has more than {MAX_SETTINGS >> 20} MiB")
        settings = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(settings, dict):
            raise ValueError("it holds no object")
    except (ValueError, RecursionError) as error:
        raise ModelError(
            "L005", f"{file.name} is not JSON: {error}", where=str(file), help="copy the model again"
        ) from error
    return settings


def _refuse_code(file: Path) -> None:
    """Refuse settings that name code which transformers does not have (L006)."""
    foreign = [
        key
        for key in _settings(file)
        if key == "auto_map" or key.startswith("_attn_implementation") or key.endswith("_internal")
    ]
    if foreign:
        raise ModelError(
            "L006",
            "this model asks for code that bertctl does not run",
            where=str(file),
            found=", ".join(foreign),
            allowed="models whose architecture transformers itself implements",
            help=f"remove {foreign[0]} from {file.name} if you trust the model with transformers' own code",
        )


def _with_weights(located: Located, *, allow_bin: bool) -> Located:
    folder = located.folder
    index = folder / INDEX
    if (folder / "model.safetensors").is_file():
        return located
    if index.is_file():
        check_shards(index)
        return located
    pickled = sorted(folder.glob("pytorch_model*.bin"))
    if not pickled:
        raise ModelError(
            "L007",
            "this folder holds no weights",
            where=str(folder),
            found=", ".join(sorted(entry.name for entry in folder.iterdir())[:8]),
            allowed="model.safetensors",
            help="copy the model again, weights included",
        )
    if not allow_bin:
        raise ModelError(
            "L008",
            "this model has only pickled weights, which can carry code",
            where=str(pickled[0]),
            found=pickled[0].name,
            allowed="model.safetensors",
            help="--allow-bin converts them once, reading tensors only",
        )
    return _convert(located, pickled)


def _convert(located: Located, pickled: list[Path]) -> Located:
    """The same model with safetensors weights, kept in the cache under the digest of everything that it holds."""
    folder = located.folder
    beside = sorted(f for f in folder.iterdir() if f.is_file() and f.suffix in {".json", ".txt", ".model"})
    # Layers of Sentence Transformers, such as its pooling, have folders of their own.
    beside += sorted(folder.glob("*/config.json"))
    sums = "\n".join(f"{file.relative_to(folder)} {digest(file)}" for file in [*pickled, *beside])
    target = cache_dir() / "converted" / hashlib.sha256(sums.encode()).hexdigest()[:32]
    if not target.is_dir():
        with drafted(target) as draft:
            _write_safetensors(pickled, draft / "model.safetensors")
            for file in beside:
                copy = draft / file.relative_to(folder)
                copy.parent.mkdir(exist_ok=True)
                shutil.copyfile(file, copy)
    return Located(target, located.name, located.hub_id, located.revision)


def _write_safetensors(pickled: list[Path], path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    for file in pickled:
        try:
            tensors |= torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # the unpickler raises many types
            raise ModelError(
                "L011",
                f"{file.name} holds more than tensors, or is damaged",
                where=str(file),
                help="use a safetensors copy of this model",
            ) from error
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, str(path), {"format": "pt"})
