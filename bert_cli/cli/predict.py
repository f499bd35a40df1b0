"""`bertctl predict`: texts in, predictions out, as a stream."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bert_cli.cli import scoring
from bert_cli.cli.console import note
from bert_cli.errors import UsageError, printable_json

if TYPE_CHECKING:
    from bert_cli.data.read import Record
    from bert_cli.run.predict import Tally

STDIN = "-"


def _known_format(value: str | None) -> str | None:
    """A format as the readers call it.

    Raises:
        UsageError: there is no such format (U076).
    """
    if value is None:
        return None
    from bert_cli.data.read import FORMATS

    plain = value.lower().lstrip(".")
    scoring.one_of("--format", FORMATS, help="--format csv")(plain.removesuffix(".gz"))
    return plain


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Run folder, model folder or hub id.")],
    source: Annotated[
        str, typer.Argument(metavar="[FILE|-]", help="CSV, TSV, JSONL, Parquet or plain lines; - is stdin.")
    ] = STDIN,
    text: Annotated[
        str | None, typer.Option("--text", help="Column of the text. Default: the model's own.", show_default=False)
    ] = None,
    text_pair: Annotated[
        str | None, typer.Option("--text-pair", help="Column of the second text.", show_default=False)
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="ROLE=NAME",
            help="Column of another role, as question=q; repeatable.",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--format",
            callback=_known_format,
            help="csv, tsv, jsonl, json, parquet or txt. Default: by the file's name; stdin: txt.",
            show_default=False,
        ),
    ] = None,
    encoding: Annotated[str, typer.Option("--encoding", help="Of text formats.")] = "utf-8",
    quoting: Annotated[
        str,
        typer.Option(
            "--quoting",
            callback=scoring.one_of("--quoting", ("minimal", "none"), help="--quoting none"),
            help="Of csv and tsv: minimal, or none where quotes are text.",
        ),
    ] = "minimal",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File for the predictions. Default: stdout.", show_default=False)
    ] = None,
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
    quiet: scoring.Quiet = False,
) -> None:
    """Predict labels or scores for texts, one JSON line each.

    Lines come in the order of the input, the first ones while the rest is still read.

    echo "a fine film" | bertctl predict runs/sst2-bert-base-uncased
    """
    columns = {**_roles(column or ()), **{k: v for k, v in (("text", text), ("text_pair", text_pair)) if v}}
    _check_places(source, out, overwrite=overwrite)
    kind = kind or _format_of(source)
    records = _open(source, kind, limit=limit, quoting=quoting, encoding=encoding)
    plain = kind.removesuffix(".gz") == "txt"
    if plain and columns:
        raise _no_columns(columns)

    from bert_cli.run.predict import Tally, load_predictor

    predictor = load_predictor(
        model,
        pairs="text_pair" in columns,
        threshold=threshold,
        max_length=max_length,
        batch_size=batch_size,
        device=device or "auto",
        precision=precision,
        revision=revision,
        allow_bin=allow_bin,
        offline=offline,
    )
    if plain and predictor.needs_pair:
        raise _no_second_text(source)
    tally = Tally()
    origin = "stdin" if source == STDIN else source
    _write(predictor.stream(records, origin=origin, columns=columns, tally=tally), out, quiet=quiet)
    if not quiet:
        _sum_up(tally, predictor.max_length, out)


def _roles(given: Iterable[str]) -> dict[str, str]:
    """Role -> column of each `--column`.

    Raises:
        UsageError: one is not ROLE=NAME (U097).
    """
    roles = {}
    for text in given:
        role, equals, name = text.partition("=")
        if not (role and equals and name):
            raise UsageError(
                "U097",
                "a column is named with the role that it plays",
                key="--column",
                found=text,
                allowed="ROLE=NAME",
                help="--column question=q",
            )
        roles[role] = name
    return roles


def _check_places(source: str, out: Path | None, *, overwrite: bool) -> None:
    if out is not None and source != STDIN and out.resolve() == Path(source).resolve():
        raise UsageError(
            "U072",
            "the predictions would replace the texts they are made from",
            key="--out",
            found=str(out),
            allowed="another file than the input",
            help="--out predictions.jsonl",
        )
    scoring.check_out(out, flag="--out", overwrite=overwrite)


def _format_of(source: str) -> str:
    """What the file's name says, or its suffix where that says nothing; plain lines from standard input."""
    from bert_cli.data.read import format_of

    if source == STDIN:
        return "txt"
    known = format_of(Path(source).name)
    return known[1] if known else ""


def _open(source: str, kind: str, *, limit: int | None, **reading: str) -> Iterator[Record]:
    """Records of the source. That it is there, and in a format that is known, is found out before a model is loaded."""
    from itertools import islice

    from bert_cli.data.read import iter_records

    if source == STDIN:
        return islice(iter_records(sys.stdin.buffer, format=kind, name="stdin", **reading), limit)
    return islice(iter_records(Path(source), format=kind or None, **reading), limit)


def _no_columns(columns: dict[str, str]) -> UsageError:
    role, name = next(iter(columns.items()))
    return UsageError(
        "U074",
        "plain lines have no columns",
        key=f"--{role.replace('_', '-')}" if role in ("text", "text_pair") else "--column",
        found=name,
        allowed="a column of csv, tsv, jsonl or parquet",
        help="--format csv (or tsv, jsonl) where the input has columns",
    )


def _no_second_text(source: str) -> UsageError:
    return UsageError(
        "U074",
        "the model reads pairs of texts, and a plain line holds one text",
        where="stdin" if source == STDIN else source,
        key="--format",
        found="txt",
        allowed="csv, tsv, jsonl, json or parquet",
        help="--format csv (or jsonl) --text COLUMN --text-pair COLUMN",
    )


def _sum_up(tally: Tally, max_length: int, out: Path | None) -> None:
    if tally.truncated:
        note(scoring.cut_texts(tally.truncated, tally.rows, max_length, lost=tally.lost))
    if out is not None:
        note(f"predictions: {out}, {tally.rows} row{'' if tally.rows == 1 else 's'}")


def _write(predictions: Iterable[dict[str, Any]], out: Path | None, *, quiet: bool) -> None:
    from bert_cli.run.predictions import line, place_for

    if out is None:
        for prediction in predictions:
            sys.stdout.write(printable_json(line(prediction)))
            sys.stdout.flush()
        return
    with place_for(out) as file, _progress(shown=not quiet and sys.stderr.isatty()) as show:
        for number, prediction in enumerate(predictions, 1):
            file.write(line(prediction))
            show(number)


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[int], None]]:
    """A live line on stderr that is told how many texts are done, and leaves nothing behind."""
    if not shown:
        yield lambda _: None
        return
    from rich.console import Console

    began = time.perf_counter()
    with Console(stderr=True).status("0 texts") as status:
        yield lambda done: status.update(f"{done} texts  {done / (time.perf_counter() - began):.0f}/s")
