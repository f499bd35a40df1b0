"""A run in several processes, as the process sees it that starts them.

What can be refused without torch is refused here, before any rank is started, so that a mistake is told at once and
once. How the run ended stands in its `status.json`, also when no rank was left to write it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bert_cli.launch import Layout
from bert_cli.recipe.schema import Recipe
from bert_cli.run import rundir
from bert_cli.run.find import require_task
from bert_cli.run.rundir import RunDir
from bert_cli.supervise import Outcome, supervise


def run_ranks(recipe: Recipe, arguments: Sequence[str], wanted: Layout, *, overwrite: bool) -> Outcome:
    """Run `bertctl ARGUMENTS`, which means this recipe, in all ranks of this machine.

    Raises:
        UsageError: the run folder cannot be used; see `rundir.choose`.
    """
    if wanted.node == 0:
        rundir.choose(recipe, fallback=rundir.fallback_out(recipe, require_task(recipe).name), overwrite=overwrite)
    outcome = supervise(arguments, wanted, pin=recipe.dist.device != "cuda")
    if outcome.code and outcome.run is not None:
        _record(RunDir(outcome.run), outcome)
    return outcome


def _record(run: RunDir, outcome: Outcome) -> None:
    """Let `status.json` say what this process ends with, where rank 0 could not or knew less."""
    status = run.read_status()
    if status.get("state") == "done" or (outcome.error is None and status.get("exit_code") == outcome.code):
        return
    message = {"message": outcome.message.strip() or f"ended with exit code {outcome.code}"}
    run.write_status(
        "preempted" if outcome.code in (75, 130) else "failed",
        exit_code=outcome.code,
        error=message if outcome.error is None else outcome.error.as_dict(),
    )
