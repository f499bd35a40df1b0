"""The benchmarks' own arithmetic, their file of results, and the smallest runs of whole cases on a tiny model."""

from __future__ import annotations

import json
import math
import os
import random
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tiny import WORDS, tiny_config, tiny_model, tiny_tokenizer, write_table

import benchmarks
from benchmarks.__main__ import BUSY, main
from benchmarks.bench import Bench
from benchmarks.cases import CASES, Case
from benchmarks.measure import (
    Answer,
    BenchmarkError,
    Run,
    agreement,
    clocked,
    rates,
    ratio,
    run_process,
    take_turns,
    warm_up,
)
from benchmarks.mlm import DOCUMENTS, mlm
from benchmarks.mlm_setup import blocks, sizes
from benchmarks.report import markdown, table, update
from benchmarks.summary import TARGETS, cells_of, doubt, number, summary

ORDER = list(CASES)


def run(speed: float, **changes: float) -> Run:
    return Run(**{"wall_s": 2.0, "cpu_s": 1.0, "peak_mib": 100.0, "examples_per_s": speed, **changes})


def answer(text: str, good: float) -> Answer:
    return Answer(text, {"bad": 1.0 - good, "good": good})


def test_equal_pairs_give_an_interval_without_width() -> None:
    assert ratio([run(30.0)] * 5, [run(10.0)] * 5) == (3.0, 3.0, 3.0)


def test_the_interval_holds_the_median_and_stays_within_the_pairs() -> None:
    ours = [run(speed) for speed in (10.0, 20.0, 30.0, 40.0, 90.0)]
    middle, low, high = ratio(ours, [run(10.0)] * 5)
    assert middle == 3.0
    assert 1.0 <= low < middle < high <= 9.0
    assert ratio(ours, [run(10.0)] * 5) == (middle, low, high)


def test_without_training_the_ratio_is_one_of_cpu_seconds() -> None:
    ours, theirs = Run(1.0, 0.1, 20.0), Run(9.0, 3.0, 200.0)
    assert ratio([ours], [theirs])[0] == pytest.approx(30.0)


def test_rates_leave_out_the_warm_up_and_count_the_time_between_steps() -> None:
    ends = [100.0, 101.0, 103.0]
    assert rates(ends, [(32, 999), (32, 300), (32, 330), (32, 5)]) == (64 / 3, 210.0)
    assert [warm_up(steps) for steps in (2, 3, 12, 60, 600)] == [1, 1, 2, 10, 10]


def test_answers_are_compared_text_by_text() -> None:
    ours = [answer("a", 0.9), answer("b", 0.4)]
    assert agreement(ours, ours) == (1.0, 0.0)
    assert agreement(ours, [answer("a", 0.8), answer("b", 0.6)]) == (0.5, pytest.approx(0.2))
    with pytest.raises(BenchmarkError, match="same texts"):
        agreement(ours, list(reversed(ours)))


def test_a_clock_counts_what_was_dealt_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(clocked("abc")) == ["a", "b", "c"]
    assert '{"items": 3, "seconds": ' in capsys.readouterr().out


def test_the_table_shows_both_sides_and_leaves_out_what_was_not_measured() -> None:
    ours = run(40.0, peak_mib=80.0, wall_s=1.0)
    text = table({"P1": [(run(10.0), ours), (run(10.0), ours)], "P2": [(run(20.0), run(40.0))]})
    head, _, first, second = text.splitlines()
    assert head == "| peer | ratio [95 %] | whole process | examples/s | wall s | CPU s | peak MiB | memory |"
    assert first.startswith("| P1 | 4.00x [4.00, 4.00] | 2.00x | 10.0 → 40.0 | 2.00 → 1.00 |")
    assert first.endswith("| 100 → 80 | 0.80x |")
    assert second.startswith("| P2 | 2.00x (one pair) | 1.00x | 20.0 → 40.0 |")


def test_the_table_says_how_far_answers_agree() -> None:
    theirs = Run(2.0, 1.0, 100.0, 10.0, answers=(answer("a", 0.9), answer("b", 0.6)))
    ours = Run(1.0, 1.0, 100.0, 20.0, answers=(answer("a", 0.9), answer("b", 0.4)))
    head, _, row = table({"pipeline": [(theirs, ours)]}).splitlines()
    assert head.endswith("| equal labels | largest difference |") and row.endswith("| 50.00% | 2.0e-01 |")


def test_the_table_shows_what_is_left_of_the_loss() -> None:
    pairs = [(run(10.0, loss=4.0), run(20.0, loss=loss)) for loss in (3.0, 4.04, 5.0)]
    head, _, row = table({"P0": pairs}).splitlines()
    assert "| held-out loss |" in head and head.endswith("| loss share |")
    assert "| 4.0000 → 4.0400 |" in row and row.endswith("| 1.010x |")
    target = next(target for target in TARGETS if target.column == "loss share")
    assert target.met("1.010x") and not target.met("1.011x")


