"""The second bundled test subject: advice for journeys, where no final answer can be voted on.

A sibling of ``cat_bench.tally`` for what has no boxed answer: the model writes advice, combines
drafts, proposes criteria from one answer alone, and judges whether an answer meets a criterion; an
exact parser knows the truth of all of it. ``journeys`` is the task, ``answers`` the law by which
the policy errs and the grammar, ``scoring`` the task's scorer, ``train`` the recipe.
"""

from pathlib import Path

#: Folder of the committed model: weights, configuration, tokenizer and chat template.
MODEL = Path(__file__).parent / "model"

__all__ = ["MODEL"]
