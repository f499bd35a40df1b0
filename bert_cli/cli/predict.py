"""`bertctl predict`: texts in, predictions out, as a stream."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Annotated

import typer

from bert_cli.errors import UsageError


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Run folder, model folder or hub id.")],
    source: Annotated[
        str, typer.Argument(metavar="[FILE|-]", help="CSV, TSV, JSONL, Parquet or plain lines; - is stdin.")
    ] = "-",
    text: Annotated[
        str | None, typer.Option("--text", help="Column of the text. Default: the model's own.", show_default=False)
    ] = None,
    text_pair: Annotated[
        str | None, typer.Option("--text-pair", help="Column of the second text.", show_default=False)
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="csv, tsv, jsonl, parquet or txt. Default: by the file's name; stdin: txt.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File for the predictions. Default: stdout.", show_default=False)
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            min=0.0,
            max=1.0,
            help="Multi-label: probability from which a label counts. Default: the model's own.",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option("--precision", help="auto, fp32 or bf16. Default: the model's own.", show_default=False),
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Branch, tag or commit of a hub model.", show_default=False)
    ] = None,
    allow_bin: Annotated[bool, typer.Option("--allow-bin", help="Accept a model with only pickled weights.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    """Predict labels or scores for texts, one JSON object a line, in the order of the input.

    echo "a fine film" | bertctl predict runs/sst2-bert-base-uncased
    """
    from bert_cli.data.read import iter_records
    from bert_cli.run.predict import load_predictor

    if out is not None and source != "-" and out.resolve() == Path(source).resolve():
        raise UsageError(
            "U072",
            "the predictions would replace the texts they are made from",
            key="--out",
            found=str(out),
            allowed="another file than the input",
            help="--out predictions.jsonl",
        )
    if source != "-" and not Path(source).exists():
        # Checked before a model is loaded: a typing mistake should cost nothing.
        list(iter_records(Path(source), format=kind))
    predictor = load_predictor(
        model, precision=precision, threshold=threshold, revision=revision, allow_bin=allow_bin, offline=offline
    )
    columns = {role: name for role, name in (("text", text), ("text_pair", text_pair)) if name}
    with ExitStack() as stack:
        if source == "-":
            records = iter_records(sys.stdin.buffer, format=kind or "txt", name="stdin")
        else:
            records = iter_records(Path(source), format=kind)
        sink = stack.enter_context(_Draft(out)) if out is not None else sys.stdout
        for prediction in predictor.stream(records, origin="stdin" if source == "-" else source, columns=columns):
            sink.write(json.dumps(prediction, ensure_ascii=False) + "\n")
            if out is None:
                sink.flush()


class _Draft:
    """A text file that takes its place only when everything went well."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_name(f".{path.name}.draft")

    def __enter__(self) -> IO[str]:
        if self._path.is_dir():
            raise UsageError(
                "U071",
                "the predictions go to a file, this is a folder",
                key="--out",
                found=str(self._path),
                allowed="a file",
                help=f"--out {self._path / 'predictions.jsonl'}",
            )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._draft.open("w", encoding="utf-8")
        return self._file

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._file.close()
        if kind is None:
            self._draft.replace(self._path)
        else:
            self._draft.unlink(missing_ok=True)
