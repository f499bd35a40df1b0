"""Commands packed onto places: every one runs once, no more at a time than there are places, none is left behind."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bert_cli.run.packed import run_packed
from bert_cli.run.signals import Request

WAITS = (
    "import signal, sys, time, pathlib\n"
    "def stop(*_): pathlib.Path(sys.argv[1]).write_text('asked to stop'); sys.exit(75)\n"
    "signal.signal(signal.SIGTERM, stop)\n"
    "pathlib.Path(sys.argv[1]).write_text('at work')\n"
    "time.sleep(60)\n"
)


def python(program: str, *words: object) -> list[str]:
    return [sys.executable, "-c", program, *map(str, words)]


def appears(file: Path) -> bool:
    until = time.monotonic() + 20
    while time.monotonic() < until and not file.exists():
        time.sleep(0.02)
    return file.exists()


def test_output_errors_and_exit_codes_come_back_by_name() -> None:
    program = (
        "import sys; print('out', sys.argv[1]); print('err', sys.argv[1], file=sys.stderr); sys.exit(sys.argv[1]=='b')"
    )
    ended = {one.name: one for one in run_packed({n: python(program, n) for n in "abc"}, [{}, {}], asked=Request())}
    assert {name: (one.code, one.out, one.errors) for name, one in ended.items()} == {
        "a": (0, "out a\n", "err a\n"),
        "b": (1, "out b\n", "err b\n"),
        "c": (0, "out c\n", "err c\n"),
    }


def test_each_runs_in_its_places_environment_and_no_more_at_once_than_places(tmp_path: Path) -> None:
    program = (
        "import os, sys, time, pathlib\n"
        "mine = pathlib.Path(sys.argv[1], os.environ['PLACE'])\n"
        "mine.mkdir()  # fails where another is at work in the same place\n"
        "time.sleep(0.3); mine.rmdir()\n"
    )
    places = [{"PLACE": "one"}, {"PLACE": "two"}]
    ended = list(run_packed({n: python(program, tmp_path) for n in "abcd"}, places, asked=Request()))
    assert sorted(one.name for one in ended) == list("abcd")
    assert [one.errors for one in ended if one.code] == []


def test_a_signal_asks_those_at_work_to_stop_and_starts_no_more(tmp_path: Path) -> None:
    asked = Request()
    commands = {n: python(WAITS, tmp_path / n) for n in ("a", "b", "later")}
    running = run_packed(commands, [{}, {}], asked=asked)

    def stop() -> None:
        if all(appears(tmp_path / n) for n in "ab"):
            asked.received = "SIGTERM"

    thread = threading.Thread(target=stop)
    thread.start()
    assert list(running) == []
    thread.join()
    assert [(tmp_path / n).read_text() for n in "ab"] == ["asked to stop"] * 2
    assert not (tmp_path / "later").exists()


def test_a_caller_that_stops_reading_leaves_no_process_behind(tmp_path: Path) -> None:
    running = run_packed({"waits": python(WAITS, tmp_path / "waits"), "ends": python("")}, [{}, {}], asked=Request())
    assert next(running).name == "ends"
    assert appears(tmp_path / "waits")
    running.close()
    assert (tmp_path / "waits").read_text() == "asked to stop"


def test_processes_end_with_a_caller_that_is_killed(tmp_path: Path) -> None:
    """Those of bertctl do; they find out in the environment whom not to outlive."""
    heeds = "from bert_cli.launch import bound_to_parent; bound_to_parent()\n" + WAITS.replace(
        "'at work'", "str(os.getpid())"
    )
    caller = (
        "import sys\n"
        "from bert_cli.run.packed import run_packed\n"
        "from bert_cli.run.signals import Request\n"
        "list(run_packed({'a': sys.argv[1:]}, [{}], asked=Request()))\n"
    )
    pid = tmp_path / "pid"
    process = subprocess.Popen(python(caller, *python("import os\n" + heeds, pid)))
    assert appears(pid)
    process.kill()
    process.wait()
    until = time.monotonic() + 20
    while time.monotonic() < until and Path("/proc", pid.read_text()).exists():
        time.sleep(0.05)
    assert not Path("/proc", pid.read_text()).exists()


def test_a_process_killed_by_a_signal_is_told_by_its_number() -> None:
    (one,) = run_packed({"a": python("import os; os.kill(os.getpid(), 9)")}, [{}], asked=Request())
    assert one.code == -9


def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        list(run_packed({"a": ["no-such-program"]}, [{}], asked=Request()))
