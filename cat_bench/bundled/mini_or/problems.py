"""Word problems of five kinds, with their formulations, known slips and optima.

The optimum comes from enumeration (of corners, subsets, assignments, cuts or integer flows), never
from a solver, so that a solver's verdict on a formulation can be checked against it. Everything is
a pure function of the seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from types import MappingProxyType
from typing import TypeAlias

from cat_bench.types.calls import JSON

Parts: TypeAlias = Mapping[str, str]
"""A formulation by its parts: `sense`, `goal`, a part for each row, `general`, `binary`."""
COUNT, SEED = 65, 7
"""Number and seed of the bundled task's problems."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem, its right formulation, and the parts that each slip changes (empty: left out).

    A slip that keeps the optimum still counts as right, because optima are compared, not texts.
    """

    id: str
    kind: str
    text: str
    parts: Parts
    slips: Mapping[str, Parts]
    optimum: float

    def formulation(self, *slips: str) -> str:
        """Return the CPLEX-LP text, with these slips in it."""
        parts = dict(self.parts)
        for slip in slips:
            parts |= self.slips[slip]
        return cplex_lp(parts)


def cplex_lp(parts: Parts) -> str:
    """Return the CPLEX-LP text of a formulation's parts."""
    rows = [f" {name}: {part}" for name, part in parts.items() if part and name not in _HEADS]
    text = [parts["sense"], f" goal: {parts['goal']}", "Subject To", *rows]
    for head in ("general", "binary"):
        text += [head.capitalize(), f" {parts[head]}"] if parts.get(head) else []
    return "\n".join([*text, "End"]) + "\n"


def parts_of(text: str) -> dict[str, str]:
    """Return the parts of a text that `cplex_lp` wrote."""
    parts, head = dict[str, str](), ""
    for line in text.splitlines():
        if not line.startswith(" "):
            head = line.lower()
            parts |= {"sense": line} if head in ("minimize", "maximize") else {}
        elif head in ("general", "binary"):
            parts[head] = line.strip()
        else:
            name, _, content = line.strip().partition(": ")
            parts[name] = content
    return parts


def problems(count: int = COUNT, *, seed: int = SEED) -> Iterator[Problem]:
    """Yield `count` problems of the five kinds in turn."""
    rng = random.Random(seed)
    for number in range(count):
        kind, make = KINDS[number % len(KINDS)]
        text, parts, slips, optimum = make(rng)
        name = f"{kind}-{number // len(KINDS) + 1}"
        yield Problem(name, kind, text, MappingProxyType(parts), slips, optimum)


def rows(count: int = COUNT, *, seed: int = SEED) -> Iterator[dict[str, JSON]]:
    """Yield the problems as rows of the task's data file."""
    for each in problems(count, seed=seed):
        yield {"id": each.id, "problem": each.text, "answer": each.optimum, "kind": each.kind}


_HEADS = ("sense", "goal", "general", "binary")
_Made: TypeAlias = tuple[str, dict[str, str], dict[str, Parts], float]


def _make_blending(rng: random.Random) -> _Made:
    """Minimise the cost of two ingredients; an optimum is at a corner."""
    costs = [rng.randint(2, 9) for _ in range(2)]
    contents = [[rng.randint(1, 8) for _ in range(2)] for _ in range(2)]
    needs = [rng.randint(20, 60) for _ in range(2)]
    least = rng.randint(1, 3)
    rows = [(a, b, need) for (a, b), need in zip(contents, needs, strict=True)]
    best = _lowest_corner(costs, [*rows, (1, 0, least)])
    text = (
        f"A farm mixes feed from oats at {costs[0]} euros a sack and beans at {costs[1]} euros a "
        f"sack. A sack of oats has {contents[0][0]} units of protein and {contents[1][0]} of fat, "
        f"a sack of beans {contents[0][1]} of protein and {contents[1][1]} of fat. The mix needs "
        f"at least {needs[0]} units of protein and {needs[1]} of fat, and at least {least} sacks "
        "of oats. Parts of a sack can be used. What is the lowest cost in euros?"
    )
    names = ("oats", "beans")
    parts = {
        "sense": "Minimize",
        "goal": _sum(costs, names),
        "protein": f"{_sum(contents[0], names)} >= {needs[0]}",
        "fat": f"{_sum(contents[1], names)} >= {needs[1]}",
        "least": f"oats >= {least}",
    }
    slips: dict[str, Parts] = {
        "direction": {"sense": "Maximize"},
        "sense": {"protein": f"{_sum(contents[0], names)} <= {needs[0]}"},
        "missing": {"fat": ""},
        "swapped": {"goal": _sum(costs[::-1], names)},
        "whole": {"general": "oats beans"},
    }
    return text, parts, slips, best


