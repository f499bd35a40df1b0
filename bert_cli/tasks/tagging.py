"""Tags of words: names of people, places and other things, parts of speech, slots of requests.

CoNLL-2003 (Tjong Kim Sang & De Meulder 2003), WNUT-17 (Derczynski et al. 2017), OntoNotes 5 (Pradhan et al. 2013), NCBI
disease (Doğan et al. 2014), the English Web Treebank of Universal Dependencies (Silveira et al. 2014), CLUENER (Xu et
al. 2020), Weibo (Peng & Dredze 2015), MSRA (Levow 2006) and RESTAURANTS-8K (Coope et al. 2020). Data are tokens with
tags or texts with marked passages; classes are tags of BIO, in the order of the ids of the hub's copies. Parts of
speech are in the order of their names, and are read by name only.
"""

from __future__ import annotations

from bert_cli.errors import DataError
from bert_cli.tasks.base import Hub, Row, Task
from bert_cli.tasks.generic import SPLITS

_OBJECTIVE = "token-classification"
_ROLES = frozenset({"tokens", "tags", "text", "spans"})
_ENTITY_METRICS = ("entity_f1", "entity_precision", "entity_recall", "accuracy")
_ALL_SPLITS = {split: split for split in ("train", "validation", "test")}

_TOKENS = ("tokens", "words", "characters", "chars")
_TEXT = ("text", "sentence", "content", "utterance")
_SPANS = ("spans", "entities", "label", "labels", "slots")
_NER = {"tokens": _TOKENS, "tags": ("ner_tags", "tags", "ner", "labels"), "text": ("text",), "spans": _SPANS}

# Ids follow the hub copy, which numbers tags as they first come.
_ONTONOTES5 = """
O B-CARDINAL B-DATE I-DATE B-PERSON I-PERSON B-NORP B-GPE I-GPE B-LAW I-LAW B-ORG I-ORG B-PERCENT I-PERCENT B-ORDINAL
B-MONEY I-MONEY B-WORK_OF_ART I-WORK_OF_ART B-FAC B-TIME I-CARDINAL B-LOC B-QUANTITY I-QUANTITY I-NORP I-LOC B-PRODUCT
I-TIME B-EVENT I-EVENT I-FAC B-LANGUAGE I-PRODUCT I-ORDINAL I-LANGUAGE
"""

_UNIVERSAL = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X"

_WEIBO = """
B-GPE.NAM B-GPE.NOM B-LOC.NAM B-LOC.NOM B-ORG.NAM B-ORG.NOM B-PER.NAM B-PER.NOM
I-GPE.NAM I-GPE.NOM I-LOC.NAM I-LOC.NOM I-ORG.NAM I-ORG.NOM I-PER.NAM I-PER.NOM O
"""


def _bio(types: str) -> tuple[str, ...]:
    """`O`, and `B-` and `I-` of each type."""
    return ("O", *(f"{letter}-{kind}" for kind in types.split() for letter in "BI"))


def _syntactic_words(row: Row) -> Row:
    """The hub's copy of a treebank lists the lines of multiword tokens too, without a part of speech of their own.

    Raises:
        DataError: a tag is an id (D148); those of the hub's copy count the mark of such lines as a class.
    """
    tokens, tags = row.get("tokens"), row.get("tags")
    words = tags.split() if isinstance(tags, str) else tags if isinstance(tags, list) else ()
    if ids := [tag for tag in words if str(tag).isdecimal()]:
        raise DataError(
            "D148",
            "parts of speech are read by name, and this row has ids",
            key="data.columns.tags",
            found=ids[0],
            allowed=_UNIVERSAL.split(),
            help="write their names, as the files of Universal Dependencies do",
        )
    if not isinstance(tokens, list) or not isinstance(tags, list) or len(tokens) != len(tags) or "_" not in tags:
        return row
    kept = [place for place, tag in enumerate(tags) if tag != "_"]
    return {**row, "tokens": [tokens[place] for place in kept], "tags": [tags[place] for place in kept]}


