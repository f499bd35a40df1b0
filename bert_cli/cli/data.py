"""`bertctl data`: what data hold and what is wrong with them; a corpus is tokenised once for many trainings."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bert_cli.cli import check
from bert_cli.cli.console import note, print_json, print_table, say
from bert_cli.cli.source import load_named

if TYPE_CHECKING:
    from bert_cli.recipe.schema import Recipe

app = typer.Typer(
    help="Show what data hold, check them, and tokenise a corpus once.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SOURCE|RECIPE] [KEY=VALUE]...",
        help="Text, JSONL or Parquet: a file, folder, 'GLOB' or hub:OWNER/NAME. Or a recipe that names it.",
        show_default=False,
    ),
]
Data = Annotated[str | None, typer.Option("--data", "-d", help="The same as SOURCE.", show_default=False)]
Tokenizer = Annotated[
    str | None,
    typer.Option(
        "--tokenizer",
        "--model",
        "-m",
        help="Hub id, model folder or tokenizer folder. Default: the recipe's.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the prepared corpus.", show_default=False)]
Limit = Annotated[int | None, typer.Option("--limit", help="Only the first N documents.", show_default=False)]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.")]
Json = Annotated[bool, typer.Option("--json", help="Result as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]


@app.command("prepare")
def prepare(
    out: Out,
    words: Words = None,
    data: Data = None,
    tokenizer: Tokenizer = None,
    limit: Limit = None,
    offline: Offline = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tokenise a corpus into memory-mapped shards.

    Any number of pretraining runs read them. Killed, it goes on where it was.

    bertctl data prepare corpus.txt --tokenizer google-bert/bert-base-uncased --out tokens
    """
    loaded = load_named(words, {"data.source": data, "model.tokenizer": tokenizer, "data.limit": limit})
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    from bert_cli.data.shards import MARKER
    from bert_cli.run.shards import prepare_recipe

    there = (out / MARKER).is_file()
    began = time.perf_counter()
    corpus = prepare_recipe(loaded.recipe, out, offline=offline, note=(lambda _: None) if quiet else note)
    seconds = time.perf_counter() - began
    if there and not quiet:
        note(f"{out} is there already, made of the same text with the same tokenizer and settings")
    facts = {
        "folder": str(corpus.folder),
        "new": not there,
        **{name: corpus.facts[name] for name in ("documents", "sentences", "tokens", "characters", "dropped")},
        "bytes": corpus.n_bytes,
        "seconds": None if there else seconds,
    }
    if as_json:
        print_json(facts)
    else:
        print_table(_prepared_rows(facts))


app.command("check")(check.check)


@app.command("stats")
def stats(
    words: Words = None,
    task: check.TaskName = None,
    data: Data = None,
    model: check.Model = None,
    max_length: check.MaxLength = None,
    limit: Limit = None,
    picture: check.Picture = None,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Show what data hold: counts, lengths, classes, scripts.

    Labelled data where --task or the recipe has labels; else a corpus, or a folder that `bertctl data prepare` made.

    bertctl data stats corpus.txt

    bertctl data stats --task sst2 --data DIR --model google-bert/bert-base-uncased
    """
    from bert_cli.run.find import require_task

    flags = {"data.source": data, "model.name": model, "data.max_length": max_length, "data.limit": limit}
    labelled = check.has_labels(task)
    loaded = load_named(words, flags, task=task, verb="finetune" if labelled else "pretrain")
    if not require_task(loaded.recipe).pretrains:
        check.show_stats(loaded, offline=offline, as_json=as_json, picture=picture)
        return
    check.refuse_for_corpus({"--model": model, "--max-length": max_length, "--picture": picture})
    found = _corpus_stats(loaded.recipe, offline=offline)
    if as_json:
        print_json(found)
    else:
        _show_stats(found)


def _corpus_stats(recipe: Recipe, *, offline: bool) -> dict[str, Any]:
    """Counts of a prepared corpus in tokens, of any other in characters."""
    from bert_cli.data.corpus import find_corpus
    from bert_cli.data.corpus_stats import prepared_stats, text_stats
    from bert_cli.data.portions import CorpusSettings
    from bert_cli.data.shards import Corpus, is_prepared
    from bert_cli.run.shards import source_of

    source = source_of(recipe)
    folder = Path(source).expanduser()
    if is_prepared(folder):
        return prepared_stats(Corpus.open(folder))
    return text_stats(find_corpus(source, offline=offline), CorpusSettings.of(recipe.data))


def _prepared_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    seconds = facts["seconds"]
    rows = [
        ("folder", facts["folder"]),
        ("documents", f"{facts['documents']:,}"),
        ("sentences", f"{facts['sentences']:,}"),
        ("tokens", f"{facts['tokens']:,}"),
        ("size", f"{facts['bytes'] / 1e6:,.1f} MB"),
    ]
    if facts["dropped"]:
        rows.append(("left out", f"{facts['dropped']:,} documents of which the tokenizer knows no word"))
    if seconds is not None:
        rows.append(("speed", f"{facts['tokens'] / seconds:,.0f} tokens/s, {seconds:.1f} s"))
    return rows


def _show_stats(found: dict[str, Any]) -> None:
    columns = ("count", "mean", "min", "p5", "median", "p95", "max")
    rows = [
        (kind, *(f"{found[kind][name]:,.1f}" if name == "mean" else f"{found[kind][name]:,}" for name in columns))
        for kind in ("documents", "sentences")
    ]
    print_table(rows, (f"length in {found['unit']}", *columns))
    say("")
    counts = ("tokens", "words", "characters", "files", "shards")
    facts: list[tuple[str, str]] = [(name, f"{found[name]:,}") for name in counts if name in found]
    if found.get("dropped"):
        facts.append(("left out", f"{found['dropped']:,} documents of which the tokenizer knows no word"))
    if found.get("unknown") is not None:
        facts.append(("unknown", f"{100 * found['unknown']:.3f}% of the tokens"))
    if "bytes" in found:
        facts.append(("size", f"{found['bytes'] / 1e6:,.1f} MB"))
    print_table(facts)
