"""Arithmetic chosen by measurement, and the same one again on the same machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bert_cli import precision
from bert_cli.precision import Probe, choose_precision


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BERTCTL_CACHE", str(tmp_path))
    return tmp_path


def keep(cache: Path, probe: Probe) -> None:
    """Put this answer where the one for this machine is kept."""
    precision.probe_cpu()
    (kept,) = (cache / "cpu").iterdir()
    kept.write_text(json.dumps(vars(probe)), encoding="utf-8")


def test_asking_for_an_arithmetic_gives_it(cache: Path) -> None:
    assert choose_precision("fp32").name == "fp32"
    assert choose_precision("bf16").name == "bf16"
    assert choose_precision("auto").name in {"fp32", "bf16"}


@pytest.mark.parametrize(
    ("probe", "name", "onednn"),
    [
        (Probe(onednn=1.0, error=0.0, bf16=0.5), "fp32", False),
        (Probe(onednn=1.4, error=0.0, bf16=1.3), "fp32", True),
        (Probe(onednn=1.4, error=0.0, bf16=2.8), "bf16", True),
        (Probe(onednn=1.4, error=1e-3, bf16=0.9), "fp32", False),
    ],
)
def test_the_faster_arithmetic_is_taken_unless_it_is_not_fp32(
    probe: Probe, name: str, onednn: bool, cache: Path
) -> None:
    keep(cache, probe)
    chosen = choose_precision("auto")
    assert (chosen.name, chosen.onednn) == (name, onednn)
    assert choose_precision("fp32").onednn == onednn


def test_a_machine_is_measured_once(cache: Path) -> None:
    first = precision.probe_cpu()
    assert precision.probe_cpu() == first, "two measurements are never equal to the last digit"


def test_without_keep_nothing_is_left(cache: Path) -> None:
    assert precision.probe_cpu(keep=False).bf16 > 0
    assert list(cache.iterdir()) == []


def test_a_damaged_answer_is_measured_again(cache: Path) -> None:
    precision.probe_cpu()
    (kept,) = (cache / "cpu").iterdir()
    kept.write_text('{"onednn": 1.0', encoding="utf-8")
    assert precision.probe_cpu().bf16 > 0
    assert json.loads(kept.read_text(encoding="utf-8")).keys() == {"onednn", "error", "bf16"}


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BERTCTL_CACHE", str(tmp_path / "file"))
    assert precision.probe_cpu().bf16 > 0


def test_the_probe_leaves_torch_as_it_was(cache: Path) -> None:
    before = torch.get_float32_matmul_precision(), torch.get_num_threads()
    precision.probe_cpu()
    assert (torch.get_float32_matmul_precision(), torch.get_num_threads()) == before
