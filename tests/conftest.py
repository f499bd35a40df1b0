"""What every test stands on: no network, a cache of its own, one thread, and tiny things to train."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny import tiny_data, tiny_model

# Read once, when the libraries are first imported; this file is imported before any of them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Tokens and converted weights go to a folder of this session, never to the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTCTL_CACHE", str(folder))
        patch.delenv("BERTCTL_DATA", raising=False)
        patch.delenv("BERTCTL_CACHE_GB", raising=False)
        yield folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a BERT encoder without a head, with its tokenizer."""
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture(scope="session")
def sst_like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with train and validation files as `--task sst2` reads them: columns sentence and label (0 or 1)."""
    return tiny_data(tmp_path_factory.mktemp("data") / "sst2", text="sentence", labels=("0", "1"))


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], None]]:
    """A function after which the system refuses files beyond so many bytes, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
