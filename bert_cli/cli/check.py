"""`bertctl data check` and the labelled half of `bertctl data stats`: what data hold, and what is wrong with them.

Findings are facts about the data, so the command ends with 0 unless they cannot be read (3) or `--strict` asks for data
without any warning (3).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bert_cli.cli.console import note, print_json, print_table, say
from bert_cli.cli.facts import show_facts, show_overview, show_padding
from bert_cli.cli.source import load_named
from bert_cli.errors import DataError, UsageError

if TYPE_CHECKING:
    from bert_cli.inspect.finding import Finding
    from bert_cli.recipe.load import Loaded
    from bert_cli.run.check import Checked


Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RECIPE|SOURCE] [KEY=VALUE]...",
        help="A recipe, the place of the data, and any recipe keys.",
        show_default=False,
    ),
]
TaskName = Annotated[str | None, typer.Option("--task", "-t", help="A name of `bertctl task ls`.", show_default=False)]
Data = Annotated[
    str | None,
    typer.Option("--data", "-d", help="Folder, file, or hub:OWNER/NAME; the same as SOURCE.", show_default=False),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", help="Count lengths in its tokens. Default: words or characters.", show_default=False
    ),
]
MaxLength = Annotated[
    int | None, typer.Option("--max-length", min=4, help="Longest sequence, tokens.", show_default=False)
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N examples.", show_default=False)]
Picture = Annotated[
    Path | None,
    typer.Option("--picture", help="Draw lengths and classes into this PNG file.", show_default=False),
]
Strict = Annotated[bool, typer.Option("--strict", help="End with 3 where there is any warning.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.")]
Json = Annotated[bool, typer.Option("--json", help="Result as JSON on stdout.")]


def check(
    words: Words = None,
    task: TaskName = None,
    data: Data = None,
    model: Model = None,
    max_length: MaxLength = None,
    limit: Limit = None,
    strict: Strict = False,
    picture: Picture = None,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Look for what is wrong with labelled data, before any training.

    Repeated and contradicting rows, rows of one split in another, classes, empty and damaged texts, lengths.

    bertctl data check --task sst2 --data DIR --model google-bert/bert-base-uncased
    """
    flags = {"data.source": data, "model.name": model, "data.max_length": max_length, "data.limit": limit}
    loaded = load_named(words, flags, task=task, verb="finetune")
    checked = _look(loaded, judge=True, offline=offline, picture=picture)
    if as_json:
        print_json(checked.as_dict())
    else:
        show_overview(checked)
        show_padding(checked)
        say("")
        _show_findings(checked.findings)
    _end(checked.findings, strict=strict)


def show_stats(loaded: Loaded, *, offline: bool, as_json: bool, picture: Path | None) -> None:
    """The facts about labelled data, without judgement.

    Raises:
        DataError: some of them cannot be read (D170).
    """
    checked = _look(loaded, judge=False, offline=offline, picture=picture)
    if as_json:
        print_json({name: value for name, value in checked.as_dict().items() if name != "findings"})
    else:
        show_overview(checked)
        show_facts(checked)
    if checked.findings:
        say("")
        _show_findings(checked.findings)
    _end(checked.findings, strict=False)


def has_labels(task: str | None) -> bool:
    """Whether `--task` names a task whose data are labelled rows; an unknown name is left to whoever reads it."""
    from bert_cli.tasks import all_tasks

    known = all_tasks().get(task or "")
    return known is not None and not known.pretrains


def refuse_for_corpus(flags: Mapping[str, object]) -> None:
    """Refuse flags that would change nothing of what is said about a corpus.

    Raises:
        UsageError: one is given (U113).
    """
    given = [flag for flag, value in flags.items() if value is not None]
    if given:
        raise UsageError(
            "U113",
            f"{' and '.join(given)} {'changes' if len(given) == 1 else 'change'} nothing for a corpus",
            key=given[0],
            allowed="--task NAME for labelled data",
            help="--task text-classification, or bertctl data prepare counts the tokens of a corpus",
        )


def _look(loaded: Loaded, *, judge: bool, offline: bool, picture: Path | None) -> Checked:
    """Read the data; tokens are counted where the user names a model, not where a shipped recipe does."""
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    if picture is not None:
        from bert_cli.inspect.picture import check_place

        check_place(picture)
    from bert_cli.run.check import check_data

    named = {loaded.origins[key].kind for key in ("model.name", "model.tokenizer")}
    tokens = bool(named & {"file", "override", "flag"})
    checked = check_data(loaded.recipe, tokens=tokens, judge=judge, offline=offline)
    if picture is not None and checked.splits:
        from bert_cli.inspect.picture import draw

        lost = draw(
            picture,
            [(one.contents, one.lengths) for one in checked.splits],
            title=f"{checked.task.name}: {sum(len(one.contents) for one in checked.splits):,} rows",
            max_length=loaded.recipe.data.max_length,
        )
        note(f"picture {picture}" + (f"; {lost}" if lost else ""))
    return checked


def _end(findings: tuple[Finding, ...], *, strict: bool) -> None:
    """Raise where the data cannot be read, and with `strict` where anything is doubtful.

    Raises:
        DataError: D170.
    """
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = sum(finding.severity == "warning" for finding in findings)
    if errors or (strict and warnings):
        raise DataError(
            "D170",
            f"the data have {_counted(findings, ('error', 'warning') if strict else ('error',))}",
            key="data.source",
            allowed="none with --strict" if strict else "none",
            help="mend them as the lines above say",
        )


def _counted(findings: tuple[Finding, ...], severities: tuple[str, ...]) -> str:
    """`1 error, 2 warnings`."""
    counts = {name: sum(finding.severity == name for finding in findings) for name in severities}
    return ", ".join(f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items() if count)


def _show_findings(findings: tuple[Finding, ...]) -> None:
    rows: list[tuple[str, str, str]] = []
    for finding in findings:
        rows.append((finding.severity, finding.name, finding.what))
        more = {"at": "; ".join(finding.where), "text": finding.example, "help": finding.help}
        rows += [("", "", f"{name + ':':5} {text}") for name, text in more.items() if text]
    print_table(rows)
    if rows:
        say("")
    say(_counted(findings, ("error", "warning", "note")) or "nothing found")
