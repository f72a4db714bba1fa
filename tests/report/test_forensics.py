"""Syntheses held against their drafts, by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cat_bench.evaluation.rows import RolloutRow, ScoreRow
from cat_bench.report import summarise
from cat_bench.report.diversity import copies, diversity, tie_shares
from cat_bench.report.forensics import (
    MAJORITY,
    MINORITY,
    NOBODY,
    forensics,
)
from cat_bench.report.forensics_text import render_forensics
from tests.report.conftest import WARNINGS_FAIL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.report.conftest import Runs

pytestmark = WARNINGS_FAIL
RIGHT = 7


def drafts(question: str, clusters: Sequence[int | None]) -> list[RolloutRow]:
    """Rollouts of 10 characters with these answers; that of cluster 7 is right."""
    return [
        RolloutRow(
            question=question,
            slot=slot,
            digest=sha256(f"{question} {slot}".encode()).hexdigest(),
            answer=None if cluster is None else str(cluster),
            cluster=cluster,
            score=float(cluster == RIGHT),
            characters=10,
        )
        for slot, cluster in enumerate(clusters)
    ]


def synthesis(question: str, cluster: int | None, slots: Sequence[int], **fields: Any) -> ScoreRow:
    given = {"text": "a synthesis, ", "answer": "x", "score": float(cluster == RIGHT), "draw": 0}
    return ScoreRow(
        question=question,
        method="cat",
        n=len(slots),
        slots=tuple(slots),
        answer_cluster=cluster,
        **{**given, **fields},
    )


def figures(folder: Path) -> dict[str, float]:
    table = forensics(folder)
    return dict(zip(table["figure"], table["value"], strict=True))


def test_whose_draft_was_right_and_what_the_synthesis_made_of_it(runs: Runs) -> None:
    """Four questions: majority right and followed; a right minority followed; nobody right, twice,
    the synthesis right once by an answer of its own."""
    pools = {"q0": [7, 7, 1], "q1": [1, 1, 7], "q2": [1, 1, 2], "q3": [1, 2, 2]}
    answers = {"q0": 7, "q1": 7, "q2": None, "q3": 2}
    rows = [synthesis(q, cluster, (0, 1, 2)) for q, cluster in answers.items() if q != "q2"]
    rows.append(synthesis("q2", None, (0, 1, 2), score=1.0))
    rollouts = [row for q, clusters in pools.items() for row in drafts(q, clusters)]
    found = figures(runs.build(rows, pool=rollouts))
    assert (found[MAJORITY], found[MINORITY], found[NOBODY]) == (0.25, 0.25, 0.5)
    assert found[f"{MAJORITY}, right"] == found[f"{MINORITY}, right"] == 0.25
    assert found[f"{NOBODY}, right"] == 0.25
    assert found["recovers"] == 0.5
    assert found["disagrees"] == 0.5
    assert found["disagrees: right"] == 1.0
    assert found["disagrees: majority right"] == 0.0
    assert (found["copies an answer"], found["new answer"]) == (0.75, 0.25)
    assert found["inflation"] == pytest.approx(1.3)


def test_one_of_several_tied_answers_is_no_disagreement(runs: Runs) -> None:
    """Right and wrong tie: half the majority is right, and following it disagrees in part only."""
    rows = [synthesis("q0", 7, (0, 1))]
    found = figures(runs.build(rows, pool=drafts("q0", [7, 1])))
    assert (found[MAJORITY], found[MINORITY], found[NOBODY]) == (0.5, 0.5, 0.0)
    assert found["disagrees"] == 0
    assert found["disagrees in part"] == 0.5
    assert found["disagrees in part: right"] == 1.0
    assert found["disagrees in part: majority right"] == 0.0


def test_an_answer_beside_a_tie_disagrees_with_all_of_it(runs: Runs) -> None:
    rows = [synthesis("q0", 2, (0, 1)), synthesis("q1", 7, (0, 1))]
    found = figures(runs.build(rows, pool=[*drafts("q0", [7, 1]), *drafts("q1", [7, 1])]))
    assert (found["disagrees"], found["disagrees in part"]) == (0.5, 0.75)
    assert found["disagrees: majority right"] == 0.5


def test_the_draws_of_a_question_share_one_vote(runs: Runs) -> None:
    rows = [synthesis("q0", 7, (0, 1), draw=k) for k in range(3)] + [synthesis("q1", 1, (0, 1))]
    rollouts = [*drafts("q0", [7, 7]), *drafts("q1", [7, 7])]
    found = figures(runs.build(rows, pool=rollouts))
    assert found[f"{MAJORITY}, right"] == 0.5


def test_place_is_the_order_in_which_drafts_were_handed(runs: Runs) -> None:
    """The first of three different drafts is followed both times: a third more would be chance."""
    rows = [synthesis("q0", 2, (2, 0, 1)), synthesis("q1", 0, (0, 1, 2))]
    rollouts = [row for q in ("q0", "q1") for row in drafts(q, [0, 1, 2])]
    found = figures(runs.build(rows, pool=rollouts))
    assert (found["follows the first"], found["follows the last"]) == (1.0, 0.0)
    assert found["first bias"] == pytest.approx(2 / 3)
    assert found["last bias"] == pytest.approx(-1 / 3)


def test_position_shows_nothing_where_drafts_agree(runs: Runs) -> None:
    found = figures(runs.build([synthesis("q0", 7, (0, 1))], pool=drafts("q0", [7, 7])))
    assert "follows the first" not in found


def test_a_draft_word_for_word_is_a_copy(runs: Runs) -> None:
    rows = [synthesis("q0", 7, (0, 1), text="q0 1"), synthesis("q1", 7, (0, 1), text="q1 2")]
    rollouts = [row for q in ("q0", "q1") for row in drafts(q, [7, 7, 7])]
    assert figures(runs.build(rows, pool=rollouts))["copies a text"] == 0.5


def test_where_no_draft_answered_nobody_is_right(runs: Runs) -> None:
    pool = [*drafts("a", [1, RIGHT]), *drafts("b", [None, None])]
    rows = [synthesis("a", RIGHT, [0, 1]), synthesis("b", RIGHT, [0, 1])]
    found = figures(runs.build(rows, pool=pool))
    assert found["recovers"] == 1
    assert found[NOBODY] == 0.5
    assert found["new answer"] == 0.5
    assert found["disagrees"] == 0
    assert forensics(runs.build(rows[1:], pool=pool[2:], name="no answers")).empty


def test_questions_of_one_group_count_together(runs: Runs) -> None:
    questions = [f"q{k}" for k in range(12)]
    pool = [row for name in questions for row in drafts(name, [1, RIGHT])]
    rows = [synthesis(name, RIGHT if k % 3 else 1, [0, 1]) for k, name in enumerate(questions)]
    alone = forensics(runs.build(rows, pool=pool))
    paired = [replace(row, cluster=f"g{k // 2}") for k, row in enumerate(rows)]
    together = forensics(runs.build(paired, pool=pool, name="together"))
    name = f"{MAJORITY}, right"
    (one,), (two,) = (t[t["figure"] == name].to_dict("records") for t in (alone, together))
    assert one["value"] == two["value"]
    assert one["questions"] == two["questions"] == 12
    assert (one["ci_low"], one["ci_high"]) != (two["ci_low"], two["ci_high"])


def test_graded_scores_have_no_forensics(runs: Runs) -> None:
    rows = [synthesis("q0", 7, (0, 1), score=0.4)]
    assert forensics(runs.build(rows, pool=drafts("q0", [7, 1]))).empty


def test_the_diversity_of_the_pool(runs: Runs) -> None:
    """q0: answers in shares 1/2, 1/4, 1/4, so 1.5 bits; q1: one answer, and one without."""
    rollouts = [*drafts("q0", [7, 7, 1, 2]), *drafts("q1", [7, 7, 7, None])]
    found = diversity(runs.build([], pool=rollouts))
    assert found["distinct answers"].mean == 2
    assert found["entropy"].mean == pytest.approx(0.75)


def test_exact_copies_are_counted_within_a_question(runs: Runs) -> None:
    """q0 has one text three times, q1 four different ones; equal texts of two questions are two."""
    pool = [*drafts("q0", [7, 7, 7, 1]), *drafts("q1", [7, 7, 1, 2])]
    pool = [replace(row, digest="same") if row.slot < 3 else row for row in pool[:4]] + pool[4:]
    pool[4] = replace(pool[4], digest="same")
    folder = runs.build([synthesis("q0", 7, (0, 1))], pool=pool)
    assert copies(folder) == (2 / 8, 4)
    text = render_forensics(forensics(folder), diversity(folder), summarise(folder), run=folder)
    assert "Exact copies: 25.0 % of the texts" in text
    assert "4.0 rollouts hold 3.0 different texts" in text


def test_how_often_the_vote_of_a_subset_is_tied(runs: Runs) -> None:
    """q0: 5 of its 6 pairs; q1: none; q2 has too few rollouts, q3 no answer at all."""
    rollouts = [*drafts("q0", [7, 7, 1, 2]), *drafts("q1", [7, 7, 7, None]), *drafts("q2", [7])]
    rollouts += drafts("q3", [None, None])
    rows = [*runs.scores("majority", 2, [1.0, 1.0]), *runs.scores("majority", 4, [1.0, 1.0])]
    folder = runs.build(rows, pool=rollouts)
    assert tie_shares(folder, [2, 4, 8]) == {2: pytest.approx(5 / 12), 4: 0.0}
    text = render_forensics(forensics(folder), diversity(folder), summarise(folder), run=folder)
    assert "tied vote, over questions with an answer: 41.7 % at n = 2, 0.0 % at n = 4." in text
    assert "distinct answers 1.67" in text


def test_ties_in_pools_of_thousands(runs: Runs) -> None:
    """C(2048, 512) is too large for a float."""
    folder = runs.build(runs.scores("majority", 512, [1.0]), pool=drafts("q0", [7, 1] * 1024))
    ways = [math.comb(1024, k) * math.comb(1024, 512 - k) for k in range(513)]
    share = ways[256] / sum(ways)
    assert tie_shares(folder, [512]) == {512: pytest.approx(share)}
    text = render_forensics(forensics(folder), diversity(folder), summarise(folder), run=folder)
    assert f"{100 * share:.1f} % at n = 512" in text


def test_the_text_says_what_went_wrong(runs: Runs) -> None:
    rows = [
        synthesis("q0", 7, (0, 1), fallback="no section"),
        ScoreRow(question="q1", method="cat", n=2, draw=0, failed="timeout: slow"),
    ]
    rollouts = [row for q in ("q0", "q1") for row in drafts(q, [7, 1])]
    folder = runs.build(rows, pool=rollouts)
    table, summary = forensics(folder), summarise(folder)
    text = render_forensics(table, diversity(folder), summary, run=folder)
    assert "fallback: cat@2, 1 times: no section" in text
    assert "failed: cat@2, 1 times: timeout: slow" in text
    accounts = next(line for line in text.splitlines() if line.startswith("| cat "))
    assert [part.strip() for part in accounts.split("|")][3:6] == ["100.0", "0.0", "50.0"]
    assert np.isfinite(table["value"].dropna()).all()


def test_the_text_says_that_there_are_more_reasons(runs: Runs) -> None:
    rows = [synthesis(f"q{k}", 7, (0, 1), fallback=f"reason {k}") for k in range(12)]
    pool = [row for k in range(12) for row in drafts(f"q{k}", [7, 1])]
    folder = runs.build(rows, pool=pool)
    text = render_forensics(forensics(folder), diversity(folder), summarise(folder), run=folder)
    assert text.count("fallback: cat@2") == 10
    assert "fallback: 2 more, each as often or less" in text