def _make_transport(rng: random.Random) -> _Made:
    """Minimise the cost of supplying three shops from two plants; an optimum has whole amounts."""
    costs = [[rng.randint(1, 9) for _ in range(3)] for _ in range(2)]
    demands = [rng.randint(3, 9) for _ in range(3)]
    first = rng.randint(4, sum(demands) - 4)
    supplies = [first + rng.randint(0, 3), sum(demands) - first + rng.randint(0, 3)]
    best = float(
        min(
            sum(costs[0][k] * sent[k] + costs[1][k] * (demands[k] - sent[k]) for k in range(3))
            for sent in product(*(range(demand + 1) for demand in demands))
            if sum(sent) <= supplies[0] and sum(demands) - sum(sent) <= supplies[1]
        )
    )
    shown = "; ".join(
        f"from plant {p + 1} it costs {', '.join(map(str, costs[p]))} euros a tonne to shops 1, 2 "
        "and 3"
        for p in range(2)
    )
    text = (
        f"Two plants supply three shops. Plant 1 has {supplies[0]} tonnes and plant 2 has "
        f"{supplies[1]}. The shops need {demands[0]}, {demands[1]} and {demands[2]} tonnes. "
        f"Transport: {shown}. What is the lowest total cost in euros?"
    )
    names = [[f"x{p}{s}" for s in (1, 2, 3)] for p in (1, 2)]
    parts = {
        "sense": "Minimize",
        "goal": _sum([*costs[0], *costs[1]], [*names[0], *names[1]]),
        **{f"plant{p + 1}": f"{' + '.join(names[p])} <= {supplies[p]}" for p in range(2)},
        **{f"shop{s + 1}": f"x1{s + 1} + x2{s + 1} >= {demands[s]}" for s in range(3)},
    }
    slips: dict[str, Parts] = {
        "direction": {"sense": "Maximize"},
        "sense": {"shop2": f"x12 + x22 <= {demands[1]}"},
        "missing": {"plant1": ""},
        "coefficient": {"shop3": f"x13 + x23 >= {demands[2] + 1}"},
    }
    return text, parts, slips, best


def _make_knapsack(rng: random.Random) -> _Made:
    """Maximise the value of what is packed of six things; try all subsets."""
    values, weights = ([rng.randint(3, 20) for _ in range(6)] for _ in range(2))
    most = sum(weights) // 2
    best = max(
        float(sum(values[k] for k in chosen))
        for size in range(7)
        for chosen in combinations(range(6), size)
        if sum(weights[k] for k in chosen) <= most
    )
    shown = ", ".join(
        f"{name} {v} and {w}" for name, v, w in zip("ABCDEF", values, weights, strict=True)
    )
    text = (
        f"A climber can carry {most} kilograms and chooses among six things. Their values and "
        f"their weights in kilograms are: {shown}. Each is taken once or left. What is the highest "
        "total value?"
    )
    names = [f"take{name}" for name in "ABCDEF"]
    parts = {
        "sense": "Maximize",
        "goal": _sum(values, names),
        "weight": f"{_sum(weights, names)} <= {most}",
        "binary": " ".join(names),
    }
    slips: dict[str, Parts] = {
        "direction": {"sense": "Minimize"},
        "integrality": {"binary": "", **{f"once{n}": f"{n} <= 1" for n in names}},
        "repeated": {"binary": "", "general": " ".join(names)},
        "coefficient": {"weight": f"{_sum(weights, names)} <= {most - 5}"},
    }
    return text, parts, slips, best


