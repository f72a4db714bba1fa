"""A rubric task end to end over real sockets, with every number computed by hand.

The judge holds that a response meets "mentions WORD" if it contains WORD. Its first reply about
"beta" is no verdict, and it never gives one about "omega" in a garbled response.

| row | rubric | theme | the four rollouts: their scores |
| --- | --- | --- | --- |
| q1 | alpha 5, beta 5, gamma -4 | a | alpha: 0.5, alpha beta: 1, gamma: -0.4, all three: 0.6 |
| q2, the same prompt | beta 2, alpha -1 | a | the same four: -0.5, 0.5, 0, 0.5 |
| q3, of three turns | delta 3, alpha 7 | b | delta: 0.3, alpha: 0.7, both: 1, empty: 0 |
| q4 | alpha 4, omega 1 | b | alpha: 0.8, garbled: unscored, alpha: 0.8, omega: 0.2 |
| q5 | omega 1 | b | garbled: unscored, four times |

`cat` writes "alpha beta" everywhere: 1, 0.5, 0.7, 0.8 and, on q5, 0.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import combinations
from math import nan, sqrt
from pathlib import Path
from statistics import fmean

import pandas as pd
import pytest

from cat_bench import report
from cat_bench.audit import judge as audits
from cat_bench.audit.compare import rank_stability, verdicts_of
from cat_bench.audit.labels import read_labels
from cat_bench.errors import DataError, UsageError
from cat_bench.runs.config import RunConfig
from cat_bench.runs.folder import read_record, read_scores
from cat_bench.runs.forecast import forecast_run
from cat_bench.runs.opening import run
from cat_bench.testing import ChatServer
from cat_bench.testing.protocol import ChatRequest
from cat_bench.types.calls import JSON

GARBLED = "beta garble"
TEXTS = {
    "open": ["alpha", "alpha beta", "gamma", "alpha beta gamma"],
    "turn": ["delta", "alpha", "delta alpha", ""],
    "four": ["alpha", GARBLED, "alpha", "omega"],
    "five": ["garble"] * 4,
}
SCORES: dict[str, list[float | None]] = {
    "q1": [0.5, 1.0, -0.4, 0.6],
    "q2": [-0.5, 0.5, 0.0, 0.5],
    "q3": [0.3, 0.7, 1.0, 0.0],
    "q4": [0.8, None, 0.8, 0.2],
    "q5": [None] * 4,
}
PROMPTS = {"q1": "open", "q2": "open", "q3": "turn", "q4": "four", "q5": "five"}
CAT = {"q1": 1.0, "q2": 0.5, "q3": 0.7, "q4": 0.8, "q5": 0.0}
PENALTY = 0.5
BUDGETS = (1, 2, 4)
EXTREMES: dict[str, Callable[[list[float]], float]] = {"oracle": max, "worst": min}


def line(word: str, points: int, *tags: str) -> dict[str, JSON]:
    return {"criterion": f"mentions {word}", "points": points, "tags": list(tags), "note": "kept"}


def rows() -> list[dict[str, JSON]]:
    turns = ["hello", "what is it?", "turn"]
    said = [{"role": ("user", "assistant")[k % 2], "content": t} for k, t in enumerate(turns)]
    right, whole = "axis:accuracy", "axis:completeness"
    return [
        {
            "prompt_id": name,
            "prompt": said if name == "q3" else [{"role": "user", "content": PROMPTS[name]}],
            "rubrics": rubric,
            "example_tags": [f"theme:{theme}"],
            "subsets": ["hard"] if name in {"q1", "q3"} else [],
            "canary": "unknown columns are passed over",
        }
        for name, theme, rubric in (
            (
                "q1",
                "a",
                [line("alpha", 5, right), line("beta", 5, whole), line("gamma", -4, right)],
            ),
            ("q2", "a", [line("beta", 2), line("alpha", -1, right)]),
            ("q3", "b", [line("delta", 3, whole), line("alpha", 7, right, "level:example")]),
            ("q4", "b", [line("alpha", 4), line("omega", 1)]),
            ("q5", "b", [line("omega", 1)]),
        )
    ]


@dataclass
class Rules:
    """The replies of the policy and anchor, and those of the judge."""

    left: dict[str, list[str]] = field(
        default_factory=lambda: {name: list(texts) for name, texts in TEXTS.items()}
    )
    asked: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def write(self, request: ChatRequest) -> str:
        """Deal out the rollouts; every one is handed over once."""
        if "<draft" in request.messages[-1]["content"]:
            return "# UNIFIED RESPONSE\nalpha beta"
        return self.left[request.messages[-1]["content"]].pop(0)

    def judge(self, request: ChatRequest) -> str:
        prompt = request.messages[-1]["content"]
        self.asked[prompt] += 1
        response = prompt.split("<response>\n")[1].split("\n</response>")[0]
        word = prompt.split("<criterion>\nmentions ")[1].split("\n</criterion>")[0]
        if word == "beta" and self.asked[prompt] == 1:
            return 'Sure! {"met": true}'
        if word == "omega" and "garble" in response:
            return '{"explanation": "hm", "met": "perhaps"}'
        verdict = json.dumps({"explanation": f"looked for {word}", "met": word in response.split()})
        return f"```json\n{verdict}\n```" if word == "alpha" else verdict


@dataclass
class World:
    folder: Path
    rules: Rules
    policy: ChatServer
    judge: ChatServer

    def config(self, **options: JSON) -> RunConfig:
        def named(server: ChatServer) -> str:
            return f"openai:test-model{{base_url={server.base_url},choices=1}}"

        return RunConfig(
            **{
                "task": str(self.folder / "task.yaml"),
                "model": named(self.policy),
                "judge": named(self.judge),
                "methods": (
                    "single",
                    "majority",
                    "min-perplexity",
                    "best_of_n{by=length}",
                    "cat{style=free}",
                ),
                "pool": 4,
                "n": BUDGETS,
                "draws": 2,
                "out": self.folder / "run",
                **options,
            }
        )


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setenv("CAT_BENCH_CACHE", str(tmp_path / "cache.sqlite"))
    monkeypatch.setenv("CAT_BENCH_RESULTS", str(tmp_path / "runs"))
    monkeypatch.delenv("CAT_BENCH_DATA", raising=False)
    write_task(tmp_path, rows())
    rules = Rules()
    async with AsyncExitStack() as stack:
        policy, judge = [
            await stack.enter_async_context(ChatServer(reply=reply))
            for reply in (rules.write, rules.judge)
        ]
        policy.refuses = {"logprobs"}
        yield World(tmp_path, rules, policy, judge)


def write_task(folder: Path, content: Sequence[JSON], *, where: str = "{}") -> None:
    text = "".join(json.dumps(row) + "\n" for row in content)
    (folder / "rows.jsonl").write_text(text)
    (folder / "task.yaml").write_text(
        "version: 1\nsummary: words\nscorer: rubric\n"
        f"with: {{penalty: {PENALTY}}}\n"
        f"data:\n  file: rows.jsonl\n  where: {where}\n  fields: {{id: prompt_id, "
        "messages: prompt, answer: rubrics, tags: example_tags}\n"
        "sampling: {judge: {temperature: 0, max_tokens: 100}}\n"
    )


def expected(name: str, n: int, method: str) -> float:
    """The mean over all n-subsets, the unscored mass left out; NaN where nothing is scored."""
    values, texts = SCORES[name], TEXTS[PROMPTS[name]]
    mass = total = 0.0
    for subset in combinations(range(4), n):
        picked: list[float | None] = [values[k] for k in subset]
        if method == "longest":
            longest = max(len(texts[k].split()) for k in subset)
            picked = [values[k] for k in subset if len(texts[k].split()) == longest]
        known = [value for value in picked if value is not None]
        if method in EXTREMES and known:
            known = [EXTREMES[method](known)]
            picked = [*known]
        mass += len(known) / len(picked)
        total += sum(known) / len(picked)
    return total / mass if mass else nan


def indexed(table: pd.DataFrame, *names: str) -> dict[JSON, JSON]:
    """Rows by the values of these columns."""
    found: JSON = table.to_dict("records")
    return {tuple(row[name] for name in names): row for row in found}


def table_of(folder: Path) -> dict[JSON, JSON]:
    """The run's table by method and n."""
    return indexed(report.summarise(folder), "method", "n")


