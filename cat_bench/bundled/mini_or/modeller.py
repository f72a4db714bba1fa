"""A scripted model that formulates the bundled problems, with the slips that each problem lists.

A formulation has at most one slip; at temperature 0, the likeliest case is written. For drafts, the
model takes the most common version of each part. It recognises problems by their text and can
answer no others.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from cat_bench.bundled.mini_or.problems import Problem, cplex_lp, parts_of, problems
from cat_bench.models.backends import Request
from cat_bench.models.backends.scripted import Scripted

_DRAFT = re.compile(r"<draft[^>]*>.*?```lp\n(.*?)```", re.DOTALL)
_HARD_SHARE, _CHANCE_OF_FREQUENT, _CHANCE_OF_ANY = 0.45, 0.6, 0.3
"""The share of problems with a frequent slip; its chance; else, the chance of a random slip."""


def mini_or() -> Scripted:
    """Return the model; its identity is the text of its modules."""
    here = Path(__file__).parent
    texts = b"".join((here / name).read_bytes() for name in ("modeller.py", "problems.py"))
    return Scripted(reply, identity={"mini-or": sha256(texts).hexdigest()})


def reply(request: Request, seed: int) -> str:
    """Return a formulation of the problem, or a vote of the drafts in the prompt."""
    content = request.messages[-1]["content"]
    if drafts := [draft for draft in _DRAFT.findall(content) if _is_whole(draft)]:
        head = "# SUMMARY\nEach part as most drafts have it.\n\n# UNIFIED RESPONSE\n"
        return head + _quote_formulation(merge(drafts))
    found = next((each for each in _PROBLEMS if each.text in content), None)
    if found is None:
        return "I know none of this."
    greedy = request.sampling.temperature == 0
    rng = random.Random(f"{found.id} {0 if greedy else seed}")
    return _quote_formulation(found.formulation(*_draw_slips(found, rng, greedy=greedy)))


def _is_whole(draft: str) -> bool:
    """Return whether a draft has an objective. Drafts from other models may lack one."""
    return {"sense", "goal"} <= parts_of(draft).keys()


def merge(drafts: Sequence[str]) -> str:
    """Return the most common choice of every part; ties go to the first draft."""
    parts = [parts_of(draft) for draft in drafts]
    names = dict.fromkeys(name for part in parts for name in part)
    votes = {name: Counter(part.get(name, "") for part in parts) for name in names}
    return cplex_lp({name: vote.most_common(1)[0][0] for name, vote in votes.items()})


def _draw_slips(problem: Problem, rng: random.Random, *, greedy: bool) -> list[str]:
    nature = random.Random(problem.id)
    hard = nature.choice(sorted(problem.slips)) if nature.random() < _HARD_SHARE else None
    if greedy:
        return [hard] if hard else []
    if hard and rng.random() < _CHANCE_OF_FREQUENT:
        return [hard]
    return [rng.choice(sorted(problem.slips))] if rng.random() < _CHANCE_OF_ANY else []


def _quote_formulation(formulation: str) -> str:
    return f"The formulation:\n\n```lp\n{formulation}```\n"


_PROBLEMS = tuple(problems())
