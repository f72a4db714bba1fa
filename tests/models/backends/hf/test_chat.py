"""Thoughts are told from answers, and any text has its tokens."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from cat_bench.bundled.tally import MODEL
from cat_bench.cache.reasoning import split
from cat_bench.models.backends.hf.chat import Chat, Pretrained, Tokenizer
from cat_bench.models.backends.small.tokenizer import FolderTokenizer


@pytest.mark.parametrize(
    ("text", "inside", "expected"),
    [
        ("The answer is 4.", False, (None, "The answer is 4.")),
        ("<think>\n2 + 2\n</think>\n\n4", False, ("2 + 2", "4")),
        ("\n<think></think>4", False, ("", "4")),
        ("2 + 2</think>4", True, ("2 + 2", "4")),
        ("2 + 2</think>4", False, ("2 + 2", "4")),
        ("<think>2 + 2 is", False, ("2 + 2 is", "")),
        ("2 + 2 is", True, ("2 + 2 is", "")),
        ("say <think> aloud", False, (None, "say <think> aloud")),
        ("", False, (None, "")),
    ],
)
def test_split(text: str, inside: bool, expected: tuple[str | None, str]) -> None:
    assert split(text, thinking=inside) == expected


@pytest.mark.parametrize(
    "tokenizer",
    [Pretrained(AutoTokenizer.from_pretrained(MODEL)), FolderTokenizer.load(MODEL)],
    ids=["transformers", "folder"],
)
def test_a_lone_surrogate_is_read_as_a_question_mark(tokenizer: Tokenizer) -> None:
    chat = Chat(tokenizer, "tally")
    assert chat.ids("a \ud800 b\0") == chat.ids("a ? b\0")
