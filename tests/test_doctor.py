"""The doctor: what it finds on a made-up machine, and how it reports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from bert_cli import doctor, env
from bert_cli.doctor import GIB, Check


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that these packages, and no others, are installed; bertctl requires what `requires` says."""

    def pretend(*, requires: list[str] | None = None, **found: str) -> None:
        def version(name: str) -> str:
            if name not in found:
                raise metadata.PackageNotFoundError(name)
            return found[name]

        def listed(name: str) -> list[str]:
            if requires is None:
                raise metadata.PackageNotFoundError(name)
            return requires

        monkeypatch.setattr(metadata, "version", version)
        monkeypatch.setattr(metadata, "requires", listed)

    return pretend


@pytest.fixture
def no_cgroup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "_cgroup", lambda name: "")


def test_this_machine_is_inspected_completely() -> None:
    names = [check.name for check in doctor.inspect()]
    assert {"python", "torch", "transformers", "cpu", "threads", "gpu", "precision", "memory", "hub", "data"} <= set(
        names
    )
    assert {"disk: here", "disk: cache", "encoding"} <= set(names) and len(names) == len(set(names))


def test_whatever_is_not_well_says_how_to_mend_it() -> None:
    assert all(bool(check.fix) == (check.status != "ok") for check in doctor.inspect())


def test_packages_are_held_against_the_requirements_of_bertctl(versions: Callable[..., None]) -> None:
    versions(
        requires=["torch>=2.10", "transformers[torch]<6,>=5.3", "numpy>=2.0", "ruff>=0.1; extra == 'dev'"],
        torch="2.13.0+cpu",
        transformers="5.2.9",
    )
    found = {check.name: check for check in doctor.check_packages()}
    assert found["torch"] == Check("torch", "ok", "2.13.0+cpu")
    assert found["transformers"].status == "fail" and found["transformers"].fix == "pip install -U 'transformers>=5.3'"
    assert found["numpy"].fix == "pip install 'numpy>=2.0'"
    assert found["evaluate"].status == "warn" and "ruff" not in found


@pytest.mark.parametrize(("version", "good"), [("2.9.1", False), ("2.10", True), ("2.10.0rc1", True), ("10.0", True)])
def test_versions_are_compared_as_numbers(versions: Callable[..., None], version: str, good: bool) -> None:
    versions(torch=version, transformers="5.23.0")
    assert (doctor.check_packages()[0].status == "ok") is good


@pytest.mark.parametrize(
    ("given", "status"),
    [("", "ok"), ("4", "ok"), ("2", "ok"), ("1", "warn"), ("64", "warn"), ("many", "warn"), ("0", "warn")],
)
def test_threads_that_do_not_fit_the_cores_are_noticed(
    monkeypatch: pytest.MonkeyPatch, given: str, status: str
) -> None:
    monkeypatch.setattr(doctor, "cores", lambda: 4.0)
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert doctor.check_threads().status == status


@pytest.mark.parametrize(
    ("cores", "given", "shown", "threads"),
    [
        (1.0, "64", ", 1 core, ", "OMP_NUM_THREADS=64 for 1 core"),
        (1.5, "64", ", 1.5 cores, ", "OMP_NUM_THREADS=64 for 1 core"),
        (2.0, "1", ", 2 cores, ", "OMP_NUM_THREADS=1 leaves 1 core idle"),
        (4.0, "1", ", 4 cores, ", "OMP_NUM_THREADS=1 leaves 3 cores idle"),
    ],
)
def test_one_core_is_no_cores(
    monkeypatch: pytest.MonkeyPatch, cores: float, given: str, shown: str, threads: str
) -> None:
    monkeypatch.setattr(doctor, "cores", lambda: cores)
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert shown in doctor.check_cpu().detail
    assert doctor.check_threads().detail == threads


def test_a_container_quota_limits_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(env, "_cgroup", lambda name: "150000 100000")
    assert env.cores() == 1.5
    monkeypatch.setattr(env, "_cgroup", lambda name: "max 100000")
    assert env.cores() == 64


def test_a_container_limit_is_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=64 * GIB, available=60 * GIB))
    stat = f"anon {5 * GIB}\ninactive_file {GIB // 2}\nactive_file {GIB // 2}\nfile_mapped 9"
    limits = {"memory.max": str(8 * GIB), "memory.current": str(7 * GIB), "memory.stat": stat}
    monkeypatch.setattr(env, "_cgroup", limits.__getitem__)
    check = doctor.check_memory()
    assert check.detail == "2.0 of 8.0 GiB free" and check.status == "warn"


