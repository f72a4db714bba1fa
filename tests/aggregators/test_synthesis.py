"""Synthesis: what is shown, in how many pieces, and what came back."""

from __future__ import annotations

import re

import pytest

from cat_bench.aggregators.synthesis import Synthesis
from cat_bench.cache import Cache
from cat_bench.errors import ContextTooLong
from cat_bench.models.backends import Request
from cat_bench.models.backends.scripted import Scripted
from cat_bench.types.calls import Failure
from tests import toy

POOL = toy.pool(*(f"{word} = {word}" for word in ["alfa", "bravo", "charlie", "delta", "echo"]))


def joining(most: int = 99) -> Scripted:
    """Joins the drafts' last words; more than `most` drafts do not fit."""

    def reply(request: Request, seed: int) -> str | Failure:
        prompt = request.messages[-1]["content"]
        drafts = re.findall(r"<draft[^>]*>\n(.*)\n</draft>", prompt)
        if "Summarise" in prompt:
            return f"in short: {drafts[0]}"
        if len(drafts) > most:
            return Failure("context", "too long", permanent=True)
        words = "+".join(draft.split()[-1] for draft in drafts)
        return f"# SUMMARY\n...\n# UNIFIED RESPONSE\n({words})"

    return Scripted(reply, identity=f"joins {most}")


async def written(synthesis: Synthesis, anchor: Scripted, cache: Cache) -> tuple[str | None, int]:
    """The text, and how many calls are on the bill."""
    estimate, ctx = await toy.estimate(synthesis, POOL, cache, toy.roles(cache, anchor=anchor))
    assert estimate.fallback is None
    return estimate.text, len(ctx.bill)


async def test_the_whole_of_every_draft_is_shown(cache: Cache) -> None:
    anchor = joining()
    assert await written(Synthesis(), anchor, cache) == ("(alfa+bravo+charlie+delta+echo)", 1)
    asked = anchor.requests[0].messages[-1]["content"]
    assert "bravo = bravo" in asked
    assert toy.sample().question.text not in asked


async def test_answers_alone_are_shown(cache: Cache) -> None:
    anchor = joining()
    text, calls = await written(Synthesis(question="shown", inputs="answers"), anchor, cache)
    assert (text, calls) == ("(alfa+bravo+charlie+delta+echo)", 1)
    asked = anchor.requests[0].messages[-1]["content"]
    assert "=" not in re.sub('number="\\d"', "", asked)
    assert toy.sample().question.text in asked


async def test_without_answers_there_is_nothing_to_show(cache: Cache) -> None:
    pool = toy.pool("none", "neither")
    estimate, ctx = await toy.estimate(Synthesis(inputs="answers"), pool, cache)
    assert estimate.abstained
    assert ctx.bill == []


async def test_summaries_are_written_first_and_billed(cache: Cache) -> None:
    anchor = joining()
    text, calls = await written(Synthesis(inputs="summaries"), anchor, cache)
    assert (text, calls) == ("(alfa+bravo+charlie+delta+echo)", 6)
    last = anchor.requests[-1].messages[-1]["content"]
    assert last.count("in short: ") == 5


async def test_what_does_not_fit_is_synthesised_in_halves(cache: Cache) -> None:
    # Five do not fit; alfa and bravo do, three do not: charlie by itself, delta and echo. What was
    # refused is on the bill as well.
    found = await written(Synthesis(), joining(most=2), cache)
    assert found == ("((alfa+bravo)+((charlie)+(delta+echo)))", 5 + 2)


async def test_a_half_without_its_section_counts_as_a_fallback(cache: Cache) -> None:
    def reply(request: Request, seed: int) -> str | Failure:
        prompt = request.messages[-1]["content"]
        if prompt.count("</draft>") > 3:
            return Failure("context", "too long", permanent=True)
        return "no heading" if "alfa" in prompt else "# UNIFIED RESPONSE\n(whole)"

    roles = toy.roles(cache, anchor=Scripted(reply, identity="forgets the heading"))
    estimate, _ = await toy.estimate(Synthesis(), POOL, cache, roles)
    assert (estimate.text, estimate.fallback) == ("(whole)", "no section '# UNIFIED RESPONSE'")


async def test_two_that_do_not_fit_are_a_failure(cache: Cache) -> None:
    with pytest.raises(ContextTooLong):
        await written(Synthesis(), joining(most=1), cache)


@pytest.mark.parametrize(
    ("reply", "text", "fallback"),
    [
        ("# SUMMARY\nx\n# UNIFIED RESPONSE\n so = a ", "so = a", None),
        ("say # UNIFIED RESPONSE\nthen # UNIFIED RESPONSE\n= b", "= b", None),
        ("no heading, = c", "no heading, = c", "no section '# UNIFIED RESPONSE'"),
        ("# UNIFIED RESPONSE", "", None),
    ],
)
async def test_the_last_section_is_the_response(
    reply: str, text: str, fallback: str | None, cache: Cache
) -> None:
    roles = toy.roles(cache, anchor=toy.saying(reply))
    estimate, _ = await toy.estimate(Synthesis(), POOL, cache, roles)
    assert (estimate.text, estimate.fallback) == (text, fallback)


@pytest.mark.parametrize("style", ["math", "free"])
async def test_the_question_is_hidden_unless_it_is_asked_for(style: str, cache: Cache) -> None:
    for shown in ("hidden", "shown"):
        anchor = toy.saying("= c")
        synthesis = Synthesis(question=shown, style=style)  # type: ignore[arg-type]
        await toy.estimate(synthesis, POOL, cache, toy.roles(cache, anchor=anchor))
        prompt = anchor.requests[0].messages[0]["content"]
        assert ("Open q1." in prompt) == (shown == "shown")
        assert prompt.count("</draft>") == 5