def test_the_best_flags_of_the_peer_may_be_none_at_all() -> None:
    target = next(target for target in TARGETS if target.section == "mlm" and "best flags" in target.what)
    rows = [["P0 fp32", "1.8x"], ["P2 bf16", "3.4x"]]
    assert target.worst(markdown(["peer", "ratio"], rows)) == "1.8x" and not target.met("1.8x")


def test_a_case_replaces_its_section_and_its_figures_reach_the_summary(tmp_path: Path) -> None:
    file = tmp_path / "RESULTS.md"
    pairs = {"P1 dynamic": [(run(10.0), run(60.0, peak_mib=90.0))]}
    update(file, ORDER, {"sst2": "old"})
    update(file, ORDER, {"help": "kept"})
    text = update(file, ORDER, {"sst2": f"new\n\n{table(pairs)}"})
    assert "| B1 | SST-2 training, against dynamic padding | ≥ 5x | 6.00x (one pair) | met |" in text
    assert "| ≤ 0.8x | 0.90x | **not met** |" in text
    written = file.read_text(encoding="utf-8")
    assert (
        written.startswith("# Benchmarks\n")
        and f"## Summary\n\n{text}\n\n## help\n\nkept\n\n## sst2\n\nnew\n" in written
    )
    assert "old" not in written and written.count("\n## ") == 3


def test_sections_written_by_hand_stay_to_the_letter(tmp_path: Path) -> None:
    file = tmp_path / "RESULTS.md"
    by_hand = (
        "## SST-2, two epochs\n\n### Detail\n\n```console\n$ x\n## no title\n```\n\n## Notes\n\na\n\n## Notes\n\nb\n"
    )
    file.write_text(f"# Measured\n\nAn opening.\n\n{by_hand}", encoding="utf-8")
    for name in ("start", "help", "start"):
        update(file, ORDER, {name: f"{name} measured"})
    text = file.read_text(encoding="utf-8")
    assert text.endswith(f"## help\n\nhelp measured\n\n## start\n\nstart measured\n\n{by_hand}")
    assert text.count("## Summary") == 1


def test_the_worst_of_the_rows_that_count_decides() -> None:
    body = "| peer | ratio [95 %] | memory |\n| --- | --- | --- |\n" + "".join(
        f"| {name} | {value}x [1.00, 9.00] | 0.5x |\n"
        for name, value in (("P1", 0.3), ("P2 fp32", 2.5), ("P2 bf16", 1.4))
    )
    best_flags = next(target for target in TARGETS if "best flags" in target.what)
    assert cells_of(body, "P2", "ratio") == ["2.5x [1.00, 9.00]", "1.4x [1.00, 9.00]"]
    assert best_flags.worst(body) == "1.4x [1.00, 9.00]" and not best_flags.met("1.4x [1.00, 9.00]")
    exactness = next(target for target in TARGETS if target.section == "exactness")
    ways = markdown(["way", "largest relative difference"], [["unpadded", ""], ["a", "2.0e-07"], ["b", "3.1e-06"]])
    assert exactness.worst(ways) == "3.1e-06" and exactness.met("3.1e-06") and not exactness.met("1.1e-05")
    assert number("no figure") is None


def test_a_figure_in_doubt_is_shown_with_the_doubt_and_never_as_met() -> None:
    body = f"- not to be quoted: the machine was too busy\n\n{table({'P1': [(run(10.0), run(90.0))]})}"
    assert doubt(body) == "not to be quoted: the machine was too busy" and doubt("- load average 1.0") is None
    line = next(line for line in summary({"sst2": body}).splitlines() if "against dynamic padding | ≥ 5x" in line)
    assert line.endswith("| 9.00x (one pair) | not to be quoted: the machine was too busy |")


def test_every_target_has_a_case() -> None:
    assert {target.section for target in TARGETS} == set(CASES)


def test_sides_take_turns_and_a_pair_shares_its_seed() -> None:
    seen: list[tuple[str, int]] = []

    def side(name: str, seed: int) -> Run:
        seen.append((name, seed))
        return run(2.0)

    pairs = take_turns(partial(side, "ours"), {"peer": partial(side, "peer")}, pairs=2)
    assert len(pairs["peer"]) == 2
    assert seen == [("peer", 42), ("ours", 42), ("peer", 43), ("ours", 43)]


