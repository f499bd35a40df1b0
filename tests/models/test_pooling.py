"""One vector for a text, and the files that Sentence Transformers reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_model, tiny_texts, tiny_tokenizer

from bert_cli.errors import ModelError
from bert_cli.models.build import load_model, load_tokenizer
from bert_cli.models.locate import locate
from bert_cli.models.pooling import pool, pooling_of, write_modules, write_ranker


def test_padding_has_no_part_in_a_mean() -> None:
    hidden = torch.randn(2, 4, 3)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    found = pool(hidden, mask, "mean")
    for row, length in ((0, 4), (1, 2)):
        mean = hidden[row, :length].mean(0)
        torch.testing.assert_close(found[row], mean / mean.norm())
    first = pool(hidden, mask, "cls")
    torch.testing.assert_close(first[1], hidden[1, 0] / hidden[1, 0].norm())


def test_vectors_are_taken_in_fp32_at_least() -> None:
    hidden, mask = torch.randn(3, 50, 8), torch.ones(3, 50, dtype=torch.int64)
    half = pool(hidden.bfloat16(), mask, "mean")
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, pool(hidden.bfloat16().float(), mask, "mean"), rtol=0, atol=0)
    assert pool(hidden.double(), mask, "cls").dtype == torch.float64


def folder_with(tmp_path: Path, **files: Any) -> Path:
    for name, value in files.items():
        file = tmp_path / {"pooling": "1_Pooling/config.json"}.get(name, f"{name}.json")
        file.parent.mkdir(exist_ok=True)
        file.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return tmp_path


MODULES = [
    {"type": f"sentence_transformers.models.{name}", "path": path}
    for name, path in (("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize"))
]


@pytest.mark.parametrize(
    ("files", "mode"),
    [
        ({}, "mean"),
        ({"pooling": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}}, "cls"),
        ({"pooling": {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "modules": MODULES}, "mean"),
        ({"pooling": {"embedding_dimension": 8, "pooling_mode": "cls", "include_prompt": True}}, "cls"),
        ({"pooling": {"pooling_mode": ["mean"]}}, "mean"),
    ],
)
def test_a_folder_says_how_its_vectors_are_made(tmp_path: Path, files: dict[str, Any], mode: str) -> None:
    folder = folder_with(tmp_path, **files)
    assert pooling_of(folder) == mode
    assert pooling_of(folder, "cls") == "cls" and pooling_of(folder, "mean") == "mean"
    assert pooling_of(None) == "mean" and pooling_of(None, "cls") == "cls"


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"pooling": {"pooling_mode_max_tokens": True}}, "L070"),
        ({"pooling": {"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}}, "L070"),
        ({"pooling": {"pooling_mode": "weightedmean"}}, "L070"),
        ({"pooling": {"pooling_mode": "mean", "include_prompt": False}}, "L070"),
        ({"pooling": {}}, "L070"),
        ({"modules": [*MODULES, {"type": "sentence_transformers.models.Dense"}]}, "L070"),
        ({"modules": MODULES}, "L070"),
        ({"config_sentence_transformers": {"prompts": {"query": "find: "}, "default_prompt_name": "query"}}, "L070"),
        ({"sentence_bert_config": {"max_seq_length": 8, "do_lower_case": True}}, "L070"),
        ({"pooling": "{"}, "L071"),
        ({"modules": "["}, "L071"),
    ],
)
def test_another_way_is_refused_and_not_left_out(tmp_path: Path, files: dict[str, Any], code: str) -> None:
    folder = folder_with(tmp_path, **files)
    with pytest.raises(ModelError) as caught:
        pooling_of(folder)
    assert caught.value.code == code
    assert pooling_of(folder, "mean") == "mean"


def test_the_pooling_is_where_the_modules_say(tmp_path: Path) -> None:
    moved = [{**module, "path": module["path"].replace("1_", "9_")} for module in MODULES]
    folder = folder_with(tmp_path, modules=moved)
    (folder / "9_Pooling").mkdir()
    (folder / "9_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert pooling_of(folder) == "cls"


@pytest.mark.parametrize("mode", ["mean", "cls"])
@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_sentence_transformers_gives_the_same_vectors(tmp_path: Path, family: str, mode: str) -> None:
    library = pytest.importorskip("sentence_transformers")
    folder = tiny_model(tmp_path / family, family)
    write_modules(folder, width=32, mode=mode, max_length=12)
    assert pooling_of(folder) == mode
    texts = [text for text, _ in tiny_texts(9, longest=30)]
    theirs = library.SentenceTransformer(str(folder), device="cpu")
    assert theirs.max_seq_length == 12 and theirs.similarity_fn_name == "cosine"
    tokenizer, model = load_tokenizer(folder), load_model(locate(str(folder)), auto_class="AutoModel").eval()
    with torch.inference_mode():
        inputs = tokenizer(texts, padding=True, truncation=True, max_length=12, return_tensors="pt")
        ours = pool(model(**inputs)[0], inputs["attention_mask"], mode).numpy()
    assert np.abs(theirs.encode(texts) - ours).max() < 1e-6


def test_a_ranker_gives_its_scores_as_they_are(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    from transformers import AutoModelForSequenceClassification

    folder = tiny_model(tmp_path / "base")
    model: Any = load_model(
        locate(str(folder)),
        auto_class="AutoModelForSequenceClassification",
        labels=["score"],
        problem_type="regression",
    )
    model.save_pretrained(str(tmp_path / "ranker"))
    tiny_tokenizer().save_pretrained(str(tmp_path / "ranker"))
    write_ranker(tmp_path / "ranker")
    pairs = [("film music", "a good film"), ("dull", "the plot was dull")]
    with torch.inference_mode():
        inputs = tiny_tokenizer()([a for a, _ in pairs], [b for _, b in pairs], padding=True, return_tensors="pt")
        wanted = model.eval()(**inputs).logits[:, 0].numpy()
    assert library.CrossEncoder(str(tmp_path / "ranker"), device="cpu").predict(pairs) == pytest.approx(
        wanted, abs=1e-6
    )
    again = AutoModelForSequenceClassification.from_pretrained(str(tmp_path / "ranker"))
    assert again.config.id2label == {0: "score"}


def test_a_bare_encoder_must_have_all_of_its_weights(tmp_path: Path) -> None:
    """Every weight of a model without a head is one of the encoder, the pooler's aside."""
    from safetensors.torch import load_file, save_file

    folder = tiny_model(tmp_path / "whole")
    weights = load_file(folder / "model.safetensors")
    for name, code in (("encoder.layer.1.output.dense.weight", "L023"), ("pooler.dense.weight", None)):
        broken = tmp_path / f"without-{code}"
        shutil.copytree(folder, broken)
        save_file({key: tensor for key, tensor in weights.items() if key != name}, broken / "model.safetensors")
        if code is None:
            load_model(locate(str(broken)), auto_class="AutoModel")
            continue
        with pytest.raises(ModelError) as caught:
            load_model(locate(str(broken)), auto_class="AutoModel")
        assert caught.value.code == code
