"""What a text is about: AG News and the questions of TREC.

The hub copy of AG News has headline and story in one `text`, the classic CSV has `title` and `description`; of the CSV
only the description is read, because an example has one text and the headline may be missing. A model for one is
therefore not quite a model for the other, and the CSV's ids 1 to 4 are refused: give it class names. TREC has no
validation split, so a stratified tenth of its training split serves, and its test split never selects.
"""

from __future__ import annotations

from bert_cli.tasks.base import Hub, Task
from bert_cli.tasks.generic import SPLITS

_TREC = Hub(path="CogComp/trec", splits={"train": "train", "test": "test"})

# Ids follow the hub copy: grouped by coarse class, almost but not quite alphabetical inside a group.
_TREC_FINE = """
ABBR:abb ABBR:exp
ENTY:animal ENTY:body ENTY:color ENTY:cremat ENTY:currency ENTY:dismed ENTY:event ENTY:food ENTY:instru ENTY:lang
ENTY:letter ENTY:other ENTY:plant ENTY:product ENTY:religion ENTY:sport ENTY:substance ENTY:symbol ENTY:techmeth
ENTY:termeq ENTY:veh ENTY:word
DESC:def DESC:desc DESC:manner DESC:reason
HUM:gr HUM:ind HUM:title HUM:desc
LOC:city LOC:country LOC:mount LOC:other LOC:state
NUM:code NUM:count NUM:date NUM:dist NUM:money NUM:ord NUM:other NUM:period NUM:perc NUM:speed NUM:temp NUM:volsize
NUM:weight
"""

TASKS: tuple[Task, ...] = (
    Task(
        name="ag_news",
        objective="text-classification",
        summary="topic of news stories, 4 classes",
        hub=Hub(path="fancyzhx/ag_news", splits={"train": "train", "test": "test"}),
        folders=("ag_news", "agnews", "ag_news_subset"),
        splits=SPLITS,
        columns={"text": ("text", "description", "Description"), "label": ("label", "label_name")},
        labels=("World", "Sports", "Business", "Sci/Tech"),
        metrics=("accuracy", "f1_macro"),
        primary="accuracy",
    ),
    Task(
        name="trec",
        objective="text-classification",
        summary="what a question asks for, 6 coarse classes",
        hub=_TREC,
        folders=("trec",),
        splits=SPLITS,
        columns={"text": ("text", "question"), "label": ("coarse_label", "label_coarse", "label-coarse")},
        labels=("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"),
        metrics=("accuracy", "f1_macro"),
        primary="accuracy",
    ),
    Task(
        name="trec_fine",
        objective="text-classification",
        summary="what a question asks for, 50 fine classes",
        hub=_TREC,
        folders=("trec",),
        splits=SPLITS,
        columns={"text": ("text", "question"), "label": ("fine_label", "label_fine", "label-fine")},
        labels=tuple(_TREC_FINE.split()),
        metrics=("accuracy", "f1_macro"),
        primary="accuracy",
    ),
)
