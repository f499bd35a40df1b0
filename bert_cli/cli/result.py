"""What a training run came to: scores, the rows they were taken on, speed, and the commands that go on from it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bert_cli.cli.console import print_json, print_table, say

if TYPE_CHECKING:
    from bert_cli.run.seeds import Seeds
    from bert_cli.run.state import Result


def show_result(result: Result, *, verb: str, began: float, as_json: bool) -> None:
    """The result of a run; `began` is when this command did, seconds since the epoch."""
    if as_json:
        print_json(result.as_dict())
        return
    facts = result.as_dict()
    rate, tokens = facts["train/examples_per_s"], facts["train/tokens_per_s"]
    rows = [
        *_score_rows(facts["scores"]),
        *_split_rows(result, unit="blocks" if verb == "pretrain" else "rows"),
        ("best", f"step {facts['best_step']} of {facts['steps']}, by {facts['metric']}"),
        ("speed", f"{rate:.0f} examples/s, {tokens:.0f} tokens/s; {_time_taken(result, began)}"),
        ("model", facts["model"]),
    ]
    if facts["stopped"] != "finished":
        rows.append(("stopped", facts["stopped"]))
    say("")
    print_table(rows)
    use = f"finetune --task TASK --model {facts['run']}" if verb == "pretrain" else f"predict {facts['run']} FILE"
    say(f"\nnext: bertctl eval {facts['run']}\n      bertctl {use}")


def show_seeds(seeds: Seeds, *, as_json: bool) -> None:
    """What several seeds reached: each split and metric with its spread, then every run."""
    from bert_cli.metrics.external import short_names

    if as_json:
        print_json(seeds.as_dict())
        return
    rows = []
    for split, scores in seeds.scores.items():
        shown = short_names(scores)
        for name, one in scores.items():
            deviation = "" if one.std is None else f"{one.std:.4f}"
            interval = "from 5 seeds on" if one.low is None else f"{one.low:.4f} to {one.high:.4f}"
            rows.append((split, shown[name], f"{one.mean:.4f}", deviation, interval))
    say("")
    print_table(rows, ("split", "metric", "mean", "std", "95 % interval of the mean"))
    say("")
    print_table(
        [(seed, _number(run["value"]), run["best_step"], run["run"]) for seed, run in seeds.runs.items()],
        ("seed", seeds.metric, "best step", "run"),
    )


def _score_rows(scores: dict[str, dict[str, float | None]]) -> list[tuple[str, str]]:
    from bert_cli.metrics.external import short_names

    rows = []
    for split, values in scores.items():
        shown = short_names(values)
        rows.append((split, "  ".join(f"{shown[name]} {_number(value)}" for name, value in values.items())))
    return rows


def _number(value: float | None) -> str:
    """A score; one that is not a number comes out of `status.json` as null."""
    return "undefined" if value is None else f"{value:.4f}"


def _split_rows(result: Result, *, unit: str) -> list[tuple[str, str]]:
    """What each scored split consists of."""
    from bert_cli.run.publish import ModelFacts

    facts = ModelFacts.read(result.run.best)
    rows: list[tuple[str, str]] = []
    for name, split in (facts.splits if facts else {}).items():
        share = split["held_out"]
        source = split["origin"] if share is None else f"{100 * share:.3g} % held out of {split['origin']}"
        rows.append(("scored on" if not rows else "", f"{name}: {source}, {split['rows']} {unit}"))
    return rows


def _time_taken(result: Result, began: float) -> str:
    """How long the run took, whoever trained it: this command, this one and earlier ones, or earlier ones alone."""
    from bert_cli.track import clock

    training = f"{clock(result.state.seconds)} of training steps"
    if result.run.status.stat().st_mtime < began:
        return f"{training}, finished {result.run.read_status()['time']}"
    seconds = time.time() - began
    # Only steps of earlier commands can make the training longer than this command.
    return training if result.state.seconds > seconds else f"{clock(seconds)} in all"
