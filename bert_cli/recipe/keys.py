"""What keys a recipe has, what each may hold in the user's words, and which key an unknown one was meant to be.

Everything is read off the JSON Schema of `Recipe`, so a key is described in one place only. Costs one walk of the
schema per process (10 ms).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from bert_cli.errors import UsageError, closest
from bert_cli.recipe.schema import WHOLE, Recipe

Node = dict[str, Any]

_HELP = "bertctl recipe schema"

# transformers' names for what a recipe calls otherwise; an empty key means that nothing takes its place.
FOREIGN: dict[str, tuple[str, str]] = {
    "learning_rate": ("train.lr", ""),
    "num_train_epochs": ("train.epochs", ""),
    "num_epochs": ("train.epochs", ""),
    "max_steps": ("train.budget", "train.budget: 500 steps"),
    "per_device_train_batch_size": ("train.batch_size", "train.batch_size counts all devices together"),
    "train_batch_size": ("train.batch_size", "train.batch_size counts all devices together"),
    "per_device_eval_batch_size": ("eval.batch_tokens", "eval.batch_tokens changes speed and memory only"),
    "gradient_accumulation_steps": ("", "not needed: train.batch_size is global, memory decides how it is cut"),
    "gradient_checkpointing": ("", "not needed: train.micro_batch_tokens bounds the memory"),
    "warmup_ratio": ("train.warmup", "below 1, train.warmup is a share of all steps"),
    "warmup_steps": ("train.warmup", "from 1 on, train.warmup is a number of steps"),
    "lr_scheduler_type": ("train.schedule", ""),
    "adam_beta1": ("train.beta1", ""),
    "adam_beta2": ("train.beta2", ""),
    "adam_epsilon": ("train.eps", ""),
    "label_smoothing_factor": ("train.label_smoothing", ""),
    "mlm_probability": ("mask.rate", ""),
    "fp16": ("train.precision", "train.precision: bf16 (fp16 is not offered)"),
    "bf16": ("train.precision", "train.precision: bf16"),
    "max_seq_length": ("data.max_length", ""),
    "max_seq_len": ("data.max_length", ""),
    "max_train_samples": ("data.limit", ""),
    "dataset_name": ("data.source", "hub:OWNER/NAME, or a folder or file"),
    "train_file": ("data.source", "the folder that holds train.*, or the file"),
    "model_name_or_path": ("model.name", ""),
    "tokenizer_name": ("model.tokenizer", ""),
    "attn_implementation": ("model.attention", ""),
    "task_name": ("task", ""),
    "metric_for_best_model": ("eval.metric", ""),
    "early_stopping_patience": ("eval.patience", ""),
    "eval_strategy": ("eval.every", "a number of epochs"),
    "evaluation_strategy": ("eval.every", "a number of epochs"),
    "eval_steps": ("eval.every", "eval.every: 500 steps"),
    "save_steps": ("run.save_every", "run.save_every: 500 steps"),
    "save_total_limit": ("run.keep", ""),
    "logging_steps": ("run.log_every", ""),
    "report_to": ("run.trackers", ""),
    "output_dir": ("run.out", ""),
    "resume_from_checkpoint": ("run.resume", ""),
    "use_cpu": ("dist.device", "dist.device: cpu"),
    "no_cuda": ("dist.device", "dist.device: cpu"),
    "nproc_per_node": ("dist.processes", "--gpus N, or --cpus N"),
    "num_processes": ("dist.processes", "--gpus N, or --cpus N"),
    "ddp_timeout": ("dist.timeout", ""),
    "ddp_find_unused_parameters": ("", "not needed: found out before the first step"),
}


@dataclass(frozen=True)
class Keys:
    """The keys in the order of the schema.

    Attributes:
        fields: dotted key that holds a value -> its JSON Schema.
        sections: dotted keys that hold further keys, the root as "".
        mappings: fields whose own keys are the user's (`data.columns`); whole: those of them that a layer replaces.
    """

    fields: dict[str, Node]
    sections: frozenset[str]
    mappings: frozenset[str]
    whole: frozenset[str]

    def below(self, section: str) -> list[str]:
        """The names of the keys and sections directly below a section."""
        prefix = f"{section}." if section else ""
        names = [*self.fields, *sorted(self.sections - {""})]
        return [name.removeprefix(prefix) for name in names if name.rpartition(".")[0] == section]


@cache
def known_keys() -> Keys:
    """The keys of `Recipe`."""
    schema = Recipe.model_json_schema()
    fields: dict[str, Node] = {}
    sections = {""}

    def walk(node: Node, prefix: str) -> None:
        for name, child in node["properties"].items():
            if "$ref" in child:
                sections.add(prefix + name)
                walk(schema["$defs"][child["$ref"].rpartition("/")[2]], f"{prefix}{name}.")
            else:
                fields[prefix + name] = child

    walk(schema, "")
    mappings = frozenset(name for name, node in fields.items() if node.get("type") == "object")
    whole = frozenset(name for name in mappings if fields[name].get(WHOLE))
    return Keys(fields, frozenset(sections), mappings, whole)


def choices(node: Node) -> list[str]:
    """The words that a value may be, where it may be one of a few."""
    own = node.get("enum") or ([node["const"]] if "const" in node else [])
    return [str(word) for word in own] + [word for part in node.get("anyOf", []) for word in choices(part)]


def kinds(node: Node) -> list[str]:
    """The forms of value besides `choices`: "a number > 0", "a list of text", "null"."""
    if "anyOf" in node:
        return list(dict.fromkeys(kind for part in node["anyOf"] for kind in kinds(part)))
    if "enum" in node or "const" in node:
        return []
    kind = node.get("type")
    if kind in ("integer", "number"):
        return [" ".join(filter(None, ["a whole number" if kind == "integer" else "a number", _bounds(node)]))]
    if kind == "array":
        inner = kinds(node.get("items", {}))
        return [f"a list of {inner[0].removeprefix('a ') if inner else 'values'}".replace("number", "numbers")]
    if kind == "object":
        return ["key: value pairs"]
    words = {"string": "text", "boolean": "true or false", "null": "null"}
    return [words.get(str(kind), "a value")]


def _bounds(node: Node) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return " and ".join(f"{sign} {_number(node[name])}" for name, sign in signs.items() if name in node)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def allowed_values(node: Node) -> str | list[str]:
    """What a key may hold, for an error: a list where near misses deserve a suggestion."""
    words, forms = choices(node), kinds(node)
    return [*words, *forms] if words else " or ".join(forms)


def unknown_key(path: tuple[str, ...], *, where: str | None) -> UsageError:
    """The error for a key that no recipe has, with the key that was probably meant."""
    keys = known_keys()
    dotted, leaf, section = ".".join(path), path[-1], ".".join(path[:-1])
    message = f"there is no key '{dotted}'"
    if len(path) == 1 and (dotted in keys.fields or dotted in keys.sections):
        outer, _, inner = leaf.partition(".")
        return UsageError("R020", message, where=where, key=dotted, found=leaf, help=f"{outer}:, and {inner}: below it")
    if leaf.casefold() in FOREIGN:
        meant, hint = FOREIGN[leaf.casefold()]
        message += f"; a recipe calls it {meant}" if meant else ""
        allowed = [meant] if meant else None
        return UsageError("R020", message, where=where, key=dotted, found=leaf, allowed=allowed, help=hint or _HELP)
    if section in keys.fields:
        message += f"; {section} holds a value"
        return UsageError("R020", message, where=where, key=dotted, help=_HELP)
    leaves: dict[str, list[str]] = {}
    for name in [*keys.fields, *sorted(keys.sections - {""})]:
        leaves.setdefault(name.rpartition(".")[2], []).append(name)
    here = keys.below(section) if section in keys.sections else []
    near = closest(leaf, here) if leaf not in leaves else None
    if not near and leaf not in leaves and (foreign := closest(leaf, FOREIGN)) and FOREIGN[foreign][0]:
        meant, hint = FOREIGN[foreign]
        message += f"; {meant} may be meant"
        return UsageError("R020", message, where=where, key=dotted, found=leaf, allowed=[meant], help=hint or _HELP)
    elsewhere = leaves.get(leaf) or leaves.get(closest(leaf, leaves) or "", [])
    if near or (here and not elsewhere):
        return UsageError("R020", message, where=where, key=dotted, found=leaf, allowed=here, help=_HELP)
    if elsewhere and section in keys.sections:
        message += f"; {elsewhere[0]} may be meant"
        return UsageError("R020", message, where=where, key=dotted, found=leaf, allowed=elsewhere, help=_HELP)
    every = list(keys.fields) if len(path) > 1 else keys.below("")
    return UsageError("R020", message, where=where, key=dotted, found=dotted, allowed=every, help=_HELP)


def schema_json() -> Node:
    """JSON Schema (2020-12) of a recipe file: `Recipe` and the key `extends`, for editors."""
    schema = Recipe.model_json_schema()
    extends: Node = {
        "title": "Extends",
        "description": "Recipes to start from: files relative to this one, or shipped names; later ones win.",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        "default": [],
    }
    # The loader takes label ids and other unquoted scalars as the text that they are written with.
    for part in schema["$defs"]["DataSection"]["properties"]["labels"]["anyOf"]:
        if part.get("type") == "array":
            part["items"] = {"type": ["string", "number", "boolean"]}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "bertctl recipe"}
    body = {name: value for name, value in schema.items() if name != "title"}
    return head | body | {"properties": {"extends": extends} | schema["properties"]}
