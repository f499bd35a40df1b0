"""Metrics of the `evaluate` library: foreign code, run only on request, pinned, and with consent.

A hub metric is fetched by commit into the hub cache and loaded from there by its absolute path, so that neither a
folder of the same name in the working directory nor the newest cached copy can take its place. Costs about 7 s at the
first load.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from pathlib import Path
from typing import Any

from bert_cli.errors import HubError, UsageError, printable
from bert_cli.metrics.names import EXTERNAL_PREFIX, is_external
from bert_cli.metrics.scores import Array

External = Callable[[Array, Array], dict[str, float]]

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FORMS = "evaluate:FOLDER (holding FOLDER.py) or evaluate:NAME@<40 hex digits of a commit>"


@dataclass(frozen=True)
class Spec:
    """Where an evaluate metric comes from: a folder on disk, or a hub name with its commit."""

    name: str
    folder: Path | None = None
    commit: str | None = None

    @property
    def repository(self) -> str:
        """Hub repository; a bare name is one of evaluate's own metrics."""
        return self.name if "/" in self.name else f"evaluate-metric/{self.name}"


def parse_spec(spec: str, *, allow_code: bool) -> Spec:
    """Read `evaluate:…` without running or fetching anything.

    A folder is what starts with `.`, `~` or is absolute, or contains a separator and exists; everything else is a hub
    name and needs a commit, whatever lies in the working directory.

    Raises:
        UsageError: M006 malformed or no such folder, M008 no pinned commit, M007 no consent.
    """
    text = spec.removeprefix(EXTERNAL_PREFIX)
    name, at, commit = text.rpartition("@")
    pinned = bool(at and _NAME.fullmatch(name) and _COMMIT.fullmatch(commit))
    explicit = text.startswith((".", "~")) or Path(text).is_absolute()
    if explicit or (not pinned and "/" in text.replace("\\", "/") and Path(text).is_dir()):
        found = _folder_spec(spec, text)
    elif pinned:
        found = Spec(name, commit=commit)
    elif _NAME.fullmatch(name if at else text):
        raise _not_pinned(spec, text, name if at else text)
    else:
        raise UsageError(
            "M006", "this is not a metric of the evaluate library", key="eval.metrics", found=spec, allowed=_FORMS
        )
    if not allow_code:
        raise UsageError(
            "M007",
            f"the metric '{spec}' runs code that is not bertctl's",
            key="eval.metrics",
            found=spec,
            allowed="bertctl's own metrics, or consent to run that code",
            help="read that code, then consent with eval.allow_code=true",
        )
    return found


def load_external(spec: str, *, allow_code: bool, config: str | None = None) -> External:
    """A metric of the evaluate library as a function of (predictions, references), giving finite floats by key.

    Args:
        spec: `evaluate:FOLDER` with FOLDER/NAME.py, or `evaluate:NAME@COMMIT` (NAME may be OWNER/NAME).
        allow_code: consent to run its code.
        config: configuration name that some metrics have (`multilabel`, `multilist`).

    Raises:
        UsageError: M006 – M008 as in `parse_spec`; M010 when its code cannot be loaded.
        HubError: M009 when the hub or the cache does not have it.

    The function returned raises UsageError M011 when the metric fails, and M012 when its result is not a non-empty dict
    of finite numbers.
    """
    source = parse_spec(spec, allow_code=allow_code)
    script = _script(source.folder, source.name) if source.folder else _fetch(source, spec)
    module = _load(script, spec, config=config)

    def run(predictions: Array, references: Array) -> dict[str, float]:
        try:
            result = module.compute(predictions=predictions.tolist(), references=references.tolist())
        except Exception as error:
            raise UsageError(
                "M011",
                f"the metric '{spec}' failed: {type(error).__name__}: {printable(error)}",
                key="eval.metrics",
                help="check that it takes the decisions of this objective, or remove it from eval.metrics",
            ) from error
        return _finite(result, spec)

    return run


def short_names(scores: Iterable[str]) -> dict[str, str]:
    """What tables call each score: of `evaluate:NAME/KEY` the KEY alone, where no other score ends in it."""
    ends = {score: score.rpartition("/")[2] if is_external(score) else score for score in scores}
    counts = Counter(ends.values())
    return {score: end if counts[end] == 1 else score for score, end in ends.items()}


