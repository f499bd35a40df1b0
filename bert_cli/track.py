"""Records of a run -> terminal, `metrics.jsonl`, and any tracker that accelerate knows.

`metrics.jsonl` has one object a line: step, epoch and values named `train/…` or `SPLIT/…`; it is the truth, and the
others are views of it. Rates count training steps only. On a terminal a live line shows progress; elsewhere a line
every few seconds does.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

from bert_cli.errors import UsageError, printable_lines
from bert_cli.files import publish

LINE_SECONDS = 10.0


class Record(Protocol):
    """What the engine yields; see `bert_cli.train.engine.StepRecord`."""

    @property
    def step(self) -> int: ...
    @property
    def epoch(self) -> float: ...
    @property
    def progress(self) -> float: ...
    @property
    def last(self) -> bool: ...
    @property
    def losses(self) -> dict[str, float]: ...
    @property
    def loss(self) -> float: ...
    @property
    def lr(self) -> float: ...
    @property
    def grad_norm(self) -> float: ...
    @property
    def examples(self) -> int: ...
    @property
    def tokens(self) -> int: ...
    @property
    def computed_tokens(self) -> int: ...
    @property
    def seconds(self) -> float: ...


class Tracker:
    """Receives every step and every score of one run; use it as a context manager.

    Args:
        metrics: the JSON lines file, opened for appending.
        total_steps: where the run ends; None where time ends it.
        seconds: the time in training steps that ends it.
        log_every: steps between training records.
        trackers: names that accelerate knows (`tensorboard`, `wandb`, …).
        folder: where trackers that write files put them.
        settings: the resolved recipe, for the trackers.
        quiet: nothing on the terminal.
    """

    def __init__(
        self,
        metrics: Path,
        *,
        total_steps: int | None,
        log_every: int,
        seconds: float | None = None,
        trackers: Sequence[str] = (),
        folder: Path | None = None,
        settings: Mapping[str, Any] | None = None,
        quiet: bool = False,
    ) -> None:
        self._file: IO[str] = metrics.open("a", encoding="utf-8")
        self._log_every = log_every
        self._began = time.perf_counter()
        self._window = _Window()
        self.whole = _Window()
        self._display: _Lines | _Bar | None = None
        if not quiet:
            self._display = (_Bar if sys.stderr.isatty() else _Lines)(_End(total_steps, seconds))
        self._others = [_accelerate_tracker(name, folder or metrics.parent, settings or {}) for name in trackers]

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display is not None:
            self._display.close()
        self._file.close()
        for other in self._others:
            other.finish()

    def step(self, record: Record) -> None:
        """One optimizer step."""
        self._window.add(record)
        self.whole.add(record)
        if self._display is not None:
            self._display.step(record, self.whole)
        if record.step == 1 or record.last or record.step % self._log_every == 0:
            values = {
                "train/loss": self._window.loss,
                "train/lr": record.lr,
                "train/grad_norm": record.grad_norm,
                **self._window.rates(),
            }
            if len(record.losses) > 1:
                values |= {f"train/{name}": value for name, value in record.losses.items()}
            self.write(record.step, record.epoch, values)
            self._window = _Window()

    def scores(self, step: int, epoch: float, split: str, values: Mapping[str, float], *, best: bool) -> None:
        """Scores of a split."""
        self.write(step, epoch, {f"{split}/{name}": value for name, value in values.items()})
        if self._display is not None:
            shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
            self._display.note(f"epoch {epoch:.2f}  step {step}  {split}  {shown}" + ("  * best" if best else ""))

    @property
    def window(self) -> dict[str, float]:
        """Sums since the last training record."""
        return dict(vars(self._window))

    def restore(self, window: Mapping[str, float]) -> None:
        """Go on with the sums of an earlier process."""
        vars(self._window).update(window)

    def summary(self, step: int, epoch: float) -> dict[str, float]:
        """Write and return the rates over all training steps of this process."""
        values = self.whole.rates()
        self.write(step, epoch, {f"{name}_mean": value for name, value in values.items()})
        return values

    def note(self, text: str) -> None:
        """One line of log."""
        if self._display is not None:
            self._display.note(text)

    def write(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """One line of `metrics.jsonl`; a value that is not finite becomes null."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        line = {
            "step": step,
            "epoch": round(epoch, 6),
            "seconds": round(time.perf_counter() - self._began, 3),
            **finite,
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        for other in self._others:
            other.log({name: value for name, value in finite.items() if value is not None}, step=step)


def forget_after(metrics: Path, step: int) -> None:
    """Drop the lines of steps after `step`, and a last line that a killed run left half written."""
    if not metrics.exists():
        return
    kept = []
    for line in metrics.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except ValueError:
            break
    publish(metrics, "".join(f"{line}\n" for line in kept))


