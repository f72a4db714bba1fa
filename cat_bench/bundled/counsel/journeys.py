"""Procedurally generated journeys of six to eight circumstances: each needs one thing to take.

A topic has a fixed list of things; the first is its usual one. A circumstance of the topic is
plain, hard or tempting: a tempting one suggests the usual thing, but needs another.

Invariants: everything is a pure function of the seed; the digest of its text puts each journey into
exactly one split, so that no model was trained on a journey of the split ``test``.
"""

import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from cat_bench.bundled.tally.problems import Split, drop_repeats, split_of, text_id
from cat_bench.types.calls import JSON

Kind = Literal["plain", "hard", "tempting"]

#: Fewest and most circumstances of a journey; a rubric has a criterion for each.
FEWEST, MOST = 6, 8
#: What ``tasks/counsel/journeys.jsonl`` holds; this module, run as a program, writes it.
TASK_COUNT, TASK_SEED = 200, 1

HEADING = "What should I take along?"
#: Pairs (circumstance, thing to take) by topic; ``_KINDS`` are their kinds, in the same order.
TOPICS: dict[str, tuple[tuple[str, str], ...]] = {
    "the feet": (
        ("we walk on asphalt", "light trainers"),
        ("the beaches are long", "open sandals"),
        ("the paths are muddy", "rubber boots"),
        ("the slopes are rocky", "stiff boots"),
        ("we dance in the evenings", "soft slippers"),
        ("the fords are knee-deep", "water shoes"),
        ("the paths are icy", "boot spikes"),
        ("the snow lies deep", "snow shoes"),
    ),
    "the weather": (
        ("it rains for days", "a long raincoat"),
        ("the sun blazes", "a straw hat"),
        ("the wind never rests", "a windbreaker"),
        ("snow is forecast", "a down jacket"),
        ("the evenings are cool", "a knitted scarf"),
        ("there is fog at noon", "a bright vest"),
        ("there are brief showers", "an umbrella"),
        ("the heat is damp", "a linen shirt"),
    ),
    "the night": (
        ("we sleep in a tent", "a foam mat"),
        ("we sleep in huts", "a sheet bag"),
        ("we sleep in hammocks", "a mosquito net"),
        ("we sleep on the train", "ear plugs"),
        ("we sleep in a cave", "a candle lantern"),
        ("we sleep in a hostel", "a padlock"),
        ("we sleep on deck", "a wool blanket"),
        ("the nights are bright", "an eye mask"),
    ),
    "the thirst": (
        ("the springs are far apart", "two large bottles"),
        ("the taps are good", "a folding cup"),
        ("the streams are cloudy", "a water filter"),
        ("the wells are deep", "a rope and pail"),
        ("we cross salt flats", "a water bag"),
        ("there are only lakes", "purifying tablets"),
        ("there is only snow", "a small kettle"),
        ("tea is sold everywhere", "a tin mug"),
    ),
    "the meals": (
        ("there are no shops", "dried meals"),
        ("there is a market daily", "a shopping bag"),
        ("we share a stove", "rice and lentils"),
        ("fires are forbidden", "nuts and cheese"),
        ("we bake our own bread", "flour and salt"),
        ("we fish on the way", "a frying pan"),
        ("the huts serve soup", "a deep spoon"),
        ("berries grow everywhere", "a small basket"),
    ),
    "the way": (
        ("the trail is unmarked", "a good compass"),
        ("we change buses often", "a timetable"),
        ("we cross a city", "a street map"),
        ("we sail between islands", "a sea chart"),
        ("we paddle up a river", "a river guide"),
        ("we walk before dawn", "a headlamp"),
        ("the guide speaks no English", "a phrase book"),
        ("the tunnels are long", "spare batteries"),
    ),
    "the body": (
        ("boots rub my heels", "a roll of plaster"),
        ("the midges bite", "insect spray"),
        ("my knees are weak", "walking poles"),
        ("the air is dry", "lip balm"),
        ("the pack is heavy", "a hip belt"),
        ("ferries make me queasy", "ginger sweets"),
        ("my hands get cold", "wool mittens"),
        ("the glare is strong", "dark glasses"),
    ),
    "the company": (
        ("we wait at stations", "a deck of cards"),
        ("a small child comes along", "a picture book"),
        ("the dog comes along", "a long leash"),
        ("we travel with singers", "a song book"),
        ("a painter joins us", "a sketch pad"),
        ("we look out for birds", "field glasses"),
        ("my aunt wants letters", "stamps and paper"),
        ("our hosts take no money", "a small gift"),
    ),
}
_KINDS: tuple[Kind, ...] = ("plain",) * 2 + ("hard",) * 3 + ("tempting",) * 3


@dataclass(frozen=True, slots=True)
class Point:
    """One circumstance: its topic, the right thing, and the usual thing of the topic."""

    kind: Kind
    topic: str
    circumstance: str
    right: str
    usual: str


@dataclass(frozen=True, slots=True)
class Journey:
    """One question; its points are in the order of the text."""

    id: str
    text: str
    points: tuple[Point, ...] = field(repr=False)

    @property
    def level(self) -> int:
        """Number of circumstances that are not plain: the source of difficulty."""
        return sum(point.kind != "plain" for point in self.points)

    @property
    def rubric(self) -> list[JSON]:
        """The target: a criterion of one point for every circumstance."""
        return [
            {"criterion": criterion(p.topic, p.right), "points": 1, "tags": [f"kind:{p.kind}"]}
            for p in self.points
        ]


def criterion(topic: str, thing: str) -> str:
    """Return the criterion as a sentence."""
    return f"For {topic} it recommends {thing}"


def journeys(count: int, *, seed: int, split: Split = "test") -> Iterator[Journey]:
    """Yield ``count`` distinct journeys of one split, the same ones for the same seed."""
    rng = random.Random(f"{split} {seed}")
    return islice(drop_repeats(stream(rng, split=split)), count)


def stream(rng: random.Random, *, split: Split, most: int = MOST) -> Iterator[Journey]:
    """Yield journeys of one split, of at most ``most`` circumstances, without end."""
    while True:
        journey = _draw(rng, min(FEWEST, most), most)
        if split_of(journey.text) == split:
            yield journey


def journey_rows(count: int, *, seed: int, split: Split = "test") -> Iterator[dict[str, JSON]]:
    """Yield journeys as rows of the task's data file."""
    for journey in journeys(count, seed=seed, split=split):
        yield {
            "id": journey.id,
            "problem": journey.text,
            "rubric": journey.rubric,
            "level": journey.level,
        }


def task_lines() -> Iterator[str]:
    """Yield the lines of the bundled task's file."""
    return (json.dumps(row) + "\n" for row in journey_rows(TASK_COUNT, seed=TASK_SEED))


def _draw(rng: random.Random, fewest: int, most: int) -> Journey:
    topics = rng.sample(list(TOPICS), rng.randint(fewest, most))
    points = tuple(_point(topic, rng.randrange(len(_KINDS))) for topic in topics)
    text = "\n".join((HEADING, *(f"- {point.circumstance}" for point in points)))
    return Journey(text_id(text), text, points)


def _point(topic: str, place: int) -> Point:
    things = TOPICS[topic]
    return Point(_KINDS[place], topic, *things[place], things[0][1])


if __name__ == "__main__":
    sys.stdout.writelines(task_lines())
