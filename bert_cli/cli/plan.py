"""What a dry run found out: data, labels, steps, time and memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bert_cli.cli.console import print_json, print_table, say

if TYPE_CHECKING:
    from bert_cli.run.dryrun import DryRun


def show_plan(plan: DryRun, *, as_json: bool) -> None:
    """The plan as tables, or as JSON."""
    if as_json:
        print_json(plan.as_dict())
        return
    if plan.stages:
        print_table(_stage_rows(plan.stages), ("stage", "state", "task", "steps", "time", "run"))
        say("")
    say(f"task {plan.task}  ·  model {plan.model}")
    if plan.columns:
        say("columns  " + ", ".join(f"{role} = {name}" for role, name in plan.columns.items()))
    names = ("rows", "mean_tokens", "longest", "truncated", "lost_tokens", "empty_texts")
    say("")
    print_table(
        [(name, facts["origin"], *(facts[key] for key in names)) for name, facts in plan.splits.items()],
        ("split", "file", "rows", "mean tokens", "longest", "truncated", "lost tokens", "empty"),
    )
    if plan.labels:
        say("")
        splits = list(plan.splits)
        counts = [[plan.splits[split].get("classes", {}).get(label, 0) for split in splits] for label in plan.labels]
        print_table(
            [(i, label, *row) for i, (label, row) in enumerate(zip(plan.labels, counts, strict=True))],
            ("id", "label", *splits),
        )
    say("")
    print_table(_plan_rows(plan.plan, plan.cost))


def _stage_rows(stages: Sequence[dict[str, Any]]) -> list[tuple[str, str, str, str, str, str]]:
    """Each stage; what has been finished takes no steps and no time."""
    from bert_cli.track import clock

    rows = []
    for number, stage in enumerate(stages, 1):
        steps, time = "", ""
        if "plan" in stage:
            steps = "as many as time allows" if stage["plan"]["steps"] is None else str(stage["plan"]["steps"])
            time = clock(stage["cost"]["training_seconds"])
        rows.append((f"{number} {stage['name']}", stage["state"], stage.get("task", ""), steps, time, stage["run"]))
    return rows


def _plan_rows(plan: dict[str, Any], cost: dict[str, Any]) -> list[tuple[str, str]]:
    from bert_cli.track import clock

    padding = plan["padding"]
    phases = plan["phases"] if len(plan["phases"]) > 1 else []
    batch = "in phases" if phases else f"of {plan['batch_size']} examples"
    steps = f"as many as time allows, {batch}"
    if plan["steps"] is not None:
        epoch = "" if phases else f", {plan['steps_per_epoch']} an epoch"
        steps = f"{plan['steps']} {batch}{epoch}, {plan['warmup_steps']} warm-up"
    parameters = f"{plan['parameters'] / 1e6:.1f}M, {plan['trainable'] / 1e6:.1f}M of them trained"
    seconds = f"{cost['seconds_per_step']:.3f} s a step"
    many = plan["processes"] if plan["processes"] > 1 else 0
    return [
        ("steps", steps),
        *(("  phase", f"{p['steps']} of {p['batch_size']} examples, up to {p['longest']} tokens") for p in phases),
        ("parameters", parameters),
        ("tokens computed", f"{padding['here']}x the real ones"),
        (
            "  by padding",
            f"{padding['to_longest_of_batch']}x to a batch's longest, {padding['to_max_length']}x to max_length",
        ),
        ("forward passes", f"{plan['micro_batches_per_step']} a step" + (", in each process" if many else "")),
        ("device", f"{cost['device']}{f' × {many}' if many else ''}, {cost['precision']}"),
        ("time", f"{seconds}, about {clock(cost['training_seconds'])} of training steps"),
        ("memory", f"{cost['peak_memory_mb']} MB at most, measured over {cost['measured_steps']} steps"),
    ]
