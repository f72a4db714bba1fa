"""What a narrow terminal is shown: whole rows, and word of what is left out."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import pytest

from cat_bench.cli.output import fit, print_rows

TABLE = Path(__file__).parents[1] / "report" / "table.md"


def test_columns_go_until_the_table_fits() -> None:
    text = TABLE.read_text()
    for width in (80, 100, 120):
        shown = fit(text, width, file="run/table.md")
        rows = [line for line in shown.splitlines() if line.startswith("|")]
        assert max(map(len, rows)) <= width
        assert all("| cat " not in row or "91.7 ± " in row or "62.5" in row for row in rows)
        assert "vs majority, points" in rows[0]
        assert shown.count("Columns hidden to fit the terminal: notes") == 1
        assert "The whole table is in run/table.md." in shown


def test_of_scores_by_n_the_last_stay() -> None:
    budgets = [f"n = {2**k}" for k in range(8)]
    wide = "\n".join(f"| {' | '.join(cells)} |" for cells in (["method", *budgets], ["x"] * 9))
    assert len(wide.splitlines()[0]) > 60
    shown = fit(wide, 60, file="table.md")
    assert max(map(len, shown.splitlines()[:2])) <= 60
    assert "n = 128" in shown.splitlines()[0]
    assert "n = 1;" in shown


def test_what_fits_stays_as_it_is() -> None:
    text = TABLE.read_text()
    assert fit(text, 999, file="") == text
    escaped = "| method | notes |\n|:--|:--|\n| a\\|b | x |"
    assert fit(escaped, 12, file="f").startswith("| method |\n|:--|\n| a\\|b |\n")


def test_what_somebody_wrote_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"slot": 1, "answer": "2.50", "pool": "1e5"}, {"slot": 12, "answer": "1,000"}]
    print_rows(rows, as_json=False)
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["1", "2.50", "1e5"],
        ["12", "1,000"],
    ]


def test_a_pipe_gets_all_of_it_and_a_terminal_what_fits() -> None:
    code = "import sys; from cat_bench.cli.output import print_report as p;"
    command = [sys.executable, "-c", f"{code} p(open(sys.argv[1]).read(), file='f')", str(TABLE)]
    piped = subprocess.run(command, capture_output=True, text=True, check=True)
    assert piped.stdout == TABLE.read_text() + "\n"
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    with subprocess.Popen(command, stdout=theirs, env=environment) as process:
        os.close(theirs)
        shown = ""
        with suppress(OSError):  # Linux says EIO once the other side is closed
            while part := os.read(ours, 1 << 16):
                shown += part.decode()
    os.close(ours)
    assert process.returncode == 0
    assert max(len(line) for line in shown.splitlines() if line.startswith("|")) <= 80
