"""Train the model of `counsel` from scratch: ``python -m tools.counsel.train --out DIR``.

Judging comes first and alone, because a model learns to compare two things only without noisier
lessons beside it. Then the lessons form a curriculum. The first ones have few circumstances, clean
drafts, and a loss on the drafts, which teaches reading. The last ones have all roles and the full
distribution.
"""

from cat_bench.bundled.counsel.journeys import MOST
from tools.counsel.rows import PHRASES, Counsel, corpus
from tools.tally.teaching import Lesson
from tools.tally.training import Course, Recipe, train

#: Shares of the rows by role: at first, before reading has been learned, and after.
_JUDGING = {"rubric": 1.0}
_READING = {"prompt": 0.35, "synthesis": 0.45, "criteria": 0.1, "rubric": 0.1}
_ALL = {
    "prompt": 0.3,
    "synthesis": 0.26,
    "synthesis_aware": 0.05,
    "criteria": 0.05,
    "rubric": 0.22,
    "judge": 0.12,
}
#: The fraction of the steps after which judging is no longer taught alone.
_ALONE = 0.26


def lesson(progress: float) -> Lesson:
    """Return the lesson after the fraction ``progress`` of the steps."""
    if progress < _ALONE:
        return Lesson(MOST, noise=1.0, weights=_JUDGING, draft_loss=False, real_share=0.0)
    rest = (progress - _ALONE) / (1 - _ALONE)
    return Lesson(
        most_parts=min(MOST, 2 + int(rest * 20)),
        noise=min(1.0, 0.3 + rest * 5),
        weights=_READING if rest < 0.15 else _ALL,
        draft_loss=rest < 0.3,
        real_share=0.5,
    )


COURSE = Course(Counsel, lesson, corpus, rows=24, phrases=PHRASES, vocabulary=440)


if __name__ == "__main__":
    train(Recipe.parse(__doc__.splitlines()[0], steps=1350, processes=1), COURSE)
