"""The table for people, word for word, and what must be said under it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cat_bench.evaluation.rows import ScoreRow
from cat_bench.report import markdown
from cat_bench.report.table import DETAILS
from tests.report.conftest import WARNINGS_FAIL

if TYPE_CHECKING:
    from tests.report.conftest import Runs

pytestmark = WARNINGS_FAIL


def test_the_whole_table(runs: Runs) -> None:
    """table.md is checked by hand.

    cat at n = 2: 0.9167, sd 0.1443, SE 0.0833; three questions near 1 have the exact interval.
    Against majority it is 0.25 higher on all three, which is not certain. greedy differs by -0.125
    with an sd of 0.433: ((1.960 + 0.842) * 0.433 / 0.125)^2 = 94.2 questions; its interval ends at
    Student's 3.182 * 0.2165 above, and at the exact one below.
    """
    halves = [0.5, 0.5, 0.5, 0.5]
    rows = [
        *(row for n in (1, 2) for row in runs.scores("single", n, halves)),
        *runs.scores("majority", 1, halves),
        *runs.scores("majority", 2, [0.75, 0.75, 0.5, 0.5], abstained=0.25),
        *runs.scores("cat", 1, [0.5, 0.75, 0.75, 0.5], calls=2, draw=0),
        *runs.scores("cat", 2, [1.0, 1.0, 0.75, None], calls=3, draw=0),
        *runs.scores("greedy", 0, [1.0, 1.0, 0.0, 0.0], calls=1, draw=0),
        *runs.scores("oracle", 1, halves),
        *runs.scores("oracle", 2, [1.0, 1.0, 1.0, 1.0]),
    ]
    methods = [
        "single",
        runs.method("greedy", budgets=[0]),
        "majority",
        "cat",
        runs.method("judged", reason="no judge was given"),
    ]
    golden = Path(__file__).with_name("table.md").read_text(encoding="utf-8")
    assert markdown(runs.build(rows, methods)) == golden


def test_what_is_missing_is_under_the_table(runs: Runs) -> None:
    text = markdown(
        runs.build(
            runs.scores("single", 1, [1.0, 0.5]),
            dropped={"1": 0, "8": 3, "16": 5},
            rollouts={"asked": 16, "failed": 2, "no_answer": 0, "truncated": 1, "unscored": 0},
            task={"name": "sums", "exchangeable": False},
        )
    )
    assert "left out of every method: 3 at n = 8, 5 at n = 16." in text
    assert "Rollouts, of 16: 2 failed, 1 cut off at the token limit." in text
    assert "The responses of one question are not i.i.d. samples" in text
    assert "vs majority" not in text
    assert "Score by n" not in text
    assert "· up to 8 rollouts each" in text


@pytest.mark.parametrize(("unread", "told"), [(14, True), (13, False)])
def test_zeros_of_responses_that_nobody_could_read_are_said_to_be(
    runs: Runs, unread: int, told: bool
) -> None:
    rollouts = {"asked": 16, "failed": 2, "no_answer": unread, "truncated": 0, "unscored": 0}
    text = markdown(runs.build(runs.scores("single", 1, [0.0, 0.0]), rollouts=rollouts))
    assert ("No rollout has a readable answer" in text) == told


def test_rollouts_that_are_all_there_are_so_many_each(runs: Runs) -> None:
    there = {"asked": 16, "failed": 0, "no_answer": 3, "truncated": 1, "unscored": 0}
    assert "· 8 rollouts each" in markdown(
        runs.build(runs.scores("single", 1, [1, 0]), rollouts=there)
    )


def test_fallbacks_show_the_score_without_them(runs: Runs) -> None:
    rows = [
        ScoreRow(question="q0", method="pick", n=2, draw=0, score=1.0, fallback="named none"),
        ScoreRow(question="q1", method="pick", n=2, draw=0, score=1.0),
    ]
    assert "fallback 50.0 % (50.0)" in markdown(runs.build(rows))


def test_a_hostile_name_stays_in_its_cell(runs: Runs) -> None:
    text = markdown(runs.build(runs.scores("a|b{x=1}\n# <b>投`*\x1b", 1, [1.0, 0.5])))
    assert "| a\\|b{x=1} # \\<b>投\\`\\* " in text
    assert "\x1b" not in text


def test_no_difference_has_no_sign_of_its_own(runs: Runs) -> None:
    rows = [*runs.scores("majority", 1, [0.5]), *runs.scores("cat", 1, [0.5 - 1e-9])]
    text = markdown(runs.build(rows))
    assert "+0.0" in text
    assert "-0.0" not in text
    assert "1 question ·" in text


def test_a_run_in_which_nothing_could_run_says_why(runs: Runs) -> None:
    missing = [runs.method(name, reason="no anchor was given") for name in ("cat", "cat-1")]
    text = markdown(runs.build([], missing[:1], name="one"))
    assert "- **cat** is not available: no anchor was given\n" in text
    missing.append(runs.method("judge-vote", reason="no judge was given"))
    text = markdown(runs.build([], missing, name="three"))
    assert "- **cat**, **cat-1** are not available: no anchor was given\n" in text
    assert "- **judge-vote** is not available: no judge was given\n" in text


def test_what_new_rollouts_would_do_is_a_table_of_its_own(runs: Runs) -> None:
    text = markdown(runs.build(runs.scores("single", 2, [0.5] * 4, rollout_var=0.04)))
    assert "Same questions, new rollouts" in text
    assert "over new rollouts of the same questions" not in text.partition(DETAILS)[0]
    assert text.split("new rollouts: ")[1].split("##")[0].rstrip().endswith("10.0 |")


def test_a_mean_below_0_is_explained(runs: Runs) -> None:
    note = "a mean below 0 shows as 0"
    below = [*runs.scores("single", 1, [-3.0, 1.0]), *runs.scores("cat", 1, [-1.0, 1.0])]
    text = markdown(runs.build(below, name="below"))
    assert note in text
    assert "+100.0 [" in text
    assert "+100.0]" not in text
    wrong = [*runs.scores("single", 1, [0.0, 0.0]), *runs.scores("cat", 1, [0.0, 1.0])]
    assert note not in markdown(runs.build(wrong, name="wrong"))


def test_another_reference_heads_its_column(runs: Runs) -> None:
    rows = [row for n in (1, 2) for row in runs.scores("cat", n, [0.5 * n, 0.25])]
    text = markdown(runs.build([*rows, *runs.scores("vote", 2, [0.5, 0.5])]), reference="cat@1")
    assert "vs cat@1, points" in text
    assert re.search(r"\+25\.0 \[-[5-9]\d\.\d, \+[5-9]\d\.\d\]", text)


def test_tokens_that_nobody_counted_are_empty(runs: Runs) -> None:
    nothing = {"prompt_tokens": 0.0, "completion_tokens": 0.0, "policy_calls": 2.0}
    anchor = nothing | {"prompt_tokens": 90.0, "calls": 3.0}
    rows = [*runs.scores("majority", 2, [1.0, 0.0], **nothing)]
    rows += runs.scores("cat", 2, [1.0, 1.0], draw=0, **anchor)
    text = markdown(runs.build(rows))
    cells = [[c.strip() for c in row.split("|")] for row in text.splitlines() if "± " in row]
    assert [row[-3] for row in cells[1:3]] == ["", ""]
    assert "Tokens are empty if the rollouts came without counts." in text
