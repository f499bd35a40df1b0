"""Two runs of one recipe side by side: their weights bit by bit, their scores, and what differed in the making."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_cli.errors import ModelError
from bert_cli.files import digest
from bert_cli.recipe.load import load_recipe
from bert_cli.run.rundir import RunDir

_OF_THE_LOCK = (
    "bertctl",
    "versions",
    "hardware.cpu",
    "hardware.gpu",
    "hardware.threads",
    "device",
    "world_size",
    "precision.name",
    "precision.onednn",
)
"""What of a lock file decides about the last bits."""


@dataclass(frozen=True)
class Difference:
    """A dotted key, what it was then, and what it is now; None where it is not there."""

    key: str
    then: Any
    now: Any


@dataclass(frozen=True)
class Weights:
    """How the weights of two models compare.

    Attributes:
        tensors: how many there are; differing: how many of them are not the same bits.
        largest: the largest absolute difference of two numbers.
    """

    tensors: int
    differing: int
    largest: float


@dataclass(frozen=True)
class Compared:
    """A run, the same made again, and what is not the same.

    Attributes:
        differences: in software, machine and arithmetic; without any, the weights are the same bits.
        results: those of both runs, as `bertctl finetune --json` prints them.
    """

    run: RunDir
    again: RunDir
    weights: Weights
    differences: tuple[Difference, ...]
    results: tuple[dict[str, Any], dict[str, Any]]

    @property
    def same(self) -> bool:
        """Whether the weights are the same bits."""
        return self.weights.differing == 0

    def rows(self) -> Iterator[tuple[str, Any, Any]]:
        """Steps and scores: what it is, of the run, and of the one made again."""
        then, now = self.results
        for name in ("steps", "best_step"):
            yield name, then[name], now[name]
        for split, scores in then["scores"].items():
            for metric, value in scores.items():
                yield f"{split} {metric}", value, now["scores"].get(split, {}).get(metric)

    def check(self) -> None:
        """Refuse other weights where nothing is known that would explain them.

        Raises:
            ModelError: the run did not end the same (C023).
        """
        if self.same or self.differences:
            return
        raise ModelError(
            "C023",
            f"{self.weights.differing} of {self.weights.tensors} tensors are not those of the run",
            where=str(self.again.best),
            found=f"numbers that differ by at most {self.weights.largest:.3g}",
            allowed="the same bits: data, model, software and machine are the same",
            help=f"bertctl run verify {self.run.path} tells whether its files are still what it wrote",
        )

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "run": str(self.run.path),
            "again": str(self.again.path),
            "same": self.same,
            "weights": vars(self.weights),
            "differences": [vars(difference) for difference in self.differences],
            "compared": [{"what": name, "then": then, "now": now} for name, then, now in self.rows()],
        }


def compare(run: RunDir, again: RunDir) -> Compared:
    """Two finished runs of one recipe.

    Raises:
        ModelError: their models do not have the same tensors (C025).
    """
    old, new = (json.loads(each.lock.read_text(encoding="utf-8")) for each in (run, again))
    then, now = (each.read_status()["result"] for each in (run, again))
    found = [one for key in _OF_THE_LOCK for one in differences(_value(old, key), _value(new, key), key)]
    key = "micro_batch_tokens"
    found += differences(then.get(key), now.get(key), f"train.{key}")
    section = load_recipe(str(again.recipe)).recipe.train
    if section.amount.unit == "seconds":
        found.append(Difference("train.budget", section.budget, "as many steps as that time has room for"))
    if new["device"] != "cpu" and not found:
        found.append(Difference("device", old["device"], "the same, and its sums may come out in another order"))
    return Compared(run, again, compare_weights(run.best, again.best), tuple(found), (then, now))


def differences(then: Any, now: Any, key: str) -> list[Difference]:
    """Where two values differ; of mappings, each name in which they do."""
    old, new = _flat(then, key), _flat(now, key)
    return [Difference(name, old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)]


def _flat(value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {key: value}
    return {name: leaf for inner, each in value.items() for name, leaf in _flat(each, f"{key}.{inner}").items()}


def _value(facts: Any, key: str) -> Any:
    for part in key.split("."):
        facts = facts.get(part) if isinstance(facts, Mapping) else None
    return facts


def compare_weights(one: Path, other: Path) -> Weights:
    """All safetensors of two model folders, tensor by tensor.

    Raises:
        ModelError: they do not have the same tensors (C025).
    """
    import torch
    from safetensors.torch import load_file

    files = [sorted(str(file.relative_to(folder)) for file in folder.rglob("*.safetensors")) for folder in (one, other)]
    if files[0] != files[1]:
        raise _not_alike(one, other, ", ".join(files[1]), ", ".join(files[0]))
    tensors = differing = 0
    largest = 0.0
    for name in files[0]:
        first, second = load_file(str(one / name)), load_file(str(other / name))
        if unlike := differences(_shapes(first), _shapes(second), name):
            raise _not_alike(one, other, f"{unlike[0].key} of {unlike[0].now}", f"{unlike[0].then}")
        tensors += len(first)
        if digest(one / name) == digest(other / name):
            continue
        for key, value in first.items():
            # As bytes: 0.0 and -0.0 are equal numbers, and a number that is none equals nothing.
            if not torch.equal(value.reshape(-1).view(torch.uint8), second[key].reshape(-1).view(torch.uint8)):
                differing += 1
                largest = max(largest, float((value.double() - second[key].double()).abs().max()))
    return Weights(tensors, differing, largest)


def _shapes(tensors: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"{tuple(tensor.shape)} {tensor.dtype}" for name, tensor in tensors.items()}


def _not_alike(one: Path, other: Path, found: str, allowed: str) -> ModelError:
    return ModelError(
        "C025",
        "the two models do not have the same tensors",
        where=str(other),
        found=found,
        allowed=allowed,
        help=f"bertctl run verify {one} tells whether its files are still what was written",
    )
