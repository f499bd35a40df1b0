"""How a published model is called: its kind in words, the hub's name of it, and an example that runs."""

from __future__ import annotations

import json
import shlex

from bert_cli.errors import printable
from bert_cli.tasks.base import PRETRAINING, REPLACED

USES = {
    "text-classification": "text classification",
    "multi-label-classification": "multi-label classification",
    "text-regression": "text regression",
    "token-classification": "token classification",
    "question-answering": "extractive question answering",
    "multiple-choice": "multiple choice",
    "sentence-similarity": "sentence similarity and search",
    "text-ranking": "ranking of texts",
    "fill-mask": "masked language modelling",
    "fill-mask-nsp": "masked language modelling and next sentence prediction",
    "fill-mask-sop": "masked language modelling and sentence order prediction",
    "replaced-token-detection": "replaced token detection",
}
"""Objective -> what a model of it is for."""

_TAGS = {
    "multi-label-classification": "text-classification",
    "text-regression": "text-classification",
    REPLACED: "feature-extraction",
    **{name: "fill-mask" for name in PRETRAINING if name != REPLACED},
}

_SENTENCES = """from sentence_transformers import SentenceTransformer

model = SentenceTransformer({model})
vectors = model.encode(["…", "…"])
print(model.similarity(vectors, vectors))"""

_RANKING = """from sentence_transformers import CrossEncoder

model = CrossEncoder({model})
print(model.predict([("a question", "a text"), ("a question", "another text")]))"""

_CHOICE = """from transformers import AutoModelForMultipleChoice, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({model})
model = AutoModelForMultipleChoice.from_pretrained({model})
choices = ["…", "…"]
rows = tokenizer(["a question"] * len(choices), choices, padding=True, return_tensors="pt")
print(model(**{{name: row.unsqueeze(0) for name, row in rows.items()}}).logits.softmax(-1))"""


def pipeline_tag(objective: str) -> str:
    """The hub's name of a kind of model."""
    return _TAGS.get(objective, objective)


def use(objective: str, *, name: str, pairs: bool) -> str:
    """Markdown: the command, and Python that needs nothing of bertctl.

    Args:
        name: of the model's folder.
        pairs: whether it reads pairs of texts.
    """
    python = f"```python\n{_python(objective, name=printable(name), pairs=pairs)}\n```"
    if objective in PRETRAINING:
        return python
    rows = {"question-answering": "questions.jsonl", "multiple-choice": "questions.jsonl"}.get(objective, "texts.jsonl")
    return f"```sh\nbertctl predict {shlex.quote(printable(name))} {rows}\n```\n\n{python}"


def _python(objective: str, *, name: str, pairs: bool) -> str:
    # The discriminator is the encoder that is used further; the generator only taught it.
    model = json.dumps(f"{name}/discriminator" if objective == REPLACED else name, ensure_ascii=objective == REPLACED)
    whole = {"sentence-similarity": _SENTENCES, "text-ranking": _RANKING, "multiple-choice": _CHOICE}
    if objective in whole:
        return whole[objective].format(model=model)
    arguments = {
        "multi-label-classification": ", top_k=None",
        "text-regression": ', function_to_apply="none"',
        "token-classification": ', aggregation_strategy="first"',
    }
    variable, example = "classify", '{"text": "…", "text_pair": "…"}' if pairs else '"…"'
    if objective == REPLACED:
        variable, example = "encode", '"…"'
    elif objective in PRETRAINING:
        variable, example = "fill", 'f"… {fill.tokenizer.mask_token} …"'
    elif objective == "token-classification":
        variable, example = "tag", '"…"'
    elif objective == "question-answering":
        variable, example = "answer", 'question="…", context="…"'
    load = f'{variable} = pipeline("{pipeline_tag(objective)}", model={model}{arguments.get(objective, "")})'
    return f"from transformers import pipeline\n\n{load}\nprint({variable}({example}))"