TASKS: tuple[Task, ...] = (
    Task(
        name="token-classification",
        objective=_OBJECTIVE,
        summary="your own tagged tokens, or texts with marked parts",
        splits=SPLITS,
        columns={
            "tokens": _TOKENS,
            "tags": ("tags", "ner_tags", "labels", "label", "ner", "bio_tags", "slots", "upos", "pos_tags"),
            "text": _TEXT,
            "spans": _SPANS,
        },
        metrics=_ENTITY_METRICS,
        primary="entity_f1",
        optional=_ROLES,
        language=None,
    ),
    Task(
        name="conll2003",
        objective=_OBJECTIVE,
        summary="names in English news, 4 types",
        hub=Hub(path="eriktks/conll2003", splits=_ALL_SPLITS),
        folders=("conll2003", "conll03", "eng"),
        splits={
            "train": ("train", "eng.train"),
            "validation": ("validation", "valid", "dev", "testa", "eng.testa"),
            "test": ("test", "testb", "eng.testb"),
        },
        columns=_NER,
        labels=_bio("PER ORG LOC MISC"),
        metrics=_ENTITY_METRICS,
        primary="entity_f1",
        optional=_ROLES,
    ),
    Task(
        name="wnut17",
        objective=_OBJECTIVE,
        summary="new and rare names in social media, 6 types",
        hub=Hub(path="leondz/wnut_17", splits=_ALL_SPLITS),
        folders=("wnut17", "wnut_17", "emerging_entities_17"),
        splits={
            "train": ("train", "wnut17train"),
            "validation": ("validation", "dev", "emerging.dev"),
            "test": ("test", "emerging.test.annotated"),
        },
        columns=_NER,
        labels=_bio("corporation creative-work group location person product"),
        metrics=_ENTITY_METRICS,
        primary="entity_f1",
        optional=_ROLES,
    ),
    Task(
        name="ontonotes5",
        objective=_OBJECTIVE,
        summary="names and numbers in English text, 18 types",
        hub=Hub(path="tner/ontonotes5", splits=_ALL_SPLITS),
        folders=("ontonotes5", "ontonotes"),
        splits=SPLITS,
        columns=_NER,
        labels=tuple(_ONTONOTES5.split()),
        metrics=_ENTITY_METRICS,
        primary="entity_f1",
        optional=_ROLES,
    ),
    Task(
        name="ncbi_disease",
        objective=_OBJECTIVE,
        summary="diseases in abstracts of medical papers",
        hub=Hub(path="ncbi/ncbi_disease", splits=_ALL_SPLITS),
        folders=("ncbi_disease", "NCBI-disease"),
        splits={"train": ("train",), "validation": ("validation", "devel", "dev"), "test": ("test",)},
        columns=_NER,
        labels=_bio("Disease"),
        metrics=_ENTITY_METRICS,
        primary="entity_f1",
        optional=_ROLES,
    ),
    Task(
        name="ud_ewt",
        objective=_OBJECTIVE,
        summary="parts of speech of English web texts, 17 classes",
        hub=Hub(path="universal-dependencies/universal_dependencies", config="en_ewt", splits=_ALL_SPLITS),
        folders=("ud_ewt", "UD_English-EWT"),
        splits={
            "train": ("train", "en_ewt-ud-train"),
            "validation": ("validation", "dev", "en_ewt-ud-dev"),
            "test": ("test", "en_ewt-ud-test"),
        },
        columns={"tokens": ("tokens", "form"), "tags": ("upos", "tags")},
        labels=tuple(_UNIVERSAL.split()),
        metrics=("accuracy",),
        primary="accuracy",
        optional=_ROLES,
        prepare=_syntactic_words,
        scheme="plain",
    ),
    Task(
        name="cluener",
        objective=_OBJECTIVE,
        summary="names in Chinese news, 10 types; local files only",
        folders=("cluener", "cluener_public", "CLUENER2020"),
        splits={"train": ("train",), "validation": ("validation", "dev"), "test": ("test",)},
        columns={"tokens": _TOKENS, "tags": ("ner_tags", "tags"), "text": ("text",), "spans": ("spans", "label")},
        labels=_bio("address book company game government movie name organization position scene"),
        metrics=_ENTITY_METRICS,
        primary="entity_f1",
        optional=_ROLES,
        language="zh",
    ),
    Task(
        name="weibo_ner",
        objective=_OBJECTIVE,
        summary="names and mentions in Chinese social media, 8 types",
        hub=Hub(path="hltcoe/weibo_ner", splits=_ALL_SPLITS),
        folders=("weibo_ner", "weibo"),
        splits={
            "train": ("train", "weiboNER_2nd_conll.train"),
            "validation": ("validation", "dev", "weiboNER_2nd_conll.dev"),
            "test": ("test", "weiboNER_2nd_conll.test"),
        },
        columns=_NER,
        labels=tuple(_WEIBO.split()),
        metrics=_ENTITY_METRICS,
        primary="entity_f1",
        optional=_ROLES,
        language="zh",
        # As published, fourteen entities of all begin with an inside tag.
        scheme="iob1",
    ),
    Task(
        name="msra_ner",
        objective=_OBJECTIVE,
        summary="names in Chinese news, 3 types",
        hub=Hub(path="levow/msra_ner", splits={"train": "train", "test": "test"}),
        folders=("msra_ner", "msra"),
        splits=SPLITS,
        columns=_NER,
        labels=_bio("PER ORG LOC"),
        label_aliases={
            f"{letter}-{other}": f"{letter}-{kind}"
            for other, kind in (("NR", "PER"), ("NT", "ORG"), ("NS", "LOC"))
            for letter in "BI"
        },
        metrics=_ENTITY_METRICS,
        primary="entity_f1",
        optional=_ROLES,
        language="zh",
    ),
    Task(
        name="restaurant8k",
        objective=_OBJECTIVE,
        summary="slots of requests to a restaurant; local files only",
        folders=("restaurant8k", "restaurants-8k"),
        splits=SPLITS,
        columns={
            "tokens": _TOKENS,
            "tags": ("tags", "ner_tags"),
            "text": ("text", "utterance"),
            "spans": ("spans", "labels"),
        },
        labels=_bio("date first_name last_name people time"),
        metrics=_ENTITY_METRICS,
        primary="entity_f1",
        optional=_ROLES,
    ),
)
