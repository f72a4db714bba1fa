"""The profile `official`: what its judge is shown, how its replies are read, what it is keyed by.

The template is our own, of the shape of HealthBench's.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cat_bench.cache import Cache
from cat_bench.errors import ConfigError
from cat_bench.evaluation.grader import Grader
from cat_bench.loading import catalog
from cat_bench.loading.prompts import Prompts
from cat_bench.models.backends import Request
from cat_bench.models.backends.scripted import Outcome, Scripted
from cat_bench.models.lending import QuestionContext
from cat_bench.runs.config import RunConfig
from cat_bench.runs.judge_profile import apply_profile
from cat_bench.scorers.official import SYSTEM, official_item, official_prompt, read_official
from cat_bench.scorers.rubric import Rubric, describe_judging
from cat_bench.types.calls import JSON, Message, Sampling
from cat_bench.types.records import Question, Sample
from tests import toy

TEMPLATE = "Talk:\n<<conversation>>\n\nPoint:\n<<rubric_item>>\n\nReply with JSON."
TURNS: tuple[Message, ...] = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "grader.txt"
    path.write_text(TEMPLATE)
    return path


def sample(*items: tuple[str, float]) -> Sample:
    lines = [{"criterion": text, "points": points, "tags": []} for text, points in items]
    return Sample(Question("q", TURNS, "System: Be brief.\n\nUser: Hello"), {"rubric": lines})


def shown(request: Request) -> str:
    """The rubric item that a judge is shown."""
    return request.messages[-1]["content"].split("Point:\n")[1].split("\n\nReply")[0]


def reply(*, met: bool) -> str:
    return "```json\n" + json.dumps({"explanation": "so", "criteria_met": met}) + "\n```"


def context(cache: Cache, judge: Scripted) -> QuestionContext:
    return QuestionContext(toy.roles(cache, judge=judge), None, Prompts())


def test_the_judge_is_shown_every_turn_and_the_points() -> None:
    system, user = official_prompt(TEMPLATE, TURNS, "Hi", official_item("greets", -8))
    assert system == {"role": "system", "content": SYSTEM}
    talk = "system: Be brief.\n\nuser: Hello\n\nassistant: Hi"
    assert user["content"] == f"Talk:\n{talk}\n\nPoint:\n[-8] greets\n\nReply with JSON."


def test_points_are_shown_as_the_data_have_them() -> None:
    assert [official_item("c", points) for points in (5, 5.0, 2.5, None)] == [
        "[5] c",
        "[5.0] c",
        "[2.5] c",
        "c",
    ]


def test_a_text_with_a_placeholder_is_only_a_text() -> None:
    _, user = official_prompt(TEMPLATE, (), "<<rubric_item>>", "[1] <<conversation>>")
    assert "assistant: <<rubric_item>>\n" in user["content"]
    assert user["content"].count("<<conversation>>") == 1


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ('{"explanation": "a", "criteria_met": true}', True),
        (reply(met=False), False),
        ('```\n{"criteria_met": true}\n```', True),
        ('  {"criteria_met": false, "points": 3, "explanation": null}\n', False),
        ("yes", None),
        ("", None),
        ('{"criteria_met": "true"}', None),
        ('{"criteria_met": 1}', None),
        ('{"explanation": "", "met": true}', None),
        ('Sure. {"criteria_met": true}', None),
        ('[{"criteria_met": true}]', None),
        ("[" * 100_000, None),
    ],
)
def test_a_reply_is_read_as_json_in_a_fence_or_out_of_it(text: str, met: bool | None) -> None:
    found = read_official(text)
    assert (found and found.criteria_met) is met


async def test_each_item_is_a_call_of_its_own(cache: Cache, template: Path) -> None:
    """The same sentence at +9 and -8, and one item that stands there twice."""

    def judge(request: Request, seed: int) -> Outcome:
        return reply(met=shown(request).startswith(("[9]", "[4]")))

    scripted = Scripted(judge)
    scorer = Rubric(profile="official", template=template)
    items = sample(("says why", 9), ("says why", -8), ("is short", 4), ("is short", 4))
    [found] = await scorer.score(items, ["Because."], context(cache, scripted))
    assert found.details["met"] == [True, False, True, True]
    assert found.value == 1
    assert sorted(map(shown, scripted.requests)) == [
        "[-8] says why",
        *["[4] is short"] * 2,
        "[9] says why",
    ]
    assert len({request.seeds for request in scripted.requests}) == 4


async def test_a_malformed_reply_is_asked_for_again_within_a_bound(
    cache: Cache, template: Path
) -> None:
    scripted = Scripted(lambda r, s: reply(met=True) if len(scripted.requests) > 9 else "eh")
    scorer = Rubric(profile="official", template=template)
    [found] = await scorer.score(sample(("a", 1)), ["x"], context(cache, scripted))
    assert (found.value, scripted.calls) == (1.0, 10)
    silent = Scripted(lambda r, s: "eh", identity="silent")
    short = replace(scorer, attempts=2)
    [found] = await short.score(sample(("a", 1)), ["x"], context(cache, silent))
    assert found.value is None
    assert found.reason == "criterion 1: no valid verdict in 2 replies"
    assert silent.calls == 2


async def test_an_empty_answer_is_judged_as_there(cache: Cache, template: Path) -> None:
    scripted = Scripted(lambda request, seed: reply(met=True))
    scorer = Rubric(profile="official", template=template)
    [found] = await scorer.score(sample(("stays silent", 1)), [""], context(cache, scripted))
    assert (found.value, scripted.calls) == (1.0, 1)


async def test_one_profile_is_not_served_the_verdicts_of_another(
    cache: Cache, template: Path
) -> None:
    ours, theirs = Rubric(), Rubric(profile="official", template=template)
    assert (ours.version, theirs.version) == ("rubric 1", "rubric 1 official")

    def judge(request: Request, seed: int) -> Outcome:
        if "Point:" in request.messages[-1]["content"]:
            return reply(met=True)
        return json.dumps({"explanation": "", "met": False})

    scripted = Scripted(judge)
    values = []
    for scorer in (ours, theirs, ours):
        found = await Grader(scorer, cache).scores(
            sample(("a", 1)), ["x"], context(cache, scripted)
        )
        values.append(found["x"].value)
    assert values == [0, 1, 0]
    assert scripted.calls == 2


def test_what_a_verdict_depends_on_holds_the_template(cache: Cache, template: Path) -> None:
    judge = toy.roles(cache, judge=Scripted(lambda r, s: "")).judge
    assert judge
    scorer = Rubric(profile="official", template=template)
    asks = describe_judging(judge, Prompts(), scorer)
    assert (asks["profile"], asks["template"]) == ("official", "own")
    template.write_text(TEMPLATE + " Please.")
    assert describe_judging(judge, Prompts(), scorer)["prompt"] != asks["prompt"]
    assert describe_judging(judge, Prompts(), Rubric()) == describe_judging(judge, Prompts())


def config(**options: JSON) -> RunConfig:
    return RunConfig(**{"task": "healthbench-mini", "model": "m", **options})


def test_the_settings_choose_the_profile_and_its_sampling(template: Path) -> None:
    task = catalog.task("healthbench-mini")
    assert apply_profile(task, config()) is task
    found = apply_profile(task, config(judge_profile="official", judge_template=template))
    assert found.scorer == Rubric(penalty=0.0299, profile="official")
    assert found.sampling["judge"] == Sampling(temperature=0.5, max_tokens=2048)
    assert apply_profile(task, config(judge_profile="ours")) == task
    with pytest.raises(ConfigError, match="judge_template: a template needs the profile"):
        apply_profile(task, config(judge_template=template))
    with pytest.raises(ConfigError, match="judge_profile: task 'tally' is not scored by a rubric"):
        apply_profile(catalog.task("tally"), config(judge_profile="official"))


def test_a_task_chooses_the_profile(template: Path) -> None:
    """A template is sought beside the task's file; nothing is fetched to open the task."""
    yaml = template.parent / "task.yaml"
    yaml.write_text(
        "version: 1\nsummary: s\nscorer: rubric\nwith: {profile: official, template: grader.txt}\n"
        "data: {file: rows.jsonl, fields: {problem: problem}}\nsampling: {judge: {top_p: 0.9}}\n"
    )
    task = catalog.task(str(yaml))
    assert isinstance(task.scorer, Rubric)
    found = task.scorer.official_template
    assert found
    assert found.text == TEMPLATE
    assert task.sampling["judge"] == Sampling(temperature=0.5, max_tokens=2048, top_p=0.9)
    yaml.write_text(yaml.read_text().replace(", template: grader.txt", ""))
    assert catalog.task(str(yaml)).scorer == Rubric(profile="official")
    yaml.write_text(yaml.read_text().replace("profile: official", "profile: theirs"))
    with pytest.raises(ConfigError, match="profile"):
        catalog.task(str(yaml))
