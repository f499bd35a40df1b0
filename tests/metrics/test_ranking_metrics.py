"""Rankings are worth what trec_eval says: against its definitions, written out query by query."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_cli.metrics.ranking import RANKING_METRICS, averaged, largest_first, measured
from bert_cli.metrics.search import nearest


def trec_eval(run: dict[str, float], qrels: dict[str, int]) -> dict[str, float]:
    """One query, as trec_eval 9 computes it: documents by score, then by name, both descending."""
    names = sorted(run, key=lambda name: (run[name], name), reverse=True)
    relevant = [name for name, grade in qrels.items() if grade >= 1]
    found = [qrels.get(name, 0) for name in names]
    precision_sum, hits, first = 0.0, 0, 0
    for rank, grade in enumerate(found, 1):
        if grade >= 1:
            hits += 1
            precision_sum += hits / rank
            first = first or rank
    gain = sum(grade / math.log2(rank + 1) for rank, grade in enumerate(found[:10], 1) if grade > 0)
    best = sorted((grade for grade in qrels.values() if grade > 0), reverse=True)[:10]
    ideal = sum(grade / math.log2(rank + 1) for rank, grade in enumerate(best, 1))
    return {
        "ndcg_at_10": gain / ideal,
        "map": precision_sum / len(relevant),
        "mrr": 1 / first if first else 0.0,
        "mrr_at_10": 1 / first if 0 < first <= 10 else 0.0,
        "recall_at_10": sum(name in relevant for name in names[:10]) / len(relevant),
        "recall_at_100": sum(name in relevant for name in names[:100]) / len(relevant),
    }


names = st.text("abAB019é-", min_size=1, max_size=4)
queries = st.tuples(
    st.dictionaries(names, st.integers(-2, 3), min_size=1, max_size=30),
    st.dictionaries(names, st.integers(-1, 3), min_size=1, max_size=15),
).filter(lambda query: max(query[1].values()) > 0)


@settings(max_examples=200, deadline=None)
@given(st.lists(queries, min_size=1, max_size=4))
def test_every_measure_is_that_of_trec_eval_ties_and_missed_texts_included(
    drawn: list[tuple[dict[str, int], dict[str, int]]],
) -> None:
    ranked, judged, wanted = [], [], []
    for run, qrels in drawn:
        ids = list(run)
        scores = np.array([run[name] for name in ids], dtype=np.float32)
        order = largest_first(ids)
        order = order[np.argsort(-scores[order], kind="stable")]
        ranked.append(np.array([qrels.get(ids[place], 0) for place in order]))
        judged.append(np.array(list(qrels.values())))
        wanted.append(trec_eval({name: float(score) for name, score in run.items()}, qrels))
    found = measured(ranked, judged)
    assert set(found) == set(RANKING_METRICS)
    for name, values in found.items():
        assert values.tolist() == pytest.approx([one[name] for one in wanted], abs=1e-12), name
    assert averaged(found)["map"] == pytest.approx(np.mean([one["map"] for one in wanted]))


def test_known_values() -> None:
    """Grades 3, 2, 3, 0, 1, 2 and an ideal of 3, 3, 2, 2, 1, 0 (Järvelin and Kekäläinen's example)."""
    grades = np.array([3, 2, 3, 0, 1, 2])
    (ndcg,) = measured([grades], [grades])["ndcg_at_10"]
    assert ndcg == pytest.approx(0.9608, abs=1e-4)
    found = measured([np.array([0, 1, 0, 1])], [np.array([1, 1, 1])])
    assert {name: value.item() for name, value in found.items()} == pytest.approx(
        {
            "ndcg_at_10": (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3) + 0.5),
            "map": (1 / 2 + 2 / 4) / 3,
            "mrr": 0.5,
            "mrr_at_10": 0.5,
            "recall_at_10": 2 / 3,
            "recall_at_100": 2 / 3,
        }
    )


def test_ids_are_compared_as_strings_the_larger_first() -> None:
    assert largest_first(["9", "10", "b", "a", "é", "B"]).tolist() == [4, 2, 3, 5, 0, 1]


def test_a_search_over_ids_from_the_largest_breaks_ties_as_trec_eval_does() -> None:
    ids = ["d1", "d3", "d2", "d4"]
    vectors = np.array([[1.0], [1.0], [1.0], [0.5]], dtype=np.float32)
    order = largest_first(ids)
    places, _ = nearest(np.ones((1, 1), dtype=np.float32), vectors[order], depth=3)
    assert [ids[place] for place in order[places[0]]] == ["d3", "d2", "d1"]
