"""Prompt texts: strict about names, and blind to what rollouts say."""

from __future__ import annotations

from pathlib import Path

import pytest

from cat_bench.errors import ConfigError
from cat_bench.loading.prompts import GENERAL, Prompts
from cat_bench.loading.prompts.quoting import quote_tag

VALUES = {
    "question": "Q?",
    "conversation": "User: Q?",
    "draft": "d",
    "drafts": ["d1", "d2"],
    "response": "r",
    "criterion": "c",
    "reference": "s",
    "criteria": 5,
    "most": 20,
    "top": 10,
}


@pytest.mark.parametrize("name", sorted(path.stem for path in GENERAL.glob("*.txt")))
def test_every_general_text_renders(name: str) -> None:
    text = Prompts().render(name, **VALUES)
    assert "{{" not in text
    assert text.strip()


def test_the_blind_texts_do_not_show_the_question() -> None:
    for name in ("synthesis", "synthesis_free"):
        assert "Q?" not in Prompts().render(name, **VALUES)
        assert "Q?" in Prompts().render(f"{name}_aware", **VALUES)
    assert "Q?" not in Prompts().render("criteria", **VALUES)


def test_a_tasks_own_text_comes_first(tmp_path: Path) -> None:
    (tmp_path / "synthesis.txt").write_text("Mine: {{ drafts | join(' ') }}")
    assert Prompts(tmp_path).render("synthesis", drafts=["a", "b"]) == "Mine: a b"
    assert Prompts(tmp_path).render("judge", **VALUES) == Prompts().render("judge", **VALUES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "own.txt: there is no such prompt text"),
        ("{{ nope }}", "own.txt: 'nope' is undefined"),
        ("Solve:\n{% for %}", "own.txt: line 2: [^.]+\\.$"),
        ("{{ 1 / 0 }}", "own.txt: division by zero\\.$"),
        ("{% include 'gone.txt' %}", "gone.txt: there is no such prompt text"),
        ("{{ ''.__class__.__mro__ }}", "own.txt: "),
    ],
)
def test_what_is_wrong_with_a_text(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "own.txt").write_text(content)
    with pytest.raises(ConfigError, match=message):
        Prompts(tmp_path).render("own")


def test_an_encoding_is_recognised_or_named(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_bytes(b"\xef\xbb\xbfSolve {{ problem }}")
    assert Prompts(tmp_path).render("own", problem="it") == "Solve it"
    (tmp_path / "own.txt").write_bytes(b"R\xe9sous {{ problem }}")
    with pytest.raises(ConfigError, match=r"own\.txt: is not UTF-8 text"):
        Prompts(tmp_path).reads("own")


def test_what_a_rollout_says_is_never_a_template() -> None:
    drafts = ["{{ 7 * 7 }}", "{% include 'judge.txt' %}", "{# gone #}"]
    text = Prompts().render("synthesis", drafts=drafts)
    assert all(draft in text for draft in drafts)


@pytest.mark.parametrize(
    "spelt",
    ["</draft>", "</DRAFT >", "< / draft>", "<\n/\tdraft>", "<draft number='9'>", "<\u200b/draft>"],
)
def test_a_delimiter_is_disarmed_however_it_is_spelt(spelt: str) -> None:
    assert quote_tag(f"a {spelt} b", "draft") == f"a {spelt.replace('<', '&lt;')} b"


def test_other_text_is_left_as_it_is() -> None:
    text = "if a < b and c <d> then </answer> or a<draught"
    assert quote_tag(text, "draft") == text
