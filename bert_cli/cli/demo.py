"""`bertctl demo`: the whole road on a small generated world, one command after the other, each shown before it runs.

Pretraining, fine-tuning, scoring and prediction run as the user would type them, in processes of their own; the first
one that fails ends the demo with its exit code. About three minutes on two CPU cores, without network.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from bert_cli.cli.console import print_table, say
from bert_cli.errors import UsageError

SENTENCES = (
    "The soup was not bad.",
    "Nobody called the film exciting.",
    "Although the waiter was rude, the soup was good.",
)
CONTENTS = {
    "best": "the model: a plain Hugging Face folder, for AutoModel…from_pretrained",
    "recipe.yaml": "every value that the run used",
    "metrics.jsonl": "loss and scores, one record a line",
    "predictions": "what it said about each example",
    "checkpoints": "where --resume auto would go on",
    "lock.json": "versions, data and machine",
    "status.json": "how the run ended",
}


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the world and the runs.")] = Path("demo"),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed makes another world.")] = 0,
) -> None:
    """Pretrain, fine-tune, score and use a small encoder, in minutes.

    The texts are generated, and nothing is downloaded. Every command is shown before it runs.
    """
    from bert_cli.toyworld import Sizes, bag_of_words_accuracy, sentiment_splits, write_world

    if out.exists() and not out.is_dir():
        raise UsageError("U030", f"'{out}' is not a folder", key="--out", help="bertctl demo --out demo")
    world, pretrained, run = out / "world", out / "runs" / "pretrain", out / "runs" / "sentiment"
    sizes = Sizes()

    _title(f"A world of {sizes.documents} documents and {sizes.train} labelled sentences, in {world}")
    write_world(world, seed=seed, sizes=sizes)
    for line in (world / "corpus.txt").read_text(encoding="utf-8").split("\n\n", 1)[0].splitlines():
        say(f"  {line}")

    _title("1. Learn the language: predict masked words")
    again = ["--overwrite"] if pretrained.exists() else []
    _run("pretrain", "demo-tiny", "--data", world / "corpus.txt", "--out", pretrained, *again)

    _title("2. Learn the task: is a sentence positive or negative?")
    again = ["--overwrite"] if run.exists() else []
    where = ("--model", pretrained, "--data", world / "sentiment", "--out", run)
    how = ("--epochs", 8, "--lr", "5e-4", "--max-length", 64)
    _run("finetune", "--task", "text-classification", *where, *how, *again)

    _title("3. Score it on sentences that it has not seen")
    _run("eval", run, "--split", "test")
    splits = sentiment_splits(seed=seed, sizes=sizes)
    baseline = bag_of_words_accuracy(splits["train"], splits["test"])
    say(f"\na bag of words on the same split: accuracy {baseline:.4f}, since negation and word order decide")

    _title("4. Use it")
    _run("predict", run, lines=SENTENCES)

    _title(f"5. What the run left in {run}")
    print_table([(name, what) for name, what in CONTENTS.items() if (run / name).exists()], indent="  ")
    say("\nnext: your own texts, as train.csv with the columns text and label in a folder MY")
    say("  bertctl finetune --task text-classification --data MY --dry-run")
    say("  bertctl task ls          datasets known by name")
    say("  bertctl recipe ls        recipes to copy and change")


def _title(text: str) -> None:
    say(f"\n== {text}\n")


def _run(*words: object, lines: tuple[str, ...] = ()) -> None:
    """Show a command, then run it on this terminal; `lines` go to its standard input.

    Raises:
        typer.Exit: it failed; with its exit code.
    """
    arguments = [str(word) for word in words]
    feed = "".join(f"{line}\n" for line in lines)
    pipe = f"printf '%s\\n' {shlex.join(lines)} | " if lines else ""
    say(f"$ {pipe}bertctl {shlex.join(arguments)}")
    sys.stdout.flush()
    done = subprocess.run([sys.executable, "-m", "bert_cli", *arguments], input=feed or None, text=True, check=False)
    if done.returncode:
        raise typer.Exit(done.returncode if done.returncode > 0 else 128 - done.returncode)
