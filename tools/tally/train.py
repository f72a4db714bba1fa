"""Train the bundled model from scratch: ``python -m tools.tally.train --out DIR``.

The lessons form a curriculum. The first ones have few parts, clean drafts, and a loss on the
drafts, which teaches reading. The last ones have the full distribution.
"""

from collections.abc import Iterator

from cat_bench.bundled.tally.problems import LABELS
from tools.tally.rows import Counting, corpus, task_prompts
from tools.tally.teaching import Lesson
from tools.tally.training import Course, Recipe, train

#: Shares of the rows by role, before and after reading has been learned.
_FIRST = {"prompt": 0.4, "synthesis": 0.6}
_LATER = {"prompt": 0.4, "synthesis": 0.25, "synthesis_aware": 0.1, "select": 0.25}
_CORPUS = 3000


def lesson(progress: float) -> Lesson:
    """Return the lesson after the fraction ``progress`` of the steps."""
    return Lesson(
        most_parts=min(len(LABELS), 2 + int(progress * 20)),
        noise=min(1.0, 0.3 + progress * 5),
        weights=_FIRST if progress < 0.15 else _LATER,
        draft_loss=progress < 0.3,
        real_share=0.5,
    )


def generate_texts() -> Iterator[str]:
    """Yield the tokenizer's training texts."""
    return corpus(task_prompts(), _CORPUS)


COURSE = Course(Counting, lesson, generate_texts, rows=40)


if __name__ == "__main__":
    train(Recipe.parse(__doc__.splitlines()[0], steps=2200, processes=2), COURSE)
