"""Train the model of `counsel` from scratch: ``python -m cat_bench.counsel.train --out DIR``.

The lessons form a curriculum: few circumstances, clean drafts and the loss on the drafts too, so
that reading them is learned first; then all roles under the full law.
"""

from cat_bench.counsel.journeys import MOST
from cat_bench.counsel.rows import PHRASES, Counsel, corpus
from cat_bench.tally.teaching import Lesson
from cat_bench.tally.training import Course, Recipe, train

#: Shares of the rows by role, before and after reading has been learned.
_FIRST = {"prompt": 0.35, "synthesis": 0.4, "criteria": 0.1, "rubric": 0.15}
_LATER = {
    "prompt": 0.28,
    "synthesis": 0.22,
    "synthesis_aware": 0.05,
    "criteria": 0.06,
    "rubric": 0.3,
    "judge": 0.09,
}


def lesson(progress: float) -> Lesson:
    """Return what is taught once the fraction ``progress`` of the steps is done."""
    return Lesson(
        most_parts=min(MOST, 2 + int(progress * 20)),
        noise=min(1.0, 0.3 + progress * 5),
        weights=_FIRST if progress < 0.15 else _LATER,
        draft_loss=progress < 0.3,
        real_share=0.5,
    )


COURSE = Course(Counsel, lesson, corpus, rows=28, phrases=PHRASES, vocabulary=440)


if __name__ == "__main__":
    train(Recipe.asked(__doc__.splitlines()[0], steps=1400, processes=1), COURSE)