def _not_pinned(spec: str, text: str, name: str) -> UsageError:
    """The error for what may be a hub name without its commit, or a folder that is not where it was looked for."""
    message = "a metric of the hub needs a pinned commit, because its code is run"
    where = None
    help = f"look up the commit in the repository and write evaluate:{name}@<commit>"
    if "/" in text and "@" not in text:
        message = f"'{text}' is no folder here, and a metric of the hub needs a pinned commit"
        where = str(Path(text).absolute())
        help = f"give the folder's absolute path, or the one from {Path.cwd()}"
    meant = _folder_near(text)
    if meant is not None:
        help = f"evaluate:./{meant.as_posix()} is the metric in that folder"
    return UsageError("M008", message, where=where, key="eval.metrics", found=spec, allowed=_FORMS, help=help)


def _folder_near(text: str) -> Path | None:
    """The metric's folder that a bare name or the name of a script means, if it is here."""
    path = Path(text.removesuffix(".py"))
    return next((folder for folder in (path, path.parent) if _script(folder, folder.name or ".").is_file()), None)


def _folder_spec(spec: str, text: str) -> Spec:
    folder = Path(text).expanduser().resolve()
    script = _script(folder, folder.name)
    if script.is_file():
        return Spec(folder.name, folder=folder)
    message = f"there is no metric script {script.name} in that folder"
    help = f"put the metric into {folder.name}/{script.name}"
    if not folder.is_dir():
        message = f"there is no folder '{text}'"
        help = f"give the folder's absolute path, or the one from {Path.cwd()}"
    raise UsageError("M006", message, where=str(folder), key="eval.metrics", found=spec, allowed=_FORMS, help=help)


def _script(folder: Path, name: str) -> Path:
    return folder / f"{name.rsplit('/', 1)[-1]}.py"


def _fetch(source: Spec, spec: str) -> Path:
    """The script of a hub metric at its commit, from the cache or the network."""
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            source.repository, repo_type="space", revision=source.commit, allow_patterns=["*.py"]
        )
    except Exception as error:
        raise HubError(
            "M009",
            f"the hub did not give the metric '{spec}': {type(error).__name__}: {printable(error)}",
            key="eval.metrics",
            help="check name, commit and network, or copy the metric into a folder: evaluate:./NAME",
        ) from error
    script = _script(Path(folder).resolve(), source.name)
    if not script.is_file():
        raise HubError(
            "M009", f"the repository {source.repository} has no {script.name} at that commit", key="eval.metrics"
        )
    return script


def _load(script: Path, spec: str, *, config: str | None) -> Any:
    """The evaluation module of an absolute script path."""
    try:
        import evaluate  # type: ignore[import-untyped, unused-ignore]
        from evaluate.loading import get_imports  # type: ignore[import-untyped, unused-ignore]

        # evaluate would download what a "# From: URL" comment names: code that neither a commit nor a folder pins.
        remote = [url for kind, _, url, _ in get_imports(str(script)) if kind == "external"]
        if remote:
            raise ImportError(f"it fetches more code from {remote[0]}")
        return evaluate.load(str(script), config_name=config, keep_in_memory=True)
    except Exception as error:
        raise UsageError(
            "M010",
            f"the metric '{spec}' cannot be loaded: {type(error).__name__}: {printable(error)}",
            key="eval.metrics",
            help="install what it imports (evaluate reads one plain import a line), or remove it from eval.metrics",
        ) from error


def _finite(result: object, spec: str) -> dict[str, float]:
    good = isinstance(result, dict) and bool(result)
    scores: dict[str, float] = {}
    for key, value in result.items() if isinstance(result, dict) else ():
        number = value.item() if hasattr(value, "item") and getattr(value, "size", 1) == 1 else value
        if not isinstance(key, str) or not isinstance(number, Real) or not isfinite(number):
            good = False
        else:
            scores[key] = float(number)
    if not good:
        raise UsageError(
            "M012",
            f"the metric '{spec}' did not give finite numbers by name",
            key="eval.metrics",
            found=result,
            help="remove it from eval.metrics, or average its result in its own code",
        )
    return scores
