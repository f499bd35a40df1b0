"""E8: what the environment holds for other programs never leaves this process."""

from __future__ import annotations

import base64
import getpass
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from command import SMALL, Cli

SECRETS = {
    "HF_TOKEN": "hf_CanaryTokenThatNobodyMaySee",
    "WANDB_API_KEY": "0123canary4567key89abcdefcanary0",
    "AWS_SECRET_ACCESS_KEY": "canary/Secret+with=odd&signs",
    "MLFLOW_TRACKING_PASSWORD": "pass canary word",
}


def spellings(secret: str) -> Iterator[bytes]:
    """The secret as it is, quoted for URLs, in hexadecimal, and in base64 wherever it begins in what is encoded."""
    raw = secret.encode()
    yield from (raw, quote(secret, safe="").encode(), raw.hex().encode(), secret.encode("utf-16-le"))
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # What depends on the neighbours is left out.
            yield encode(b"\0" * before + raw)[4 if before else 0 : -4]


def leaks(content: bytes) -> list[str]:
    return [name for name, secret in SECRETS.items() if any(one in content for one in spellings(secret))]


@pytest.fixture(autouse=True)
def _canaries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)


class Spy:
    """A tracker that writes down all that it is given."""

    requires_logging_directory = True
    seen: list[Any] = []

    def __init__(self, *given: Any, **named: Any) -> None:
        self.seen.append((given, named))

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.seen.append(values)

    def log(self, values: dict[str, Any], **named: Any) -> None:
        self.seen.append((values, named))

    def finish(self) -> None:
        self.seen.append("end")


def test_E8_secrets_are_in_no_file_no_output_and_no_tracker(
    cli: Cli, tiny_bert: Path, sst_like: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelerate import tracking

    from bert_cli import track

    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "spy", Spy)
    monkeypatch.setattr(track, "check_trackers", lambda names: None)
    monkeypatch.setattr("bert_cli.run.finetune.check_trackers", lambda names: None)
    flags = ["--task", "sst2", "--model", tiny_bert, "--data", sst_like, "run.trackers=[spy]", *SMALL[:-1]]
    Path("my texts.csv").write_text("sentence\na good film\n")
    shown = b""
    for words in (
        ("finetune", *flags, "--out", "run"),
        ("finetune", *flags, "--out", "run", "--resume", "auto", "--json"),
        ("finetune", *flags, "--print-config"),
        ("finetune", *flags, "--dry-run"),
        ("eval", "run"),
        ("predict", "run", "my texts.csv"),
        ("run", "verify", "run"),
        ("run", "ls", ".", "--json"),
        ("doctor",),
        ("doctor", "--json"),
        # Mistakes show what was found.
        ("finetune", "--task", "sst2", "--model", "somebody/private", "--offline"),
        ("finetune", "--task", "sst2", "train.lr=fast"),
    ):
        done = cli(*words)
        assert done.code != 1 or words[0] == "doctor", done.err
        shown += (done.out + done.err).encode()
    assert leaks(shown) == []
    files = [file for file in Path("run").rglob("*") if file.is_file()]
    assert len(files) > 10
    assert [(file, leaks(file.read_bytes())) for file in files if leaks(file.read_bytes())] == []
    assert len(Spy.seen) > 4 and leaks(repr(Spy.seen).encode()) == []


def test_E8_a_bug_shows_its_lines_and_no_secret(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("bert_cli.run.stages.find_all", broken)
    done = cli("finetune --task sst2")
    assert done.code == 1 and "ZeroDivisionError: a bug" in done.err
    assert leaks((done.out + done.err).encode()) == []


@pytest.mark.parametrize("secret", SECRETS.values())
def test_E8_the_search_finds_a_secret_however_it_is_spelt(secret: str) -> None:
    """Negative control."""
    for content in (
        f"x{secret}y".encode(),
        json.dumps({"url": f"https://x/?q={quote(secret, safe='')}"}).encode(),
        base64.b64encode(b"ab" + secret.encode() + b"cde"),
        base64.b64encode(b"user:" + secret.encode()),
        base64.urlsafe_b64encode(secret.encode()),
        secret.encode().hex().encode(),
    ):
        assert leaks(b"before" + content + b"after"), content
    assert not leaks(f"{getpass.getuser()} {socket.gethostname()}".encode())
