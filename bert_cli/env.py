"""The machine as one run sees it: processor, versions, cache folder, seeds."""

from __future__ import annotations

import hashlib
import os
import platform
import random
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "datasets",
    "evaluate",
    "numpy",
    "scikit-learn",
    "safetensors",
)


@cache
def cpu_flags() -> frozenset[str]:
    """Instruction sets of this processor as Linux names them; empty on other systems."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return frozenset()
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return frozenset(line.partition(":")[2].split())


def cpu_name() -> str:
    """The processor's model name."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        text = ""
    lines = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    return next(lines, platform.processor() or platform.machine())


def cores() -> float:
    """CPUs that this process may use: its affinity, cut to the container's quota (cgroup v2); may be a fraction."""
    usable = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota, _, period = _cgroup("cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit() and int(period):
        usable = min(usable, int(quota) / int(period))
    return usable


def memory() -> tuple[int, int]:
    """Bytes of memory, all and free: the machine's, cut to the container's limit (cgroup v2)."""
    import psutil  # type: ignore[import-untyped, unused-ignore]

    found = psutil.virtual_memory()
    total, free = int(found.total), int(found.available)
    limit, used = _cgroup("memory.max"), _cgroup("memory.current")
    if limit.isdigit() and int(limit) < total:
        total = int(limit)
        kept = int(used) - _reclaimable() if used.isdigit() else 0
        free = max(0, min(free, total - kept))
    return total, free


def _reclaimable() -> int:
    """Bytes of files that the kernel holds in the container's memory and drops when something else needs the room."""
    lines = (line.split() for line in _cgroup("memory.stat").splitlines())
    return sum(int(line[1]) for line in lines if line[0] in ("active_file", "inactive_file"))


def _cgroup(name: str) -> str:
    try:
        return Path("/sys/fs/cgroup", name).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape a result."""
    found = {"python": platform.python_version()}
    for name in ("bertctl", *PACKAGES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cache_dir() -> Path:
    """Where token stores and converted weights are kept: `BERTCTL_CACHE`, else the user's cache folder."""
    given = os.environ.get("BERTCTL_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "bertctl"


def derived_seed(*parts: object) -> int:
    """A 63-bit seed that depends on every part and on nothing else."""
    text = ":".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch, for new weights and everything before the first step."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
