"""The verb `predict` as a function: texts in, one prediction for each, in their order.

Works on a stream: windows of growing size are read, sorted by length, computed and put back in order, so first answers
come early and memory stays flat. A model of bertctl brings its columns, length, threshold and precision along.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Unpack

from bert_cli.data.read import Record
from bert_cli.data.store import SplitStore
from bert_cli.errors import ModelError, UsageError, closest
from bert_cli.families import labelled
from bert_cli.families.base import Labelled, Reading
from bert_cli.models.attention import choose_attention
from bert_cli.models.build import check_fits, load_model, load_tokenizer, positions
from bert_cli.models.heads import head_labels
from bert_cli.models.locate import Access, Located, locate
from bert_cli.objectives.base import Objective
from bert_cli.recipe.schema import Recipe
from bert_cli.run.asked import batch_tokens, check_length, check_threshold, objective_of
from bert_cli.run.build import takes_type_ids
from bert_cli.run.publish import ModelFacts
from bert_cli.runtime import Runtime
from bert_cli.tasks import Task, all_tasks, find_task
from bert_cli.tasks.base import PRETRAINING
from bert_cli.train.evaluate import score

FIRST_WINDOW, LAST_WINDOW = 16, 1024
BATCH_TOKENS = 8192
LONGEST = 512
"""Tokens that are read of a text, where a model of others has room for more and nobody says how long texts are."""


@dataclass
class Tally:
    """What a stream has read so far: rows, those of them that were longer than the model reads, and tokens.

    Attributes:
        tokens: those that were there; lost_tokens: those of them that were cut.
    """

    rows: int = 0
    truncated: int = 0
    tokens: int = 0
    lost_tokens: int = 0

    @property
    def lost(self) -> float:
        """Share of the tokens that was cut, 0 to 1."""
        return self.lost_tokens / max(1, self.tokens)


@dataclass(frozen=True)
class Predictor:
    """A loaded model that reads texts, or whatever else its task is about.

    Attributes:
        reading: how rows are read; `task.columns` holds the names of the columns that may hold each role.
        needs_pair: whether it reads a second text.
        threshold: at which decisions are taken.
    """

    model: Any
    family: Labelled
    reading: Reading
    objective: Objective
    runtime: Runtime
    needs_pair: bool
    batch_tokens: int
    threshold: float

    @property
    def max_length(self) -> int:
        """Tokens that are read at once."""
        return self.reading.recipe.data.max_length

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """One prediction for each text (or pair), in their order."""
        seconds = [{}] * len(texts) if pairs is None else [{"text_pair": pair} for pair in pairs]
        records = [
            Record(line, {"text": text, **second})
            for line, (text, second) in enumerate(zip(texts, seconds, strict=True), 1)
        ]
        return self._window(records, origin="texts", columns={}, tally=Tally())

    def stream(
        self,
        records: Iterable[Record],
        *,
        origin: str,
        columns: Mapping[str, str] | None = None,
        tally: Tally | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Each record with its prediction, as soon as its window is done.

        Args:
            origin: what to call the source in messages.
            columns: role -> column, where the model's own names do not fit.
            tally: counts what was read.

        Raises:
            UsageError: `columns` names a role that the model does not read (U094).
            DataError: a column that is not there (D096), and what the family says about what is in it.
        """
        self._check_roles(columns or {})
        source = iter(records)
        size = FIRST_WINDOW
        while window := list(itertools.islice(source, size)):
            yield from self._window(window, origin=origin, columns=columns or {}, tally=tally or Tally())
            size = min(size * 2, LAST_WINDOW)

    def _window(
        self, records: list[Record], *, origin: str, columns: Mapping[str, str], tally: Tally
    ) -> list[dict[str, Any]]:
        rows = self.family.records(records, self.reading, origin=origin, columns=columns)
        store = SplitStore.of(self.family.encode(rows, self.reading), {"origin": origin})
        scored = score(
            self.model, self.objective, store, runtime=self.runtime, max_tokens=self.batch_tokens, known=False
        )
        tally.rows += len(records)
        tally.truncated += store.facts["truncated"]
        tally.lost_tokens += store.facts["lost_tokens"]
        tally.tokens += store.facts["lost_tokens"] + int(store.lengths.sum())
        return list(self.family.answers(store, scored, self.reading, threshold=self.threshold).rows())

    def _check_roles(self, columns: Mapping[str, str]) -> None:
        roles = self.reading.task.columns
        for role, column in columns.items():
            if role not in roles:
                meant = closest(role, roles) or next(iter(roles))
                raise UsageError(
                    "U094",
                    f"the model reads no '{role}'",
                    key="--column",
                    found=role,
                    allowed=list(roles),
                    help=f"--column {meant}={column}",
                )


