"""The recipe: a frozen, strictly validated tree in which equal values mean equal runs.

Every key has one line of help with its unit here and nowhere else; the JSON Schema, `recipe show` and the error
messages are made from it. Importing this costs pydantic (0.1 s); nothing heavier.
"""

from __future__ import annotations

import codecs
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from bert_cli.recipe.amount import Amount, AmountText
from bert_cli.recipe.scalars import flow

Key = TypeVar("Key", int, str)

AUTO_SHARE = 0.1
"""Share of the training split that serves for validation where nothing else does."""

_VALIDATION = "auto, a share of train as '10%' or 0.1, or the name of a split"


def _share_as_text(value: object) -> object:
    """A number between 0 and 1 as a percentage, so that 0.3 and '30%' are one recipe."""
    if isinstance(value, float) and 0.0 < value < 1.0:
        return f"{100 * value:.12g}%"
    if not isinstance(value, str):
        raise ValueError(_VALIDATION)
    return value


def _no_bare_word(value: object) -> object:
    """Refuse one word where a list is wanted, showing the list that it would be."""
    if isinstance(value, str):
        raise ValueError(f"a list, as {flow([part.strip() for part in value.split(',')])}")
    return value


def _whole_keys(value: object) -> object:
    """Keys of a mapping as whole numbers, which a command line can only spell as text."""
    if isinstance(value, dict):
        return {int(key) if isinstance(key, str) and key.isdecimal() else key: part for key, part in value.items()}
    return value


def _named_by_number(value: object) -> object:
    """A column without a name by its number, which YAML reads as one."""
    if isinstance(value, dict):
        return {role: str(name) if type(name) is int else name for role, name in value.items()}
    return value


def _whole(shares: dict[int, float]) -> dict[int, float]:
    """Refuse shares that do not add up to the whole run."""
    if shares and (min(shares) < 1 or abs(sum(shares.values()) - 1) > 1e-6):
        raise ValueError("shares of all steps that add up to 1, as {128: 0.9, 512: 0.1}")
    return _in_order(shares)


def _in_order(values: dict[Key, float]) -> dict[Key, float]:
    """The keys in their order, whatever order they were written in: equal recipes are equal runs."""
    return dict(sorted(values.items()))


