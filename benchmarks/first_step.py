"""Runs a module as `python -m MODULE ARGS` would, and ends the process at its first optimizer step.

`python -m benchmarks.first_step MODULE ARGS`; the exit status is `STEPPED` then, and something else if no step came.
Both sides start through it: it imports torch, which either would do anyway, and nothing else.
"""

from __future__ import annotations

import os
import runpy
import sys
from typing import Any, NoReturn

STEPPED = 77


def _end(*_: Any) -> NoReturn:
    os._exit(STEPPED)


if __name__ == "__main__":
    from torch.optim.optimizer import register_optimizer_step_post_hook

    register_optimizer_step_post_hook(_end)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
