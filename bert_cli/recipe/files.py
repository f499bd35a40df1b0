"""Where recipes lie: the user's files, and the ones shipped with bertctl under names such as `finetune/sst2`.

A file wins over a shipped name; nothing but the two folders concerned is looked at. A file is read as UTF-8 and never
beyond its size limit, whatever its length; nothing here parses it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bert_cli.errors import UsageError

MAX_BYTES = 1_000_000
IN_RUN = "recipe.yaml"
"""The recipe of a run folder."""


@dataclass(frozen=True)
class RecipeFile:
    """A recipe that was found: its file, the name shown for it, and whether it is one of bertctl's own."""

    path: Path
    name: str
    shipped: bool


def recipes_root() -> Path:
    """The folder of shipped recipes: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def shipped_recipes() -> dict[str, Path]:
    """Name (`finetune/sst2`) -> file, sorted by name."""
    root = recipes_root()
    files = sorted(root.rglob("*.yaml")) if root.is_dir() else []
    return {file.relative_to(root).with_suffix("").as_posix(): file for file in files}


def find_recipe(
    name: str,
    *,
    verb: str = "finetune",
    beside: Path | None = None,
    where: str | None = None,
    key: str | None = None,
) -> RecipeFile:
    """The recipe that `name` means: a file or run folder (relative to the folder `beside`), or a shipped one.

    `sst2` stands for `VERB/sst2`, or for the only shipped recipe of that last name.

    Raises:
        UsageError: nothing has that name (R001), it is a folder without one (R002).
    """
    path = (beside or Path()) / name
    if _is_other_than_folder(path / IN_RUN):
        path /= IN_RUN
    shipped = shipped_recipes()
    full = [full for full in shipped if name in (full, f"{full}.yaml") or full.rpartition("/")[2] == name]
    if _is_other_than_folder(path):
        return RecipeFile(path, str(path), False)
    if f"{verb}/{name}" in shipped:
        return RecipeFile(shipped[f"{verb}/{name}"], f"{verb}/{name}", True)
    if len(full) == 1:
        return RecipeFile(shipped[full[0]], full[0], True)
    if not full and _is_folder(path):
        hint = "name a file in it, or a run folder"
        raise UsageError("R002", f"'{name}' is a folder without a recipe", where=where, key=key, help=hint)
    shorts = [short.rpartition("/")[2] for short in shipped] if "/" not in name else []
    siblings: list[str] = []
    if path.suffix in (".yaml", ".yml"):
        # Named as `name` is: by the way from the folder that it was looked for in.
        others = sorted(path.parent.glob("*.y*ml"))
        siblings = [str(other) if os.path.isabs(name) else os.path.relpath(other, beside or Path()) for other in others]
    raise UsageError(
        "R001",
        f"there is no recipe '{name}'" if not full else f"'{name}' names several recipes",
        where=where,
        key=key,
        found=name,
        allowed=full or list(dict.fromkeys([*siblings, *shorts, *shipped])) or "a file",
        help="bertctl recipe ls",
    )


def _is_other_than_folder(path: Path) -> bool:
    """True for files, pipes and devices; False too for names that no file can have."""
    try:
        return path.exists() and not path.is_dir()
    except (OSError, ValueError):
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def read_text(path: Path, *, name: str | None = None) -> str:
    """The text of a recipe file; `name` stands for it in messages.

    Raises:
        UsageError: no such file (R001), not readable (R002), more than 1 MB (R003), not UTF-8 (R004).
    """
    name = name or str(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        siblings = sorted(str(other) for other in path.parent.glob("*.y*ml"))
        raise UsageError(
            "R001",
            f"there is no recipe '{name}'",
            where=name,
            found=str(path),
            allowed=siblings or "a file",
            help="bertctl recipe ls",
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError("R002", f"the recipe cannot be read: {reason}", where=name) from None
    if len(data) > MAX_BYTES:
        raise UsageError("R003", "the recipe is larger than 1 MB", where=name, allowed="at most 1 MB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        byte = f"byte 0x{data[error.start]:02x}"
        hint = "save the file as UTF-8"
        raise UsageError("R004", "the recipe is not UTF-8", where=f"{name}:{line}", found=byte, help=hint) from None
