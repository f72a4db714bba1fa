"""What docs/ says works: every command and snippet is run, every link leads somewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import Document, Reader, shows
from tests.places import ROOT

INDEX = Document(ROOT / "docs" / "index.md")
PAGES = [Document(path) for path in sorted(INDEX.path.parent.glob("*.md"))]
ELSEWHERE = {"scale.md", "training-on-gpus.md", "troubleshooting.md"}
"""Followed by tests that have a database server (tests/journeys/test_shards.py), or `make` in this
checkout (tests/test_readme.py); commands for GPUs are parsed (tests/training/test_gpu_page.py)."""
FOLLOWED = [page for page in PAGES if page.path.name not in {"index.md", *ELSEWHERE}]


@pytest.fixture(scope="module")
def beginnings() -> dict[str, Path]:
    """Where the index was followed, once somebody has."""
    return {}


@pytest.fixture
def reader(
    beginnings: dict[str, Path],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Reader]:
    """Somebody in a checkout's folder who has done what the index says comes first."""
    if "index" not in beginnings:
        first = beginnings["index"] = tmp_path_factory.mktemp("docs")
        (first / "results").mkdir()
        (first / "results" / "pools").symlink_to(ROOT / "results" / "pools")
        Reader(first, monkeypatch, capsys).follow(INDEX)
    folder = tmp_path / "checkout"
    shutil.copytree(beginnings["index"], folder, symlinks=True)
    reader = Reader(folder, monkeypatch, capsys)
    with reader.servers:
        yield reader


@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: page.path.stem)
def test_a_page_can_be_followed(page: Document, reader: Reader) -> None:
    reader.follow(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path.stem)
def test_the_links_of_a_page_lead_somewhere(page: Document) -> None:
    assert page.broken_links() == []


def test_every_page_is_in_the_index() -> None:
    names = [page.path.name for page in PAGES if page != INDEX]
    assert [name for name in names if f"({name})" not in INDEX.text] == []


def test_code_is_run_or_is_a_file() -> None:
    """No block is only looked at."""
    for page in FOLLOWED:
        for block in page.blocks():
            assert block.language == "console" or block.file, f"{page.path.name}:\n{block.body}"


def test_a_thing_is_shown_in_one_way() -> None:
    assert shows("a  b\n…\nz", "a b\nc\nz\n")
    assert shows("in … s\n", "in 0.3 s\n")
    assert not shows("a\nz\n", "a\nc\nz\n")
