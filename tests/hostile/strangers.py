"""What strangers may send: odd values, changed JSON, broken text and bytes, as strategies."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from math import inf, nan
from typing import Any

from hypothesis import strategies as st

ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202emirrored"
DEEP: Any = 0
for _ in range(60):
    DEEP = [DEEP]

texts = st.text(max_size=8) | st.sampled_from(
    [
        "",
        " ",
        "\x00",
        "\ud800",
        ESCAPES,
        "=1+1",
        "../x",
        "./evil.py:T",
        "nan",
        "1e999",
        "a" * 5000,
    ]
)
odd = st.one_of(
    st.sampled_from(
        [None, True, False, 0, -1, 7, 10**30, -(10**30), 10**400, 0.5, 1e308, nan, inf, [], {}]
    ),
    st.just(DEEP),
    texts,
    st.integers(),
    st.floats(),
    st.recursive(
        st.none() | st.integers() | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=4,
    ),
)
"""Values of any type and size that JSON can hold."""


@st.composite
def changed(draw: st.DrawFn, sound: Any, *, most: int = 3) -> Any:
    """A sound value with a few parts replaced, dropped, doubled or added."""
    whole = {"": deepcopy(sound)}
    for _ in range(draw(st.integers(0, most))):
        _change(draw, whole)
    return whole[""]


def _change(draw: st.DrawFn, whole: dict[str, Any]) -> None:
    node: Any = whole
    key: Any = ""
    while isinstance(node[key], dict | list) and node[key] and draw(st.integers(0, 4)):
        node = node[key]
        keys = sorted(node, key=str) if isinstance(node, dict) else range(len(node))
        key = draw(st.sampled_from(keys))
    match draw(st.sampled_from(["replace", "replace", "replace", "drop", "double", "add"])):
        case "drop" if node is not whole:
            del node[key]
        case "double" if isinstance(node, list):
            node.append(deepcopy(node[key]))
        case "add" if isinstance(node, dict) and node is not whole:
            node[draw(texts)] = deepcopy(draw(odd))
        case _:
            node[key] = deepcopy(draw(odd))


@st.composite
def broken(draw: st.DrawFn, sound: bytes) -> bytes:
    """Sound bytes, cut off or with a few others put in the place of some."""
    data = bytearray(sound)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        until = min(at + draw(st.integers(0, 6)), len(data))
        data[at:until] = draw(st.binary(max_size=6))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 5)) == 0 else data)


def text_of(value: Any) -> str:
    """A value as JSON text; what JSON has no word for is written as Python's json does."""
    return json.dumps(value, default=str)


def either(sound: Any, write: Callable[[Any], str] = text_of) -> st.SearchStrategy[bytes]:
    """A file's bytes: the changed value, or the sound one with broken bytes."""
    return changed(sound).map(lambda value: write(value).encode()) | broken(write(sound).encode())


FRAGMENTS = [
    *("\\boxed{", "\\boxed", "{", "}", "$", "$$", "\\frac{1}{", "^", "_", "\\left(", "\\right]"),
    *("\\text{", "\\sqrt[", "\\begin{pmatrix}", "&", "\\\\", "<draft>", "</draft>", "&lt;", "# "),
    *("# UNIFIED RESPONSE\n", "```python\n", "```", "answer: ", "The answer is", "(A)", "B.", "=1"),
    *(
        "12",
        "-3.5",
        "1e999",
        "9" * 50,
        "\u0663",
        "\u200b",
        "\ud800",
        "\x00",
        ESCAPES,
        "\n",
        " ",
        "x",
    ),
    *(
        "Minimize",
        "Subject To",
        "Bounds",
        "End",
        "ROWS\n",
        "COLUMNS\n",
        "RHS\n",
        ">=",
        "%",
        ",",
        "{",
    ),
    *('{"explanation": "', '"', ": true}", "[[", "]]", "<title", "</think>", "or", "and", "inf"),
]
writing = st.lists(
    st.tuples(st.sampled_from(FRAGMENTS) | st.text(max_size=6), st.sampled_from([1, 1, 1, 2, 300])),
    max_size=30,
).map(lambda parts: "".join(part * times for part, times in parts))
"""A model's text: pieces of everything that somebody reads in one, some of them many times."""
