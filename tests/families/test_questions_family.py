"""Questions on their way through the family: windows into a store, scores out of it, and answers put together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_tokenizer
from tiny_questions import KINDS, TEXTS, flat, tiny_paragraphs, tiny_squad

from bert_cli.data.questions import Questions
from bert_cli.data.source import find_sources
from bert_cli.data.store import SplitStore, write_split
from bert_cli.errors import NonFiniteError
from bert_cli.families import labelled
from bert_cli.families.base import Reading, Request
from bert_cli.families.question_answers import QuestionAnswers
from bert_cli.families.questions import FAMILY
from bert_cli.recipe.schema import Recipe
from bert_cli.tasks import find_task
from bert_cli.train.evaluate import Scored

TASK = find_task("question-answering")


def reading(tokenizer: Any = None, *, task: str = "question-answering", **data: Any) -> Reading:
    recipe = Recipe.model_validate({"data": {"max_length": 32, "stride": 8, **data}})
    return Reading(recipe, find_task(task), tokenizer or tiny_tokenizer(), None)


def rows_of(
    questions: list[str],
    contexts: list[str],
    spans: list[tuple[int, int]] | None = None,
    golds: list[tuple[str, ...]] | None = None,
) -> Questions:
    n = len(questions)
    return Questions(
        name="validation",
        origin="here.jsonl",
        ids=[f"q{i}" for i in range(n)],
        questions=questions,
        contexts=contexts,
        golds=golds,
        spans=np.array(spans if spans is not None else [(-1, -1)] * n),
        lines=np.arange(1, n + 1),
    )


def stored(rows: Questions, read: Reading) -> SplitStore:
    return SplitStore.of(FAMILY.encode(rows, read), {})


def says(split: SplitStore, wanted: dict[int, tuple[int, int]], *, null: float = 0.0) -> Scored:
    """Logits of a model that finds these characters for each question, and gives no answer the score `null`."""
    logits = np.full((int(split.lengths.sum()), 2), -1.0, dtype=np.float32)
    ends = np.cumsum(split.lengths)
    heads = np.flatnonzero(np.diff(split.column("example"), prepend=-1))
    for window, example in enumerate(split.column("example").tolist()):
        begin = int(ends[window] - split.lengths[window])
        logits[begin] = null / 2
        if example not in wanted:
            continue
        head = int(heads[example])
        first = int(np.searchsorted(split.values("ends", head), wanted[example][0], side="right"))
        last = int(np.searchsorted(split.values("starts", head), wanted[example][1])) - 1
        at, own, size = (int(split.column(name)[window]) for name in ("at", "first", "size"))
        if own <= first and last < own + size:
            logits[begin + at + first - own, 0] = 5.0
            logits[begin + at + last - own, 1] = 5.0
    return Scored(logits, ends, {"loss": 0.25}, int(split.lengths.sum()))


def answers(rows: Questions, read: Reading, wanted: dict[int, tuple[int, int]], **options: Any) -> QuestionAnswers:
    split = stored(rows, read)
    null = options.pop("null", 0.0)
    found = FAMILY.answers(split, says(split, wanted, null=null), read, **{"threshold": None, **options})
    assert isinstance(found, QuestionAnswers)
    return found


def test_the_family_is_found_by_its_objective() -> None:
    assert labelled("question-answering") is FAMILY
    assert FAMILY.head.auto_class == "AutoModelForQuestionAnswering"


def test_a_store_on_disk_holds_each_context_once_and_answers_in_every_window(tmp_path: Path) -> None:
    recipe = {"data": {"source": str(tiny_squad(tmp_path / "d")), "max_length": 20, "stride": 6}}
    read = reading(max_length=20, stride=6)
    request = Request(
        Recipe.model_validate(recipe),
        TASK,
        find_sources(TASK, Recipe.model_validate(recipe).data),
        ("train", "validation"),
        ("train", "validation"),
    )
    loaded = FAMILY.load(request)
    rows = loaded.splits["train"]
    assert isinstance(rows, Questions)
    write_split(tmp_path / "train.arrow", FAMILY.encode(rows, read), {"origin": "train.json"})
    split = SplitStore.open(tmp_path / "train.arrow")
    example = split.column("example")
    assert example is not None and example.max() == len(rows) - 1 and len(split) > len(rows)
    assert split.targets is not None
    contexts = [split.value("context", row) for row in range(len(split))]
    assert [context for context in contexts if context is not None] == rows.contexts
    for row in range(len(split)):
        start, end = split.targets[row].tolist()
        gold = (rows.golds or [])[example[row]]
        if start:
            found = split.input_ids(row)[start : end + 1]
            assert read.tokenizer.decode(found) == gold[0]
        else:
            assert end == 0
    inside = {int(example[row]) for row in range(len(split)) if split.targets[row, 0]}
    assert inside == {i for i, gold in enumerate(rows.golds or []) if gold}


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_pieces_of_the_context_in_every_script(kind: str) -> None:
    pieces = [("Houston", 0), ("باريس", 1), ("光荣", 2), ("café résumés", 3), ("🎉", 0), ("lines are\tkept", 3)]
    pieces = [(text, place) for text, place in pieces if text in TEXTS[place]]
    spans = [(TEXTS[place].index(text), TEXTS[place].index(text) + len(text)) for text, place in pieces]
    rows = rows_of(["?"] * len(pieces), [TEXTS[place] for _, place in pieces], spans, [(text,) for text, _ in pieces])
    found = answers(rows, reading(KINDS[kind](), max_length=48, stride=12), dict(enumerate(spans)))
    for record, (text, _), context, (start, end) in zip(found.rows(), pieces, rows.contexts, spans, strict=True):
        # A token may reach beyond what was asked for, never fall short of it.
        assert record["answer"] == context[record["start"] : record["end"]]
        assert record["start"] <= start and end <= record["end"] and text in record["answer"]
    assert len(pieces) >= 5
    # Characters of their own tokens come back exactly, and are scored so.
    if kind == "word pieces":
        assert found.scores == {"loss": 0.25, "exact_match": 1.0, "answer_f1": 1.0}


CONTEXT = "the plot is dull . the cast is great . the music is warm . the score is weak . the film is bright ."


def piece(text: str) -> tuple[int, int]:
    return CONTEXT.index(text), CONTEXT.index(text) + len(text)


def some(golds: list[tuple[str, ...]]) -> Questions:
    return rows_of(["plot ?"] * len(golds), [CONTEXT] * len(golds), [(0, 0)] * len(golds), golds)


def test_an_answer_in_the_last_window_is_found_and_the_row_says_where() -> None:
    found = answers(some([("bright",)]), reading(max_length=20, stride=6), {0: piece("bright")}, null=-4.0)
    (record,) = found.rows()
    assert len(found.split) > 1 and found.n == 1
    assert {name: record[name] for name in ("line", "id", "question", "gold", "answer", "start", "end")} == {
        "line": 1,
        "id": "q0",
        "question": "plot ?",
        "gold": ["bright"],
        "answer": "bright",
        "start": CONTEXT.index("bright"),
        "end": CONTEXT.index("bright") + 6,
    }
    best = record["n_best"][0]
    assert best == {name: record[name] for name in ("answer", "start", "end", "score")}
    scores = [each["score"] for each in record["n_best"]]
    assert scores == sorted(scores, reverse=True) and sum(scores) == pytest.approx(1.0, abs=1e-5)
    assert len(record["n_best"]) == 20 and "no_answer" not in record


def test_where_every_question_has_an_answer_none_is_left_unanswered() -> None:
    found = answers(some([("dull",), ("great", "warm")]), reading(), {0: piece("dull")}, null=100.0)
    assert found.threshold == 1.0
    assert all(record["answer"] for record in found.rows())
    assert set(found.files()) == {".json"}
    assert "no_answer" not in found.report()


def test_the_threshold_is_tuned_where_some_have_none_and_the_files_are_the_official_ones() -> None:
    golds: list[tuple[str, ...]] = [("dull",), (), ("great",), ()]
    found = answers(some(golds), reading(), {0: piece("dull"), 2: piece("great")}, null=0.0)
    assert found.scores == {"loss": 0.25, "exact_match": 1.0, "answer_f1": 1.0}
    assert 0.0 < found.threshold < 0.5
    files = found.files()
    assert files[".json"] == {"q0": "dull", "q1": "", "q2": "great", "q3": ""}
    assert files[".na_prob.json"]["q0"] <= found.threshold < files[".na_prob.json"]["q1"]
    assert [record["answer"] for record in found.rows()] == ["dull", "", "great", ""]
    silent = list(found.rows())[1]
    assert (silent["start"], silent["end"], silent["gold"]) == (None, None, [])
    assert silent["no_answer"] == pytest.approx(files[".na_prob.json"]["q1"], rel=1e-6)
    assert silent["score"] + sum(each["score"] for each in silent["n_best"]) == pytest.approx(1.0, abs=1e-5)


def test_the_report_tells_questions_with_and_without_an_answer_apart() -> None:
    golds: list[tuple[str, ...]] = [("dull",), (), ("great",), ()]
    wanted = {0: piece("dull"), 1: piece("warm"), 2: piece("the cast is great")}
    report = answers(some(golds), reading(), wanted, threshold=0.4).report()
    assert report["has_answer"] == {"n": 2, "exact_match": 0.5, "answer_f1": pytest.approx((1 + 0.5) / 2)}
    assert report["no_answer"] == {"n": 2, "exact_match": 0.5, "answer_f1": 0.5}
    assert (report["n"], report["unanswered"], report["threshold"]) == (4, 1, 0.4)
    assert report["answer_f1"] == pytest.approx((1.5 + 1) / 4)


def test_a_threshold_that_is_given_decides() -> None:
    golds: list[tuple[str, ...]] = [("dull",), ()]
    wanted = {0: piece("dull"), 1: piece("warm")}
    for threshold, texts in ((0.0, ["", ""]), (1.0, ["dull", "warm"])):
        found = answers(some(golds), reading(), wanted, threshold=threshold)
        assert [record["answer"] for record in found.rows()] == texts
    known = answers(some(golds), reading(), wanted, threshold=None)
    again = answers(some(golds), reading(), wanted, threshold=known.threshold)
    assert again.scores == known.scores


def test_without_gold_answers_there_are_rows_and_no_scores() -> None:
    found = answers(rows_of(["plot ?"], [CONTEXT]), reading(), {0: piece("dull")}, threshold=0.9)
    assert found.scores == {}
    (record,) = found.rows()
    assert record["answer"] == "dull" and "gold" not in record


def test_the_longest_answer_and_the_number_of_candidates_are_the_recipes() -> None:
    read = reading()
    section = read.recipe.eval.model_copy(update={"n_best": 3, "max_answer_length": 2})
    short = Reading(read.recipe.model_copy(update={"eval": section}), read.task, read.tokenizer, None)
    (record,) = answers(some([("dull",)]), short, {0: piece("the cast is great")}).rows()
    assert len(record["n_best"]) == 3
    assert all(len(each["answer"].split()) <= 2 for each in record["n_best"])


def test_chinese_answers_are_compared_by_characters() -> None:
    context = TEXTS[2]
    start = context.index("光荣和")
    rows = rows_of(["?"], [context], [(start, start + 3)], [("光荣",)])
    tokenizer = KINDS["word pieces"]()
    chinese = answers(rows, reading(tokenizer, task="cmrc2018", max_length=64), {0: (start, start + 3)})
    english = answers(rows, reading(tokenizer, max_length=64), {0: (start, start + 3)})
    assert chinese.scores["answer_f1"] == pytest.approx(2 * 2 / 5)
    assert english.scores["answer_f1"] == 0.0


def test_a_context_of_characters_that_no_token_stands_for_is_left_unanswered() -> None:
    found = answers(rows_of(["plot ?"], ["\u200b\u00ad"]), reading(), {}, threshold=0.5)
    (record,) = found.rows()
    assert (record["answer"], record["n_best"], record["no_answer"]) == ("", [], 1.0)


def test_logits_that_are_no_numbers_are_refused() -> None:
    split = stored(some([("dull",)]), reading())
    scored = says(split, {})
    scored.scores[3, 1] = np.nan
    with pytest.raises(NonFiniteError, match="M005"):
        FAMILY.answers(split, scored, reading(), threshold=None)


def test_many_long_contexts_are_encoded_in_several_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = flat(tiny_paragraphs(8))
    given = rows_of([row["question"] for row in rows], [row["context"] for row in rows])
    whole = stored(given, reading())
    monkeypatch.setattr("bert_cli.families.questions.CHARACTERS", 150)
    chunks = list(FAMILY.encode(given, reading()))
    assert len(chunks) > 3
    parts = SplitStore.of(chunks, {})
    np.testing.assert_array_equal(parts.column("example"), whole.column("example"))
    assert [parts.value("question", row) for row in range(len(parts))] == [
        whole.value("question", row) for row in range(len(whole))
    ]
