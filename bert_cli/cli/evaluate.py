"""`bertctl eval`: a model's scores on a labelled split, on held-out text, or on minimal pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bert_cli.cli import pairs, scoring
from bert_cli.cli.console import note, print_json, print_table, say

if TYPE_CHECKING:
    from bert_cli.run.evaluate import Evaluation


def evaluate(
    target: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="Run folder, model folder or hub id.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Any recipe keys.", show_default=False)
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="Default: the run's own.", show_default=False)
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", "-d", help="Folder, file, or hub:OWNER/NAME. Default: the run's own.", show_default=False
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split", help="Which split to score. Default: validation; of minimal pairs test.", show_default=False
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            help="Names of a model's outputs in order, where it has only LABEL_0 …: negative,positive",
            show_default=False,
        ),
    ] = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-under",
            metavar="METRIC=VALUE",
            help="Exit 6 where a score is worse than this; may be repeated.",
            show_default=False,
        ),
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="Where the predictions go (JSON lines).", show_default=False)
    ] = None,
    masking: pairs.Masking = None,
    threshold: scoring.Threshold = None,
    max_length: scoring.MaxLength = None,
    limit: scoring.Limit = None,
    batch_size: scoring.BatchSize = None,
    device: scoring.Device = None,
    precision: scoring.PrecisionName = None,
    overwrite: scoring.Overwrite = False,
    revision: scoring.Revision = None,
    allow_bin: scoring.AllowBin = False,
    offline: scoring.Offline = False,
    as_json: Annotated[bool, typer.Option("--json", help="Result as JSON on stdout.")] = False,
    quiet: scoring.Quiet = False,
) -> None:
    """Score a run's best model, or any model, on a labelled split.

    bertctl eval runs/sst2-bert-base-uncased --fail-under accuracy=0.9

    Minimal pairs (--task blimp, crows_pairs) need a masked language model; of them --limit takes some of every group.
    """
    from bert_cli.run.gates import check_gates, read_gates

    gates = read_gates(fail_under or [])
    scoring.check_out(predictions, flag="--predictions", overwrite=overwrite)
    log = scoring.silent if quiet else note
    flags = {"data.limit": limit, "dist.device": device, "train.precision": precision}
    given: dict[str, Any] = {
        "data": data,
        "batch_size": batch_size,
        "overrides": tuple(overrides or ()),
        "gates": gates,
        "revision": revision,
        "allow_bin": allow_bin,
        "offline": offline,
        "write_to": predictions,
        "note": log,
    }
    if (named := pairs.pairs_task(task, overrides or ())) is not None:
        refused = {"--labels": labels, "--threshold": threshold, "--max-length": max_length}
        pairs.refuse_flags(refused, what="minimal pairs")
        scores = pairs.score(
            target, task=named, split=split, masking=masking, flags=flags, as_json=as_json, given=given
        )
        check_gates(scores, gates)
        return
    from bert_cli.run import evaluate as work

    pairs.refuse_flags({"--masking": masking}, what="anything but minimal pairs")
    found = work.evaluate(
        target,
        task=task,
        split=split or "validation",
        labels=None if labels is None else tuple(name.strip() for name in labels.split(",")),
        flags={**flags, "eval.threshold": threshold, "data.max_length": max_length},
        **given,
    )
    if not found.of_blocks:
        log(scoring.cut_texts(found.cut.rows, found.cut.examples, found.max_length, lost=found.cut.tokens))
    if as_json:
        print_json(found.as_dict())
    else:
        _show(found)
    check_gates(found.scores, gates)


def _show(found: Evaluation) -> None:
    from bert_cli.metrics.external import short_names

    threshold = "" if found.threshold is None else f"  ·  threshold {found.threshold:g}"
    say(f"{found.model}  ·  {found.task}  ·  {found.precision}{threshold}")
    say(f"scored on {found.rows}")
    say("")
    shown = short_names(found.scores)
    print_table([(shown[name], f"{value:.4f}") for name, value in found.scores.items()])
    classes = found.report.get("classes")
    if classes:
        say("")
        columns = ("precision", "recall", "f1", "support")
        print_table(
            [(row["label"], *(f"{row[c]:.4f}" if c != "support" else row[c] for c in columns)) for row in classes],
            ("class", *columns),
        )
    groups = {name: value for name, value in found.report.items() if isinstance(value, dict)}
    if groups and not classes:
        say("")
        print_table(
            [(name, "  ".join(f"{key} {_short(one)}" for key, one in group.items())) for name, group in groups.items()]
        )
    matrix = found.report.get("confusion_matrix")
    if matrix and found.labels and len(found.labels) <= 12:
        say("")
        say("rows: gold, columns: predicted")
        print_table([(name, *row) for name, row in zip(found.labels, matrix, strict=True)], ("", *found.labels))
    if found.predictions is not None:
        say("")
        say(f"predictions: {found.predictions}")


def _short(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