def over_questions(values: dict[str, float]) -> float:
    known = [value for value in values.values() if value == value]
    return min(1.0, max(0.0, fmean(known)))


async def test_every_number_of_the_table(world: World) -> None:
    outcome = await run(world.config())
    table = table_of(outcome.folder)
    names = {
        "single": "single",
        "best_of_n{by=length}": "longest",
        "oracle": "oracle",
        "worst": "worst",
    }
    for method, rule in names.items():
        for n in BUDGETS:
            values = {name: expected(name, n, rule) for name in SCORES}
            row = table[(method, n)]
            assert row["score"] == pytest.approx(over_questions(values)), (method, n)
            known = sum(value == value for value in values.values())
            assert (row["questions"], row["unscored"]) == (known, 5 - known)
            assert known == (3 if (rule, n) == ("longest", 4) else 4)  # q4's longest is unscored
    for n in BUDGETS:
        row = table[("cat{style=free}", n)]
        assert row["score"] == pytest.approx(fmean(CAT.values()))
        assert row["unscored"] == 0
    single = table[("single", 1)]
    means = {"q1": 0.425, "q2": 0.125, "q3": 0.5, "q4": 0.6}
    assert single["score"] == pytest.approx(fmean(means.values())) == pytest.approx(0.4125)
    assert single["lost"] == pytest.approx((0 + 0 + 0 + 0.25 + 1) / 5)
    spread = [0.55 - 2 * 0.4125, 0.5 - 0.4125, 0.6 - 0.4125]  # q1 and q2 are one cluster
    bell_mccaffrey = [s**2 / (1 - size / 4) for s, size in zip(spread, (2, 1, 1), strict=True)]
    assert single["se"] == pytest.approx(sqrt(sum(bell_mccaffrey)) / 4)
    apart = sqrt(fmean((v - 0.4125) ** 2 for v in means.values()) / 4)
    assert single["se_bootstrap"] == pytest.approx(apart, rel=0.1)
    assert table["worst", 4]["score"] == 0  # the mean of -0.4, -0.5, 0 and 0.2, clipped
    assert over_questions({"q1": -0.4, "q2": -0.5, "q3": 0, "q4": 0.2}) == 0


