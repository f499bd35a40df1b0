"""The command tree and its one exit.

Command modules import nothing heavy until a body runs, so `--help` costs a tenth of a second. Every known mistake ends
with its message on stderr and its exit code; anything else is a bug and says so.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, TextIO

import typer

from bert_cli import __version__
from bert_cli.cli import data, demo, doctor, evaluate, predict, probe, recipe, runs, task, tokenizer, train
from bert_cli.errors import BertctlError, ResourceError, printable_lines

app = typer.Typer(
    name="bertctl",
    help="Pretrain, fine-tune, score and use encoders such as BERT and ModernBERT.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("pretrain")(train.pretrain)
app.command("finetune")(train.finetune)
app.command("eval")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("probe")(probe.probe)
app.add_typer(data.app, name="data", help="Check data, count what they hold, tokenise corpora.")
app.add_typer(tokenizer.app, name="tokenizer", help="Train tokenizers, and show how they cut text.")
app.add_typer(recipe.app, name="recipe", help="List, show, copy, check and compare recipes.")
app.add_typer(task.app, name="task", help="List and show the tasks known by name.")
app.add_typer(runs.app, name="run", help="List, prove, repeat and strip runs.")
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"bertctl {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def _is_read(stdout: TextIO) -> bool:
    """Whether somebody takes the rest of what was said."""
    if sys.stdout is not stdout:
        # What typer leaves of a broken pipe, beside the exit code of any failure.
        return False
    try:
        stdout.flush()
    except BrokenPipeError:
        return False
    return True


def _hushed(stdout: TextIO) -> int:
    """The exit code of a command whose reader went away, as by `| head`; the interpreter must not write at its end."""
    sys.stdout = stdout
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
    return 141


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code (see the table in the README)."""
    stdout = sys.stdout
    try:
        app(args=list(arguments), prog_name="bertctl", obj=list(arguments))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        return code if _is_read(stdout) else _hushed(stdout)
    except BertctlError as error:
        sys.stderr.write(error.render() + "\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
    except BrokenPipeError:
        return _hushed(stdout)
    except OSError as error:
        place = str(error.filename) if error.filename else None
        mistake = ResourceError(
            "P030",
            f"the system refused a file or folder: {error.strerror or error}",
            where=place,
            found=type(error).__name__,
            allowed="places that exist and may be written",
            help="name another place, or change its permissions",
        )
        sys.stderr.write(mistake.render() + "\n")
        return mistake.exit_code
    except Exception:
        sys.stderr.write(printable_lines(traceback.format_exc()))
        sys.stderr.write(
            "error[B001]: this is a bug of bertctl, not of your input; please report it with the lines above\n"
        )
        return 1
    return 0
