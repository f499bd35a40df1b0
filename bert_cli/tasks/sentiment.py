"""What the writer feels: film and hotel reviews, tweets, and the 28 emotions of GoEmotions.

Metrics are those of the papers: accuracy for the balanced reviews, macro F1 for TweetEval's emotions (Barbieri et al.
2020) and for GoEmotions (Demszky et al. 2020), whose rarest class has 77 training examples. A folder with the IMDB
contrast set (Gardner et al. 2020) can stand in for IMDB in scoring: it holds originals and edited twins, but no
training split.
"""

from __future__ import annotations

from bert_cli.tasks.base import Hub, Task
from bert_cli.tasks.generic import SPLITS

_THREE = {"train": "train", "validation": "validation", "test": "test"}

_GOEMOTIONS = """
admiration amusement anger annoyance approval caring confusion curiosity desire disappointment disapproval disgust
embarrassment excitement fear gratitude grief joy love nervousness optimism pride realization relief remorse sadness
surprise neutral
"""

TASKS: tuple[Task, ...] = (
    Task(
        name="imdb",
        objective="text-classification",
        summary="sentiment of whole film reviews, 2 classes",
        hub=Hub(path="stanfordnlp/imdb", splits={"train": "train", "test": "test"}),
        folders=("imdb", "imdb_contrast"),
        splits={
            "train": SPLITS["train"],
            "validation": (*SPLITS["validation"], "validation_original"),
            "validation_contrast": ("validation_contrast",),
            "test": (*SPLITS["test"], "test_original"),
            "test_contrast": ("test_contrast",),
        },
        columns={"text": ("text", "review"), "label": ("label", "sentiment")},
        labels=("negative", "positive"),
        label_aliases={"neg": "negative", "pos": "positive"},
        metrics=("accuracy",),
        primary="accuracy",
    ),
    Task(
        name="chnsenticorp",
        objective="text-classification",
        summary="sentiment of Chinese reviews, 2 classes",
        hub=Hub(path="lansinuote/ChnSentiCorp", splits=_THREE),
        folders=("chnsenticorp", "ChnSentiCorp"),
        splits=SPLITS,
        columns={"text": ("text", "text_a", "review"), "label": ("label",)},
        labels=("negative", "positive"),
        metrics=("accuracy", "f1_macro"),
        primary="accuracy",
        language="zh",
    ),
    Task(
        name="tweeteval_emotion",
        objective="text-classification",
        summary="emotion of tweets, 4 classes",
        hub=Hub(path="cardiffnlp/tweet_eval", config="emotion", splits=_THREE),
        folders=("tweeteval_emotion", "tweet_eval_emotion"),
        splits=SPLITS,
        columns={"text": ("text",), "label": ("label", "label_name")},
        labels=("anger", "joy", "optimism", "sadness"),
        metrics=("f1_macro", "accuracy"),
        primary="f1_macro",
    ),
    Task(
        name="goemotions",
        objective="multi-label-classification",
        summary="emotions of Reddit comments, any of 28",
        hub=Hub(path="google-research-datasets/go_emotions", config="simplified", splits=_THREE),
        folders=("goemotions", "go_emotions"),
        splits=SPLITS,
        columns={"text": ("text",), "label": ("labels", "label")},
        labels=tuple(_GOEMOTIONS.split()),
        metrics=("f1_macro", "f1_micro", "precision_macro", "recall_macro"),
        primary="f1_macro",
    ),
)
