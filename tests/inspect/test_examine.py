"""All checks together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from small_splits import small

from bert_cli.inspect.examine import doubts_of, examine
from bert_cli.inspect.facts import facts_of
from bert_cli.inspect.finding import SEVERITIES, Finding, of_rows, percent
from bert_cli.inspect.lengths import lengths_of_text
from bert_cli.inspect.scripts import scripts_of


def test_findings_come_worst_first_and_warnings_become_sentences() -> None:
    splits = [
        small("train", ["a good film", "", "фильм", "A good film!"], ["x", "y", "x", "y"]),
        small("test", ["a good film"]),
    ]
    findings = examine(splits)
    severities = [SEVERITIES.index(finding.severity) for finding in findings]
    assert severities == sorted(severities) and {"overlap", "empty-text", "conflicting-labels"} <= {
        finding.name for finding in findings
    }
    sentences = doubts_of(splits)
    assert len(sentences) == sum(finding.severity == "warning" for finding in findings)
    assert sentences[0] == (
        "1 of 1 rows (100.0 %) of test stands in train too (test.csv:2 = train.csv:2); "
        "delete them from train.csv: a model may know them by heart"
    )


TEXTS = st.text(st.characters(codec="utf-8"), max_size=6)


@given(
    st.lists(st.lists(st.tuples(TEXTS, TEXTS, st.sampled_from("xyz")), min_size=1, max_size=6), min_size=1, max_size=3),
    st.booleans(),
)
def test_any_texts_can_be_examined(splits: list[list[tuple[str, str, str]]], labelled: bool) -> None:
    made = [
        small(
            name,
            [row[0] for row in rows],
            [row[2] for row in rows] if labelled else None,
            parts={"text_pair": [row[1] for row in rows]},
        )
        for name, rows in zip(("train", "validation", "test"), splits, strict=False)
    ]
    for finding in examine(made):
        assert finding.what and finding.count >= 0 and all(":" in place for place in finding.where)
    for split in made:
        facts = facts_of(split, scripts_of(split), lengths_of_text(split, "words"), max_length=16, batch_size=2, seed=0)
        assert facts["rows"] == len(split) and "padding" not in facts


def test_shares_are_never_rounded_to_nothing() -> None:
    assert [percent(*pair) for pair in ((0, 5), (1, 5), (1, 10_000), (0, 0), (5, 5))] == [
        "0.0 %",
        "20.0 %",
        "<0.1 %",
        "0.0 %",
        "100.0 %",
    ]
    assert of_rows(1234, 5000) == "1,234 of 5,000 rows (24.7 %)"


def test_a_finding_is_plain_values() -> None:
    finding = Finding("note", "overlap", "so it is", where=("a:1",), help="do this")
    assert finding.as_dict()["where"] == ("a:1",) and finding.sentence == "so it is (a:1); do this"
