"""What this machine offers to a run, and what on it would make one fail or crawl.

Looks, and computes one small probe, whose answer may be in the cache (see `precision.probe_cpu`); changes nothing and
uses no network. Costs the import of torch, about two seconds.
"""

from __future__ import annotations

import locale
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from bert_cli.env import cores, memory
from bert_cli.errors import listing

Status = Literal["ok", "warn", "fail"]

PYTHON = (3, 11)
MINIMUM = {"torch": "2.10", "transformers": "5.3"}
"""Older ones load crafted checkpoints unsafely; every other bound is read from bertctl's own requirements."""

OPTIONAL = {"evaluate": "only metrics named evaluate:… need it"}
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")

GIB = 2**30
LOW_MEMORY = 4 * GIB
LOW_DISK = 5 * GIB


@dataclass(frozen=True)
class Check:
    """One finding: `fail` stops runs, `warn` slows or endangers them; `fix` is one action, empty where all is well."""

    name: str
    status: Status
    detail: str
    fix: str = ""


def inspect() -> list[Check]:
    """Every check, in the order in which a reader wants them. Raises nothing: what cannot be looked at is a finding."""
    checks = [check_python(), *check_packages()]
    for name, look in _LOOKS.items():
        try:
            checks += look()
        except (ImportError, OSError, RuntimeError) as error:
            checks.append(
                Check(name, "fail", f"{type(error).__name__}: {error}", "pip install --force-reinstall bertctl")
            )
    return checks


