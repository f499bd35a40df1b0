"""Minimal pairs: which are read and scored, what counts as passed, and what is refused."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_config, tiny_model, tiny_tokenizer, write_table
from tiny_pairs import ROWS, naive_likelihood, tiny_blimp, tiny_crows, tiny_mlm

from bert_cli.errors import BertctlError, DataError, ModelError, UsageError
from bert_cli.metrics.names import check_metrics
from bert_cli.objectives.likelihood import shared_places
from bert_cli.recipe.schema import DataSection
from bert_cli.run.gates import read_gates
from bert_cli.run.minimal_pairs import score_pairs
from bert_cli.run.pairs import read_pairs, spread_rows
from bert_cli.tasks import all_tasks, find_task

ROOT = Path(os.environ.get("BERTCTL_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
PAIR_TASKS = [task for task in all_tasks().values() if task.objective == "minimal-pairs"]


@pytest.fixture(scope="module")
def mlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_mlm(tmp_path_factory.mktemp("models") / "tiny-mlm")


@pytest.fixture
def blimp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tiny_blimp(tmp_path / "blimp")


def loaded(folder: Path) -> Any:
    from transformers import AutoModelForMaskedLM

    return AutoModelForMaskedLM.from_pretrained(str(folder)).eval()


def scored(model: Path, data: Path, task: str = "blimp", **options: Any) -> Any:
    options["flags"] = {"train.precision": "fp32", "dist.device": "cpu", **options.get("flags", {})}
    return score_pairs(str(model), task=task, data=str(data), **options)


def refused(model: Path, data: Path, **options: Any) -> BertctlError:
    with pytest.raises(BertctlError) as caught:
        scored(model, data, **options)
    return caught.value


def test_a_pair_is_passed_when_the_good_sentence_is_the_more_likely_one(mlm: Path, blimp: Path) -> None:
    model, tokenizer = loaded(mlm), tiny_tokenizer()
    likelihoods = [[naive_likelihood(model, tokenizer, text) for text in row[3:]] for row in ROWS]
    passed = [good > bad for good, bad in likelihoods]
    found = scored(mlm, blimp)
    assert found.scores == {"accuracy": sum(passed) / 8} and 0 < sum(passed) < 8
    assert (found.n, found.of, found.equal, found.masking) == (8, 8, 0, "token")
    assert found.groups["uid"] == [
        {"name": "choice", "n": 4, "accuracy": sum(passed[4:]) / 4},
        {"name": "order", "n": 4, "accuracy": sum(passed[:4]) / 4},
    ]
    lines = [json.loads(line) for line in found.predictions.read_text().splitlines()]
    assert [line["log_likelihoods"] for line in lines] == [pytest.approx(pair, abs=1e-5) for pair in likelihoods]
    assert [line["likelier"] == "text" for line in lines] == passed
    assert (lines[1]["line"], lines[1]["uid"], lines[1]["text_pair"]) == (3, "order", "a plot a is plot")
    assert re.fullmatch(r"predictions-blimp-tiny-mlm-blimp-[0-9a-f]{6}-test\.jsonl", str(found.predictions))


def test_both_spellings_of_a_field_are_one_field(mlm: Path, blimp: Path) -> None:
    assert [(g["name"], g["n"]) for g in scored(mlm, blimp).groups["field"]] == [
        ("morphology", 4),
        ("syntax_semantics", 4),
    ]


def test_words_may_be_masked_whole(mlm: Path, blimp: Path) -> None:
    model, tokenizer = loaded(mlm), tiny_tokenizer()
    found = scored(mlm, blimp, masking="word")
    # `are` and `were` are not in the vocabulary: several tokens.
    first = json.loads(found.predictions.read_text().splitlines()[5])
    assert first["log_likelihoods"][1] == pytest.approx(
        naive_likelihood(model, tokenizer, ROWS[5][4], whole_words=True), abs=1e-5
    )
    assert found.predictions.name.endswith("-test-word.jsonl")


def test_of_stereotypes_only_tokens_of_both_sentences_are_scored(
    mlm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model, tokenizer = loaded(mlm), tiny_tokenizer()
    found = scored(mlm, tiny_crows(tmp_path / "c"), "crows_pairs")
    lines = [json.loads(line) for line in found.predictions.read_text().splitlines()]
    for line in lines:
        ids = [np.array(tokenizer(line[role])["input_ids"]) for role in ("text", "text_pair")]
        for role, places, value in zip(
            ("text", "text_pair"), shared_places(*ids), line["log_likelihoods"], strict=True
        ):
            expected = naive_likelihood(model, tokenizer, line[role], only=places.tolist())
            assert value == pytest.approx(expected, abs=1e-5)
    first, second, same = (line["log_likelihoods"] for line in lines)
    more = [first[0] > first[1], second[0] > second[1], False]
    assert same[0] == same[1] and lines[2]["likelier"] is None and found.equal == 1
    assert found.scores == {"stereotype_score": sum(more) / 3}
    assert found.groups["direction"] == [
        {"name": "antistereo", "n": 1, "stereotype_score": float(more[1])},
        {"name": "stereo", "n": 2, "stereotype_score": more[0] / 2},
    ]


@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=60), st.data())
def test_a_limit_takes_the_first_of_every_group_in_proportion(names: list[str], data: st.DataObject) -> None:
    limit = data.draw(st.integers(1, len(names)))
    rows = spread_rows([names], limit, len(names))
    assert len(rows) == limit and (np.diff(rows) > 0).all()
    taken, sizes = Counter(names[row] for row in rows), Counter(names)
    for name, size in sizes.items():
        own = [row for row, other in enumerate(names) if other == name]
        assert [row for row in rows if names[row] == name] == own[: taken[name]]
        assert abs(taken[name] - limit * size / len(names)) < 1
    if limit >= len(names) / min(sizes.values()) * 2:
        assert set(taken) == set(sizes)


def test_without_groups_a_limit_takes_the_first_rows() -> None:
    assert spread_rows([], 2, 5).tolist() == [0, 1]


def test_a_limit_counts_pairs_in_all(mlm: Path, blimp: Path) -> None:
    found = scored(mlm, blimp, flags={"data.limit": 4})
    assert (found.n, found.of) == (4, 8)
    assert [(group["name"], group["n"]) for group in found.groups["uid"]] == [("choice", 2), ("order", 2)]
    assert found.rows == "test: test.tsv, 4 of 8 pairs, the same share of every field and term and uid"
    assert found.predictions.name.endswith("-test-4-pairs.jsonl")
    lines = [json.loads(line)["line"] for line in found.predictions.read_text().splitlines()]
    assert lines == [2, 3, 6, 7]


def test_the_same_model_gives_the_same_numbers_again(mlm: Path, blimp: Path) -> None:
    texts = [scored(mlm, blimp).predictions.read_text() for _ in range(2)]
    assert texts[0] == texts[1]
    small = scored(mlm, blimp, batch_size=1, overrides=("data.max_length=8",))
    again = [json.loads(line)["log_likelihoods"] for line in small.predictions.read_text().splitlines()]
    assert again == [pytest.approx(json.loads(line)["log_likelihoods"], abs=1e-5) for line in texts[0].splitlines()]


def test_a_model_without_a_head_for_masked_words_is_refused_before_data_are_read(tiny_bert: Path) -> None:
    error = refused(tiny_bert, Path("no/such/folder"))
    assert isinstance(error, ModelError) and error.code == "L045"
    assert error.found == "BertModel" and "bertctl pretrain --model" in str(error.help)


def test_a_discriminator_is_refused_and_its_generator_named(tmp_path: Path, blimp: Path) -> None:
    from transformers import AutoModelForPreTraining

    best = tmp_path / "best"
    tiny_mlm(best / "generator", "electra")
    AutoModelForPreTraining.from_config(tiny_config("electra")).save_pretrained(str(best / "discriminator"))
    tiny_tokenizer("electra").save_pretrained(str(best / "discriminator"))
    error = refused(best / "discriminator", blimp)
    assert error.code == "L045" and error.help == f"score its generator: bertctl eval {best / 'generator'} --task blimp"
    assert scored(best / "generator", blimp).n == 8


def test_a_head_that_is_named_but_not_there_is_refused(tmp_path: Path, blimp: Path) -> None:
    folder = tiny_model(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BertForMaskedLM"]}))
    assert refused(folder, blimp).code == "L027"


def test_a_tokenizer_without_a_mask_token_is_refused(tmp_path: Path, blimp: Path) -> None:
    folder = tiny_mlm(tmp_path / "model")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("mask_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    error = refused(folder, blimp)
    assert isinstance(error, ModelError) and error.code == "L046"


def test_columns_that_are_missing_are_named_all_at_once(mlm: Path, tmp_path: Path) -> None:
    write_table(tmp_path / "d" / "test.tsv", ("good", "bad"), [("a film", "film a")])
    error = refused(mlm, tmp_path / "d")
    text = error.render()
    assert error.exit_code == 3 and text.count("error[D040]") == 3
    assert all(name in text for name in ("sentence_good", "sentence_bad", "uid"))
    named = ("data.columns.text=good", "data.columns.text_pair=bad", "data.columns.uid=good")
    assert scored(mlm, tmp_path / "d", overrides=named, write_to=tmp_path / "p.jsonl").n == 1


@pytest.mark.parametrize(("text", "code"), [("the film " * 40, "D097"), ("", "D098")])
def test_a_sentence_that_cannot_be_scored_is_named_by_its_line(mlm: Path, tmp_path: Path, text: str, code: str) -> None:
    error = refused(mlm, tiny_blimp(tmp_path / "d", [*ROWS[:2], ("order", "f", "t", "a film", text)]))
    assert isinstance(error, DataError) and error.code == code and error.where == "test.tsv:4"


def test_a_gate_on_another_score_is_refused_before_data_are_read(mlm: Path) -> None:
    error = refused(mlm, Path("no/such/folder"), gates=read_gates(["f1=0.5"]))
    assert isinstance(error, UsageError) and error.code == "U053" and error.allowed == ["accuracy"]
    assert "eval.metrics" not in str(refused(mlm, Path("none"), gates=read_gates(["stereotype_score=0.5"])).help)


def test_predictions_on_two_files_of_one_name_are_two_files(mlm: Path, blimp: Path) -> None:
    other = tiny_blimp(blimp.parent / "other" / "blimp", ROWS[:3])
    paths = [scored(mlm, data).predictions for data in (blimp, other, blimp)]
    assert paths[0] == paths[2] != paths[1]
    assert [len(path.read_text().splitlines()) for path in paths] == [8, 3, 8]


@pytest.mark.parametrize("key", ["mask.rate=0.3", "data.words=jieba", "data.labels=[a, b]", "tokenizer.vocab_size=90"])
def test_a_key_that_pairs_never_read_is_refused_before_data_are_read(mlm: Path, key: str) -> None:
    error = refused(mlm, Path("no/such/folder"), overrides=(key,))
    assert isinstance(error, UsageError) and (error.code, error.key) == ("U016", key.partition("=")[0])


def test_another_split_is_refused(mlm: Path, blimp: Path) -> None:
    error = refused(mlm, blimp, split="validation")
    assert error.code == "D043" and error.allowed == ["test"]


def test_a_model_that_finds_every_sentence_equally_likely_passes_no_pair(tmp_path: Path, blimp: Path) -> None:
    folder = tiny_mlm(tmp_path / "flat")
    model = loaded(folder)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    model.save_pretrained(str(folder))
    found = scored(folder, tiny_blimp(tmp_path / "d", ROWS[:4]))
    assert found.scores == {"accuracy": 0.0} and found.equal == 4


def test_a_model_that_has_learnt_the_good_sentences_passes_all_pairs(tmp_path: Path, blimp: Path) -> None:
    folder = tiny_mlm(tmp_path / "taught")
    model, tokenizer = loaded(folder), tiny_tokenizer()
    encoded = tokenizer([row[3] for row in ROWS], padding=True, return_tensors="pt", return_special_tokens_mask=True)
    ids, special = encoded["input_ids"], encoded.pop("special_tokens_mask").bool()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(80):
        hidden = (torch.rand(ids.shape, generator=generator) < 0.3) & ~special
        inputs = {**encoded, "input_ids": ids.masked_fill(hidden, tokenizer.mask_token_id)}
        logits = model(**inputs).logits[~special]
        torch.nn.functional.cross_entropy(logits, ids[~special]).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(str(folder))
    assert scored(folder, blimp).scores == {"accuracy": 1.0}


@pytest.mark.parametrize("task", PAIR_TASKS, ids=lambda task: task.name)
def test_a_set_of_minimal_pairs_has_two_texts_groups_and_one_score(task: Any) -> None:
    assert {"text", "text_pair"} < set(task.columns) and "label" not in task.columns
    assert task.metrics == (task.primary,) and "train" not in task.splits
    check_metrics(task.metrics, task.objective)


def test_the_columns_of_the_authors_files_are_known(tmp_path: Path) -> None:
    row = {"sentence_good": "a film", "sentence_bad": "film a", "field": "syntax", "linguistics_term": "binding"}
    own = tmp_path / "blimp.jsonl"
    own.write_text(json.dumps({**row, "UID": "order", "simple_LM_method": True, "pairID": "0"}) + "\n")
    pairs = read_pairs(find_task("blimp"), DataSection(source=str(own)), "test")
    assert pairs.cells == {
        "text": ["a film"],
        "text_pair": ["film a"],
        "field": ["syntax"],
        "term": ["binding"],
        "uid": ["order"],
    }
    own = tmp_path / "crows_pairs_anonymized.csv"
    own.write_text(
        "id,sent_more,sent_less,stereo_antistereo,bias_type,annotations\n"
        """0,"It was, he said, dull.",It was bright.,stereo,age,"[['age'], ['age']]"\n"""
    )
    pairs = read_pairs(find_task("crows_pairs"), DataSection(source=str(own)), "test")
    assert pairs.cells["text"] == ["It was, he said, dull."] and pairs.cells["bias_type"] == ["age"]


@pytest.mark.parametrize(
    ("name", "n", "groups"),
    [("blimp", 67_000, {"field": 4, "term": 13, "uid": 67}), ("crows_pairs", 1_508, {"direction": 2, "bias_type": 9})],
)
def test_the_real_set_is_read_whole_and_a_limit_is_spread(name: str, n: int, groups: dict[str, int]) -> None:
    if not (ROOT / name).is_dir():
        pytest.skip(f"no folder '{name}' in BERTCTL_TEST_DATA")
    data = DataSection(source=str(ROOT))
    pairs = read_pairs(find_task(name), data, "test")
    assert len(pairs) == pairs.of == n and not pairs.limited
    assert {role: len(set(pairs.cells[role])) for role in pairs.groups} == groups
    some = read_pairs(find_task(name), data.model_copy(update={"limit": 500}), "test")
    assert len(some) == 500 and some.of == n
    taken, sizes = (Counter(zip(*(one.cells[role] for role in groups), strict=True)) for one in (some, pairs))
    assert all(abs(taken[group] - 500 * size / n) <= 1 for group, size in sizes.items())
