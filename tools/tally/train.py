"""Train the bundled model from scratch: ``python -m tools.tally.train --out DIR``.

The lessons form a curriculum: few parts, clean drafts and the loss on the drafts too, so that
reading them is learned first; then the full law.
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
    """Return what is taught once the fraction ``progress`` of the steps is done."""
    return Lesson(
        most_parts=min(len(LABELS), 2 + int(progress * 20)),
        noise=min(1.0, 0.3 + progress * 5),
        weights=_FIRST if progress < 0.15 else _LATER,
        draft_loss=progress < 0.3,
        real_share=0.5,
    )


def generate_texts() -> Iterator[str]:
    """Yield what the tokenizer learns from."""
    return corpus(task_prompts(), _CORPUS)


COURSE = Course(Counting, lesson, generate_texts, rows=40)


if __name__ == "__main__":
    train(Recipe.parse(__doc__.splitlines()[0], steps=2200, processes=2), COURSE)
