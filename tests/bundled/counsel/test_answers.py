"""Answers err by their law; criteria, verdicts and grades say what is true of them."""

import random
from collections import Counter

import pytest

from cat_bench.bundled.counsel.answers import (
    CAREFUL,
    COMBINED,
    RASH,
    Answer,
    answer,
    attempt,
    combine,
    criteria,
    draw_other,
    grade,
    read_criterion,
    verdict,
)
from cat_bench.bundled.counsel.journeys import TOPICS, Journey, Point, criterion
from cat_bench.rewards.rubric import Proposal
from cat_bench.scorers.rubric import read_reply, read_verdict
from cat_bench.signals.replies import number_in

FEET = Point("tempting", "the feet", "the paths are icy", "boot spikes", "light trainers")
NIGHT = Point("plain", "the night", "we sleep in huts", "a sheet bag", "a foam mat")
JOURNEY = Journey("x", "", (FEET, NIGHT))
RIGHT = [("the feet", "boot spikes"), ("the night", "a sheet bag")]


def read(opening: str, feet: str, night: str) -> Answer:
    return Answer.parse(answer(opening, [("the feet", feet), ("the night", night)]))


def test_a_written_answer_is_read_back() -> None:
    text = answer(RASH, RIGHT)
    assert text == "Off the cuff:\nFor the feet: boot spikes\nFor the night: a sheet bag"
    assert Answer.parse(text) == Answer(text, dict(RIGHT))


def test_what_is_malformed_is_left_out_and_a_contradiction_recommends_nothing() -> None:
    assert Answer.parse("For the feet boot spikes\nFor the night: a padlock").things == {
        "the night": "a padlock"
    }
    twice = "For the feet: boot spikes\nFor the feet: open sandals\nFor the night: a padlock"
    assert Answer.parse(twice).things == {"the night": "a padlock"}
    assert Answer.parse(f"{answer(RASH, RIGHT)}\nFor the feet: boot spikes").things == dict(RIGHT)
    assert Answer.parse("").things == {}


def test_criteria_are_proposed_as_the_reward_reads_them_and_are_true() -> None:
    found = read(CAREFUL[0], "boot spikes", "a padlock")
    proposal = read_reply(Proposal, criteria(found))
    assert proposal is not None
    assert proposal.distinct == [
        "For the feet it recommends boot spikes",
        "For the night it recommends a padlock",
    ]
    assert all(found.meets(claim) for claim in proposal.criteria)
    other = read(RASH, "boot spikes", "a foam mat")
    assert [other.meets(claim) for claim in proposal.criteria] == [True, False]


@pytest.mark.parametrize("claim", ["", "It is kind.", "For the moon it recommends a cup"])
def test_a_criterion_that_cannot_be_read_is_refused(claim: str) -> None:
    with pytest.raises(ValueError, match="is not a criterion"):
        read_criterion(claim)


@pytest.mark.parametrize(
    ("thing", "met", "said"),
    [("boot spikes", True, "boot spikes"), ("open sandals", False, "boot spikes")],
)
def test_verdicts_are_written_as_the_scorer_reads_them(thing: str, met: bool, said: str) -> None:
    reply = verdict(Answer.parse(answer(RASH, RIGHT)), criterion("the feet", thing))
    found = read_verdict(reply)
    assert found is not None
    assert (found.met, found.explanation) == (met, f"It says {said}.")


def test_what_an_answer_is_silent_on_is_not_met() -> None:
    found = read_verdict(verdict(Answer.parse("hm"), criterion("the feet", "boot spikes")))
    assert found is not None
    assert (found.met, found.explanation) == (False, "It says nothing.")


def test_a_grade_counts_what_is_right() -> None:
    text = grade(JOURNEY, read(RASH, "light trainers", "a sheet bag"))
    assert text == "Right so far:\nFor the feet: 0\nFor the night: 1\n\\boxed{1}"
    assert number_in(text, low=0, high=10) == 1


def test_without_noise_every_attempt_is_right() -> None:
    rng = random.Random(0)
    written = [Answer.parse(attempt(JOURNEY, rng, noise=0)) for _ in range(50)]
    assert all(each.things == dict(RIGHT) for each in written)


def test_the_rash_give_the_usual_and_the_careful_scatter() -> None:
    rng = random.Random(0)
    written = [Answer.parse(attempt(JOURNEY, rng)) for _ in range(4000)]
    rash = Counter(a.things["the feet"] for a in written if a.text.startswith(RASH))
    careful = Counter(a.things["the feet"] for a in written if not a.text.startswith(RASH))
    assert rash.most_common(1)[0][0] == "light trainers"
    assert careful.most_common(1)[0][0] == "boot spikes"
    assert 0.37 < rash.total() / 4000 < 0.43
    assert careful.most_common(2)[1][1] / careful.total() < 0.08
    assert set(careful) == {thing for _, thing in TOPICS["the feet"]}


def test_pieces_of_wrong_answers_combine_into_a_right_one() -> None:
    drafts = [
        read(CAREFUL[0], "boot spikes", "ear plugs"),
        read(CAREFUL[1], "open sandals", "a sheet bag"),
        read(RASH, "light trainers", "a sheet bag"),
    ]
    assert combine(JOURNEY, drafts) == RIGHT


def test_two_rash_lines_weigh_as_much_as_one_careful() -> None:
    rash = read(RASH, "light trainers", "a sheet bag")
    careful = read(COMBINED, "boot spikes", "a sheet bag")
    assert combine(JOURNEY, [rash, rash])[0] == ("the feet", "light trainers")
    assert combine(JOURNEY, [rash, rash, careful]) == RIGHT
    assert combine(JOURNEY, [rash, rash, rash, careful])[0] == ("the feet", "light trainers")
    assert combine(JOURNEY, [Answer.parse("nothing")]) == RIGHT, "no vote: the truth"


def test_something_else_of_a_topic_is_never_the_same() -> None:
    rng = random.Random(0)
    drawn = {draw_other("the feet", "boot spikes", rng) for _ in range(200)}
    assert drawn == {thing for _, thing in TOPICS["the feet"]} - {"boot spikes"}
