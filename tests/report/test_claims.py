"""A paper's claims against runs made by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cat_bench.errors import ConfigError, UnknownName
from cat_bench.evaluation.rows import RolloutRow, ScoreRow
from cat_bench.report import claims
from cat_bench.report.claims import Claims, Finding
from cat_bench.runs.folder import RunWriter
from cat_bench.stats.intervals import paired_difference, questions_needed

MANY = 40


def run(
    folder: Path,
    values: Mapping[tuple[str, int], Sequence[float | None]],
    *,
    rows: Sequence[ScoreRow] = (),
    rollouts: Sequence[RolloutRow] = (),
) -> Path:
    """A run of these values by (method, n); a rollout costs 10 tokens, a synthesis 10 more."""
    rows = [
        ScoreRow(
            question=f"q{i}", method=m, n=n, score=v, completion_tokens=10.0 * (n + (m == "cat"))
        )
        for (m, n), column in values.items()
        for i, v in enumerate(column)
    ] + list(rows)
    names = list(dict.fromkeys(row.method for row in rows))
    record = {
        "config": {"task": "sums", "model": "tiny", "pool": 8},
        "task": {"name": "sums"},
        "questions": MANY,
        "methods": [
            *({"name": name, "reason": None} for name in names),
            {"name": "judge-select", "reason": "no judge is named"},
        ],
    }
    with RunWriter(folder) as writer:
        writer.add(rows, rollouts)
        writer.finish(record, {})
    return folder


def check(folder: Path, **claim: Any) -> Finding:
    entry = {"id": "it", "says": "it holds", **claim}
    listed = Claims.model_validate(
        {"title": "T", "source": "S", "method": "cat", "claims": [entry]}
    )
    (finding,) = claims.check(folder, listed)
    return finding


def test_above_is_what_the_interval_says(tmp_path: Path) -> None:
    values = {
        ("cat", 2): [1.0] * MANY,
        ("majority", 2): [0.0, 0.5] * (MANY // 2),
        ("best-of-n{by=x}", 2): [1.0, 1.0] * (MANY // 2),
        ("oracle", 2): [1.0] * MANY,
    }
    folder = run(tmp_path / "run", values)
    found = check(folder, test="above", against=["majority"])
    assert found.verdict == "supported"
    assert found.value == pytest.approx(0.75)
    assert found.measured.startswith("+75.0 [")
    assert "vs majority, n = 2" in found.measured
    both = check(folder, test="above", against=["majority", "best-of-n", "judge-select"])
    assert both.verdict == "undecided"
    assert "best-of-n{by=x}" in both.measured


def test_a_claim_about_absent_methods_is_not_measured(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", {("cat", 2): [1.0] * MANY})
    found = check(folder, test="above", against=["judge-select", "other"])
    assert found.verdict == "not measured"
    assert found.measured == "judge-select: no judge is named; other: not in this run"
    assert check(folder, test="more").measured == "cat was run at one n only"


def test_a_run_that_was_stopped_before_anything_was_scored(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", {("cat", 2): [None] * MANY, ("single", 2): [1.0] * MANY})
    found = check(folder, test="above", against=["single"])
    assert (found.verdict, found.value) == ("not measured", None)
    assert found.measured == "no question was scored on both sides"
    assert claims.write(folder, claims.read_claims("compute-as-teacher"))


def test_the_undecided_say_how_many_more_questions(tmp_path: Path) -> None:
    """Differences of 1, 1, -1 and so on in thirds: mean 0.35, not told from 0 by 20 questions."""
    wins = [1.0, 1.0, 0.0] * 6 + [1.0, 1.0]
    folder = run(tmp_path / "run", {("cat", 1): wins, ("single", 1): [1 - v for v in wins]})
    found = check(folder, test="above", against=["single"])
    assert found.verdict == "undecided"
    assert found.more is not None
    assert 15 < found.more < 45


def test_more_rollouts_and_up_to_where(tmp_path: Path) -> None:
    values = {
        ("cat", 1): [0.0] * MANY,
        ("cat", 2): [0.5, 1.0] * (MANY // 2),
        ("cat", 4): [1.0, 0.5] * (MANY // 2),
        ("cat", 8): [2.0, 1.5] * (MANY // 2),
    }
    found = check(run(tmp_path / "run", values), test="more")
    assert found.verdict == "supported"
    assert found.measured.endswith("from n = 1 to 8; steps that help: to n = 2, 8")


def test_wins_on_few_questions_are_undecided(tmp_path: Path) -> None:
    """Four of 40 won, none lost: p is 2 / 2^4, and the interval holds 0."""
    values = {("cat", 1): [1.0] * 4 + [0.0] * (MANY - 4), ("single", 1): [0.0] * MANY}
    found = check(run(tmp_path / "run", values), test="above", against=["single"])
    assert found.low is not None
    assert found.low < 0
    assert found.verdict == "undecided"
    values[("cat", 1)][:6] = [1.0] * 6
    found = check(run(tmp_path / "more", values), test="above", against=["single"])
    assert found.verdict == "supported"


def test_equal_says_how_many_more_questions_if_any_number_would_do(tmp_path: Path) -> None:
    """Beyond the margin, those that would show it; alike, the rule of three: 151 in all."""
    beyond = {("cat", 2): [0.6, 0.0, 0.0, 0.0] * 10, ("aware", 2): [0.0, 0.45, 0.3, 0.0] * 10}
    alike = {("cat", 2): [0.5] * MANY, ("aware", 2): [0.5] * MANY}
    more = [
        check(run(tmp_path / name, values), test="equal", against=["aware"], margin=0.02).more
        for name, values in (("beyond", beyond), ("alike", alike))
    ]
    found = paired_difference(beyond["cat", 2], beyond["aware", 2])
    needed = questions_needed(abs(found.mean) - 0.02, found.se, MANY)
    assert needed is not None
    assert more == [needed - MANY, 151 - MANY]


def test_equal_means_within_the_margin_and_not_merely_undecided(tmp_path: Path) -> None:
    close = {("cat", 2): [0.5, 0.51] * (MANY // 2), ("aware", 2): [0.5] * MANY}
    apart = {("cat", 2): [1.0, 0.0] * (MANY // 2), ("aware", 2): [0.0, 1.0] * (MANY // 2)}
    below = {("cat", 2): [0.5, 0.4] * (MANY // 2), ("aware", 2): [1.0] * MANY}
    verdicts = [
        check(run(tmp_path / name, values), test="equal", against=["aware"], margin=0.02)
        for name, values in (("close", close), ("apart", apart), ("below", below))
    ]
    assert [v.verdict for v in verdicts] == ["supported", "undecided", "contradicted"]
    assert verdicts[1].more is not None
    assert verdicts[1].more > 1000


def test_equal_tokens_are_met_on_the_majoritys_curve(tmp_path: Path) -> None:
    values = {
        ("majority", 1): [0.0] * MANY,
        ("majority", 4): [1.0, 0.0] * (MANY // 2),
        ("cat", 2): [1.0, 0.9] * (MANY // 2),
        ("cat", 4): [0.0] * MANY,
    }
    found = check(run(tmp_path / "run", values), test="equal_tokens", against=["majority"])
    assert found.verdict == "supported"
    assert "at the tokens of cat@2" in found.measured
    short = {k: v for k, v in values.items() if k != ("majority", 4)}
    found = check(run(tmp_path / "short", short), test="equal_tokens", against=["majority"])
    assert (found.verdict, "has no n with as many tokens" in found.measured) == (
        "not measured",
        True,
    )


def drafts(clusters: Sequence[int]) -> list[RolloutRow]:
    """Two drafts per question, of one answer each; cluster 7 is right."""
    return [
        RolloutRow(question=f"q{i}", slot=s, digest="", answer="x", cluster=c, score=float(c == 7))
        for i, c in enumerate(clusters)
        for s in (0, 1)
    ]


def synthesis(index: int, cluster: int) -> ScoreRow:
    return ScoreRow(
        question=f"q{index}",
        method="cat",
        n=2,
        draw=0,
        score=float(cluster == 7),
        slots=(0, 1),
        text="t",
        answer="x",
        answer_cluster=cluster,
    )


def test_disagreement_and_recovery_come_from_the_draws(tmp_path: Path) -> None:
    """Half the drafts are wrong, and there the synthesis disagrees and is right."""
    clusters = [1, 7] * (MANY // 2)
    rows = [synthesis(index, 7) for index in range(MANY)]
    folder = run(tmp_path / "run", {}, rows=rows, rollouts=drafts(clusters))
    found = check(folder, test="disagreement", least=0.5)
    assert (found.verdict, found.value) == ("supported", 1.0)
    assert found.measured.startswith("another answer on 50.0 %")
    recovered = check(folder, test="recovery")
    assert (recovered.verdict, recovered.value) == ("supported", 0.5)
    right = run(tmp_path / "right", {}, rows=rows, rollouts=drafts([7] * MANY))
    assert check(right, test="disagreement").measured.startswith("it always gives one")
    assert check(right, test="recovery").verdict == "not measured"


def test_never_seen_is_undecided_and_without_answers_not_measured(tmp_path: Path) -> None:
    rows = [synthesis(index, 1) for index in range(MANY)]
    wrong = run(tmp_path / "wrong", {}, rows=rows, rollouts=drafts([1] * MANY))
    assert check(wrong, test="recovery").verdict == "undecided"
    graded = run(tmp_path / "graded", {("cat", 2): [0.3] * MANY})
    assert check(graded, test="recovery").verdict == "not measured"


def test_the_catalogues_lists_are_read_and_written(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", {("cat", 2): [1.0] * MANY, ("single", 2): [0.0, 0.5] * 20})
    assert claims.applicable(folder) == ["compute-as-teacher"]
    listed = claims.read_claims("compute-as-teacher")
    findings = claims.write(folder, listed)
    assert [f.id for f in findings] == [claim.id for claim in listed.claims]
    entries = json.loads((folder / "claims.json").read_text(encoding="utf-8"))["findings"]
    assert entries[0]["verdict"] == "supported"
    text = (folder / "claims.md").read_text(encoding="utf-8")
    assert "| synthesis is better than one rollout" in text
    shown = claims.checklist(listed, findings).splitlines()
    assert shown[1].startswith("supported     synthesis is better than one rollout: +75.0 [")


def test_a_run_without_the_method_has_no_list(tmp_path: Path) -> None:
    assert claims.applicable(run(tmp_path / "run", {("majority", 2): [1.0] * MANY})) == []


def _costed(method: str, n: int, calls: float, sequential: float) -> list[ScoreRow]:
    return [
        ScoreRow(
            question=f"q{i}",
            method=method,
            n=n,
            score=0.5,
            calls=calls + (i % 3),
            completion_tokens=10 * calls + i % 5,
            sequential_tokens=sequential + i % 2,
        )
        for i in range(MANY)
    ]


def test_what_is_saved_is_compared_with_the_least(tmp_path: Path) -> None:
    rows = _costed("cat", 8, 3.0, 30.0) + _costed("majority", 8, 15.0, 12.0)
    folder = run(tmp_path / "run", {}, rows=rows)
    saves = {"test": "saves", "against": ["majority"]}
    found = check(folder, **saves, least=0.5)
    assert found.verdict == "supported"
    assert found.value == pytest.approx(1 - 3.975 / 15.975, abs=1e-6)
    assert check(folder, **saves, least=0.9).verdict == "contradicted"
    assert check(folder, **saves, cost="sequential_tokens", least=0).verdict == "contradicted"
    assert check(folder, test="saves", against=["esc"], least=0).verdict == "not measured"


def test_orders_by_two_costs_are_opposite_or_the_same(tmp_path: Path) -> None:
    rows = _costed("cat", 8, 4, 400) + _costed("majority", 8, 80, 20) + _costed("esc", 8, 30, 90)
    claim: dict[str, Any] = {"test": "reorders", "against": ["majority", "esc"]}
    assert check(run(tmp_path / "opposite", {}, rows=rows), **claim).verdict == "supported"
    rows = _costed("cat", 8, 4, 20) + _costed("majority", 8, 80, 400) + _costed("esc", 8, 30, 90)
    assert check(run(tmp_path / "same", {}, rows=rows), **claim).verdict == "contradicted"
    few = run(tmp_path / "few", {}, rows=_costed("cat", 8, 4, 20))
    assert check(few, **claim).verdict == "not measured"


def test_gains_are_compared_from_the_same_n(tmp_path: Path) -> None:
    values = {
        ("cat", 1): [0.2, 0.3] * (MANY // 2),
        ("cat", 8): [0.8, 0.9] * (MANY // 2),
        ("majority", 1): [0.2, 0.3] * (MANY // 2),
        ("majority", 8): [0.3, 0.5] * (MANY // 2),
    }
    folder = run(tmp_path / "run", values)
    found = check(folder, test="outgrows", against=["majority"], since=1)
    assert found.verdict == "supported"
    assert found.value == pytest.approx(0.6 - 0.15)
    assert check(folder, test="outgrows", against=["majority"], since=4).verdict == "not measured"


def test_which_difference_is_larger_has_no_sign(tmp_path: Path) -> None:
    values = {
        ("cat", 8): [0.1, 0.2] * (MANY // 2),
        ("majority", 8): [0.5, 0.7] * (MANY // 2),
        ("esc", 8): [0.5, 0.8] * (MANY // 2),
    }
    found = check(run(tmp_path / "run", values), test="outweighs", against=["esc"])
    assert found.verdict == "supported"
    assert found.value == pytest.approx(0.45 - 0.05)


def test_coverage_is_compared_with_the_best_power_law(tmp_path: Path) -> None:
    budgets = (1, 2, 4, 8, 16)
    wobble = [0.02 * (i % 2) - 0.01 for i in range(MANY)]
    law = {n: math.exp(-0.9 * n**-0.4) for n in budgets}
    values = {("cat", n): [law[n] + w for w in wobble] for n in budgets}
    lawful = run(tmp_path / "lawful", values)
    assert check(lawful, test="power_law", margin=0.01).verdict == "supported"
    steps = dict(zip(budgets, (0.1, 0.1, 0.1, 0.6, 0.6), strict=True))
    values = {("cat", n): [steps[n] + w for w in wobble] for n in budgets}
    assert check(run(tmp_path / "odd", values), test="power_law", margin=0.01).verdict == (
        "contradicted"
    )
    values = {("cat", n): [0.5] * MANY for n in (1, 2)}
    assert check(run(tmp_path / "few", values), test="power_law").verdict == "not measured"


def test_claims_leave_out_questions_without_a_value(tmp_path: Path) -> None:
    """A question that one method could not be scored on changes no figure of the others."""
    whole: dict[tuple[str, int], Sequence[float | None]] = {
        (method, n): [0.1 * n * weight + 0.01 * (i % 3) for i in range(MANY)]
        for n in (1, 2, 4, 8)
        for method, weight in (("cat", 0.9), ("majority", 0.5), ("esc", 0.7))
    }
    some = {
        key: [None, *column[1:]] if key == ("cat", 8) else column for key, column in whole.items()
    }
    rest = {key: column[1:] for key, column in whole.items()}
    folders = run(tmp_path / "some", some), run(tmp_path / "rest", rest)
    for claim in (
        {"test": "outgrows", "against": ["majority"], "since": 1},
        {"test": "outweighs", "against": ["esc"]},
        {"test": "power_law", "margin": 0.5},
    ):
        left_out, without = (check(folder, **claim) for folder in folders)
        assert left_out.verdict != "not measured"
        assert left_out.value == pytest.approx(without.value)
    nothing = run(tmp_path / "nothing", {key: [None] * MANY for key in whole})
    for test in ("outgrows", "outweighs", "power_law"):
        found = check(nothing, test=test, against=["majority"], since=1)
        assert found.verdict in ("not measured", "undecided")


def test_unknown_tokens_are_no_saving(tmp_path: Path) -> None:
    """A server without usage leaves 0 tokens for calls that were made."""
    rows = [
        replace(
            row, policy_calls=row.n, policy_tokens=0.0, prompt_tokens=0.0, completion_tokens=0.0
        )
        for row in _costed("cat", 8, 3.0, 30.0)
    ] + _costed("majority", 8, 15.0, 12.0)
    folder = run(tmp_path / "run", {}, rows=rows)
    saves = {"test": "saves", "against": ["majority"], "least": 0.5}
    assert check(folder, **saves, cost="tokens").verdict == "not measured"
    assert check(folder, **saves, cost="calls").verdict == "supported"


def test_questions_of_one_group_count_together(tmp_path: Path) -> None:
    """Each question twice, in one group, is as uncertain as the questions once."""

    def of(copies: int) -> list[ScoreRow]:
        rows = []
        for method, n, weight in (("cat", 1, 1), ("cat", 8, 5), ("esc", 1, 1), ("esc", 8, 2)):
            for i in range(MANY):
                value = 0.1 * weight + 0.03 * ((i * weight) % 7)
                row = ScoreRow(
                    question=f"q{i}",
                    cluster=f"g{i}",
                    method=method,
                    n=n,
                    score=value,
                    calls=weight + i % 3,
                    completion_tokens=10.0 * weight + i % 5,
                )
                rows += [replace(row, question=f"q{i}-{copy}") for copy in range(copies)]
        return rows

    once, twice = (run(tmp_path / f"{k}", {}, rows=of(k)) for k in (1, 2))
    for claim in (
        {"test": "outgrows", "against": ["esc"], "since": 1},
        {"test": "saves", "against": ["esc"], "least": 0.1},
    ):
        one, two = check(once, **claim), check(twice, **claim)
        assert two.value == pytest.approx(one.value)
        assert (two.low, two.high) == pytest.approx((one.low, one.high), rel=1e-6)


def test_a_claim_may_name_its_n(tmp_path: Path) -> None:
    values = {(m, n): [v] * MANY for n in (2, 4) for m, v in (("cat", 0.1 * n), ("majority", 0.3))}
    folder = run(tmp_path / "run", values)
    assert check(folder, test="above", against=["majority"]).value == pytest.approx(0.1)
    assert check(folder, test="above", against=["majority"], n=2).value == pytest.approx(-0.1)


def test_every_list_of_the_catalogue_is_sound() -> None:
    lists = {name: claims.read_claims(name) for name in claims.claim_list_names()}
    assert {"adaptive-consistency", "early-stopping", "large-language-monkeys"} <= set(lists)
    assert [name for name, each in lists.items() if each.in_runs] == ["compute-as-teacher"]


def test_a_list_is_read_strictly(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="compute-as-teacher"):
        claims.read_claims("compute-as-teachr")
    path = tmp_path / "mine.yaml"
    path.write_text("{title: T, source: S, method: cat, claims: [{id: a, says: b, test: odd}]}")
    with pytest.raises(ConfigError, match=r"claims\.0\.test"):
        claims.read_claims(str(path))
    path.write_text("{title: T, source: S, method: cat, claims: [{id: a, says: b, test: above}]}")
    with pytest.raises(ConfigError, match="name them in `against`"):
        claims.read_claims(str(path))
    twice = "[{id: a, says: b, test: more}, {id: a, says: c, test: more}]"
    path.write_text(f"{{title: T, source: S, method: cat, claims: {twice}}}")
    with pytest.raises(ConfigError, match="two claims have the id 'a'"):
        claims.read_claims(str(path))
