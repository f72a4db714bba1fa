"""Drafts err by their law, and are read and reconciled as documented."""

import random
from collections import Counter

from cat_bench.bundled.tally.problems import Pile, Problem
from tools.tally.drafts import (
    AGREED,
    CAREFUL,
    CARELESS,
    Draft,
    attempt,
    choice,
    choose_nearest,
    reconcile,
    solution,
)

PROBLEM = Problem(
    "x",
    "",
    "40, 26",
    (Pile("boxed", "5 bags of 8 keys", 40, 40), Pile("mixed", "5 bags of 6 keys less 4", 26, 30)),
)


def draft(opening: str, *values: int) -> Draft:
    return Draft.parse(solution(opening, values))


def test_a_written_solution_is_read_back() -> None:
    text = solution(CARELESS, (40, 30), (41, 30))
    assert text == "Quick count:\n(a) 40\n(b) 30\n\\boxed{41, 30}"
    assert Draft.parse(text) == Draft(text, {"a": 40, "b": 30}, (41, 30))


def test_malformed_text_is_read_as_far_as_it_goes() -> None:
    assert Draft.parse("(a) x\n(b) 30\n").lines == {"b": 30}
    assert Draft.parse("").box == ()
    assert reconcile(PROBLEM, [Draft.parse("nothing")]) == [40, 26]


def test_without_noise_every_attempt_is_right() -> None:
    rng = random.Random(0)
    assert {Draft.parse(attempt(PROBLEM, rng, noise=0)).box for _ in range(50)} == {(40, 26)}


def test_careless_counting_overlooks_and_careful_counting_scatters() -> None:
    rng = random.Random(0)
    drafts = [Draft.parse(attempt(PROBLEM, rng)) for _ in range(4000)]
    careless = Counter(d.lines["b"] for d in drafts if d.text.startswith(CARELESS))
    careful = Counter(d.lines["b"] for d in drafts if not d.text.startswith(CARELESS))
    assert careless.most_common(1)[0][0] == 30
    assert careful.most_common(1)[0][0] == 26
    assert 0.45 < careless[30] / careless.total() < 0.55
    assert careful.most_common(2)[1][1] / careful.total() < 0.03


def test_boxes_disagree_with_lines_only_where_asked() -> None:
    rng = random.Random(0)
    faithful = [Draft.parse(attempt(PROBLEM, rng)) for _ in range(200)]
    assert all(d.box == tuple(d.lines.values()) for d in faithful)
    slipping = [Draft.parse(attempt(PROBLEM, rng, box_slip=1.0)) for _ in range(200)]
    assert all(
        d.box != tuple(d.lines.values()) for d in slipping if d.box[0] not in d.lines.values()
    )


def test_parts_of_wrong_drafts_combine_into_a_right_answer() -> None:
    drafts = [draft(CAREFUL[0], 40, 77), draft(CAREFUL[1], 61, 26), draft(CAREFUL[2], 40, 26 + 1)]
    drafts.append(draft(CARELESS, 12, 26))
    assert all(d.box != (40, 26) for d in drafts)
    assert reconcile(PROBLEM, drafts) == [40, 26]


def test_two_careless_lines_weigh_as_much_as_one_careful() -> None:
    wrong = [draft(CARELESS, 40, 30), draft(CARELESS, 40, 30)]
    assert reconcile(PROBLEM, wrong) == [40, 30]
    assert reconcile(PROBLEM, [*wrong, draft(CAREFUL[0], 40, 26)]) == [40, 26]
    assert reconcile(PROBLEM, [*wrong, draft(CARELESS, 40, 30), draft(CAREFUL[0], 40, 26)])[1] == 30


def test_the_nearest_draft_shares_most_values() -> None:
    drafts = [
        draft(AGREED, 1, 2),
        draft(AGREED, 40, 2),
        draft(AGREED, 40, 26),
        draft(AGREED, 40, 26),
    ]
    for seed in range(20):
        assert choose_nearest([40, 26], drafts, random.Random(seed))[-1] in (3, 4)
    assert choose_nearest([40, 26], drafts[:2], random.Random(0)) == [2, 2]
    assert choose_nearest([1, 26], drafts[:3], random.Random(0)) == [1, 1], (
        "kept while none is nearer"
    )


def test_a_choice_boxes_its_last_number() -> None:
    assert choice([40, 26], [3, 4]) == (
        "Agreed:\n(a) 40, draft 3\n(b) 26, draft 4\nNearest: \\boxed{4}"
    )
