"""How the parent answers for its ranks: whose end decides, what is told, and that none is left behind.

Here a rank is a few lines of Python; `tests/run/test_several.py` has real ones.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bert_cli import supervise as supervising
from bert_cli.launch import Layout
from bert_cli.supervise import Outcome, supervise, usable_cores

PROGRAM = "import json, os, pathlib, signal, sys, time; me = os.environ['RANK']; exec(sys.argv[1 + int(me)])"
SLEEP = "time.sleep(60)"
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN); pathlib.Path('deaf').touch(); time.sleep(60)"
DIE = "os.kill(os.getpid(), signal.SIGKILL)"
TELL = "pathlib.Path(os.environ['BERTCTL_JOB'], {!r}.replace('ME', me)).write_text({!r}); "
LOST = TELL.format("rank-ME.lost", json.dumps({"message": "lost"})) + "sys.exit(9)"


def fails(code: int, text: str = "error[D012]: a label is missing") -> str:
    return f"print('noise', file=sys.stderr); print({text!r}, file=sys.stderr); sys.exit({code})"


@pytest.fixture(autouse=True)
def _python_for_bertctl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(supervising, "PROGRAM", ("-S", "-c", PROGRAM))
    monkeypatch.setattr(supervising, "GRACE", 1.0)
    monkeypatch.setattr(supervising, "SETTLE", 1.5)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert not list(tmp_path.glob("bertctl-ranks-*")), "the private folder is gone"


def run(*ranks: str) -> Outcome:
    """What came of ranks that run these lines; none of them is left."""
    outcome = supervise(ranks, Layout(len(ranks)), pin=False)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    return outcome


def test_ranks_that_all_end_well_end_well() -> None:
    assert run("pass", "time.sleep(0.2)") == Outcome(0)


def test_rank_0_decides_and_speaks_for_itself(capfd: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    assert run(fails(3), SLEEP) == Outcome(3)
    assert time.monotonic() - began < 1.4, "nothing is waited for"
    assert capfd.readouterr().err == "noise\nerror[D012]: a label is missing\n"


def test_what_rank_0_has_told_is_not_told_again(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("time.sleep(0.5); " + fails(3), fails(3)) == Outcome(3)
    assert capfd.readouterr().err.count("error[") == 1


def test_another_rank_speaks_through_the_parent() -> None:
    outcome = run(SLEEP, "print('not me'); " + fails(7, "error[P020]: memory ran out"))
    assert outcome == Outcome(7, "error[P020]: memory ran out")
    assert run(LOST, "time.sleep(0.5); " + fails(7, "error[P020]: memory")).message == "error[P020]: memory"


def test_a_bug_of_another_rank_brings_its_traceback_along() -> None:
    message = run(SLEEP, fails(1, "Traceback …\nValueError: x\nerror[B001]: this is a bug")).message
    assert "ValueError: x" in message and "B001" in message


@pytest.mark.parametrize("other", [SLEEP, STUBBORN, LOST], ids=["sleeps", "hears no SIGTERM", "noticed"])
def test_a_killed_rank_is_named_with_its_likely_cause(other: str) -> None:
    last = "while not (pathlib.Path('deaf').exists() or 'deaf' not in sys.argv[1]): time.sleep(0.01)\n" + DIE
    outcome = run(other, last)
    assert outcome.code == 9 and outcome.error is not None
    assert (outcome.error.code, outcome.error.exit_code) == ("G001", 9)
    text = outcome.error.render()
    assert "rank 1 was killed by SIGKILL" in text and "memory" in text and "--resume auto" in text


def test_an_echo_is_not_taken_for_the_cause() -> None:
    """Rank 0 notices at once that rank 1 is gone; the parent may see rank 0 end first."""
    error = run(LOST, "time.sleep(0.4); " + DIE).error
    assert error is not None and "rank 1" in error.message


def test_a_code_that_bertctl_does_not_give_is_a_death() -> None:
    error = run(SLEEP, fails(77, "something odd")).error
    assert error is not None and (error.code, error.exit_code) == ("G002", 9)
    assert "77" in error.message and "something odd" in str(error.found)


def test_ranks_that_only_lost_each_other_say_so() -> None:
    outcome = run(LOST, LOST)
    assert outcome.code == 9 and outcome.error is not None
    assert (outcome.error.code, outcome.error.message) == ("G003", "lost")


def test_a_rank_that_does_not_answer_is_named() -> None:
    error = run(LOST, SLEEP).error
    assert error is not None and (error.code, error.message) == ("G003", "lost; rank 1 did not answer")


def test_the_run_folder_is_known_though_no_rank_is_left() -> None:
    assert run(TELL.format("run", "/runs/x") + DIE, SLEEP).run == Path("/runs/x")


COUNTING = (
    "got = []\n"
    "for name in ('SIGINT', 'SIGTERM', 'SIGUSR1'): signal.signal(getattr(signal, name), lambda n, _: got.append(n))\n"
    "pathlib.Path(f'ready-{me}').touch()\n"
    "while not got: time.sleep(0.01)\n"
    "time.sleep(0.3)\n"
    "sys.exit(75 if len(got) == 1 else 99)\n"
)


def send(number: int, *, when: int, then: float = 0.0) -> threading.Thread:
    """Send this process a signal as soon as that many ranks are ready."""

    def sending() -> None:
        while len(list(Path.cwd().glob("ready-*"))) < when:
            time.sleep(0.01)
        os.kill(os.getpid(), number)
        if then:
            time.sleep(then)
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=sending)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_reaches_every_rank_once(number: int) -> None:
    thread = send(number, when=2)
    assert run(COUNTING, COUNTING) == Outcome(75)
    thread.join()


def test_a_second_sigterm_is_not_passed_on() -> None:
    thread = send(signal.SIGTERM, when=2, then=0.1)
    assert run(COUNTING, COUNTING) == Outcome(75)
    thread.join()


def test_a_second_ctrl_c_ends_ranks_that_hear_nothing() -> None:
    deaf = "signal.signal(signal.SIGINT, signal.SIG_IGN); " + STUBBORN.replace("'deaf'", "f'ready-{me}'")
    thread = send(signal.SIGINT, when=2, then=0.1)
    assert run(deaf, deaf) == Outcome(130)
    thread.join()


def test_ranks_stopped_before_they_can_save_end_as_one_process_would() -> None:
    ready = "pathlib.Path(f'ready-{me}').touch(); time.sleep(60)"
    thread = send(signal.SIGTERM, when=2)
    assert run(ready, ready) == Outcome(143)
    thread.join()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_each_rank_has_cores_and_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    tell = (
        "time.sleep(0.3); pathlib.Path(f'cores-{me}').write_text(json.dumps("
        "[sorted(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'], os.environ['LOCAL_WORLD_SIZE']]))"
    )
    monkeypatch.delenv("OMP_NUM_THREADS")
    usable = usable_cores()
    assert sorted(usable) == sorted(os.sched_getaffinity(0))
    assert supervise([tell] * 2, Layout(2), pin=True).code == 0
    found = [json.loads(Path(f"cores-{rank}").read_text()) for rank in range(2)]
    share = max(1, len(usable) // 2)
    assert [threads for _, threads, _ in found] == [str(share)] * 2 and found[0][2] == "2"
    if len(usable) > 1:
        assert not set(found[0][0]) & set(found[1][0])
        assert [len(cores) for cores, _, _ in found] == [share, share]
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert supervise([tell] * 3, Layout(3), pin=True).code == 0
    assert [json.loads(Path(f"cores-{rank}").read_text())[1] for rank in range(3)] == ["7"] * 3
