"""The error tree: every mistake a user can make, and the exit code it ends with.

An error says what is wrong, where, what was found, what is allowed and one way to mend it, in at most six lines.
Library code raises these errors and never prints; the command line renders them and exits with their code.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

# Control characters but line end and tab; what turns the direction of text; halves of characters, which no file holds.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: object, limit: int = 200) -> str:
    """One line of `text` that is safe on a terminal: control characters escaped, cut at `limit` characters."""
    line = printable_lines(str(text).replace("\n", "\\n").replace("\t", "\\t"))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def printable_lines(text: str) -> str:
    """The same for several lines: ends of lines and tabs stay, and nothing is cut."""
    return _CONTROL.sub(lambda found: ascii(found.group())[1:-1], text)


def printable_json(text: str) -> str:
    """JSON that means the same and is safe on a terminal."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate nearest to `word`, or None where nothing is close."""
    names = list(candidates)
    by_fold = {name.casefold(): name for name in names}
    if word.casefold() in by_fold:
        return by_fold[word.casefold()]
    match = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return match[0] if match else None


def listing(names: Iterable[object], limit: int = 12) -> str:
    """Names joined by commas, the tail counted instead of shown."""
    shown = [str(name) for name in names]
    rest = len(shown) - limit
    return ", ".join(shown[:limit]) + (f", … ({rest} more)" if rest > 0 else "")


class BertctlError(Exception):
    """A mistake with a known cause.

    Args:
        code: stable search key, one letter and three digits (`D012`).
        message: one sentence that stands on its own.
        where: file with line, or another place (`train.csv:14`).
        key: the recipe key or flag concerned (`data.columns.text`).
        found: what was there.
        allowed: what may be there; a sequence is listed, and the nearest name to `found` is suggested.
        help: one action that mends it, a command wherever possible.
    """

    exit_code = 1

    def __init__(
        self,
        code: str,
        message: str,
        *,
        where: str | None = None,
        key: str | None = None,
        found: object = None,
        allowed: str | Sequence[str] | None = None,
        help: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.where = where
        self.key = key
        self.found = found
        self.allowed = allowed
        self.help = help

    def suggestion(self) -> str | None:
        """The allowed name that `found` was probably meant to be."""
        if self.found is None or self.allowed is None or isinstance(self.allowed, str):
            return None
        return closest(str(self.found), self.allowed)

    def render(self) -> str:
        """The message for a terminal, at most six lines, control characters escaped."""
        lines = [f"error[{self.code}]: {printable(self.message, 400)}"]
        place = " ".join(filter(None, [self.where, f"({self.key})" if self.key and self.where else self.key]))
        if place:
            lines.append(f"  --> {printable(place, 400)}")
        if self.found is not None:
            lines.append(f"  found: {printable(self.found)}")
        if self.allowed is not None:
            allowed = self.allowed if isinstance(self.allowed, str) else listing(self.allowed)
            meant = self.suggestion()
            lines.append(
                f"  allowed: {printable(allowed, 400)}" + (f" (did you mean '{printable(meant)}'?)" if meant else "")
            )
        if self.help:
            lines.append(f"  help: {printable(self.help, 400)}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """The same facts for machines."""
        allowed = list(self.allowed) if self.allowed is not None and not isinstance(self.allowed, str) else self.allowed
        return {
            "code": self.code,
            "exit_code": self.exit_code,
            "message": self.message,
            "where": self.where,
            "key": self.key,
            "found": None if self.found is None else printable(self.found),
            "allowed": allowed,
            "suggestion": self.suggestion(),
            "help": self.help,
        }


class UsageError(BertctlError):
    """A flag, an argument or a recipe that cannot be obeyed."""

    exit_code = 2


class DataError(BertctlError):
    """Data that are missing, unreadable or not what the task needs."""

    exit_code = 3


class ModelError(BertctlError):
    """A model, a tokenizer or a checkpoint that is missing, damaged or unsuited."""

    exit_code = 4


class HubError(BertctlError):
    """The hub or the network did not give what was asked for."""

    exit_code = 5


class QualityGateError(BertctlError):
    """A score below `--fail-under`."""

    exit_code = 6


class ResourceError(BertctlError):
    """Memory, disk or device: used up, missing or refused."""

    exit_code = 7


class NonFiniteError(BertctlError):
    """A loss or gradient that is not a finite number."""

    exit_code = 8


class RankError(BertctlError):
    """A process of a run died, or did not answer the others in time."""

    exit_code = 9


class ProcessFailed(BertctlError):
    """A process that did a part of the work died, hung or failed; one that told its own exit code passes it on."""

    exit_code = 9


class Preempted(BertctlError):
    """Asked to stop; a checkpoint was saved, and the run may be queued again."""

    exit_code = 75


class Interrupted(BertctlError):
    """Ctrl-C; a checkpoint was saved when any step was done."""

    exit_code = 130


class ErrorGroup(BertctlError):
    """Several mistakes found in one pass, shown together."""

    def __init__(self, errors: Sequence[BertctlError]) -> None:
        first = errors[0]
        super().__init__(first.code, "; ".join(error.message for error in errors))
        self.errors = tuple(errors)
        self.exit_code = first.exit_code

    def render(self) -> str:
        return "\n".join(error.render() for error in self.errors)

    def as_dict(self) -> dict[str, object]:
        return {"exit_code": self.exit_code, "errors": [error.as_dict() for error in self.errors]}


def raise_all(errors: Sequence[BertctlError]) -> None:
    """Raise nothing, the one error, or all of them as a group."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ErrorGroup(errors)
