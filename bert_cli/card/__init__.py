"""The README of a published model: what it is, how to use it, what it scored, and how it was made.

Only the fields of `CardFacts` can reach it, and a local folder appears by its last component, or its last two where
that one says nothing, so no path of the training machine leaks. Every text is escaped for YAML and Markdown; costs
ruamel.yaml.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from bert_cli.card.usage import USES, pipeline_tag, use
from bert_cli.errors import printable

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|$~])")
_SEPARATOR = re.compile(r"[/\\]")
_NAMELESS = re.compile(r"best|model|final|output|out|checkpoint([-_]?\d+)?|step-\d+", re.IGNORECASE)
_HOMES = ("home", "users")
_HUB = "https://huggingface.co"
_HUB_METRICS = {"pearson": "pearsonr", "spearman": "spearmanr"}

HYPERPARAMETERS = {
    "budget": "budget",
    "epochs": "epochs",
    "batch_size": "batch size (all devices)",
    "lr": "peak learning rate",
    "schedule": "schedule",
    "warmup": "warm-up",
    "weight_decay": "weight decay",
    "layer_decay": "layer-wise decay",
    "label_smoothing": "label smoothing",
    "max_grad_norm": "gradient clipping (L2)",
    "max_length": "longest sequence (tokens)",
    "mask.rate": "masked share",
    "mask.final_rate": "masked share at the end",
    "mask.unit": "masked unit",
}
"""Which keys of a recipe are shown, and how; any other key of `CardFacts.hyperparameters` is left out."""

VERSIONS = (
    "bertctl",
    "python",
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "datasets",
    "numpy",
    "scikit-learn",
)


@dataclass(frozen=True)
class Origin:
    """Where a model or dataset came from: a hub id with configuration and revision, or the end of a local path.

    What cannot be a hub id is treated as a path, and of a path (with either kind of separator) nothing else is kept.

    Attributes:
        named: the hub id that a local model's configuration names; anything else is dropped.
    """

    name: str
    hub: bool
    config: str | None = None
    revision: str | None = None
    named: str | None = None

    def __post_init__(self) -> None:
        if self.named is not None and not ("/" in self.named and _HUB_ID.fullmatch(self.named)):
            object.__setattr__(self, "named", None)
        if self.hub and _HUB_ID.fullmatch(self.name):
            return
        object.__setattr__(self, "name", _end_of_path(self.name))
        for field_name, value in (("hub", False), ("config", None), ("revision", None)):
            object.__setattr__(self, field_name, value)


def _end_of_path(path: str) -> str:
    """The last name of a path, with its folder's where it alone says nothing (`sst2-bert/best`) and that is no home."""
    *above, name = [part for part in _SEPARATOR.split(path) if part not in ("", ".")] or [""]
    if name in ("", "..", "~"):
        return "unnamed"
    if not _NAMELESS.fullmatch(name) or len(above) < 2 or above[-1] in ("..", "~"):
        return name
    at_home = above[-2].casefold() in _HOMES or above[-1] == os.path.basename(os.path.expanduser("~"))
    return name if at_home else f"{above[-1]}/{name}"


@dataclass(frozen=True)
class SplitScores:
    """Scores of one split; undefined ones are nan. `held_out` is the share of the training split that it is, if any."""

    split: str
    n: int
    scores: Mapping[str, float]
    held_out: float | None = None


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """All that a model card may say.

    Attributes:
        name: the model's name, also what the examples load.
        objective: a key of `bert_cli.card.usage.USES`.
        base: the encoder it started from, None from scratch.
        labels: class names in the order of their ids.
        threshold: multi-label only: probability from which a label counts.
        pairs: whether it takes two texts.
        aggregate: how the logits of a long text's windows are put together; None where texts are cut.
        selected_by: metric and split that selected the checkpoint (`accuracy`, `validation`).
        fingerprint: digest of the training data, hexadecimal.
        hyperparameters: keys of `HYPERPARAMETERS`; others are ignored.
        hardware: its class (`1 × NVIDIA H200`, `CPU, 16 cores`), never a host name.
        versions: packages of `VERSIONS`; others are ignored.
    """

    name: str
    task: str
    objective: str
    steps: int
    seed: int
    precision: str
    hardware: str
    base: Origin | None = None
    data: Origin | None = None
    language: str | None = None
    labels: tuple[str, ...] = ()
    pairs: bool = False
    aggregate: str | None = None
    threshold: float | None = None
    splits: tuple[SplitScores, ...] = ()
    selected_by: tuple[str, str] | None = None
    train_examples: int | None = None
    fingerprint: str | None = None
    hyperparameters: Mapping[str, str | int | float | None] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def model_card(facts: CardFacts) -> str:
    """README.md of the model folder: YAML front matter for the hub, then prose.

    An undefined score is left out of the front matter, which allows numbers only; the table shows it as "undefined".
    """
    parts = [f"# {_md(facts.name)}", _summary(facts)]
    if facts.labels:
        rows = [(str(i), _md(label)) for i, label in enumerate(facts.labels)]
        parts += ["## Labels", _table(("id", "label"), rows)]
    parts += ["## Use", use(facts.objective, name=facts.name, pairs=facts.pairs)]
    if facts.aggregate is not None:
        parts.append(_windows(facts))
    if facts.splits:
        parts += ["## Scores", _scores(facts)]
    parts += ["## Training", _table(("fact", "value"), _training(facts))]
    return f"---\n{_yaml(front_matter(facts))}---\n\n" + "\n\n".join(parts) + "\n"


def _windows(facts: CardFacts) -> str:
    longest = facts.hyperparameters.get("max_length")
    return (
        f"Longer texts than {longest} tokens are read in windows, and the {_md(str(facts.aggregate))} of their logits "
        "decides: so were the scores below made, and so does the command. The Python above reads the first alone."
    )


