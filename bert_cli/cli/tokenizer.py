"""`bertctl tokenizer`: train one on a corpus, and show how one cuts a text.

Results go to stdout, progress to stderr. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bert_cli.cli.console import note, print_json, print_table, say
from bert_cli.errors import UsageError, printable, raise_all

if TYPE_CHECKING:
    from bert_cli.recipe.load import Loaded
    from bert_cli.recipe.schema import Recipe
    from bert_cli.run.tokenizer import TrainedTokenizer

app = typer.Typer(
    help="Train a tokenizer, and show how one cuts a text.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="Machine-readable result.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.")]

_READ = ("tokenizer.", "data.documents", "data.columns", "data.encoding", "data.limit", "data.max_length")


@app.command("train")
def train(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Text, JSONL or Parquet: a file, folder or 'GLOB'; hub:OWNER/NAME.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the tokenizer.", show_default=False)],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Recipe keys of tokenizer and data.", show_default=False),
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="wordpiece, bpe or unigram. Default: wordpiece.", show_default=False)
    ] = None,
    vocab_size: Annotated[
        int | None,
        typer.Option("--vocab-size", help="Tokens, special ones included. Default: 30522.", show_default=False),
    ] = None,
    uncased: Annotated[
        bool | None,
        typer.Option("--uncased/--cased", help="Fold case and strip accents. Default: uncased.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a tokenizer that is there.")] = False,
    offline: Offline = False,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Train a tokenizer on a corpus, and measure it on a tenth that is held out.

    bertctl tokenizer train corpus.txt --out my-tokenizer --vocab-size 8192
    """
    recipe = _recipe(source, overrides or [], kind=kind, vocab_size=vocab_size, lowercase=uncased)
    from bert_cli.run import tokenizer as run

    wanted = recipe.tokenizer
    if not quiet:
        note(f"training a {wanted.kind} tokenizer of {wanted.vocab_size} tokens")
    trained = run.train(recipe.data, wanted, out, offline=offline, overwrite=overwrite)
    if as_json:
        print_json(_as_dict(trained, recipe))
    else:
        _show(trained, recipe)


@app.command("show")
def show(
    model: Annotated[str, typer.Argument(metavar="DIR|MODEL", help="Tokenizer or model folder, run, or hub id.")],
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="Cut it.", show_default=False)] = None,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Show what a tokenizer is, or how it cuts a text.

    bertctl tokenizer show my-tokenizer "an unbelievable film"
    """
    from bert_cli.models.build import load_tokenizer
    from bert_cli.models.locate import locate
    from bert_cli.run.tokenizer import tokens_of

    tokenizer = load_tokenizer(locate(model, offline=offline, weights=False).folder)
    facts: dict[str, Any] = {
        "model": type(tokenizer.backend_tokenizer.model).__name__,
        "vocabulary": len(tokenizer),
        "special": {role: str(token) for role, token in tokenizer.special_tokens_map.items()},
    }
    if text is not None:
        facts |= {"text": text, "tokens": tokens_of(tokenizer, text)}
    if as_json:
        print_json(facts)
    elif text is not None:
        say(_line(facts["tokens"]))
    else:
        special = ", ".join(f"{role.removesuffix('_token')} {token}" for role, token in facts["special"].items())
        print_table([("model", facts["model"]), ("vocabulary", f"{len(tokenizer)} tokens"), ("special", special)])


def _recipe(
    source: str, overrides: list[str], *, kind: str | None, vocab_size: int | None, lowercase: bool | None
) -> Recipe:
    """The keys of tokenizer and data that are given.

    Raises:
        UsageError: a key that no tokenizer depends on (U092); all of them at once.
    """
    from bert_cli.recipe.load import load_recipe

    flags = {"tokenizer.kind": kind, "tokenizer.vocab_size": vocab_size, "tokenizer.lowercase": lowercase}
    loaded = load_recipe(overrides=overrides, flags={"data.source": source, **flags}, verb="pretrain")
    raise_all(_idle_keys(loaded))
    return loaded.recipe


def _idle_keys(loaded: Loaded) -> list[UsageError]:
    given = [key for key, origin in loaded.origins.items() if origin.kind == "override" and not key.startswith(_READ)]
    return [
        UsageError(
            "U092",
            f"{key} changes nothing for a tokenizer",
            key=key,
            allowed="keys of tokenizer, data.documents, data.columns, data.encoding, data.limit, data.max_length",
            help=f"leave {key} out",
        )
        for key in given
    ]


def _as_dict(trained: TrainedTokenizer, recipe: Recipe) -> dict[str, Any]:
    return {
        "folder": str(trained.folder),
        **recipe.tokenizer.model_dump(),
        "vocabulary": trained.vocabulary,
        "held_out": trained.unseen,
        **asdict(trained.measures),
        **trained.measures.shares(),
        "samples": trained.samples,
    }


def _show(trained: TrainedTokenizer, recipe: Recipe) -> None:
    wanted, measures, shares = recipe.tokenizer, trained.measures, trained.measures.shares()
    size = f"{trained.vocabulary} tokens"
    if trained.vocabulary < wanted.vocab_size:
        size += f"; the corpus has no more for the {wanted.vocab_size} asked for"
    seen = "held out" if trained.unseen else "that it was trained on"
    counted = f"{measures.documents} documents {seen}, {measures.words} words"
    print_table(
        [
            (
                "tokenizer",
                f"{printable(trained.folder)}  ({wanted.kind}, {'uncased' if wanted.lowercase else 'cased'})",
            ),
            ("vocabulary", size),
            ("measured on", counted),
            ("tokens per word", f"{shares['tokens_per_word']:.3f}"),
            ("characters per token", f"{shares['characters_per_token']:.2f}"),
            ("unknown tokens", f"{100 * shares['unknown_share']:.3f} %"),
        ]
    )
    say("")
    for tokens in trained.samples:
        say(_line(tokens))


def _line(tokens: list[str]) -> str:
    return printable(" ".join(tokens), 400)
