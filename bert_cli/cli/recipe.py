"""`bertctl recipe`: list, show, copy, check and compare recipes, and print their JSON Schema.

Results go to stdout, mistakes are raised for the runner to show. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bert_cli.cli.console import print_json, print_table, say
from bert_cli.errors import BertctlError, ErrorGroup, UsageError, printable, raise_all

if TYPE_CHECKING:
    from bert_cli.recipe.load import Loaded

app = typer.Typer(
    help="List, show, copy, check and compare recipes.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)

_WHICH = "A shipped recipe (finetune/sst2, sst2), a file or a run folder."
Name = Annotated[str, typer.Argument(metavar="NAME|FILE|RUN", help=_WHICH)]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable result.")]


@app.command("ls")
def ls(as_json: Json = False) -> None:
    """List the shipped recipes."""
    from bert_cli.recipe.load import shipped_recipes
    from bert_cli.recipe.yaml import read_yaml

    rows = []
    for name, file in shipped_recipes().items():
        values, _ = read_yaml(file, name=name)
        rows.append({"name": name, "task": values.get("task"), "summary": _summary(file.read_text(encoding="utf-8"))})
    if as_json:
        print_json(rows)
    else:
        print_table([[row["name"], row["summary"]] for row in rows], ["recipe", "summary"])


def _summary(text: str) -> str:
    """The first comment line that says something; editors' directives do not."""
    comments = (line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#"))
    return next((line for line in comments if line and not line.startswith("yaml-language-server")), "")


@app.command("show")
def show(
    name: Name,
    resolved: Annotated[bool, typer.Option("--resolved", help="Every key with its value, defaults included.")] = False,
    as_json: Json = False,
) -> None:
    """Print a recipe as written, or with every key filled in."""
    from bert_cli.recipe.files import find_recipe, read_text
    from bert_cli.recipe.load import dump_recipe, load_recipe, recipe_hash
    from bert_cli.recipe.yaml import parse_text

    if resolved:
        recipe = load_recipe(name).recipe
        if as_json:
            print_json({"name": name, "hash": recipe_hash(recipe), "recipe": recipe.model_dump(mode="json")})
        else:
            say(dump_recipe(recipe).rstrip("\n"))
        return
    file = find_recipe(name, where=name)
    text = read_text(file.path, name=file.name)
    # Parsing also refuses control characters, so that the text may go to a terminal as it is.
    document = parse_text(text, name=file.name)
    if as_json:
        raise_all(document.problems)
        print_json({"name": file.name, "recipe": document.value})
    else:
        say(text.rstrip("\n"))


@app.command("cp")
def cp(
    name: Name,
    dest: Annotated[str, typer.Argument(metavar="DEST", help="The new file, or a folder for it.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Copy a recipe to a file of your own."""
    from bert_cli.recipe.files import find_recipe, read_text

    file = find_recipe(name, where=name)
    text = read_text(file.path, name=file.name)
    target = Path(dest)
    if target.is_dir():
        target = target / file.path.name
    try:
        with target.open("wb" if force else "xb") as stream:
            stream.write(text.encode())
    except FileExistsError:
        help = f"bertctl recipe cp {name} {dest} --force"
        raise UsageError("R050", f"'{target}' exists already", where=str(target), help=help) from None
    except (OSError, ValueError) as error:
        raise _not_written(target, error) from None
    say(str(target))


def _not_written(target: Path, error: Exception) -> UsageError:
    reason = getattr(error, "strerror", None) or str(error)
    help = None if target.parent.is_dir() else f"mkdir -p {target.parent}"
    return UsageError("R051", f"'{target}' cannot be written: {reason}", where=str(target), help=help)


@app.command("validate")
def validate(
    names: Annotated[list[str], typer.Argument(metavar="NAME|FILE|RUN", help=_WHICH)],
    as_json: Json = False,
) -> None:
    """Check recipes and report every mistake; exit code 2 if any."""
    from bert_cli.recipe.load import load_recipe

    mistakes: list[BertctlError] = []
    report: list[dict[str, Any]] = []
    for name in names:
        found: list[BertctlError] = []
        try:
            load_recipe(name)
        except BertctlError as error:
            found = list(error.errors) if isinstance(error, ErrorGroup) else [error]
        mistakes += found
        report.append({"file": name, "ok": not found, "errors": [error.as_dict() for error in found]})
        if not found and not as_json:
            say(f"ok  {printable(name)}")
    if as_json:
        print_json(report)
        if mistakes:
            raise typer.Exit(mistakes[0].exit_code)
    raise_all(mistakes)


@app.command("diff")
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=_WHICH)],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    as_json: Json = False,
) -> None:
    """Compare two recipes; exit code 1 where they differ.

    What a recipe leaves out counts with its default.
    """
    from bert_cli.recipe.load import load_recipe
    from bert_cli.recipe.scalars import flow

    left, right = (_cells(load_recipe(name)) for name in (a, b))
    keys = [key for key in {**left, **right} if left.get(key, ()) != right.get(key, ())]
    if as_json:
        print_json([{"key": key, "a": left.get(key), "b": right.get(key)} for key in keys])
    elif keys:
        rows = [[key, *(flow(side[key]) if key in side else "-" for side in (left, right))] for key in keys]
        print_table(rows, ["key", a, b])
    else:
        say(f"{printable(a)} and {printable(b)} are equal")
    if keys:
        raise typer.Exit(1)


def _cells(loaded: Loaded) -> dict[str, object]:
    """Dotted key -> value; an empty mapping has no cells, so that it differs from a filled one key by key."""
    return {key: value for key, value, _ in loaded.rows() if value != {}}


@app.command("schema")
def schema(
    out: Annotated[str | None, typer.Option("--out", metavar="FILE", help="Write to a file instead of stdout.")] = None,
) -> None:
    """Print the JSON Schema of recipes, for editors."""
    import json

    from bert_cli.recipe.load import schema_json

    if out is None:
        print_json(schema_json())
        return
    target = Path(out)
    try:
        target.write_text(json.dumps(schema_json(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _not_written(target, error) from None
    say(str(target))
