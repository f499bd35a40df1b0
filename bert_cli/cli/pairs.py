"""What `bertctl eval` does differently on minimal pairs: which flags have a meaning there, and what is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bert_cli.cli.console import print_json, print_table, say
from bert_cli.cli.scoring import one_of
from bert_cli.errors import BertctlError, UsageError, raise_all

if TYPE_CHECKING:
    from bert_cli.run.minimal_pairs import PairScores

Masking = Annotated[
    str | None,
    typer.Option(
        "--masking",
        callback=one_of("--masking", ("token", "word"), help="--masking word masks the rest of a word with each token"),
        help="Minimal pairs: mask each token alone (token), or the rest of its word too (word). Default: token.",
        show_default=False,
    ),
]


def pairs_task(task: str | None, overrides: Sequence[str]) -> str | None:
    """The set of minimal pairs that is asked for; None for anything else."""
    from bert_cli.tasks import all_tasks
    from bert_cli.tasks.base import MINIMAL_PAIRS

    words = [word.removeprefix("task=") for word in overrides if word.startswith("task=")]
    name = task if task is not None else words[-1] if words else None
    found = all_tasks().get(name) if name is not None else None
    return found.name if found is not None and found.objective == MINIMAL_PAIRS else None


def refuse_flags(given: Mapping[str, object], *, what: str) -> None:
    """Refuse flags that would change nothing for `what`; those that were not given are None.

    Raises:
        UsageError: one was given (U058); all of them at once.
    """
    errors: list[BertctlError] = [
        UsageError(
            "U058",
            f"{flag} changes nothing for {what}",
            key=flag,
            found=value,
            allowed="left out",
            help=f"leave {flag} out",
        )
        for flag, value in given.items()
        if value is not None
    ]
    raise_all(errors)


def score(
    target: str,
    *,
    task: str,
    split: str | None,
    masking: str | None,
    flags: Mapping[str, object],
    as_json: bool,
    given: Mapping[str, Any],
) -> dict[str, float]:
    """Score a model on minimal pairs, show what was found, and return the scores.

    Args:
        split, masking, flags, given: arguments of `score_pairs`, None for its defaults.
    """
    from bert_cli.run.minimal_pairs import score_pairs

    found = score_pairs(target, task=task, split=split or "test", masking=masking or "token", flags=flags, **given)
    if as_json:
        print_json(found.as_dict())
    else:
        _show(found)
    return found.scores


def _show(found: PairScores) -> None:
    """The score of all pairs, then of every group, coarse groups first."""
    masked = "each token masked alone" if found.masking == "token" else "each token masked with the rest of its word"
    say(f"{found.model}  ·  {found.task}  ·  {found.precision}  ·  {masked}")
    say(f"scored on {found.rows}")
    say("")
    print_table([(name, f"{value:.4f}") for name, value in found.scores.items()])
    if found.equal:
        pairs = "pair is" if found.equal == 1 else "pairs are"
        say(f"{found.equal} {pairs} undecided: both sentences are equally likely, and neither counts")
    metric = next(iter(found.scores))
    for role, groups in found.groups.items():
        say("")
        print_table([(group["name"], group["n"], f"{group[metric]:.4f}") for group in groups], (role, "pairs", metric))
    say("")
    say(f"{2 * found.n} sentences, {found.sentences_per_s:.0f} a second")
    say(f"predictions: {found.predictions}")
