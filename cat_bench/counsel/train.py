"""Train the model of `counsel` from scratch: ``python -m cat_bench.counsel.train --out DIR``.

The lessons of the first course form a curriculum: few circumstances, clean drafts and the loss on
the drafts too, so that reading them is learned first; then all roles under the full law. The second
course is for what takes longest, whether an answer meets a criterion: eight criteria a lesson.
"""

from dataclasses import replace

from cat_bench.counsel.journeys import MOST
from cat_bench.counsel.rows import PHRASES, Counsel, corpus
from cat_bench.tally.teaching import Lesson
from cat_bench.tally.training import Course, Recipe, train

#: Shares of the rows by role, before and after reading has been learned, and in the second course.
_FIRST = {"prompt": 0.35, "synthesis": 0.4, "criteria": 0.1, "rubric": 0.15}
_LATER = {
    "prompt": 0.28,
    "synthesis": 0.22,
    "synthesis_aware": 0.05,
    "criteria": 0.06,
    "rubric": 0.3,
    "judge": 0.09,
}
_JUDGING = {
    "prompt": 0.22,
    "synthesis": 0.12,
    "synthesis_aware": 0.03,
    "criteria": 0.03,
    "rubrics": 0.5,
    "judge": 0.1,
}
_STEPS, _JUDGING_STEPS = 1200, 600


def lesson(progress: float) -> Lesson:
    """Return what is taught once the fraction ``progress`` of the first course is done."""
    return Lesson(
        most_parts=min(MOST, 2 + int(progress * 20)),
        noise=min(1.0, 0.3 + progress * 5),
        weights=_FIRST if progress < 0.15 else _LATER,
        draft_loss=progress < 0.3,
        real_share=0.5,
    )


def judging(_: float) -> Lesson:
    """Return what is taught in the second course, the same from beginning to end."""
    return Lesson(most_parts=MOST, noise=1.0, weights=_JUDGING, draft_loss=False, real_share=0.5)


COURSE = Course(Counsel, lesson, corpus, rows=28, phrases=PHRASES, vocabulary=440)
SECOND = replace(COURSE, lesson=judging, rows=24, refills=(0.0, 0.5))


def main() -> None:
    """Run both courses; ``--steps`` is the first one's."""
    recipe = Recipe.asked(__doc__.splitlines()[0], steps=_STEPS, processes=1)
    train(recipe, COURSE)
    steps = recipe.steps * _JUDGING_STEPS // _STEPS
    train(replace(recipe, steps=steps, seed=recipe.seed + 1), SECOND, further=True)


if __name__ == "__main__":
    main()
