"""The judge's prompt of HealthBench's authors: read from a file, or fetched; never shipped.

It is the constant `GRADER_TEMPLATE` of simple-evals' `healthbench_eval.py`. The constant is read by
parsing the file; the file is never run. A file named by the user may contain any text with the
markers `<<conversation>>` and `<<rubric_item>>`; a fetched file must have the pinned checksum.
"""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import NoReturn
from urllib.request import urlopen

from cat_bench.errors import ConfigError, DataError
from cat_bench.system.files import write_atomic

CONSTANT = "GRADER_TEMPLATE"
CONVERSATION, ITEM = "<<conversation>>", "<<rubric_item>>"
TIMEOUT_S = 30.0
"""The longest wait for the server's next bytes."""
MOST = 1 << 20
"""The most bytes that are fetched."""
_STRIPS = {"strip": str.strip, "lstrip": str.lstrip, "rstrip": str.rstrip}


@dataclass(frozen=True, slots=True)
class Pinned:
    """A file on the web, and the SHA-256 that it must have."""

    url: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]


SIMPLE_EVALS = Pinned(
    "https://raw.githubusercontent.com/openai/simple-evals/"
    "ee3b0318d8d1d9d72755a4120879be65f7c07e9e/healthbench_eval.py",
    "89909957f005762edaded2f0e39fc9b3b242edd55e3ac0ce4c8dd886ac59d167",
)
KEPT_IN = Path(".cat_bench")
"""The folder in which a fetched file is kept."""


@dataclass(frozen=True, slots=True)
class GraderTemplate:
    """A template, and whether it comes from the pinned file."""

    text: str
    pinned: bool

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return sha256(self.text.encode()).hexdigest()


def grader_template(
    file: Path | None = None, *, fetch: bool = True, source: Pinned = SIMPLE_EVALS
) -> GraderTemplate:
    """Return the template in the user's file `file`, or in the pinned one.

    The pinned file is looked for in the folder that the environment variable CAT_BENCH_DATA names,
    then where an earlier run kept it; then it is fetched, unless `fetch` is false. Raises
    ConfigError if a file has no template or `file` cannot be read, and DataError if the pinned
    file cannot be fetched or has another checksum.
    """
    if file is not None:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise ConfigError(file, "", f"cannot be read: {error.strerror}") from error
        return _parse_template(content, file, source)
    folder = os.environ.get("CAT_BENCH_DATA")
    places = [*([Path(folder)] if folder else []), KEPT_IN]
    for path in (place / source.name for place in places):
        if path.is_file():
            return _parse_template(
                _check_content(path.read_bytes(), str(path), source), path, source
            )
    content = _check_content(_fetch(source, fetch=fetch), source.url, source)
    return _parse_template(content, write_atomic(KEPT_IN / source.name, content), source)


def _fetch(source: Pinned, *, fetch: bool) -> bytes:
    if not fetch:
        _refuse_missing(source, "is not here, and this run is offline")
    try:
        with urlopen(source.url, timeout=TIMEOUT_S) as response:
            content: bytes = response.read(MOST)
            return content
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        _refuse_missing(source, f"cannot be fetched ({type(error).__name__}: {reason})")


def _refuse_missing(source: Pinned, why: str) -> NoReturn:
    raise DataError(
        source.url,
        f"{why}; name a copy by --set judge_template=PATH (or `template:` in the task), or put it "
        f"as {source.name} into a folder and set CAT_BENCH_DATA to it",
    )


def _check_content(content: bytes, where: str, source: Pinned) -> bytes:
    if (digest := sha256(content).hexdigest()) != source.sha256:
        raise DataError(
            where,
            f"its SHA-256 is {digest}, and {source.sha256} is pinned; replace it by the pinned "
            "file (delete it to fetch it again), or name it by --set judge_template=PATH",
        )
    return content


def _parse_template(content: bytes, path: Path, source: Pinned) -> GraderTemplate:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(path, "", "is not UTF-8 text: save the file as UTF-8") from error
    template = _parse_constant(text, path) if path.suffix == ".py" else text.strip()
    if missing := [name for name in (CONVERSATION, ITEM) if name not in template]:
        raise ConfigError(
            path, "", f"does not contain {' and '.join(missing)}: add both to make a template"
        )
    return GraderTemplate(template, sha256(content).hexdigest() == source.sha256)


def _parse_constant(code: str, path: Path) -> str:
    """Return the string that Python code assigns to `CONSTANT`, read from its syntax."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(path, "", f"is not Python: {error}") from error
    values = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and _assigns(node)
    ]
    if not values:
        raise ConfigError(path, CONSTANT, "is not assigned in this file: name another one")
    try:
        return _parse_string(values[-1])
    except ValueError:
        problem = "should be a plain string, or one with `.strip()` behind it"
        raise ConfigError(path, f"line {values[-1].lineno}", f"{CONSTANT} {problem}") from None


def _assigns(node: ast.Assign | ast.AnnAssign) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return any(isinstance(target, ast.Name) and target.id == CONSTANT for target in targets)


def _parse_string(node: ast.expr) -> str:
    """Return a string literal's value, stripped if the code strips it; else raise ValueError."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Call(func=ast.Attribute(value=inner, attr=name), args=[], keywords=[]) if (
            name in _STRIPS
        ):
            return _STRIPS[name](_parse_string(inner))
        case _:
            raise ValueError(node)
