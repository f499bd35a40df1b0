"""One of several choices is right: endings of stories, answers to questions, causes and effects.

The choices of a row are read one by one, each behind the question, and both behind the context. Ids and metrics are
those of the hub copies, and labels may be numbers, letters, or names that the choices bring along. A question of RACE
with a blank is read with the choice in it (as Liu et al. 2019, arXiv:1907.11692, do); COPA asks for a cause or an
effect, and is asked so in English, whatever its language. XCOPA (Ponti et al. 2020) has no training split of its own:
that of COPA serves, as in the zero-shot setting of the paper.
"""

from __future__ import annotations

from bert_cli.errors import DataError
from bert_cli.tasks.base import Hub, Row, Task
from bert_cli.tasks.generic import SPLITS

OBJECTIVE = "multiple-choice"

CONTEXT = ("context", "passage", "article", "paragraph", "document", "premise", "sent1", "ctx_a")
QUESTION = ("question", "query", "question_stem", "stem", "prompt", "sent2", "ctx_b", "sentence", "goal", "text")
CHOICES = ("choices", "endings", "options", "candidates", "choice*", "ending*", "option*", "sol*", "answer*")
LABEL = ("label", "answerKey", "answer", "correct", "gold", "target", "labels")

_PUBLIC = {"train": SPLITS["train"], "validation": SPLITS["validation"]}
_TWO = {"train": "train", "validation": "validation"}
_THREE = {**_TWO, "test": "test"}
_ASKED = {"cause": "What was the cause of this?", "effect": "What happened as a result?"}


def fill_blank(row: Row) -> Row:
    """RACE: the choices in the place of a question's blank, where it has one."""
    question, choices = row["question"], row["choices"]
    assert isinstance(question, str) and isinstance(choices, tuple)
    if question.count("_") != 1:
        return row
    return {**row, "question": "", "choices": tuple(question.replace("_", choice) for choice in choices)}


def ask(row: Row) -> Row:
    """COPA: `cause` and `effect` as questions."""
    asked = row["question"]
    if asked not in _ASKED:
        raise DataError(
            "D148",
            "this row says neither that it asks for a cause nor for an effect",
            key="data.columns.question",
            found=repr(asked),
            allowed=tuple(_ASKED),
            help="correct the row, or name the column: data.columns.question=COLUMN",
        )
    return {**row, "question": _ASKED[str(asked)]}


TASKS: tuple[Task, ...] = (
    Task(
        name="multiple-choice",
        objective=OBJECTIVE,
        summary="your own questions, any number of choices each",
        splits=SPLITS,
        columns={"context": CONTEXT, "question": QUESTION, "choices": CHOICES, "label": LABEL},
        metrics=("accuracy",),
        primary="accuracy",
        optional=frozenset({"context", "question"}),
        language=None,
    ),
    Task(
        name="swag",
        objective=OBJECTIVE,
        summary="how does the scene go on? 4 endings",
        hub=Hub(path="allenai/swag", config="regular", splits=_TWO),
        folders=("swag", "SWAG"),
        splits=_PUBLIC,
        columns={"context": ("sent1",), "question": ("sent2",), "choices": ("endings", "ending*"), "label": ("label",)},
        metrics=("accuracy",),
        primary="accuracy",
    ),
    Task(
        name="hellaswag",
        objective=OBJECTIVE,
        summary="how does the text go on? 4 endings, hard to tell",
        hub=Hub(path="Rowan/hellaswag", splits=_TWO),
        folders=("hellaswag", "HellaSwag"),
        splits={
            "train": (*SPLITS["train"], "hellaswag_train"),
            "validation": (*SPLITS["validation"], "hellaswag_val"),
        },
        columns={"context": ("ctx_a",), "question": ("ctx_b",), "choices": ("endings", "ending*"), "label": ("label",)},
        metrics=("accuracy",),
        primary="accuracy",
    ),
    Task(
        name="commonsenseqa",
        objective=OBJECTIVE,
        summary="questions of common sense, 5 choices",
        hub=Hub(path="tau/commonsense_qa", splits=_TWO),
        folders=("commonsenseqa", "commonsense_qa", "CommonsenseQA"),
        splits={
            "train": (*SPLITS["train"], "train_rand_split"),
            "validation": (*SPLITS["validation"], "dev_rand_split"),
        },
        columns={"question": ("question",), "choices": ("choices",), "label": ("answerKey", "label")},
        metrics=("accuracy",),
        primary="accuracy",
    ),
    *(
        Task(
            name=name,
            objective=OBJECTIVE,
            summary=f"science at school, {kind} questions, 3 to 5 choices",
            hub=Hub(path="allenai/ai2_arc", config=config, splits=_THREE),
            folders=(name, config),
            splits={
                "train": (*SPLITS["train"], f"{config}-Train"),
                "validation": (*SPLITS["validation"], f"{config}-Dev"),
                "test": (*SPLITS["test"], f"{config}-Test"),
            },
            columns={"question": ("question",), "choices": ("choices",), "label": ("answerKey", "label")},
            metrics=("accuracy",),
            primary="accuracy",
        )
        for name, config, kind in (
            ("arc_easy", "ARC-Easy", "easier"),
            ("arc_challenge", "ARC-Challenge", "harder"),
        )
    ),
    Task(
        name="race",
        objective=OBJECTIVE,
        summary="English exams: questions about a text, 4 choices",
        hub=Hub(path="ehovy/race", config="all", splits=_THREE),
        folders=("race", "RACE"),
        splits=SPLITS,
        columns={
            "context": ("article", "context"),
            "question": ("question",),
            "choices": ("options", "choices"),
            "label": ("answer", "label"),
        },
        metrics=("accuracy",),
        primary="accuracy",
        prepare=fill_blank,
    ),
    Task(
        name="copa",
        objective=OBJECTIVE,
        summary="which is the cause, or the effect? 2 choices",
        hub=Hub(path="aps/super_glue", config="copa", splits=_TWO),
        folders=("copa", "COPA", "balanced_copa"),
        splits=SPLITS,
        # Balanced COPA calls the premise `question`, SuperGLUE what is asked for.
        columns={
            "context": ("premise", "question"),
            "question": ("asks_for", "question"),
            "choices": ("choices", "choice*"),
            "label": ("label",),
        },
        metrics=("accuracy",),
        primary="accuracy",
        prepare=ask,
    ),
    Task(
        name="xcopa",
        objective=OBJECTIVE,
        summary="COPA in 11 languages; trained on COPA itself",
        hub=Hub(
            path="cambridgeltl/xcopa",
            config="zh",
            splits={"train": "aps/super_glue:copa:train", "validation": "validation", "test": "test"},
        ),
        folders=("xcopa", "xcopa_zh"),
        splits=SPLITS,
        columns={
            "context": ("premise", "question"),
            "question": ("asks_for", "question"),
            "choices": ("choices", "choice*"),
            "label": ("label",),
        },
        metrics=("accuracy",),
        primary="accuracy",
        language=None,
        prepare=ask,
    ),
)
