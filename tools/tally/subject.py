"""A trained model in one of its roles, sampled without the harness."""

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from cat_bench.bundled.tally.problems import Problem
from tools.tally.drafts import read_box
from tools.tally.rows import content, task_prompts
from tools.tally.sampling import complete


class Subject:
    """The measured model, which answers a list of problems in one of its roles."""

    def __init__(self, folder: Path) -> None:
        self._model = Qwen3ForCausalLM.from_pretrained(folder)
        self._tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        self._prompts = task_prompts()

    def boxes(
        self,
        name: str,
        tasks: Sequence[Problem],
        drafts: Sequence[Sequence[str]],
        *,
        temperature: float = 0.0,
    ) -> list[str]:
        """Return the content of each reply's last box."""
        return [
            read_box(text) for text in self.replies(name, tasks, drafts, temperature=temperature)
        ]

    def replies(
        self,
        name: str,
        tasks: Sequence[Problem],
        drafts: Sequence[Sequence[str]],
        *,
        temperature: float,
    ) -> list[str]:
        """Return one reply per problem, whose message shows the problem's drafts."""
        contents = [
            content(self._prompts, name, task, read)
            for task, read in zip(tasks, drafts, strict=True)
        ]
        return complete(self._model, self._tokenizer, contents=contents, temperature=temperature)
