"""The bundled test subject: a tiny language model, its problems and the recipe that made it.

It exists so that the harness can sample, synthesise, select and score for real on a machine
without GPU, key or network; it says nothing about real models. ``problems`` is the task,
``drafts`` the law by which the policy errs, ``train`` the recipe, ``assess`` its yardstick.
"""

from pathlib import Path

#: Folder of the committed model: weights, configuration, tokenizer and chat template.
MODEL = Path(__file__).parent / "model"

__all__ = ["MODEL"]
