"""The bundled test model: a tiny language model, its problems and the recipe that trained it.

It exists so that the harness can sample, synthesise, select and score for real on a machine without
GPU, key or network; it says nothing about real models. ``problems`` is the task, ``drafts`` the
distribution of the policy's errors, ``train`` the recipe, ``assess`` its evaluation.
"""

from pathlib import Path

#: Folder of the committed model: weights, configuration, tokenizer and chat template.
MODEL = Path(__file__).parent / "model"

__all__ = ["MODEL"]
