"""Writes docs/errors.md: every error that bertctl can end with, read from its source.

    python docs/errors.py

Where an error is raised, its code stands as a literal; what it says is shown with `…` for all that differs from case to
case.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bert_cli import errors
from bert_cli.errors import BertctlError

ROOT = Path(errors.__file__).parent
PAGE = Path(__file__).with_suffix(".md")
CODE = re.compile(r"[A-Z]\d{3}")
BARE = re.compile(r"error\[([A-Z]\d{3})\]: (.+)\n?")
"""A message that is written without an error."""

HEAD = """# Errors

<!-- Written by `make docs` from the source. -->

A command that fails tells each mistake in at most six lines on stderr, with a code that this page lists, and ends with
an exit code that says whose mistake it is. `…` stands for what differs from case to case.

"""
TAIL = """
Some exit codes come without an error of their own: 1 of `recipe diff` with differences and `doctor` with a failed
check, 2 for a flag that is mistyped, 130 after Ctrl-C before there was anything to save, 143 and 138 after SIGTERM and
SIGUSR1 before that, and 141 where the reader of the output went away.
"""


@dataclass(frozen=True)
class Raised:
    """One place where an error is made.

    Attributes:
        kinds: the classes that it may be of, usually one.
        messages: what it may say.
        module: the file, inside the package.
    """

    code: str
    kinds: tuple[str, ...]
    messages: tuple[str, ...]
    module: str


def kinds() -> dict[str, type[BertctlError]]:
    """The classes of errors by name, in the order of their exit codes."""
    found = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BertctlError)]
    return {kind.__name__: kind for kind in sorted(found, key=lambda kind: kind.exit_code)}


def raised(root: Path = ROOT) -> list[Raised]:
    """Every error of a package, by file and line."""
    return [one for file in sorted(root.rglob("*.py")) for one in _of_file(file, file.relative_to(root).as_posix())]


def _of_file(file: Path, module: str) -> Iterator[Raised]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (bare := BARE.fullmatch(node.value)):
            yield Raised(bare[1], (BertctlError.__name__,), (bare[2],), module)
        if isinstance(node, ast.Call) and len(node.args) > 1:
            for code in filter(CODE.fullmatch, _strings(node.args[0], None)):
                yield Raised(code, _kinds(node.func, tree), tuple(_strings(node.args[1], tree)), module)


def _kinds(func: ast.expr, tree: ast.AST) -> tuple[str, ...]:
    """The error classes that a call makes: the one it names, else those in what the name stands for in this file."""
    known, waiting, seen = kinds(), [ast.unparse(func).rpartition(".")[2]], set()
    found = []
    while waiting:
        name = waiting.pop()
        if name in known:
            found.append(name)
        elif name not in seen:
            seen.add(name)
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef) and node.name == name:
                    waiting += [ast.unparse(call.func).rpartition(".")[2] for call in _calls(node)]
                elif isinstance(node, ast.Assign) and any(ast.unparse(target) == name for target in node.targets):
                    waiting += [part.id for part in ast.walk(node.value) if isinstance(part, ast.Name)]
    return tuple(sorted(set(found)))


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (part for part in ast.walk(node) if isinstance(part, ast.Call))


def _strings(node: ast.expr, tree: ast.AST | None) -> list[str]:
    """What a string expression may come to, `…` for what only a run knows; a name is looked up once, in `tree`."""
    match node:
        case ast.Constant(value=str(text)):
            found = [text]
        case ast.JoinedStr(values=parts):
            found = ["".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)]
        case ast.IfExp(body=one, orelse=other):
            found = [*_strings(one, tree), *_strings(other, tree)]
        case ast.BoolOp(values=values):
            found = [text for value in values for text in _strings(value, tree)]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            found = ["".join(pair) for pair in product(_strings(left, tree), _strings(right, tree))]
        case ast.Name() if tree is not None:
            found = [text for value in _values(node, tree) for text in _strings(value, None)]
        case _:
            found = []
    told = [text for text in dict.fromkeys(found) if text.strip("…")]
    return told or ["…"]


def _values(name: ast.Name, tree: ast.AST) -> Iterator[ast.expr]:
    """What is assigned to a name in the function it stands in, or passed to it there as an argument."""
    around = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and name in ast.walk(node)]
    if not around:
        return
    # The innermost one is found last.
    function = around[-1]
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and any(ast.unparse(target) == name.id for target in node.targets):
            yield node.value
    parameters = [argument.arg for argument in function.args.args]
    for call in _calls(tree) if name.id in parameters else ():
        if ast.unparse(call.func).rpartition(".")[2] == function.name:
            place = parameters.index(name.id) - (parameters[0] == "self")
            yield from call.args[place : place + 1]
            yield from (keyword.value for keyword in call.keywords if keyword.arg == name.id)


def page() -> str:
    """The whole page as Markdown."""
    found = raised()
    known = kinds()
    parts = [HEAD]
    for name, kind in known.items():
        own = [one for one in found if name in one.kinds]
        if not own:
            continue
        parts.append(f"## Exit code {kind.exit_code}: {_title(kind)}\n\n")
        parts.append("| code | what it says | where it is raised |\n|---|---|---|\n")
        for code in sorted({one.code for one in own}):
            same = [one for one in own if one.code == code]
            says = dict.fromkeys(_escaped(message) for one in same for message in one.messages)
            where = dict.fromkeys(f"`{one.module}`" for one in same)
            parts.append(f"| {code} | {'<br>'.join(says)} | {'<br>'.join(where)} |\n")
        parts.append("\n")
    return "".join(parts).rstrip("\n") + "\n" + TAIL


def _title(kind: type[BertctlError]) -> str:
    line = (kind.__doc__ or "").strip().splitlines()[0].rstrip(".")
    return "a bug of bertctl" if kind is BertctlError else line[0].lower() + line[1:]


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|])", r"\\\1", text.strip())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
