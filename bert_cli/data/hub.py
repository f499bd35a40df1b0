"""A split of a data set on the hub: read through `datasets`, class ids turned into their names.

An unreachable hub ends within fifteen seconds and offline mode at once, both naming the folder option; what the cache
of `datasets` holds is used in either case. Importing `datasets` costs about a second and happens with the first record.
"""

from __future__ import annotations

import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bert_cli.data.stream import Record, no_rows
from bert_cli.errors import DataError, HubError

_SECONDS_TO_ANSWER = 8
_OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
CONVERTED = "refs/convert/parquet"


@dataclass(frozen=True)
class HubSplit:
    """One split of one configuration of a repository."""

    path: str
    config: str | None
    split: str
    revision: str | None = None
    offline: bool = False

    def records(self) -> Iterator[Record]:
        """The rows, numbered from 1, all columns; values of ClassLabel columns, and of lists of them, are names.

        An id without a name, as -1, becomes a string.

        Raises:
            HubError: offline and not cached, or unreachable (E020); no such data set or configuration (E021).
            DataError: the data set has no such split (D023), or no row in it (D006).
        """
        table = self._table()
        if not len(table):
            raise no_rows(f"hub:{self.path}", f"an empty split '{self.split}'")
        # The values of a list have a feature of their own.
        kinds = {column: getattr(kind, "feature", kind) for column, kind in table.features.items()}
        names = {column: kind.names for column, kind in kinds.items() if hasattr(kind, "int2str")}
        for row, values in enumerate(table, 1):
            named = {column: _class_name(values[column], kinds) for column, kinds in names.items()}
            yield Record(row, {**values, **named})

    def fingerprint(self) -> str:
        """`REPO@COMMIT:CONFIG:SPLIT`, the commit that was read; where no file tells it, the library's own digest."""
        table = self._table()
        parts = [part for file in table.cache_files for part in Path(file["filename"]).parts]
        commit = next((part for part in parts if re.fullmatch(r"[0-9a-f]{40}", part)), table._fingerprint)
        return f"{self.path}@{commit}:{self.config or 'default'}:{self.split}"

    def _table(self) -> Any:
        splits = load(self.path, self.config, revision=self.revision, offline=self.offline)
        if self.split not in splits:
            raise DataError(
                "D023",
                f"the data set {self.path} has no split '{self.split}'",
                where=f"hub:{self.path}",
                found=self.split,
                allowed=list(splits),
                help="name one of these: data.validation=NAME",
            )
        return splits[self.split]


def is_offline() -> bool:
    """Whether the environment asks for offline mode."""
    return any(os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in _OFFLINE_VARIABLES)


def require_cached(path: str) -> None:
    """In offline mode: refuse a data set of which nothing was ever downloaded, before anything heavy is imported.

    Raises:
        HubError: it is not in the cache (E020).
    """
    if not any(_cache_folder().glob(f"{_cached_name(path)}/*/*/*")):
        raise _unreachable(path, offline=True)


@cache
def load(path: str, config: str | None, *, revision: str | None = None, offline: bool = False) -> Any:
    """Every split of a data set, by the hub's names; errors as in `HubSplit.records`."""
    os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", "10")
    os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", "5")
    offline = offline or is_offline()
    if offline:
        require_cached(path)
    reachable = not offline and _answers(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    if not reachable and not offline and not any(_cache_folder().glob(f"{_cached_name(path)}/*/*/*")):
        raise _unreachable(path, offline=False)
    import datasets  # type: ignore[import-untyped, unused-ignore]
    from datasets.exceptions import DatasetsError  # type: ignore[import-untyped, unused-ignore]
    from huggingface_hub.errors import HfHubHTTPError

    # The bases are the HTTP client's own error and OSError; which client it is differs between releases of the library.
    foreign = (*HfHubHTTPError.__bases__, DatasetsError, ValueError, RuntimeError)
    try:
        with _network(reachable):
            # The prefix keeps a local folder of the same name from being read instead.
            name = f"hf://datasets/{path}"
            try:
                return datasets.load_dataset(name, config, revision=revision)
            except RuntimeError as error:
                if "scripts are no longer supported" not in str(error) or revision is not None:
                    raise
                # Where a repository has only a loading script, the hub itself keeps a copy as plain tables.
                return datasets.load_dataset(name, config, revision=CONVERTED)
    except ConnectionError:
        raise _unreachable(path, offline=not reachable) from None
    except foreign as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise HubError(
            "E021",
            f"the data set {path} cannot be read: {reason}",
            where=f"hub:{path}",
            found=f"{path}, configuration {config or 'default'}",
            allowed="a data set of the hub that you may read, and one of its configurations",
            help="hub:OWNER/NAME:CONFIG names another; --data DIR reads a local folder",
        ) from None


def _answers(endpoint: str) -> bool:
    """Whether the hub answers at all. The hub library itself would try for 23 seconds before it gives up."""
    answered: list[bool] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(endpoint, method="HEAD")
            urllib.request.urlopen(request, timeout=_SECONDS_TO_ANSWER).close()
            answered.append(True)
        except urllib.error.HTTPError:
            answered.append(True)
        except (OSError, ValueError):
            answered.append(False)

    # Looking up a name is outside of the timeout above and may take half a minute.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_SECONDS_TO_ANSWER)
    return bool(answered and answered[0])


@contextmanager
def _network(reachable: bool) -> Iterator[None]:
    """With `reachable` false, the libraries read their cache at once instead of retrying."""
    import datasets  # type: ignore[import-untyped, unused-ignore]
    from huggingface_hub import constants

    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    if not reachable:
        datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before


def _cache_folder() -> Path:
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    return Path(os.environ.get("HF_DATASETS_CACHE") or Path(home) / "datasets").expanduser()


def _cached_name(path: str) -> str:
    owner, _, name = path.rpartition("/")
    snake = re.sub(r"([a-z\d])([A-Z])", r"\1_\2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)).lower()
    return f"{owner}___{snake}" if owner else snake


def _unreachable(path: str, *, offline: bool) -> HubError:
    state = "offline mode is on" if offline else "the hub cannot be reached"
    return HubError(
        "E020",
        f"the data set {path} is not on this machine, and {state}",
        where=f"hub:{path}",
        found=f"nothing in {_cache_folder()}",
        allowed="a folder with train.*, validation.* and test.*, or a network",
        help="--data DIR reads a local folder (or set BERTCTL_DATA)",
    )


def _class_name(value: Any, names: list[str]) -> Any:
    if value is None or isinstance(value, list):
        return value and [_class_name(each, names) for each in value]
    return names[value] if 0 <= value < len(names) else str(value)