async def test_scores_by_tag_and_by_length(world: World) -> None:
    outcome = await run(world.config())
    report.write(outcome.folder)
    parts = indexed(pd.read_csv(outcome.folder / "breakdown.csv"), "part", "method", "n")
    by_hand = {
        "theme:a": (0.425, 0.125),
        "theme:b": (0.5, 0.6),
        "axis:accuracy": ((1 + 1 - 0.8 + 0.2) / 4, 0.5),  # q2 has none that is positive
        "axis:completeness": (0.5, 0.5),
        "level:example": (0.5,),
    }
    for part, values in by_hand.items():
        for n in BUDGETS:
            row = parts[(part, "single", n)]
            assert row["examples"] == len(values), part
            assert row["score"] == pytest.approx(fmean(values)), part
    assert {key[0] for key in parts} == {*by_hand, "length_adjusted"}
    cat = parts[("axis:accuracy", "cat{style=free}", 4)]
    assert (cat["examples"], cat["score"]) == (2, 1.0)

    def adjusted(name: str) -> float:
        texts, values = TEXTS[PROMPTS[name]], SCORES[name]
        found = [
            v - PENALTY * (len(t) - 2000) / 500 if t else 0.0
            for t, v in zip(texts, values, strict=True)
            if v is not None
        ]
        return fmean(found)

    whole = read_scores(outcome.folder)
    whole = whole[whole["score"].notna()]
    for name in ("q1", "q2", "q3", "q4"):
        row = indexed(whole, "method", "n", "question")["single", 1, name]
        got = dict(zip(row["parts"], row["part_scores"], strict=True))["length_adjusted"]
        assert got == pytest.approx(adjusted(name))
    table = table_of(outcome.folder)
    assert table["single", 1]["score_length_adjusted"] == 1  # all texts are short: clipped
    text = (outcome.folder / "table.md").read_text()
    assert "| theme:a" in text
    assert "**Judge not audited**" in text


async def test_each_distinct_text_and_criterion_is_judged_once(world: World) -> None:
    """By hand, re-asks in brackets.

    q1 and q2: 4 texts by 3 criteria, shared (4); q3: 3 texts by 2; q4: 3 by 2 (2); q5: 1 (2).
    `cat` adds nothing on q1 and q2, where a rollout says the same; 2, 2 and 1 on the others, with
    none about beta.
    """
    forecast = await forecast_run(world.config(methods=("single",)))
    assert forecast.purposes["scoring"]["calls"] == 4 * (3 + 2 + 2 + 1)
    assert world.judge.stats.requests == world.policy.stats.requests == 0
    outcome = await run(world.config())
    made = (12 + 4) + 6 + (6 + 2) + (1 + 2) + (2 + 2 + 1)
    assert world.judge.stats.choices == made
    again = await run(world.config())
    assert world.judge.stats.choices == made
    assert sum(meter.made for meter in again.meters.values()) == 0
    assert outcome.census.rollouts["unscored"] == 5
    assert outcome.census.rollouts["no_answer"] == 0


async def test_what_does_not_apply_is_a_row_with_its_reason(world: World) -> None:
    outcome = await run(world.config())
    table = report.summarise(outcome.folder)
    reasons = dict(zip(table["method"], table["reason"], strict=True))
    assert reasons["majority"] == "the task has no final answers to compare"
    assert "logprobs" in str(reasons["min-perplexity"])
    text = report.markdown(outcome.folder)
    assert "**majority** is not available: the task has no final answers" in text
    assert "**min-perplexity** is not available" in text