def _make_scheduling(rng: random.Random) -> _Made:
    """Minimise when the last of five jobs on two machines ends; try all assignments."""
    hours = [rng.randint(2, 12) for _ in range(5)]
    chosen = product((0, 1), repeat=5)
    loads = [sum(h for h, on in zip(hours, ons, strict=True) if on) for ons in chosen]
    best = float(min(max(load, sum(hours) - load) for load in loads))
    text = (
        f"Five jobs take {', '.join(map(str, hours))} hours. Each runs whole on one of two equal "
        "machines, which take one job at a time. After how many hours can all jobs be done at the "
        "earliest?"
    )
    names = [[f"j{job}m{machine}" for job in range(1, 6)] for machine in (1, 2)]
    parts = {
        "sense": "Minimize",
        "goal": "makespan",
        **{f"job{j + 1}": f"{names[0][j]} + {names[1][j]} = 1" for j in range(5)},
        **{f"machine{m + 1}": f"{_sum(hours, names[m])} - makespan <= 0" for m in range(2)},
        "binary": " ".join([*names[0], *names[1]]),
    }
    slips: dict[str, Parts] = {
        "direction": {"sense": "Maximize"},
        "integrality": {"binary": ""},
        "missing": {"machine2": ""},
        "sense": {"job1": f"{names[0][0]} + {names[1][0]} <= 1"},
    }
    return text, parts, slips, best


def _make_flow(rng: random.Random) -> _Made:
    """Maximise the flow through a network of four places; it equals the smallest cut."""
    pipes = [("s", "a"), ("s", "b"), ("a", "b"), ("a", "t"), ("b", "t")]
    limits = [rng.randint(3, 15) for _ in pipes]
    best = min(
        float(
            sum(c for (u, v), c in zip(pipes, limits, strict=True) if u in side and v not in side)
        )
        for side in ({"s"}, {"s", "a"}, {"s", "b"}, {"s", "a", "b"})
    )
    shown = ", ".join(f"from {u} to {v} {c}" for (u, v), c in zip(pipes, limits, strict=True))
    text = (
        "Water flows through pipes from the spring s to the town t, by way of the stations a and "
        f"b. The pipes carry, in litres a second, at most: {shown}. What flows into a station "
        "flows out of it. How many litres a second can reach the town at most?"
    )
    parts = {
        "sense": "Maximize",
        "goal": "at + bt",
        "a": "sa - ab - at = 0",
        "b": "sb + ab - bt = 0",
        **{f"pipe{u}{v}": f"{u}{v} <= {c}" for (u, v), c in zip(pipes, limits, strict=True)},
    }
    slips: dict[str, Parts] = {
        "direction": {"sense": "Minimize"},
        "missing": {"b": ""},
        "coefficient": {"pipesa": f"sa <= {limits[0] + 4}"},
        "double": {"goal": "sa + sb + at + bt"},
        "unbounded": {"pipeat": "", "a": ""},
    }
    return text, parts, slips, best


KINDS: Sequence[tuple[str, Callable[[random.Random], _Made]]] = (
    ("blending", _make_blending),
    ("transport", _make_transport),
    ("knapsack", _make_knapsack),
    ("scheduling", _make_scheduling),
    ("flow", _make_flow),
)


def _sum(values: Sequence[int], names: Sequence[str]) -> str:
    return " + ".join(f"{value} {name}" for value, name in zip(values, names, strict=True))


def _lowest_corner(costs: Sequence[int], rows: Sequence[tuple[int, int, int]]) -> float:
    """Return the least cost over the corners of a x + b y >= c, x >= 0, y >= 0."""
    edges = [*rows, (1, 0, 0), (0, 1, 0)]
    found = []
    for (a, b, c), (d, e, f) in combinations(edges, 2):
        if determinant := a * e - b * d:
            x, y = (c * e - b * f) / determinant, (a * f - c * d) / determinant
            if all(p * x + q * y >= r - 1e-9 for p, q, r in edges):
                found.append(costs[0] * x + costs[1] * y)
    return min(found)
