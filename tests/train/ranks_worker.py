"""One rank of several: trains the recipes it is given one after the other, and leaves how each ended.

Run as `python ranks_worker.py JOBS.json` with RANK, LOCAL_RANK, WORLD_SIZE and LOCAL_WORLD_SIZE set.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


def main(jobs: Path) -> None:
    from bert_cli.launch import JOB, MEETING
    from bert_cli.recipe.load import load_recipe

    os.environ[JOB] = str(jobs.parent)
    ended = {}
    for name, spare in json.loads(jobs.read_text(encoding="utf-8")).items():
        os.environ[MEETING] = str(jobs.parent / f"store-{name}")
        recipe = load_recipe(str(jobs.parent / f"{name}.yaml")).recipe
        with spare_parameter() if spare else nothing():
            ended[name] = outcome(recipe)
    (jobs.parent / f"rank-{os.environ['RANK']}.json").write_text(json.dumps(ended), encoding="utf-8")


def outcome(recipe: Any) -> dict[str, Any]:
    """How a run ended, as this rank sees it."""
    from bert_cli.errors import BertctlError
    from bert_cli.run.finetune import finetune

    try:
        state = finetune(recipe, quiet=True).state
    except BertctlError as error:
        return {"error": error.code, "message": error.message}
    assert state.best is not None
    return {"steps": state.step, "stopped": state.stopped, "best": state.best.step, "tokens": state.tokens}


@contextmanager
def nothing() -> Iterator[None]:
    yield


@contextmanager
def spare_parameter() -> Iterator[None]:
    """Give every model a trainable parameter that takes no part in the loss."""
    import torch

    from bert_cli.run import build

    original = build.build_model

    def with_spare(*args: Any, **kwargs: Any) -> Any:
        model = original(*args, **kwargs)
        model.spare = torch.nn.Parameter(torch.ones(3, 3))
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "build_model", with_spare)
        yield


if __name__ == "__main__":
    main(Path(sys.argv[1]))