def test_a_busy_machine_is_refused_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(CASES, "help", Case(lambda *_: "measured", data=()))
    results, command = (
        tmp_path / "R.md",
        ["help", "--results", str(tmp_path / "R.md"), "--model", str(_model(tmp_path))],
    )
    loads = iter([BUSY + 0.1])
    monkeypatch.setattr(os, "getloadavg", lambda: (next(loads), 9.0, 9.0))
    assert main(command) == 1
    assert "--anyway" in capsys.readouterr().err and not results.exists()
    # At the start of the program, of the case, and at the end of it.
    for seen, doubted in (((9.0, 9.0, 9.0), True), ((0.1, 0.1, BUSY + 0.1), True), ((0.1, 0.1, BUSY), False)):
        loads = iter(seen)
        assert main([*command, "--anyway"]) == 0
        assert ("not to be quoted: the machine was too busy" in results.read_text(encoding="utf-8")) == doubted


def test_a_case_that_fails_does_not_take_the_others_with_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(*_: object) -> str:
        raise BenchmarkError("it broke")

    monkeypatch.setitem(CASES, "help", Case(broken, data=()))
    monkeypatch.setitem(CASES, "start", Case(lambda *_: "- measured", pairs=1, steps=0))
    command = ["--anyway", "--pairs", "1", "--results", str(tmp_path / "R.md"), "--model", str(_model(tmp_path))]
    assert main(["help", "start", *command]) == 1
    assert "error: it broke" in capsys.readouterr().err
    assert "- measured" in (tmp_path / "R.md").read_text(encoding="utf-8")


def _model(folder: Path) -> Path:
    (folder / "config.json").write_text("{}", encoding="utf-8")
    return folder


def test_a_process_is_charged_for_its_cpu_time_and_its_failure_is_told() -> None:
    burn = "import time\nwhile time.process_time() < 0.1: pass\nprint('done')"
    cost, out = run_process([sys.executable, "-c", burn], env=os.environ)
    assert out == "done\n" and 0.09 < cost.cpu_s < 5.0 and cost.peak_mib > 1.0
    with pytest.raises(BenchmarkError, match="ended with 3"):
        run_process([sys.executable, "-c", "raise SystemExit(3)"], env=os.environ)


def test_blocks_are_full_and_keep_the_order_of_the_words() -> None:
    tokenizer, rng = tiny_tokenizer(), random.Random(0)
    article = [rng.choice((*WORDS, "word", "u.s.", "extraordinarily", "x" * 40)) for _ in range(500)]
    found = [block.split() for block in blocks(article, sizes(tokenizer), 30)]
    assert len(found) > 10
    assert {len(tokenizer(" ".join(block), add_special_tokens=False)["input_ids"]) for block in found} == {30}
    rest = iter(article)
    assert all(word in rest for block in found for word in block)
    assert not list(blocks(article[:2], sizes(tokenizer), 30))


def test_blocks_that_are_not_full_end_the_comparison(tmp_path: Path) -> None:
    class Told(Bench):
        def run(self, *words: str, folder: str, start: bool = False) -> tuple[Run, str]:
            return Run(1.0, 1.0, 1.0), json.dumps({"examples_per_s": 1.0, "tokens_per_s": 127.0})

    (tmp_path / DOCUMENTS).parent.mkdir()
    (tmp_path / DOCUMENTS).touch()
    with pytest.raises(BenchmarkError, match="blocks of 127.0 tokens instead of 128"):
        mlm(Told(tmp_path, tmp_path, 2, 1, tmp_path), 1)
    with pytest.raises(BenchmarkError, match="enwiki_sample needs --data FOLDER"):
        mlm(Told(tmp_path, tmp_path / "empty", 2, 1, tmp_path), 1)


def _masked_language_model(**changes: Any) -> Any:
    from transformers import AutoModelForMaskedLM

    return AutoModelForMaskedLM.from_config(tiny_config(**changes))


def test_the_judge_masks_alike_every_time_and_knows_what_guessing_costs() -> None:
    from benchmarks.mlm_loss import masked_loss

    tokenizer, model = tiny_tokenizer(), _masked_language_model()
    texts = [f"the {word} was so {word} and {word} in a story" for word in WORDS]
    assert masked_loss(model, tokenizer, texts) == masked_loss(model, tokenizer, texts)
    for parameter in model.cls.parameters():
        parameter.data.zero_()
    assert masked_loss(model, tokenizer, texts) == pytest.approx(math.log(len(tokenizer)), rel=1e-5)


