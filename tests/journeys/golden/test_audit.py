"""Audits of recorded pools: a small one by hand, published and real ones by direct computation.

The golden pool deals out, in groups of two: of `four` a rollout without an answer and a wrong one,
then two right ones, spelt 4.0 and 4; of `seven` a right one and a wrong one.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from statistics import fmean

import pandas as pd
import pytest

from cat_bench.audit.candidates import candidates
from cat_bench.audit.session import AuditResult, audit
from cat_bench.cache import Cache, import_pool
from cat_bench.cache.calls import import_calls
from cat_bench.errors import UsageError
from cat_bench.report import audit as report
from cat_bench.rewards.reference import weighted_draw
from cat_bench.runs.config import RunConfig
from cat_bench.runs.folder import read_rollouts, read_scores
from cat_bench.runs.opening import run
from cat_bench.types.calls import JSON
from tests.places import ROOT

SHARED = Path(os.environ.get("CAT_BENCH_DATA") or ROOT.parent / "shared/data")


@pytest.fixture
def golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    monkeypatch.setenv("CAT_BENCH_CACHE", str(tmp_path / "cache.sqlite"))
    with Cache() as cache:
        import_pool(cache, Path(__file__).with_name("pool.jsonl"), name="golden")
    return RunConfig(task="pool:golden", model="replay:golden", out=tmp_path / "audit")


def row_of(result: AuditResult, name: str) -> dict[str, JSON]:
    (row,) = (row for row in result.record["rewards"] if row["name"] == name)
    return dict(row)


async def test_the_golden_pool_by_hand(golden: RunConfig) -> None:
    estimators = ["majority", "best_of_n{by=rm}"]
    listed = candidates(estimators, ["equivalence", "gold", "rubric"])
    result = await audit(golden, listed, group=2)
    assert result.complete
    tie = weighted_draw("seven", {"answer 7": 0.5, "answer 8": 0.5}) == "answer 7"

    vote = row_of(result, "majority with equivalence")
    # `four`: 5 wins, then 4 in either spelling; `seven`: a tie, drawn by its hash
    assert vote["label_accuracy"] == ((0 + 1) / 2 + tie) / 2
    assert vote["reward_accuracy"] == ((1 / 2 + 1) / 2 + tie) / 2
    assert vote["false_positives"] == pytest.approx((1 + (not tie)) / 3)
    assert vote["false_negatives"] == pytest.approx((0 + (not tie)) / 3)
    assert vote["silent"] == ((0 + 1) / 2 + 0) / 2
    assert vote["advantage_error"] == (1 + 2 * (not tie)) / 4
    assert (vote["groups"], vote["abstained"], vote["unscored"]) == (3, 0, 0)

    best = row_of(result, "best_of_n{by=rm} with equivalence")
    # 0.7 beats 0.5: a reference without an answer; 0.9 beats 0.1; 3 beats 2
    assert best["label_accuracy"] == ((0 + 1) / 2 + 1) / 2
    assert best["reward_accuracy"] == 1
    assert best["silent"] == (1 + 0) / 2
    assert best["abstained"] == 1
    assert result.record["reasons"][best["name"]] == {"the reference has no answer": 1}

    gold = row_of(result, "gold")
    assert (gold["reward_accuracy"], gold["advantage_error"], gold["supervised"]) == (1, 0, True)
    assert gold["label_accuracy"] is None
    rubric = row_of(result, "majority with rubric")
    assert rubric["reason"] == "no anchor is named: give --anchor MODEL"
    assert {row["calls"] for row in (vote, best, gold)} == {2}
    assert result.record["answer"]["first"] == best["name"]
    assert "2 questions are too few" in report.answer(result.record)
    shown = report.render(result.record)
    (doubts,) = (line for line in shown.splitlines() if line.startswith("Intervals of"))
    assert "fewer than 100 independent questions" in doubts


async def test_a_question_with_too_few_rollouts_is_left_out_and_counted(golden: RunConfig) -> None:
    result = await audit(golden, candidates(["majority"], ["equivalence"]), group=4)
    row = row_of(result, "majority with equivalence")
    assert (row["groups"], row["reward_accuracy"]) == (1, 1)
    assert result.record["groupless"] == 1
    assert "1 of the questions have no complete group" in report.render(result.record)


async def test_an_audit_is_the_same_again_and_written_whole(golden: RunConfig) -> None:
    listed = candidates(["majority", "single"], ["equivalence", "gold"])
    one, other = [await audit(golden, listed, group=2) for _ in range(2)]
    strip = {"invocations": None}
    assert {**one.record, **strip} == {**other.record, **strip}
    paths = report.write(one.folder, one.record)
    assert [path.name for path in paths] == ["audit.md", "audit.csv", "audit.json"]
    again: JSON = json.loads((one.folder / "audit.json").read_text())
    assert again["rewards"] == one.record["rewards"]
    for key in ("id", "models", "task", "pool_digest", "versions", "invocations"):
        assert again[key], key
    table = pd.read_csv(one.folder / "audit.csv")
    assert table["reward_accuracy"].tolist() == [r["reward_accuracy"] for r in again["rewards"]]
    assert (one.folder / "audit.md").read_text().rstrip().endswith(report.answer(one.record))


async def test_a_group_that_does_not_fit_is_refused(golden: RunConfig) -> None:
    with pytest.raises(UsageError, match="--group 5 does not fit a pool of 4 rollouts"):
        await audit(golden, candidates(["majority"], ["equivalence"]), group=5)


POOLS = {
    "tally": (ROOT / "results/pools/tally.parquet", "tally", 30),
    "qwen": (SHARED / "pools/qwen_math_100x8.jsonl.gz", "pool:qwen", 30),
}


@pytest.fixture(params=POOLS)
def real(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RunConfig:
    """A real pool, imported into a cache of its own."""
    file, task, limit = POOLS[request.param]
    if not file.is_file():
        pytest.skip(f"{file.name} is not here")
    monkeypatch.setenv("CAT_BENCH_CACHE", str(tmp_path / "cache.sqlite"))
    with Cache() as cache:
        import_pool(cache, file, name=request.param)
    return RunConfig(
        task=task, model=f"replay:{request.param}", limit=limit, out=tmp_path / "audit"
    )


async def test_a_real_pool_is_the_direct_computation(real: RunConfig, tmp_path: Path) -> None:
    """TTRL from the recorded clusters and scores of a run over the same rollouts."""
    listed = candidates(["majority"], ["equivalence", "gold"])
    result = await audit(real, listed, group=8)
    ran = await run(real.model_copy(update={"methods": ("majority",), "out": tmp_path / "run"}))
    rollouts = read_rollouts(ran.folder)
    accuracy: dict[str, list[float]] = {}
    label: dict[str, list[float]] = {}
    silent: dict[str, list[float]] = {}
    for question, own in rollouts.groupby("question", sort=False):
        own = own.sort_values("slot")
        for start in range(0, len(own) - 7, 8):
            part = own.iloc[start : start + 8]
            winner, right = _vote(str(question), part)
            rewards = [float(c == winner) for c in part["cluster"]]
            scores = part["score"].tolist()
            accuracy.setdefault(str(question), []).append(
                fmean((r >= 0.5) == (s >= 0.5) for r, s in zip(rewards, scores, strict=True))
            )
            label.setdefault(str(question), []).append(right)
            silent.setdefault(str(question), []).append(float(len(set(rewards)) == 1))
    row = row_of(result, "majority with equivalence")
    for name, found in (
        ("reward_accuracy", accuracy),
        ("label_accuracy", label),
        ("silent", silent),
    ):
        assert row[name] == pytest.approx(fmean(map(fmean, found.values()))), name
    assert row["groups"] == sum(map(len, accuracy.values()))
    gold = row_of(result, "gold")
    assert (gold["reward_accuracy"], gold["advantage_error"]) == (1, 0)


def _vote(question: str, part: pd.DataFrame) -> tuple[float | None, float]:
    """The winning cluster of a group, ties drawn by the hash, and its score; None: nobody votes."""
    voters = part[part["cluster"].notna()]
    votes = Counter(voters["cluster"])
    if not votes:
        return None, 0.0
    tied = [c for c, count in votes.items() if count == max(votes.values())]
    spelt = {"answer " + voters[voters["cluster"] == c]["answer"].min(): c for c in tied}
    winner = spelt[weighted_draw(question, dict.fromkeys(spelt, 1 / len(spelt)))]
    return winner, float(voters[voters["cluster"] == winner]["score"].iloc[0])


async def test_published_calls_hold_the_audit_of_a_synthesis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run scored at n = 8 on its first two blocks is the accuracy of the same references."""
    file = ROOT / "results/pools/tally-calls.parquet"
    if not file.is_file():
        pytest.skip(f"{file.name} is not here")
    monkeypatch.setenv("CAT_BENCH_CACHE", str(tmp_path / "cache.sqlite"))
    with Cache() as cache:
        import_calls(cache, file)
    config = RunConfig(
        task="tally", model="tally", pool=16, limit=12, offline=True, out=tmp_path / "audit"
    )
    result = await audit(config, candidates(["cat"], ["equivalence"]), group=8)
    assert result.complete
    (made,) = result.record["invocations"]
    assert made["calls"]["made"] == 0
    again = {"methods": ("cat",), "n": (8,), "draws": 2, "out": tmp_path / "run"}
    ran = await run(config.model_copy(update=again))
    scores = read_scores(ran.folder)
    row = row_of(result, "cat with equivalence")
    assert row["label_accuracy"] == scores[scores["method"] == "cat"]["score"].mean()
    assert (row["groups"], row["calls"]) == (24, 9)
