"""What `bertctl eval` and `bertctl predict` share: flags of one name and one meaning, and where predictions may go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from bert_cli.errors import UsageError


def one_of(flag: str, allowed: Sequence[str], *, help: str) -> Callable[[str | None], str | None]:
    """A check of what was typed behind `flag`."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in allowed:
            raise UsageError(
                "U076",
                f"{flag} does not know '{value}'",
                key=flag,
                found=value,
                # A list would be searched for the nearest spelling, and that of `gpu` is `cpu`.
                allowed=", ".join(allowed),
                help=help,
            )
        return value

    return check


Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        min=0.0,
        max=1.0,
        help="Multi-label: probability from which a label counts; questions: of no answer, from which none is given. "
        "Default: the model's own.",
        show_default=False,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        help="Texts of full length in one forward pass; shorter ones are more. Default: the model's own.",
        show_default=False,
    ),
]
MaxLength = Annotated[
    int | None,
    typer.Option("--max-length", min=4, help="Longest sequence, tokens. Default: the model's own.", show_default=False),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N rows.", show_default=False)]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        callback=one_of("--device", ("auto", "cpu", "cuda"), help="--device cuda for a GPU"),
        help="auto, cpu or cuda. Default: a GPU where there is one.",
        show_default=False,
    ),
]
PrecisionName = Annotated[
    str | None,
    typer.Option(
        "--precision",
        callback=one_of("--precision", ("auto", "fp32", "bf16"), help="--precision auto measures which is faster"),
        help="auto, fp32 or bf16. Default: the model's own.",
        show_default=False,
    ),
]
Revision = Annotated[
    str | None, typer.Option("--revision", help="Branch, tag or commit of a hub model.", show_default=False)
]
AllowBin = Annotated[bool, typer.Option("--allow-bin", help="Accept a model with only pickled weights.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file of predictions where it exists.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on stderr but errors.")]


def check_out(path: Path | None, *, flag: str, overwrite: bool) -> None:
    """Refuse a place where predictions would replace something; pipes and devices are written to.

    Raises:
        UsageError: it is a folder (U071), or a file that is not to be overwritten (U073).
    """
    if path is None:
        return
    if path.is_dir():
        raise UsageError(
            "U071",
            "the predictions go to a file, this is a folder",
            key=flag,
            found=str(path),
            allowed="a file",
            help=f"{flag} {path / 'predictions.jsonl'}",
        )
    if path.is_file() and not overwrite:
        raise UsageError(
            "U073",
            "this file exists already",
            key=flag,
            found=str(path),
            allowed="a new file",
            help=f"--overwrite replaces it, or name another {flag}",
        )


def cut_texts(truncated: int, rows: int, max_length: int, *, lost: float) -> str:
    """A sentence about texts of which the model saw only the beginning.

    Args:
        lost: share of all tokens that was cut.
    """
    if not truncated:
        return f"no text was cut at {max_length} tokens"
    are, were = ("is", "was") if truncated == 1 else ("are", "were")
    texts = "text" if rows == 1 else "texts"
    cut = f"{truncated} of {rows} {texts} {are} longer than {max_length} tokens and {were} cut there"
    return f"{cut}, {100 * lost:.2g} % of all tokens (--max-length)"


def silent(_: str) -> None:
    """Where log goes that nobody wants to see."""