def test_the_judge_refuses_a_model_whose_head_would_be_new(tmp_path: Path) -> None:
    from benchmarks.mlm_loss import load

    model = _masked_language_model()
    model.save_pretrained(tmp_path / "whole")
    model.bert.save_pretrained(tmp_path / "headless")
    assert load(str(tmp_path / "whole")).config.vocab_size == model.config.vocab_size
    with pytest.raises(SystemExit, match="headless lacks cls"):
        load(str(tmp_path / "headless"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder with room for the 384 tokens of the longest benchmark."""
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny", max_position_embeddings=384)


def _measure(name: str, model: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> str:
    """A whole case on toy sentences, two steps and one pair, from where its processes find the package."""
    monkeypatch.chdir(Path(benchmarks.__file__).parent.parent)
    results = folder / "R.md"
    words = ["--pairs", "1", "--steps", "2", "--threads", "1", "--anyway", "--results", str(results)]
    assert main([name, *words, "--model", str(model)]) == 0
    return results.read_text(encoding="utf-8")


def test_the_smallest_profile_shows_products_and_the_optimizer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, small: Path
) -> None:
    from benchmarks import profile

    rows = [(f"a film of number {number}", str(number % 2)) for number in range(40)]
    for split in ("train", "validation"):
        write_table(tmp_path / "data" / f"{split}.tsv", ("sentence", "label"), rows)
    words = [
        "profile",
        "sst2",
        "--data",
        str(tmp_path / "data"),
        "--model",
        str(small),
        "--steps",
        "2",
        "--threads",
        "1",
    ]
    monkeypatch.setattr(sys, "argv", words)
    profile.main()
    rows_shown = [line.split("|") for line in capsys.readouterr().out.splitlines() if "%" in line]
    shares = {cells[1].strip(): float(cells[2].split()[0]) for cells in rows_shown}
    assert sum(shares.values()) == pytest.approx(100, abs=1)
    assert {"matrix products of linear layers", "AdamW", "layer norm"} <= set(shares)


def test_the_smallest_training_gives_a_ratio(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small: Path) -> None:
    monkeypatch.setattr("benchmarks.training.PEERS", {"P1 dynamic": ""})
    text = _measure("sst2", small, monkeypatch, tmp_path)
    assert cells_of(text, "P1 dynamic", "ratio")[0].endswith("x (one pair)")
    assert "toy sentences, not the real data, fewer than 5 pairs, fewer than 60 steps" in text
    assert str(small) not in text and str(tmp_path) not in text


@pytest.mark.slow
def test_the_smallest_tagging_gives_a_ratio_and_entities(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small: Path
) -> None:
    monkeypatch.setattr("benchmarks.tagging.PEERS", {"P1 dynamic": ""})
    text = _measure("wnut17", small, monkeypatch, tmp_path)
    assert cells_of(text, "P1 dynamic", "ratio")[0].endswith("x (one pair)")
    assert "→" in cells_of(text, "P1 dynamic", "entity F1")[0]
    assert "wnut17 (8,192 train, 500 validation, 1,000 test rows)" in text


@pytest.mark.slow
def test_the_smallest_questions_give_a_ratio_and_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small: Path
) -> None:
    monkeypatch.setattr("benchmarks.questions.PEERS", {"P0 pad to 384": "--pad true"})
    text = _measure("squad", small, monkeypatch, tmp_path)
    assert cells_of(text, "P0", "ratio")[0].endswith("x (one pair)")
    assert all("→" in cells_of(text, "P0", column)[0] for column in ("exact match", "answer F1"))
    assert "squad2_halfdev (2,728 questions)" in text


@pytest.mark.slow
def test_the_smallest_pretraining_gives_a_ratio_and_a_loss(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small: Path
) -> None:
    monkeypatch.setattr("benchmarks.mlm.PEERS", {"P0 fp32": ""})
    text = _measure("mlm", small, monkeypatch, tmp_path)
    assert cells_of(text, "P0", "ratio")[0].endswith("x (one pair)")
    share = number(cells_of(text, "P0", "loss share")[0])
    assert share is not None and 0.9 < share < 1.1
    assert "enwiki_sample (400 documents)" in text and "toy sentences, not the real data" in text


@pytest.mark.slow
def test_the_pipeline_says_what_bertctl_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small: Path) -> None:
    text = _measure("inference", small, monkeypatch, tmp_path)
    # The two compute in bf16 and in fp32 where bertctl finds bf16 faster.
    equal, gap = (number(cells_of(text, "pipeline", column)[0]) for column in ("equal labels", "largest"))
    assert equal is not None and equal > 95.0 and gap is not None and gap < 0.05
    assert len(cells_of(text, "OpenVINO", "texts/s")) == 2


@pytest.mark.slow
def test_losses_hardly_move_whatever_way_they_are_computed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small: Path
) -> None:
    text = _measure("exactness", small, monkeypatch, tmp_path)
    gaps = [number(cell) for cell in cells_of(text, "", "largest relative") if cell]
    assert len(gaps) == 4 and all(gap is not None and gap < 1e-5 for gap in gaps)