Words = Annotated[tuple[str, ...], BeforeValidator(_no_bare_word)]
Validation = Annotated[
    str,
    BeforeValidator(_share_as_text),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}]}),
]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Part = Annotated[float, Field(ge=0.0, lt=1.0)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
WHOLE = "replaced-whole"
"""Marks in the JSON Schema a mapping whose keys say something only together; another layer replaces all of them."""
Mix = Annotated[dict[str, Positive], AfterValidator(_in_order), Field(json_schema_extra={WHOLE: True})]
Phases = Annotated[
    dict[int, Positive],
    BeforeValidator(_whole_keys),
    AfterValidator(_whole),
    Field(json_schema_extra={WHOLE: True}),
]


class Section(BaseModel):
    """A part of the recipe: unknown keys are refused, values are not converted between types, nothing changes later."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ModelSection(Section):
    """Which encoder, and how much of it is trained."""

    name: str | None = Field(
        None, description="Hub id or folder of the encoder to start from; none trains from scratch."
    )
    revision: str | None = Field(None, description="Branch, tag or commit on the hub.")
    tokenizer: str | None = Field(None, description="Hub id or folder of the tokenizer; default: the model's own.")
    attention: Literal["auto", "unpadded", "sdpa", "eager"] = Field(
        "auto",
        description="Attention; unpadded computes real tokens only; auto: that on a CPU, where the model allows it.",
    )
    reset_head: bool = Field(False, description="Start with a fresh head, whatever the checkpoint has.")
    allow_bin: bool = Field(
        False, description="Accept a model that has only pickled .bin weights (converted once, safely)."
    )
    dropout: Part | None = Field(None, description="Dropout of hidden states and attention; default: the model's own.")
    freeze: Annotated[int, Field(ge=0)] | Literal["encoder"] = Field(
        0, description="Freeze the embeddings and this many lower layers, or the whole 'encoder' below the head."
    )
    size: str | None = Field(
        None, description="Shape of a model from scratch by name: bert-mini, roberta-base, modernbert-base …"
    )
    config: dict[str, bool | int | float | str] = Field(
        default_factory=dict,
        description="Configuration of a model from scratch, over its size: model_type, hidden_size, vocab_size …",
    )
    pooling: Literal["auto", "cls", "mean"] = Field(
        "auto", description="One vector for a text: of its first token, or the mean; auto: the model's own, else mean."
    )
    generator: Annotated[float, Field(gt=0, le=1)] = Field(
        0.25, description="ELECTRA from scratch: width of the generator as a share of the discriminator's."
    )


class TokenizerSection(Section):
    """A tokenizer trained on the corpus before pretraining; used when model.tokenizer and model.name are absent."""

    kind: Literal["wordpiece", "bpe", "unigram"] = Field(
        "wordpiece", description="wordpiece as BERT's, byte-level bpe as RoBERTa's, or unigram as ALBERT's and XLM-R's."
    )
    vocab_size: Annotated[int, Field(ge=64)] = Field(30_522, description="Number of tokens, the special ones included.")
    lowercase: bool = Field(True, description="Fold case and strip accents.")


class DataSection(Section):
    """Where the examples are and how they become tokens."""

    source: str | None = Field(
        None, description="Folder or file, or hub:OWNER/NAME[:CONFIG]; default: the task's own on the hub."
    )
    mix: Mix = Field(
        default_factory=dict,
        description="Pretraining: several corpora instead of one source, each with its weight in the stream.",
    )
    documents: Literal["auto", "files"] = Field(
        "auto", description="Plain text: auto (blank lines stand between documents), or files (each is one document)."
    )
    sentences: Literal["split", "lines"] = Field(
        "split", description="Pretraining: split lines into sentences, or take each line as one."
    )
    words: Literal["tokenizer", "jieba"] = Field(
        "tokenizer", description="What a whole word is: as the tokenizer splits, or jieba's words for Chinese."
    )
    cross_documents: bool = Field(False, description="Pack blocks across the ends of documents.")
    lengths: Phases = Field(
        default_factory=dict,
        description="Pretraining at growing lengths: tokens -> share of all steps, as {128: 0.9, 512: 0.1}.",
    )
    columns: Annotated[dict[str, str], BeforeValidator(_named_by_number)] = Field(
        default_factory=dict,
        description="Column of each role: text, text_pair, label (of several labels too). Default: the task's names.",
    )
    labels: Literal["auto"] | tuple[str, ...] = Field(
        "auto", description="Class names in the order of their ids; auto: the task's, else those of the training split."
    )
    label_separator: str = Field(",", min_length=1, description="Between the labels of a multi-label CSV or TSV cell.")
    validation: Validation = Field(
        "auto",
        description="auto (the validation split, else 10%), a stratified share of train as '10%' or 0.1, or a split's "
        "name.",
    )
    max_length: Annotated[int, Field(ge=4)] = Field(
        128, description="Longest sequence, tokens, the special ones included."
    )
    stride: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Tokens that neighbouring windows of a long text share; default: a third of max_length."
    )
    aggregate: Literal["first", "mean", "max"] = Field(
        "first", description="Long texts in classification: read the first window only, or all: mean or max of logits."
    )
    scheme: Literal["auto", "plain", "iob1", "bio", "bioes"] = Field(
        "auto", description="How tags mark entities; plain: each tag is a class of its own, as in part-of-speech."
    )
    negatives: Annotated[int, Field(ge=0)] = Field(
        1, description="Similarity, ranking: hard negatives beside each positive text, where the data have them."
    )
    quoting: Literal["minimal", "none"] = Field(
        "minimal",
        description="CSV and TSV: minimal (RFC 4180), or none (quote characters are text, as in raw GLUE files).",
    )
    encoding: str = Field("utf-8", description="Text encoding of the files.")
    limit: Annotated[int, Field(ge=1)] | None = Field(None, description="Use only the first N examples of each split.")

    @model_validator(mode="after")
    def _one_corpus_or_several(self) -> DataSection:
        if self.source is not None and self.mix:
            raise ValueError("data.source is one corpus, data.mix are several: give one of the two")
        if self.stride is not None and self.stride >= self.max_length:
            raise ValueError("data.stride is a part of each window: less than data.max_length")
        if self.lengths and max(self.lengths) != self.max_length:
            raise ValueError(f"data.max_length must be the longest of data.lengths: {max(self.lengths)}")
        return self

    @field_validator("labels")
    @classmethod
    def _labels_differ(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(value, tuple) and (len(set(value)) != len(value) or len(value) < 2):
            raise ValueError("at least two different names are needed")
        return value

    @field_validator("validation")
    @classmethod
    def _share_is_possible(cls, value: str) -> str:
        if value.endswith("%"):
            try:
                share = float(value[:-1])
            except ValueError:
                share = -1.0
            if not 0.0 < share < 100.0:
                raise ValueError(f"{_VALIDATION}; a share lies between 0% and 100%")
        if value == "test":
            raise ValueError(f"{_VALIDATION}; the test split never selects a model")
        return value

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, value: str) -> str:
        try:
            codecs.lookup(value)
        except LookupError as error:
            raise ValueError(f"Python knows no text encoding '{value}'") from error
        return value

    @property
    def validation_share(self) -> float | None:
        """The share of train that `validation` asks for; None where it is auto or names a split."""
        return float(self.validation[:-1]) / 100 if self.validation.endswith("%") else None

    @property
    def validation_split(self) -> str | None:
        """The split that `validation` names; None where it is auto or a share."""
        return None if self.validation == "auto" or self.validation.endswith("%") else self.validation


class TrainSection(Section):
    """The optimisation."""

    epochs: Annotated[float, Field(gt=0)] = Field(
        3.0, description="Passes over the training split; fractions are allowed."
    )
    budget: AmountText | None = Field(
        None,
        description="How long to train instead of epochs: '500 steps', '2B tokens', or time in steps as '10m'.",
    )
    batch_size: Annotated[int, Field(ge=1)] = Field(
        32, description="Examples per optimizer step, over all devices together."
    )
    batch_sizes: Phases = Field(
        default_factory=dict,
        description="Pretraining with growing batches: examples -> share of all steps, as {64: 0.1, 256: 0.9}.",
    )
    micro_batch_tokens: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        "auto",
        description="Most tokens (padding included) in one forward pass, auto: what fits into memory; it changes "
        "memory and speed, of the gradient only what dropout drops.",
    )
    lr: Annotated[float, Field(gt=0)] = Field(5e-5, description="Peak learning rate of AdamW.")
    schedule: Literal["linear", "cosine", "constant", "wsd"] = Field(
        "linear", description="After warm-up: to zero linearly or as a cosine, constant, or constant then down (wsd)."
    )
    warmup: Annotated[float, Field(ge=0)] = Field(
        0.1, description="Warm-up: a share of all steps below 1, else a whole number of steps."
    )
    decay_share: Fraction = Field(0.2, description="Share of all steps in which wsd goes down.")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.01, description="Decoupled decay; not for biases and norms.")
    beta1: Part = Field(0.9, description="AdamW's first beta.")
    beta2: Part = Field(0.999, description="AdamW's second beta.")
    eps: Annotated[float, Field(gt=0)] = Field(1e-8, description="AdamW's epsilon.")
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="Each layer below the head learns at this share of the rate of the layer above."
    )
    max_grad_norm: Annotated[float, Field(gt=0)] | None = Field(
        1.0, description="Clip the gradient's L2 norm; null: never."
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Share of the target spread over all classes."
    )
    class_weights: Literal["none", "balanced"] | tuple[Positive, ...] = Field(
        "none", description="Weight of each class; balanced: n / (classes × count), multi-label: absent ÷ present rows."
    )
    loss: Literal["auto", "in-batch", "cosine", "triplet", "simcse", "listwise", "binary"] = Field(
        "auto", description="Similarity and ranking: what is minimised; auto: what the data allow."
    )
    scale: Positive = Field(20.0, description="Similarity: what cosines are multiplied by before the softmax.")
    margin: Positive = Field(0.3, description="Similarity: how much nearer a triplet's positive must be, cosine.")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        42, description="Root of all randomness: order, dropout, masks, new weights."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="Arithmetic; auto: bf16 on a GPU that has it, on a CPU where a probe shows it is faster.",
    )

    @property
    def amount(self) -> Amount:
        """How long to train, whichever key says it."""
        return Amount.parse(self.epochs if self.budget is None else self.budget)

    @field_validator("warmup")
    @classmethod
    def _steps_are_whole(cls, value: float) -> float:
        if value > 1 and not value.is_integer():
            raise ValueError("a share of all steps below 1, or a whole number of steps")
        return value


class MaskSection(Section):
    """What pretraining hides of a text."""

    rate: Share = Field(0.15, description="Share of the tokens that are to be predicted.")
    final_rate: Share | None = Field(
        None, description="Share at the end of the run, reached linearly; default: it stays."
    )
    unit: Literal["token", "word", "span"] = Field(
        "token", description="Hide single tokens, whole words, or spans of words (1 to 10, 3.8 on average)."
    )
    masked: Fraction = Field(0.8, description="Share of the chosen tokens that become the mask token.")
    random: Fraction = Field(0.1, description="Share of the chosen tokens that become a random one; the rest stays.")
    rtd_weight: Positive = Field(
        50.0, description="ELECTRA: weight of the discriminator's loss beside the generator's."
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> MaskSection:
        if self.masked + self.random > 1 + 1e-9:
            raise ValueError("mask.masked and mask.random are shares of the chosen tokens: together at most 1")
        return self


class EvalSection(Section):
    """When the model is scored and what counts as best."""

    every: AmountText = Field(1.0, description="Score every so many epochs (fractions too), '500 steps' or '30m'.")
    metric: str | None = Field(None, description="Metric that selects the best model; default: the task's primary one.")
    metrics: Words = Field(
        (), description="Metrics beside the task's own; 'evaluate:NAME@COMMIT' or 'evaluate:FOLDER' too."
    )
    allow_code: bool = Field(False, description="Consent to run the code of the evaluate: metrics named above.")
    patience: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Stop after so many scores without a new best."
    )
    threshold: Literal["auto"] | Fraction = Field(
        "auto",
        description="Probability from which a label counts (multi-label) or there is no answer (questions); auto: "
        "tuned on validation.",
    )
    n_best: Annotated[int, Field(ge=1)] = Field(20, description="Questions: answers looked at for each window.")
    max_answer_length: Annotated[int, Field(ge=1)] = Field(30, description="Questions: longest answer, tokens.")
    depth: Annotated[int, Field(ge=1)] = Field(
        100, description="Similarity, ranking: texts that are ranked for each query, those that a first search found."
    )
    batch_tokens: Annotated[int, Field(ge=1)] = Field(8_192, description="Most tokens in one forward pass of scoring.")
    mask_rate: Share = Field(
        0.15, description="Share of tokens masked when an encoder is scored, the same for all recipes."
    )


class RunSection(Section):
    """What is kept, and where."""

    out: str | None = Field(None, description="Run folder; default: runs/TASK-MODEL.")
    save_every: AmountText = Field(
        1.0, description="Checkpoint every so many epochs (fractions too), '500 steps' or '10m'."
    )
    keep: Annotated[int, Field(ge=1)] = Field(1, description="Newest checkpoints kept beside the best.")
    max_gb: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Most disk that the run folder takes, GB; the oldest checkpoints go first."
    )
    resume: str = Field(
        "never", description="never, auto (newest verified checkpoint of the run folder) or a checkpoint's path."
    )
    trackers: Words = Field(
        (), description="Beside metrics.jsonl: tensorboard, wandb, mlflow and others that accelerate knows."
    )
    log_every: Annotated[int, Field(ge=1)] = Field(10, description="Steps between training records.")


class DistSection(Section):
    """Which devices, and how many processes."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where to compute; auto: a GPU where there is one."
    )
    processes: Annotated[int, Field(ge=1, le=1024)] = Field(
        1, description="Ranks on this machine, one a GPU; the batch is dealt to them and stays the same."
    )
    timeout: Annotated[float, Field(gt=0)] = Field(
        600.0, description="Seconds after which a rank that does not answer the others counts as lost."
    )
    strategy: Literal["ddp"] = Field("ddp", description="How ranks share the work; ddp: each holds the whole model.")


class Recipe(Section):
    """One run, completely."""

    task: str | None = Field(None, description="A name of `bertctl task ls`.")
    stages: Words = Field(
        (), description="Recipes (files or names) run before, in turn; each goes on from the model of the one before."
    )
    model: ModelSection = Field(default_factory=ModelSection, description="The encoder.")
    tokenizer: TokenizerSection = Field(default_factory=TokenizerSection, description="A tokenizer of one's own.")
    data: DataSection = Field(default_factory=DataSection, description="The examples.")
    train: TrainSection = Field(default_factory=TrainSection, description="The optimisation.")
    mask: MaskSection = Field(default_factory=MaskSection, description="What pretraining hides.")
    eval: EvalSection = Field(default_factory=EvalSection, description="The scoring.")
    run: RunSection = Field(default_factory=RunSection, description="The run folder.")
    dist: DistSection = Field(default_factory=DistSection, description="The devices.")

    @model_validator(mode="after")
    def _weights_fit(self) -> Recipe:
        labels, weights = self.data.labels, self.train.class_weights
        if isinstance(labels, tuple) and isinstance(weights, tuple) and len(labels) != len(weights):
            raise ValueError(f"train.class_weights has {len(weights)} numbers for {len(labels)} data.labels")
        return self