def check_python() -> Check:
    """The interpreter's version."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= PYTHON:
        return Check("python", "ok", version)
    return Check("python", "fail", version, f"use Python {PYTHON[0]}.{PYTHON[1]} or newer")


def requirements() -> dict[str, str]:
    """Package -> lowest version: bertctl's own requirements where it is installed, and `MINIMUM`."""
    try:
        lines = metadata.requires("bertctl") or []
    except metadata.PackageNotFoundError:
        lines = []
    bounds = dict(MINIMUM)
    for line in lines:
        match = re.match(r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?[^;]*?(?:>=|==|~=)\s*([0-9][\w.]*)", line)
        if match and "extra ==" not in line:
            bounds[match[1]] = match[2]
    return bounds


def check_packages() -> list[Check]:
    """Installed versions against the lowest ones that work."""
    checks = []
    for name, lowest in requirements().items():
        found = _version(name)
        if found is None:
            checks.append(Check(name, "fail", "not installed", f"pip install '{name}>={lowest}'"))
        elif _number(found) < _number(lowest):
            checks.append(Check(name, "fail", f"{found}, older than {lowest}", f"pip install -U '{name}>={lowest}'"))
        else:
            checks.append(Check(name, "ok", found))
    for name, reason in OPTIONAL.items():
        if name not in requirements():
            found = _version(name)
            checks.append(
                Check(name, "ok", found) if found else Check(name, "warn", f"absent; {reason}", f"pip install {name}")
            )
    return checks


def check_cpu() -> Check:
    """Processor, cores that this process may use, and the instruction sets that matter."""
    from bert_cli.env import cpu_flags, cpu_name

    flags = cpu_flags()
    useful = [name for name in INSTRUCTIONS if name in flags]
    detail = f"{cpu_name()}, {_count(cores(), 'core')}, {listing(useful) if useful else 'instruction sets unknown'}"
    if flags and "avx2" not in flags and "asimd" not in flags:
        return Check("cpu", "warn", detail, "use a processor with AVX2, or a GPU")
    return Check("cpu", "ok", detail)


def check_threads() -> Check:
    """Whether OMP_NUM_THREADS fits the cores."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    usable = max(1, int(cores()))
    if not given:
        return Check("threads", "ok", "OMP_NUM_THREADS is not set; torch chooses")
    if not given.isdigit() or int(given) < 1:
        return Check("threads", "warn", f"OMP_NUM_THREADS is no number: {given}", f"export OMP_NUM_THREADS={usable}")
    if int(given) > usable:
        detail = f"OMP_NUM_THREADS={given} for {_count(usable, 'core')}"
        return Check("threads", "warn", detail, f"export OMP_NUM_THREADS={usable}")
    if int(given) == 1 and usable > 1:
        detail = f"OMP_NUM_THREADS=1 leaves {_count(usable - 1, 'core')} idle"
        return Check("threads", "warn", detail, "unset OMP_NUM_THREADS")
    return Check("threads", "ok", f"OMP_NUM_THREADS={given}")


def check_accelerators() -> Iterator[Check]:
    """The GPUs that torch sees, and the arithmetic a run would choose with the reason for it."""
    import torch

    from bert_cli.precision import choose_precision
    from bert_cli.runtime import choose_device

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = [torch.cuda.get_device_properties(i) for i in range(count)]
    if gpus:
        yield Check("gpu", "ok", listing(f"{gpu.name} ({gpu.total_memory / GIB:.0f} GiB)" for gpu in gpus))
    elif shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists():
        hidden = "CUDA_VISIBLE_DEVICES" in os.environ
        fix = "unset CUDA_VISIBLE_DEVICES" if hidden else "install a CUDA build of torch that fits the driver"
        yield Check("gpu", "warn", "an NVIDIA driver is here, but torch sees no GPU", fix)
    else:
        yield Check("gpu", "ok", "none; runs use the CPU")
    precision = choose_precision("auto", choose_device(), keep=False)
    yield Check("precision", "ok", f"{precision.name}: {precision.reason}")


def check_memory() -> Check:
    """Memory of the machine or container, and how much of it is free."""
    total, free = memory()
    detail = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free"
    if free < LOW_MEMORY:
        return Check("memory", "warn", detail, "close other programs, or lower train.micro_batch_tokens")
    return Check("memory", "ok", detail)


def check_disks() -> Iterator[Check]:
    """Room and write permission where runs and caches go."""
    from bert_cli.env import cache_dir

    for name, folder, fix in (
        ("disk: here", Path.cwd(), "run.out=FOLDER on a larger disk"),
        ("disk: cache", cache_dir(), "export BERTCTL_CACHE=FOLDER on a larger disk"),
    ):
        place = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
            yield Check(
                name, "fail", f"{folder} cannot be written", fix.replace("on a larger disk", "that is writable")
            )
            continue
        free = shutil.disk_usage(place).free
        yield Check(
            name,
            "ok" if free >= LOW_DISK else "warn",
            f"{free / GIB:.1f} GiB free in {folder}",
            "" if free >= LOW_DISK else fix,
        )


def check_hub() -> Check:
    """Whether models can come from the hub or are already here."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    models = sorted(folder.name.removeprefix("models--").replace("--", "/") for folder in cache.glob("models--*"))
    held = _count(len(models), "cached model") + (f" ({listing(models, 3)})" if models else "") + f" in {cache}"
    if not constants.HF_HUB_OFFLINE:
        return Check("hub", "ok", f"HF_HUB_OFFLINE is not set; {held}")
    if models:
        return Check("hub", "ok", f"offline; {held}")
    return Check("hub", "warn", f"offline, with {held}", "copy models here and name their folders: --model FOLDER")


def check_data() -> Check:
    """The local mirror of datasets."""
    given = os.environ.get("BERTCTL_DATA")
    if not given:
        return Check("data", "ok", "BERTCTL_DATA is not set; data come from --data or the hub")
    folder = Path(given).expanduser()
    if not folder.is_dir():
        return Check("data", "fail", f"BERTCTL_DATA={given} is no folder", "unset BERTCTL_DATA, or set it to a folder")
    held = _count(sum(1 for _ in folder.iterdir()), "entry", "entries")
    return Check("data", "ok", f"BERTCTL_DATA={given}, {held}")


def check_encoding() -> Check:
    """Whether text files and the terminal speak UTF-8."""
    found = {
        "files": sys.getfilesystemencoding(),
        "locale": locale.getpreferredencoding(False),
        "stdout": getattr(sys.stdout, "encoding", None) or "unknown",
    }
    detail = ", ".join(f"{place} {name}" for place, name in found.items())
    good = all(name.lower().replace("-", "").replace("_", "") == "utf8" for name in found.values())
    return Check("encoding", "ok", detail) if good else Check("encoding", "warn", detail, "export PYTHONUTF8=1")


def _count(number: float, one: str, many: str | None = None) -> str:
    """`1 core`, `2 cores`, `1.5 cores`; an irregular plural is given."""
    shown = f"{number:g}" if isinstance(number, float) else str(number)
    return f"{shown} {one if number == 1 else many or one + 's'}"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _number(version: str) -> tuple[int, ...]:
    """The release part of a version, zeros at the end left out: 2.13.0+cpu -> (2, 13)."""
    parts = [int(part) for part in re.findall(r"\d+", re.split(r"[+a-z]", version, maxsplit=1)[0])]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


_LOOKS: dict[str, Callable[[], Iterable[Check]]] = {
    "cpu": lambda: [check_cpu()],
    "threads": lambda: [check_threads()],
    "gpu": check_accelerators,
    "memory": lambda: [check_memory()],
    "disk": check_disks,
    "hub": lambda: [check_hub()],
    "data": lambda: [check_data()],
    "encoding": lambda: [check_encoding()],
}
