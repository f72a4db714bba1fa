"""The template of HealthBench's grader: read from files, fetched over a socket, never run.

The files here are our own, of the shape of the authors' file; theirs is not in this project.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from cat_bench.errors import ConfigError, DataError
from cat_bench.loading.grader_template import KEPT_IN, Pinned, grader_template

SHOWN = "Talk:\n<<conversation>>\n\nPoint:\n<<rubric_item>>"
CODE = f'''"""A grader."""

import nowhere_to_be_found

OTHER_TEMPLATE = "no"
GRADER_TEMPLATE = """
{SHOWN}
""".strip()

raise SystemExit("a file that is read is not run")
'''


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("CAT_BENCH_DATA", raising=False)
    return tmp_path


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The URL of a server that serves CODE as `grader.py`."""
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "grader.py").write_text(CODE)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/grader.py"
        server.shutdown()
        thread.join()


class _Half(SimpleHTTPRequestHandler):
    """Promises more bytes than it sends."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"half")


def test_a_download_that_breaks_off_is_refused() -> None:
    with HTTPServer(("127.0.0.1", 0), _Half) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        source = Pinned(f"http://127.0.0.1:{server.server_port}/grader.py", "0" * 64)
        with pytest.raises(DataError, match="its SHA-256 is"):
            grader_template(source=source)
        thread.join()


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def test_a_text_file_is_the_template(tmp_path: Path) -> None:
    path = tmp_path / "grader.txt"
    path.write_text(f"\n{SHOWN}\n")
    found = grader_template(path)
    assert (found.text, found.pinned, found.digest) == (SHOWN, False, digest(SHOWN))


@pytest.mark.parametrize(
    "code",
    [
        CODE,
        f"GRADER_TEMPLATE: str = {SHOWN!r}",
        f"GRADER_TEMPLATE = {SHOWN!r}",
        f"GRADER_TEMPLATE = 'first'\nGRADER_TEMPLATE = ({SHOWN[:9]!r} {SHOWN[9:]!r}).rstrip()",
    ],
)
def test_a_python_file_gives_its_constant_and_is_not_run(tmp_path: Path, code: str) -> None:
    path = tmp_path / "grader.py"
    path.write_text(code)
    assert grader_template(path).text == SHOWN


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("g.py", "X = 1", "GRADER_TEMPLATE: is not assigned in this file"),
        ("g.py", "def f():\n    GRADER_TEMPLATE = 'x'", "is not assigned in this file"),
        ("g.py", "GRADER_TEMPLATE = open('x').read()", "line 1: GRADER_TEMPLATE should be a plain"),
        ("g.py", "GRADER_TEMPLATE = b'x'", "should be a plain string"),
        ("g.py", "GRADER_TEMPLATE = ", "is not Python"),
        ("g.py", "GRADER_TEMPLATE = '<<conversation>>'", "does not contain <<rubric_item>>"),
        ("g.txt", "Judge.", "does not contain <<conversation>> and <<rubric_item>>"),
        ("g.txt", b"\xff\xfe\x00", "is not UTF-8 text"),
        ("missing/g.txt", None, "cannot be read"),
    ],
)
def test_what_is_no_template_says_why(
    tmp_path: Path, name: str, content: str | bytes | None, problem: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigError, match=problem):
        grader_template(path)


def test_the_pinned_file_is_fetched_once_and_kept(web: str) -> None:
    source = Pinned(web, digest(CODE))
    found = grader_template(source=source)
    assert (found.text, found.pinned) == (SHOWN, True)
    assert (KEPT_IN / "grader.py").read_text() == CODE
    gone = Pinned("http://127.0.0.1:9/grader.py", source.sha256)
    assert grader_template(source=gone, fetch=False) == found


def test_a_file_with_another_checksum_is_refused_and_not_kept(
    web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"its SHA-256 is .*name it by --set judge_template"):
        grader_template(source=Pinned(web, "0" * 64))
    assert not KEPT_IN.exists()
    monkeypatch.setenv("CAT_BENCH_DATA", str(tmp_path / "web"))
    with pytest.raises(DataError, match=r"web/grader.py: its SHA-256"):
        grader_template(source=Pinned("http://127.0.0.1:9/grader.py", "0" * 64))
    found = grader_template(source=Pinned("http://127.0.0.1:9/grader.py", digest(CODE)))
    assert found.pinned
    assert not grader_template(tmp_path / "web" / "grader.py").pinned


@pytest.mark.parametrize("fetch", [True, False])
def test_without_a_network_the_error_says_how_to_name_the_file(fetch: bool) -> None:
    source = Pinned("http://127.0.0.1:9/grader.py", "0" * 64)
    with pytest.raises(DataError, match=r"judge_template=PATH .* as grader.py .* CAT_BENCH_DATA"):
        grader_template(source=source, fetch=fetch)