@pytest.mark.usefixtures("no_cgroup")
def test_memory_without_a_container_is_that_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=64 * GIB, available=60 * GIB))
    assert doctor.check_memory() == Check("memory", "ok", "60.0 of 64.0 GiB free")


def test_a_full_disk_and_an_unwritable_cache_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("BERTCTL_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=GIB))
    here, cache = doctor.check_disks()
    assert here.status == "warn" and here.fix.startswith("run.out=")
    assert cache.status == "fail" and "BERTCTL_CACHE" in cache.fix


def test_a_cache_that_does_not_exist_yet_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTCTL_CACHE", str(tmp_path / "not" / "yet"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100 * GIB))
    assert [check.status for check in doctor.check_disks()] == ["ok", "ok"]
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize(
    ("offline", "cached", "status"), [(True, False, "warn"), (True, True, "ok"), (False, False, "ok")]
)
def test_offline_without_any_model_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool, cached: bool, status: str
) -> None:
    if cached:
        (tmp_path / "models--google-bert--bert-base-uncased").mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    check = doctor.check_hub()
    assert check.status == status and ("google-bert/bert-base-uncased" in check.detail) is cached
    assert ("1 cached model (google" if cached else "0 cached models in") in check.detail


def test_a_data_folder_must_exist_when_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BERTCTL_DATA", raising=False)
    assert doctor.check_data().status == "ok"
    monkeypatch.setenv("BERTCTL_DATA", str(tmp_path))
    (tmp_path / "sst2").mkdir()
    check = doctor.check_data()
    assert check.status == "ok" and check.detail.endswith(", 1 entry")
    monkeypatch.setenv("BERTCTL_DATA", str(tmp_path / "nowhere"))
    assert doctor.check_data().status == "fail"


def test_a_terminal_that_is_not_utf8_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", SimpleNamespace(encoding="ascii"))
        check = doctor.check_encoding()
    assert check.status == "warn" and check.fix == "export PYTHONUTF8=1"


def test_gpus_are_listed_with_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    gpu = SimpleNamespace(name="Some GPU", total_memory=80 * GIB)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda _: gpu)
    chosen = SimpleNamespace(name="bf16", reason="because")
    monkeypatch.setattr("bert_cli.precision.choose_precision", lambda *_, **__: chosen)
    gpus, precision = doctor.check_accelerators()
    assert gpus == Check("gpu", "ok", "Some GPU (80 GiB), Some GPU (80 GiB)")
    assert precision == Check("precision", "ok", "bf16: because")


def test_a_driver_without_a_visible_gpu_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    check = next(doctor.check_accelerators())
    assert check.status == "warn" and check.fix == "unset CUDA_VISIBLE_DEVICES"


def test_a_torch_that_does_not_load_is_a_finding_and_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> bool:
        raise OSError("libtorch.so: cannot open shared object file")

    monkeypatch.setattr("torch.cuda.is_available", fail)
    found = {check.name: check for check in doctor.inspect()}
    assert found["gpu"].status == "fail" and "libtorch.so" in found["gpu"].detail
    assert "memory" in found


def run_cli(monkeypatch: pytest.MonkeyPatch, checks: list[Check], *arguments: str) -> Any:
    from bert_cli.cli.doctor import doctor as command

    monkeypatch.setattr("bert_cli.doctor.inspect", lambda: checks)
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(command)
    return CliRunner().invoke(app, list(arguments))


def test_the_table_ends_with_what_to_mend_and_exit_code_one_on_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [Check("python", "ok", "3.11.7"), Check("torch", "fail", "2.1\x1b[31m", "pip install -U torch")]
    result = run_cli(monkeypatch, checks)
    assert result.exit_code == 1 and "pip install -U torch" in result.stdout
    assert "\x1b" not in result.stdout


def test_warnings_do_not_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_cli(monkeypatch, [Check("memory", "warn", "little", "buy more")], "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "ok": True,
        "checks": [{"name": "memory", "status": "warn", "detail": "little", "fix": "buy more"}],
    }


def test_the_command_is_parsed_without_torch() -> None:
    code = "import sys, bert_cli.cli.doctor; print({'torch', 'bert_cli.doctor'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