class _Window:
    """Sums over some steps."""

    def __init__(self) -> None:
        self.steps = self.examples = self.tokens = self.computed = 0
        self.seconds = self.losses = 0.0

    def add(self, record: Record) -> None:
        self.steps += 1
        self.examples += record.examples
        self.tokens += record.tokens
        self.computed += record.computed_tokens
        self.seconds += record.seconds
        self.losses += record.loss

    @property
    def loss(self) -> float:
        return self.losses / max(1, self.steps)

    def rates(self) -> dict[str, float]:
        """Real examples and tokens per second of training steps, and computed tokens per real one."""
        seconds = max(self.seconds, 1e-9)
        return {
            "train/examples_per_s": round(self.examples / seconds, 2),
            "train/tokens_per_s": round(self.tokens / seconds, 1),
            "train/computed_per_token": round(self.computed / max(1, self.tokens), 4),
        }


@dataclass(frozen=True)
class _End:
    """Where a run ends: after so many steps or so many seconds in them."""

    steps: int | None
    seconds: float | None

    def place(self, record: Record) -> str:
        """How far the run has come."""
        return f"{record.step}/{self.steps}" if self.steps is not None else f"{record.step} ({record.progress:.0%})"

    def left(self, record: Record, whole: _Window) -> str:
        """Time until it ends."""
        if self.seconds is not None:
            return clock((1 - record.progress) * self.seconds)
        return clock(((self.steps or 0) - record.step) * whole.seconds / max(1, whole.steps))


class _Lines:
    """Plain lines on stderr, for logs."""

    def __init__(self, end: _End) -> None:
        self._end = end
        self._last = time.perf_counter()

    def step(self, record: Record, whole: _Window) -> None:
        now = time.perf_counter()
        if now - self._last >= LINE_SECONDS or record.last:
            self._last = now
            rate = whole.rates()["train/examples_per_s"]
            self.note(
                f"step {self._end.place(record)}  epoch {record.epoch:.2f}  loss {record.loss:.4f}  "
                f"lr {record.lr:.2e}  {rate:.0f} examples/s  {self._end.left(record, whole)} left"
            )

    def note(self, text: str) -> None:
        sys.stderr.write(printable_lines(text) + "\n")
        sys.stderr.flush()

    def close(self) -> None:
        pass


class _Bar:
    """A live line on a terminal."""

    def __init__(self, end: _End) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("[bold]train"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[place]}"),
            TextColumn("epoch {task.fields[epoch]:.2f}"),
            TextColumn("loss [bold]{task.fields[loss]:.4f}"),
            TextColumn("{task.fields[rate]:.0f} ex/s"),
            TextColumn("[dim]{task.fields[left]} left"),
            console=Console(stderr=True),
            expand=True,
            refresh_per_second=4,
        )
        self._task = self._progress.add_task("train", total=1.0, place="", epoch=0.0, loss=math.nan, rate=0.0, left="?")
        self._smooth = math.nan
        self._end = end
        self._progress.start()

    def step(self, record: Record, whole: _Window) -> None:
        self._smooth = record.loss if math.isnan(self._smooth) else 0.98 * self._smooth + 0.02 * record.loss
        self._progress.update(
            self._task,
            completed=record.progress,
            place=self._end.place(record),
            epoch=record.epoch,
            loss=self._smooth,
            rate=whole.rates()["train/examples_per_s"],
            left=self._end.left(record, whole),
        )

    def note(self, text: str) -> None:
        self._progress.console.print(printable_lines(text), highlight=False, markup=False)

    def close(self) -> None:
        self._progress.stop()


def clock(seconds: float) -> str:
    """A duration as people read it: 42s, 3m20s, 1h05m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that are unknown (U040) or not installed (U041), before anything is trained."""
    if not names:
        return
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = [str(name) for name in LOGGER_TYPE_TO_CLASS]
    installed = [str(getattr(name, "value", name)) for name in get_available_trackers()]
    for name in names:
        if name not in known:
            raise UsageError(
                "U040",
                f"there is no tracker '{name}'",
                key="run.trackers",
                found=name,
                allowed=known,
                help="metrics.jsonl is always written",
            )
        if name not in installed:
            raise UsageError(
                "U041",
                f"the tracker '{name}' is not installed",
                key="run.trackers",
                found=name,
                allowed=installed or "none",
                help=f"pip install {name}",
            )


def _accelerate_tracker(name: str, folder: Path, settings: Mapping[str, Any]) -> Any:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    kind = LOGGER_TYPE_TO_CLASS[name]
    tracker = (
        kind(folder.name, logging_dir=str(folder / name)) if kind.requires_logging_directory else kind(folder.name)
    )
    if hasattr(tracker, "start"):
        tracker.start()
    tracker.store_init_configuration({key: value for key, value in settings.items() if value is not None})
    return tracker
