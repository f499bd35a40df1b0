"""The contract of every objective, for tags of words: a gradient that does not depend on how a batch is cut, and a run
that goes on where it stopped with the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_exactness import CUTS, EQUAL, N, cut_plan, distance, one_step, take_gradient
from test_resume import stop_after
from tiny import tiny_model, tiny_recipe, tiny_tokenizer
from tiny_tags import CLASSES, tagged_rows, tiny_tagged, tiny_tags_data
from torch.nn import functional

from bert_cli.data.store import SplitStore
from bert_cli.errors import Preempted
from bert_cli.models.attention import unpad
from bert_cli.models.build import load_model
from bert_cli.models.locate import locate
from bert_cli.objectives.tag_rows import encode_tagged
from bert_cli.objectives.tagging import TaggingObjective
from bert_cli.run.build import takes_type_ids
from bert_cli.run.finetune import finetune
from bert_cli.runtime import Runtime
from bert_cli.train import checkpoint

FAMILIES = ("bert", "roberta", "distilbert", "electra", "modernbert")


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_and_loss_of_a_batch_do_not_depend_on_its_micro_batches(tmp_path: Path, family: str) -> None:
    located = locate(str(tiny_model(tmp_path / family, family)))
    model: Any = load_model(located, auto_class="AutoModelForTokenClassification", labels=CLASSES, dropout=0.0)
    tokenizer = tiny_tokenizer(family)
    rows = tagged_rows(tiny_tagged(N, seed=7))
    store = SplitStore.of(encode_tagged(rows, tokenizer, max_length=64, stride=None, classes=len(CLASSES)), {})
    assert len(store) == N
    drawn = cut_plan(store, (N,)).rows(0)
    padded = tokenizer.pad({"input_ids": [store.input_ids(int(row)).tolist() for row in drawn]}, return_tensors="pt")
    labels = torch.full_like(padded["input_ids"], -100)
    for place, row in enumerate(drawn):
        labels[place, store.values("at", int(row)).astype("int64")] = torch.from_numpy(
            store.values("label", int(row)).astype("int64")
        )
    expected = functional.cross_entropy(model.train()(**padded).logits.flatten(0, 1), labels.flatten())
    expected.backward()
    reference = take_gradient(model)

    objective = TaggingObjective(pad_token_id=tokenizer.pad_token_id, takes_type_ids=takes_type_ids(model, tokenizer))
    runtime = Runtime(device="cpu", precision="fp32")
    for padding in (True, False):
        assert padding or unpad(model) is None
        for how, sizes in CUTS.items():
            record = one_step(model, objective, store, cut_plan(store, sizes), runtime)
            assert distance(take_gradient(model), reference) <= EQUAL, (how, padding)
            assert record.loss == pytest.approx(float(expected.detach()), rel=EQUAL), (how, padding)


def test_a_run_that_was_stopped_in_an_epoch_ends_in_the_same_bits(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropout is on, and some sentences are longer than a window."""
    data = tiny_tags_data(tmp_path / "data", longest=30)
    settings: dict[str, Any] = {"task": "token-classification", "data__max_length": 16}

    def recipe(name: str, **changes: Any) -> Any:
        return tiny_recipe(tiny_bert, data, tmp_path / name, **settings, **changes)

    finetune(recipe("whole"), quiet=True)

    def stop() -> None:
        raise Preempted("P001", "asked to stop")

    with monkeypatch.context() as patch:
        stop_after(patch, 6, stop)
        with pytest.raises(Preempted):
            finetune(recipe("stopped"), quiet=True)
    result = finetune(recipe("stopped", run__resume="auto"), quiet=True)
    ends = [sorted((tmp_path / name / "checkpoints").glob("step-*"))[-1] for name in ("whole", "stopped")]
    assert ends[0].name == ends[1].name
    one, other = (checkpoint.load(end).tensors["model"] for end in ends)
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert result.state.best is not None
