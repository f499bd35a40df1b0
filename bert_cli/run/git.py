"""The commit of the folder that a run is started in, asked of git without running anything that a repository names.

A repository may name programs that `git status` runs (filters, monitors, hooks, helpers of remotes); a folder that came
out of an archive brings its own. All of them are switched off, at the price that files with filters may count as
changed when only their times have.
"""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

_FILTERS = re.compile(r"filter\..*\.(clean|process|required)", re.DOTALL)
_OFF = {"core.fsmonitor": "false", "core.hooksPath": os.devnull, "protocol.allow": "never"}


def git_state() -> dict[str, Any] | None:
    """Commit of the working folder's repository and whether files differ from it; None outside one."""
    try:
        commit = _git("rev-parse", "HEAD")
        filters = {name: "" for name in _git("config", "--list", "--name-only", "-z").split("\0")}
        settings = {name: value for name, value in filters.items() if _FILTERS.fullmatch(name)}
        words = ("--untracked-files=no", "--ignore-submodules=all")
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", *words, settings=settings))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*words: str, settings: dict[str, str] | None = None) -> str:
    # By number, as names may hold what separates a name from its value elsewhere.
    numbered = list(enumerate({**_OFF, **(settings or {})}.items()))
    environment = {
        **os.environ,
        "GIT_CONFIG_COUNT": str(len(numbered)),
        **{f"GIT_CONFIG_KEY_{number}": name for number, (name, _) in numbered},
        **{f"GIT_CONFIG_VALUE_{number}": value for number, (_, value) in numbered},
    }
    command = ["git", "--no-optional-locks", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10, env=environment)
    return done.stdout.strip()
