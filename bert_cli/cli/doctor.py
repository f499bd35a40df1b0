"""`bertctl doctor`: one table of what this machine offers and lacks.

Ends with 1 when a finding would stop every run, else with 0. Imports torch only when it runs.
"""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show what this machine offers and lacks, and how to mend it.

    Looks at Python, packages, processor, GPUs, memory, disk, the hub's cache, data and text encoding.
    """
    from dataclasses import asdict

    from bert_cli.cli.console import print_json, print_table, say
    from bert_cli.doctor import inspect

    checks = inspect()
    failed = any(check.status == "fail" for check in checks)
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        print_table([(check.status, check.name, check.detail) for check in checks], ("status", "check", "found"))
        fixes = [(check.name, check.fix) for check in checks if check.fix]
        if fixes:
            say("")
            print_table(fixes, ("check", "to mend it"))
    if failed:
        raise typer.Exit(1)
