"""The sums of what a run leaves, written when it begins and when it has ended well.

`MANIFEST.json` of the run folder names recipe and lock file from the first moment on; in the end it also names the
status, the records, the predictions and the manifest of `best/`, which names the files of the model.
"""

from __future__ import annotations

from typing import Any

from bert_cli.files import publish
from bert_cli.run.rundir import RunDir, create, status_text
from bert_cli.seal import MANIFEST, files_in, sums, sums_of, write_manifest


def begin(run: RunDir, recipe_text: str, lock: dict[str, Any]) -> None:
    """Write recipe and lock file of a claimed run, and their sums."""
    # A run that goes on has sums of what is now replaced.
    (run.path / MANIFEST).unlink(missing_ok=True)
    create(run, recipe_text, lock)
    write_manifest(run.path, _sums(run, ["recipe.yaml", "lock.json"]))


def finish(run: RunDir, result: dict[str, Any]) -> None:
    """Record all that the run leaves, and then say that it is done: what is done is always recorded."""
    status = status_text("done", exit_code=0, result=result)
    predictions = [f"predictions/{name}" for name in files_in(run.predictions)]
    names = ["recipe.yaml", "lock.json", "metrics.jsonl", f"best/{MANIFEST}", *predictions]
    write_manifest(run.path, {**_sums(run, names), "status.json": sums_of(status.encode())})
    publish(run.status, status)


def _sums(run: RunDir, names: list[str]) -> dict[str, dict[str, Any]]:
    return {name: sums(run.path / name) for name in names}
