"""The model card: valid metadata, true numbers, no paths, no injected text."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import yaml as pyyaml  # type: ignore[import-untyped, unused-ignore]
from huggingface_hub import ModelCard, ModelCardData
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from bert_cli.card import CardFacts, Origin, SplitScores, model_card

FACTS = CardFacts(
    name="minilm-sst2",
    task="sst2",
    objective="text-classification",
    steps=6315,
    seed=42,
    precision="bf16",
    hardware="1 × NVIDIA H200",
    base=Origin("google-bert/bert-base-uncased", hub=True, revision="86b5e093"),
    data=Origin("nyu-mll/glue", hub=True, config="sst2"),
    language="en",
    labels=("negative", "positive"),
    splits=(
        SplitScores("validation", 872, {"accuracy": 0.92431193, "f1_macro": 0.924}),
        SplitScores("test", 1821, {"accuracy": 0.93}),
    ),
    selected_by=("accuracy", "validation"),
    train_examples=67349,
    fingerprint="0f1e2d3c",
    hyperparameters={"lr": 5e-5, "batch_size": 32, "epochs": 3.0, "out": "/home/alice/runs/x"},
    versions={"torch": "2.13.0", "hostname": "alices-laptop"},
)


def parsed(card: str) -> dict[str, Any]:
    """The front matter; both kinds of YAML must read it alike."""
    front = card.split("---\n")[1]
    modern, old = YAML(typ="safe").load(front), pyyaml.safe_load(front)
    assert modern == old
    assert isinstance(old, dict)
    return old


def changed(**facts: Any) -> CardFacts:
    return dataclasses.replace(FACTS, **facts)


def test_a_reader_of_whole_texts_says_what_reads_their_beginning_alone() -> None:
    card = model_card(changed(aggregate="mean", hyperparameters={"max_length": 512}))
    assert "Longer texts than 512 tokens are read in windows, and the mean of their logits decides" in card
    assert "windows" not in model_card(FACTS)


def test_the_front_matter_is_what_the_hub_expects() -> None:
    matter = parsed(model_card(FACTS))
    assert {key: matter[key] for key in matter if key != "model-index"} == {
        "language": "en",
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "tags": ["bertctl", "text-classification", "sst2"],
        "base_model": "google-bert/bert-base-uncased",
        "datasets": ["nyu-mll/glue"],
        "metrics": ["accuracy", "f1"],
    }


def test_the_hub_library_reads_the_scores_back() -> None:
    data = ModelCard(model_card(FACTS)).data
    assert isinstance(data, ModelCardData)
    found = data.eval_results or []
    results = [(r.dataset_split, r.metric_name, r.metric_type, r.metric_value) for r in found]
    assert results == [
        ("validation", "accuracy", "accuracy", 0.924312),
        ("validation", "f1_macro", "f1", 0.924),
        ("test", "accuracy", "accuracy", 0.93),
    ]


def test_the_table_shows_every_split_with_its_size() -> None:
    card = model_card(FACTS)
    assert "| split | n | accuracy | f1\\_macro |" in card
    assert "| validation | 872 | 0.9243 | 0.9240 |" in card and "| test | 1821 | 0.9300 |  |" in card
    assert "selected by accuracy on validation" in card


def test_the_training_facts_are_those_given() -> None:
    card = model_card(FACTS)
    for line in (
        "peak learning rate | 5e-05",
        "optimizer steps | 6315",
        "seed | 42",
        "precision | bf16",
        "torch | 2.13.0",
    ):
        assert f"| {line} |" in card
    assert "| data fingerprint | 0f1e2d3c |" in card and "| hardware | 1 × NVIDIA H200 |" in card


def test_only_allowed_keys_are_shown() -> None:
    card = model_card(FACTS)
    assert "alice" not in card


@pytest.mark.parametrize(
    "path", ["/home/alice/models/mini", "../alice/mini/", "~/alice/mini", r"C:\Users\alice\mini", r"\\host\alice\mini"]
)
def test_a_local_folder_appears_by_its_last_component_only(path: str) -> None:
    card = model_card(changed(base=Origin(path, hub=False), data=Origin(path, hub=True)))
    assert ": mini, a local folder" in card and "| data | mini, local data |" in card and "alice" not in card
    assert not {"base_model", "datasets"} & set(parsed(card))


@pytest.mark.parametrize("path", ["", ".", "..", "/", "~", "a/.."])
def test_a_folder_without_a_name_is_unnamed(path: str) -> None:
    assert Origin(path, hub=False).name == "unnamed"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/srv/encoders/mini/model", "mini/model"),
        ("/home/alice/runs/sst2-bert/best", "sst2-bert/best"),
        (r"C:\Users\alice\runs\one\checkpoint-500", "one/checkpoint-500"),
        ("/home/alice/model", "model"),
        (r"C:\Users\alice\model", "model"),
        ("/model", "model"),
        ("../../model", "model"),
    ],
)
def test_a_name_that_says_nothing_has_the_one_above_it_but_never_a_persons(path: str, name: str) -> None:
    assert Origin(path, hub=False).name == name


def test_a_folder_in_the_home_of_whoever_trains_is_not_named_after_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nfs/people/alice")
    monkeypatch.setenv("USERPROFILE", "/nfs/people/alice")
    assert Origin("/nfs/people/alice/model", hub=False).name == "model"


def test_a_local_base_may_say_which_hub_model_it_was() -> None:
    base = Origin("/srv/mini/model", hub=False, named="owner/mini-uncased")
    assert "mini/model, a local folder, whose configuration names owner/mini-uncased" in model_card(changed(base=base))
    for path in ("/home/alice/mini", "./mini", "mini", "a/b/c"):
        assert Origin("/srv/mini", hub=False, named=path).named is None


def test_a_held_out_split_says_so() -> None:
    split = SplitScores("validation", 523, {"accuracy": 0.9}, held_out=0.1)
    assert "The split validation is 10 % held out of the training data." in model_card(changed(splits=(split,)))
    assert "held out" not in model_card(FACTS)


def test_a_path_inside_a_metric_name_does_not_leak() -> None:
    split = SplitScores("test", 5, {"evaluate:/home/alice/mine/score": 0.5})
    card = model_card(changed(splits=(split,), selected_by=None))
    assert "alice" not in card and parsed(card)["metrics"] == ["score"] and "| evaluate:mine/score |" in card


def test_an_undefined_score_is_never_a_number() -> None:
    card = model_card(changed(splits=(SplitScores("validation", 3, {"pearson": math.nan, "mse": 0.25}),)))
    metrics = parsed(card)["model-index"][0]["results"][0]["metrics"]
    assert [metric["type"] for metric in metrics] == ["mse"]
    assert "| validation | 3 | undefined | 0.2500 |" in card


def test_without_any_score_there_is_no_model_index() -> None:
    card = model_card(changed(splits=()))
    assert "model-index" not in parsed(card) and "## Scores" not in card


def test_norwegian_is_a_language_and_not_false() -> None:
    assert parsed(model_card(changed(language="no")))["language"] == "no"


def test_each_objective_has_an_example_that_fits() -> None:
    def card(objective: str, **facts: Any) -> str:
        return model_card(changed(objective=objective, **facts))

    assert "top_k=None" in card("multi-label-classification")
    assert 'function_to_apply="none"' in card("text-regression", labels=())
    assert '"text_pair": "…"' in card("text-classification", pairs=True)
    assert 'pipeline("fill-mask"' in card("fill-mask", labels=()) and "bertctl predict" not in card("fill-mask")
    assert "probability of 0.37" in card("multi-label-classification", threshold=0.37)


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=30), st.text(min_size=1, max_size=30))
def test_no_text_breaks_the_card(text: str, name: str) -> None:
    facts = changed(
        name=name,
        task=text,
        labels=(text, name),
        hardware=text,
        base=Origin(text, hub=True),
        data=Origin(text, hub=False),
    )
    card = model_card(facts)
    assert not any(ord(char) < 32 and char != "\n" or 127 <= ord(char) < 160 for char in card)
    assert card.count("\n## ") == 4
    assert parsed(card)["library_name"] == "transformers"


def test_label_text_cannot_forge_structure() -> None:
    card = model_card(changed(labels=("a|b", "<script>", "x\n## Fake\x1b[31m", "[click](http://evil)")))
    assert "a\\|b" in card and "\\<script\\>" in card and "\\[click\\]" in card
    assert "\n## Fake" not in card and "\x1b" not in card


def test_a_model_from_scratch_says_so() -> None:
    assert "trained from scratch" in model_card(changed(base=None))


def test_the_shell_example_runs_nothing_that_a_name_smuggles_in() -> None:
    assert "bertctl predict '$(reboot)' texts.jsonl" in model_card(changed(name="$(reboot)"))
