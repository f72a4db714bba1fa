"""Train a small policy for `mini-or` from scratch: ``python -m tools.mini_or.train --out DIR``."""

from __future__ import annotations

from functools import partial

from tools.mini_or.rows import Modelling, draw_examples, find_phrases
from tools.tally.teaching import Lesson
from tools.tally.training import Course, Recipe, train


def lesson(progress: float) -> Lesson:
    """Return the lesson after the fraction `progress` of the steps; slips come later."""
    return Lesson(
        most_parts=1,
        noise=min(1.0, 2 * progress),
        weights={"prompt": 1.0},
        draft_loss=False,
        real_share=0.0,
    )


COURSE = Course(
    Modelling,
    lesson,
    partial(draw_examples, 300),
    rows=40,
    phrases=find_phrases(),
    vocabulary=300,
    refills=(),
)


if __name__ == "__main__":
    train(Recipe.parse(str(__doc__).splitlines()[0], steps=900, processes=1), COURSE)
