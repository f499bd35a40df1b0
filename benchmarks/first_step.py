"""`python -m benchmarks.first_step MODULE ARGS` runs MODULE until its first optimizer step; then the status is STEPPED.

Both sides start through it. It imports torch, which either would do anyway, and nothing else.
"""

import os
import runpy
import sys

STEPPED = 77

if __name__ == "__main__":
    from torch.optim.optimizer import register_optimizer_step_post_hook

    register_optimizer_step_post_hook(lambda *_: os._exit(STEPPED))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