def load_predictor(
    name: str,
    *,
    pairs: bool = False,
    threshold: float | None = None,
    max_length: int | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    precision: str | None = None,
    **access: Unpack[Access],
) -> Predictor:
    """Load a run's best model, a model folder or a hub model for prediction.

    Args:
        name: run folder, model folder or hub id.
        pairs: a second text is asked for; a model of bertctl says itself whether it reads one.
        threshold, max_length, precision: default: what the model was selected with.
        batch_size: texts of full length in one forward pass; default: the batches it was scored in.
        access: see `locate`.

    Raises:
        ModelError: the model has no head that answers (L043).
        UsageError: a threshold (U054) or a second text (U075) that the model does not know, or a length (R032) for
            which it has no positions.
    """
    located = locate(name, **access)
    facts = ModelFacts.read(located.folder)
    objective = facts.objective if facts else _foreign(located)
    if objective is None or objective in PRETRAINING:
        raise _no_head(located)
    check_threshold(objective, threshold)
    family = labelled(objective)
    needs_pair = _needs_pair(facts, objective, pairs, located)
    runtime = _runtime(facts, device, precision)
    tokenizer = load_tokenizer(located.folder)
    task = _task(facts, objective, needs_pair=needs_pair)
    labels = head_labels(located.config, family.head.suffix) if family.head.named and family.head.suffix else None
    recipe = _recipe(facts)
    reading = Reading(recipe, task, tokenizer, labels, located.folder)
    model = _model(located, family, reading, runtime.device_type)
    room = positions(model)
    length = max_length or (facts.max_length if facts else min(tokenizer.model_max_length, LONGEST, room))
    check_length(room, length)
    check_fits(model, tokenizer, max_length=length)
    data = recipe.data.model_copy(update={"max_length": length})
    reading = replace(reading, recipe=recipe.model_copy(update={"data": data}))
    return Predictor(
        model=model.to(runtime.device),
        family=family,
        reading=reading,
        objective=family.objective(reading, takes_type_ids=takes_type_ids(model, tokenizer)),
        runtime=runtime,
        needs_pair=needs_pair,
        batch_tokens=batch_tokens(batch_size, length, default=facts.batch_tokens if facts else BATCH_TOKENS),
        threshold=threshold if threshold is not None else facts.threshold if facts else 0.5,
    )


def _foreign(located: Located) -> str | None:
    """The objective of a model that bertctl did not write; a folder of Sentence Transformers gives vectors."""
    vectors = "sentence-similarity" if (located.folder / "modules.json").is_file() else None
    return objective_of(located.config) or vectors


def _no_head(located: Located) -> ModelError:
    return ModelError(
        "L043",
        "this model has no trained head that answers",
        where=str(located.folder),
        found=", ".join(located.config.get("architectures") or ["no architectures"]),
        allowed="a model of `bertctl finetune`, or any with a head for texts, tokens, questions or choices",
        help=f"bertctl finetune --task TASK --model {located.name}",
    )


def _needs_pair(facts: ModelFacts | None, objective: str, asked: bool, located: Located) -> bool:
    if facts is None or "text_pair" not in find_task(objective).optional:
        return asked
    if asked and "text_pair" not in facts.columns:
        raise UsageError(
            "U075",
            "the model was trained on single texts",
            where=str(located.folder),
            key="--text-pair",
            found="a second text",
            allowed="one text a row",
            help="leave --text-pair out",
        )
    return "text_pair" in facts.columns


def _runtime(facts: ModelFacts | None, device: str, precision: str | None) -> Runtime:
    if facts is not None and precision is None:
        return Runtime(device=device, precision=facts.precision, onednn=facts.onednn)
    return Runtime(device=device, precision=precision or "auto")


def _model(located: Located, family: Labelled, reading: Reading, device: str) -> Any:
    model = load_model(located, auto_class=family.head.auto_class, need_head=True, **family.model_settings(reading))
    choose_attention(model, "auto", device=device)
    return model.eval()


def _recipe(facts: ModelFacts | None) -> Recipe:
    """What of its recipe a model brings along."""
    return Recipe() if facts is None else Recipe.model_validate_json(json.dumps(facts.reading))


def _task(facts: ModelFacts | None, objective: str, *, needs_pair: bool) -> Task:
    """The model's own task, with every name under which a role may be found."""
    general = find_task(objective)
    own = all_tasks().get(facts.task, general) if facts else general
    known = facts.columns if facts else {}

    def names(role: str) -> tuple[str, ...]:
        first = [known[role]] if role in known else []
        return tuple(dict.fromkeys([*first, role, *own.columns.get(role, ()), *general.columns.get(role, ())]))

    columns = {
        role: names(role)
        for role in dict.fromkeys([*general.columns, *own.columns])
        if role != "text_pair" or needs_pair or role not in general.optional
    }
    return replace(own, columns=columns, optional=own.optional | (general.columns.keys() - own.columns.keys()))
