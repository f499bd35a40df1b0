"""Class ids of the hub become names, also in lists, where `datasets` keeps the names one level deeper."""

from __future__ import annotations

from typing import Any

import pytest

from bert_cli.data import hub
from bert_cli.errors import DataError


def test_an_empty_split_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    table = datasets.Dataset.from_dict({"text": []})
    monkeypatch.setattr(hub, "load", lambda *args, **options: {"train": table})
    with pytest.raises(DataError) as caught:
        list(hub.HubSplit("acme/toy", None, "train").records())
    assert caught.value.code == "D006"


def test_other_rows_have_another_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    found = []
    for text in ("a", "b", "a"):
        table = datasets.Dataset.from_dict({"text": [text]})
        monkeypatch.setattr(hub, "load", lambda *args, table=table, **options: {"train": table})
        found.append(hub.HubSplit("acme/toy", None, "train", revision="main").fingerprint())
    assert found[0] == found[2] != found[1]


def test_ids_in_lists_become_names_and_what_has_none_a_string(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    features = datasets.Features(
        {
            "tokens": datasets.List(datasets.Value("string")),
            "ner_tags": datasets.List(datasets.ClassLabel(names=["O", "B-PER"])),
            "label": datasets.ClassLabel(names=["bad", "good"]),
        }
    )
    rows: dict[str, list[Any]] = {
        "tokens": [["EU", "of"], [], ["x"]],
        "ner_tags": [[1, 0], [], None],
        "label": [1, -1, None],
    }
    table = datasets.Dataset.from_dict(rows, features=features)
    monkeypatch.setattr(hub, "load", lambda *args, **options: {"train": table})
    found = [record.values for record in hub.HubSplit("acme/toy", None, "train").records()]
    assert [row["ner_tags"] for row in found] == [["B-PER", "O"], [], None]
    assert [row["label"] for row in found] == ["good", "-1", None]
    assert [row["tokens"] for row in found] == rows["tokens"]
