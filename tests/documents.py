"""Documents that are followed to the letter: files written, commands run, output held against them.

In a document, "`PATH`:" right before a fenced block says that the block is that file. In a block
`console`, a line that starts with `$ ` is a command and what follows it is all that it prints, but
for `…`: a part of a line, or any number of lines. `echo $?` follows a command that fails.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

import pytest

from cat_bench.cli import main

_BLOCK = re.compile(
    r"(?:`(?P<file>[^`\n]+)`:\n\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
_PORT = re.compile(r"--port (\d+)")
_ANY = "…"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `file` is what it is to be written to."""

    language: str
    body: str
    file: str | None = None

    @property
    def commands(self) -> Iterator[tuple[str, str]]:
        """Each command, on one line, with what stands under it."""
        if self.language == "console":
            for part in re.split(r"^\$ ", self.body, flags=re.MULTILINE)[1:]:
                command, _, output = re.sub(r"\\\n\s*", "", part).partition("\n")
                yield command, output


@dataclass(frozen=True, slots=True)
class Document:
    """A Markdown file."""

    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def blocks(self, language: str | None = None) -> list[Block]:
        """The fenced blocks, of one language or of all, in order."""
        found = [Block(m["language"], m["body"], m["file"]) for m in _BLOCK.finditer(self.text)]
        return [block for block in found if language in (None, block.language)]

    def commands(self, start: str) -> Iterator[list[str]]:
        """The words of each command that starts so."""
        for block in self.blocks("console"):
            for command, _ in block.commands:
                if command.startswith(start):
                    yield shlex.split(command, comments=True)

    def broken_links(self) -> list[str]:
        """Links to files that are not there, or to headings that they do not have."""
        prose = _BLOCK.sub("", self.text)
        return [
            f"{path}#{heading}"
            for path, heading in _LINK.findall(prose)
            if not (there := self.path.parent / path if path else self.path).exists()
            or (heading and heading not in Document(there).headings)
        ]

    @property
    def headings(self) -> set[str]:
        """What a link may name, as GitHub spells it."""
        titles = re.findall(r"^#+ (.*)$", _BLOCK.sub("", self.text), re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", t.lower()).strip().replace(" ", "-") for t in titles}


def replace_between(page: Path, marks: tuple[str, str], text: str) -> None:
    """Replace what a page shows between two marks, each on a line of its own."""
    before, first, rest = page.read_text(encoding="utf-8").partition(f"{marks[0]}\n")
    _, last, after = rest.partition(marks[1])
    assert first, f"{page} has no {marks[0]}"
    assert last, f"{page} has no {marks[1]}"
    page.write_text(f"{before}{first}{text}\n{last}{after}", encoding="utf-8")


@dataclass(slots=True)
class Reader:
    """Somebody who does what documents say, in a folder of their own."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    status: int = 0
    servers: ExitStack = field(default_factory=ExitStack)
    moved: dict[str, str] = field(default_factory=dict)
    """Where the servers that documents name really are."""

    def __post_init__(self) -> None:
        self.monkeypatch.chdir(self.folder)
        self.monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        for name in [name for name in os.environ if name.startswith("CAT_BENCH_")]:
            self.monkeypatch.delenv(name)

    def follow(self, document: Document) -> None:
        """Do all that a document says; raises AssertionError where something else comes out.

        With UPDATE_DOCS set, the document is written anew to show what comes out.
        """
        text = document.text
        for block in document.blocks():
            if block.file:
                path = self.folder / block.file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.body, encoding="utf-8")
            for command, expected in block.commands:
                printed = self.run(command)
                asked = command == "echo $?" or "$ echo $?" in block.body
                assert asked or self.status == 0, f"$ {command}\n{printed}"
                if os.environ.get("UPDATE_DOCS"):
                    text = text.replace(expected, updated(expected, printed), 1)
                elif expected.strip():
                    assert shows(expected, printed), f"$ {command}\n{printed}\nis not:\n{expected}"
        if text != document.text:
            document.path.write_text(text, encoding="utf-8")

    def run(self, command: str) -> str:
        """What a command prints, errors after results; its status is kept."""
        if command == "echo $?":
            return f"{self.status}\n"
        for named, found in self.moved.items():
            command = command.replace(named, found)
        words = shlex.split(command, comments=True)
        if words[-1] == "&":
            named, found = self.servers.enter_context(serving(command))
            self.moved[named] = found
            printed = f"{named}/v1\n"
        elif words[0] == "cat-bench":
            printed = self.cat_bench(words)
        elif words[0] == "export":
            self.monkeypatch.setenv(*words[1].split("=", 1))
            printed = ""
        else:
            done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
            self.status, printed = done.returncode, done.stdout + done.stderr
        for named, found in self.moved.items():
            printed = printed.replace(found, named)
        return printed

    def cat_bench(self, words: list[str]) -> str:
        """`cat-bench` in this process: most of its time would go into imports otherwise."""
        self.monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as caught:
            main()
        self.status = int(caught.value.code or 0)
        printed = self.capsys.readouterr()
        return printed.out + printed.err


@contextmanager
def serving(command: str) -> Iterator[tuple[str, str]]:
    """Start the server that a command starts, on any free port: where it says, and where it is."""
    (port,) = _PORT.findall(command)
    words = shlex.split(_PORT.sub("--port 0", command).removesuffix("&"))
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{port}", server.stdout.readline().strip().removesuffix("/v1")
        finally:
            server.terminate()


def shows(expected: str, printed: str) -> bool:
    """Whether a document shows what was printed; columns may be of any width."""
    pattern = "".join(
        r"(?:.*\n)*?"
        if line.strip() == _ANY
        else r".*?".join(map(re.escape, _even(line).split(_ANY))) + r"\s*\n"
        for line in expected.strip().splitlines()
    )
    even = "".join(_even(line) + "\n" for line in printed.strip().splitlines())
    return re.fullmatch(pattern, even) is not None


def updated(expected: str, printed: str) -> str:
    """What a document shows, each line brought up to the printed one that it is most like."""
    if not expected.strip() or shows(expected, printed):
        return expected
    there = printed.rstrip().splitlines()
    if _ANY not in expected:
        return "\n".join(there) + "\n"
    return "".join(
        line if _ANY in line or not line.strip() else _nearest(line, there) + "\n"
        for line in expected.splitlines(keepends=True)
    )


def _nearest(line: str, lines: Sequence[str]) -> str:
    return max(lines, key=lambda other: SequenceMatcher(None, line, other).ratio())


def _even(line: str) -> str:
    """A line whose columns may be of any width."""
    return re.sub(r"-{2,}", "--", " ".join(line.split()))