async def test_a_subset_of_a_file(world: World) -> None:
    write_task(world.folder, rows(), where="{subsets: hard}")
    outcome = await run(world.config(methods=("single",), n=(1,)))
    assert outcome.census.questions == 2
    table = table_of(outcome.folder)
    assert table["single", 1]["score"] == pytest.approx((0.425 + 0.5) / 2)


async def test_the_judge_must_be_named(world: World) -> None:
    with pytest.raises(UsageError, match="scored by a judge, and no judge is named: give --judge"):
        await run(world.config(judge=None))
    assert world.policy.stats.requests == 0


async def test_a_rubric_without_a_positive_criterion_stops_the_run_unpaid(world: World) -> None:
    bad = {**rows()[0], "prompt_id": "bad", "rubrics": [line("alpha", -1)]}
    write_task(world.folder, [*rows(), bad])
    with pytest.raises(DataError, match="'bad' has no criterion with positive points"):
        await run(world.config())
    assert world.policy.stats.requests == world.judge.stats.requests == 0


async def test_another_judge_is_another_score(world: World) -> None:
    """A judge who sees every word is not served the first one's verdicts from the memory."""
    first = await run(world.config(methods=("single", "best_of_n{by=length}", "cat{style=free}")))
    yes = json.dumps({"explanation": "always", "met": True})
    async with ChatServer(reply=lambda _: yes, model="kind") as kind:
        options = {"judge": f"openai:kind{{base_url={kind.base_url}}}", "out": world.folder / "b"}
        methods = ("single", "best_of_n{by=length}", "cat{style=free}")
        second = await run(world.config(methods=methods, **options))
    table = table_of(second.folder)
    always = [6 / 10, 1 / 2, (3 * 1 + 0) / 4, 1.0, 1.0]
    assert table["single", 1]["score"] == pytest.approx(fmean(always))
    assert read_record(first.folder)["pool_digest"] == read_record(second.folder)["pool_digest"]
    agreed = verdicts_of(first.folder, second.folder)
    assert agreed.pairs == 4 * 3 + 4 * 2 + 3 * 2 + 3 * 2  # q5 and one text of q4 were not scored
    met = 3 + 2 + 2 + (2 + 3) + (2 + 2) + (2 + 1)  # words that the first judge found
    assert agreed.figures["agreed"].value == pytest.approx(met / agreed.pairs)
    assert agreed.figures["bias"].value == pytest.approx(met / agreed.pairs - 1)
    tau, methods_ = rank_stability({"a": 0.1, "b": 0.2, "c": 0.3}, {"a": 1.0, "c": 3.0, "b": 4.0})
    assert tau == pytest.approx(1 / 3)
    assert methods_ == 3


async def test_an_audit_stands_under_the_tables_of_its_judge(world: World) -> None:
    """Two people label four criteria; the judge agrees with the first, and half with the second."""
    labelled = [
        ("alpha", "alpha", [True, True]),
        ("gamma", "alpha", [True, False]),
        ("alpha", "gamma", [False, False]),
        ("gamma", "gamma", [False, True]),
    ]
    content: list[JSON] = [
        {
            "prompt": [{"role": "user", "content": "x"}],
            "prompt_id": f"e{k}",
            "completion": response,
            "rubric": f"mentions {response if flags[0] else 'omega'}",
            "category": word,
            "binary_labels": flags,
            "annotators": "the authors of this test",
        }
        for k, (word, response, flags) in enumerate(labelled)
    ]
    path = world.folder / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    record = await audits.audit(read_labels(path), world.config())
    figures = record["judge_and_people"]
    assert (figures["pairs"], figures["examples"], figures["agreed"][0]) == (8, 4, 0.75)
    assert figures["macro_f1"][0] == 0.75
    assert figures["kappa"][0] == 0.5
    assert figures["bias"][0] == 0
    assert record["people_among_themselves"]["agreed"][0] == 0.5
    assert {name: part["pairs"] for name, part in record["categories"].items()} == {
        "alpha": 4,
        "gamma": 4,
    }
    audits.keep(record)
    outcome = await run(world.config(methods=("single",)))
    text = report.markdown(outcome.folder)
    assert "not audited" not in text
    assert "audited on labels.jsonl (8 labels by the authors of this test): macro-F1 0.750" in text
    cool = world.config(methods=("single",), sampling={"judge": {"temperature": 1}})
    other = await run(cool.model_copy(update={"out": world.folder / "cool"}))
    assert "**Judge not audited**" in report.markdown(other.folder)


async def test_labels_without_answers_cannot_be_judged(world: World) -> None:
    path = world.folder / "labels.jsonl"
    path.write_text(json.dumps({"rubric": "r", "binary_labels": [True], "prompt": None}) + "\n")
    with pytest.raises(DataError, match="1 of 1 rows have no prompt or no completion"):
        await audits.audit(read_labels(path), world.config())