def front_matter(facts: CardFacts) -> dict[str, Any]:
    """The metadata that the hub reads, as plain data."""
    names = list(dict.fromkeys(name for split in facts.splits for name in split.scores))
    matter: dict[str, Any] = {
        "language": facts.language,
        "library_name": "transformers",
        "pipeline_tag": pipeline_tag(facts.objective),
        "tags": list(dict.fromkeys(("bertctl", facts.objective, facts.task))),
        "base_model": facts.base.name if facts.base and facts.base.hub else None,
        "datasets": [facts.data.name] if facts.data and facts.data.hub else None,
        "metrics": list(dict.fromkeys(_metric_type(name) for name in names)) or None,
    }
    results = [result for split in facts.splits if (result := _result(facts, split))["metrics"]]
    if results:
        matter["model-index"] = [{"name": facts.name, "results": results}]
    return {key: value for key, value in matter.items() if value is not None}


def _result(facts: CardFacts, split: SplitScores) -> dict[str, Any]:
    data = facts.data or Origin(facts.task, False)
    dataset = {
        "name": facts.task,
        "type": data.name,
        "config": data.config,
        "split": split.split,
        "revision": data.revision,
    }
    return {
        "task": {"type": pipeline_tag(facts.objective), "name": USES.get(facts.objective, facts.objective)},
        "dataset": {key: value for key, value in dataset.items() if value is not None},
        "metrics": [
            {"type": _metric_type(name), "value": round(float(value), 6), "name": _metric_name(name)}
            for name, value in split.scores.items()
            if isfinite(value)
        ],
    }


def _metric_name(name: str) -> str:
    """Our name; of `evaluate:NAME/KEY` only the last two components, should NAME ever be a path."""
    prefix, colon, rest = name.rpartition("evaluate:")
    return prefix + colon + "/".join(_SEPARATOR.split(rest)[-2:]) if colon else name


def _metric_type(name: str) -> str:
    """The hub's name of a metric, which knows no averages."""
    base = _SEPARATOR.split(name)[-1]
    return _HUB_METRICS.get(base, re.sub(r"^(f1|precision|recall)_(macro|micro|weighted)$", r"\1", base))


def _yaml(matter: Mapping[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 4096
    stream = io.StringIO()
    yaml.dump(_quoted(matter), stream)
    return stream.getvalue()


def _quoted(value: Any) -> Any:
    """The same tree with every text quoted: the hub reads YAML 1.1, in which the language `no` would be false."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, Mapping):
        return {key: _quoted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    return DoubleQuotedScalarString(printable(value)) if isinstance(value, str) else value


def _md(text: object) -> str:
    """One line of Markdown that shows `text` literally, inside a table cell too."""
    return _MARKDOWN.sub(r"\\\1", printable(text))


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _origin(origin: Origin, kind: str = "") -> str:
    """Markdown for an origin; `kind` is the hub's path prefix of datasets."""
    if not origin.hub:
        named = f", whose configuration names {_md(origin.named)}" if origin.named else ""
        return f"{_md(origin.name)}, {'local data' if kind else 'a local folder'}{named}"
    details = [_md(part) for part in (origin.config, origin.revision and f"revision {origin.revision}") if part]
    link = f"[{_md(origin.name)}]({_HUB}/{kind}{origin.name})"
    return link + (f" ({', '.join(details)})" if details else "")


def _summary(facts: CardFacts) -> str:
    start = "trained from scratch" if facts.base is None else f"{_origin(facts.base)}, trained further"
    what = (
        f"An encoder for {USES.get(facts.objective, facts.objective)} (task {_md(facts.task)}): {start} with bertctl."
    )
    if facts.pairs:
        what += " It takes pairs of texts."
    if facts.threshold is not None:
        counts = "There is no answer" if facts.objective == "question-answering" else "A label counts"
        what += f" {counts} from a probability of {facts.threshold:g}."
    return what


def _scores(facts: CardFacts) -> str:
    names = list(dict.fromkeys(name for split in facts.splits for name in split.scores))
    rows = [
        (_md(split.split), str(split.n), *(_number(split.scores[n]) if n in split.scores else "" for n in names))
        for split in facts.splits
    ]
    text = _table(("split", "n", *(_md(_metric_name(name)) for name in names)), rows)
    for split in facts.splits:
        if split.held_out is not None:
            text += f"\n\nThe split {_md(split.split)} is {100 * split.held_out:.3g} % held out of the training data."
    if facts.selected_by:
        metric, split_name = (_md(part) for part in facts.selected_by)
        text += (
            f"\n\nThe checkpoint was selected by {metric} on {split_name}; that split's scores are optimistic for it."
        )
    return text


def _number(value: float) -> str:
    return f"{value:.4f}" if isfinite(value) else "undefined"


def _training(facts: CardFacts) -> list[tuple[str, ...]]:
    rows: list[tuple[str, object]] = [
        (label, facts.hyperparameters[key])
        for key, label in HYPERPARAMETERS.items()
        if facts.hyperparameters.get(key) is not None
    ]
    rows += [("optimizer steps", facts.steps), ("seed", facts.seed), ("precision", facts.precision)]
    rows += [("hardware", facts.hardware)]
    rows += [(name, facts.versions[name]) for name in VERSIONS if name in facts.versions]
    if facts.train_examples is not None:
        rows.append(("training examples", facts.train_examples))
    if facts.fingerprint:
        rows.append(("data fingerprint", facts.fingerprint))
    shown: list[tuple[str, ...]] = [(label, _md(value)) for label, value in rows]
    return [("data", _origin(facts.data, "datasets/")), *shown] if facts.data else shown
