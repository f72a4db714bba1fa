"""The memory and the time that a reader may take, whatever it is given: 4 GiB and 5 s.

Each case is a process of its own, with 4 GiB of address space; the time has room for slow machines.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.fuzz import CPU_S, MEMORY

READERS = {
    "an answer": "from cat_bench.models.backends import wire; wire.parse_body(200, {}, RAW)",
    "a reply": """
from cat_bench.models.backends import wire
data = wire.parse_body(200, {}, RAW)
isinstance(data, (dict, list)) and wire.replies(data, 1)
""",
    "a pool": """
Path("pool.jsonl").write_bytes(RAW)
from cat_bench.cache import Cache, import_pool
with Cache("cache.sqlite") as cache:
    import_pool(cache, Path("pool.jsonl"), name="theirs")
""",
    "a data file": """
Path("rows.json").write_bytes(RAW)
from cat_bench.system.rows import read
list(read(Path("rows.json")))
""",
    "a run": """
Path("run.json").write_bytes(RAW)
from cat_bench.runs.folder import read_record
read_record(Path())
""",
    "an import": """
Path("pool.jsonl.run.json").write_bytes(RAW)
from cat_bench.leaderboard.imported import read_import
read_import(Path("pool.jsonl"))
""",
    "a card": """
Path("pool.jsonl").write_bytes(b"")
Path("pool.jsonl.card.json").write_bytes(RAW)
from cat_bench.cache.cards import read_card
read_card(Path("pool.jsonl"))
""",
    "a cached row": """
from cat_bench.cache.codec import Stored, load
load(Stored(RAW, None, None))
""",
    "a task": """
Path("task.yaml").write_bytes(RAW)
from cat_bench.loading.validation import read_yaml
read_yaml(Path("task.yaml"))
""",
    "a board": """
Path("board.csv").write_bytes(RAW)
from cat_bench.leaderboard import read
read(Path("board.csv"))
""",
}
LARGE = {
    "lists": "b'[' + b'[],' * (100 << 18) + b'0]'",
    "objects": "b'[' + b'{\"a\":[]},' * (12 << 20) + b'0]'",
    "choices": "b'{\"choices\": [' + b'{},' * 1_300_000 + b'{}]}'",
    "deep": "b'[' * (100 << 20)",
}
CHILD = """
import resource, sys, time
from pathlib import Path
from cat_bench.errors import CatBenchError
resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
RAW = {raw}
begun = time.process_time()
try:
    exec(sys.argv[1])
except (CatBenchError, ValueError) as error:
    print(str(error)[:200], file=sys.stderr)
sys.exit(time.process_time() - begun > {seconds})
"""


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_takes_at_most_its_memory_and_time(reader: str, tmp_path: Path) -> None:
    given = LARGE if reader in {"an answer", "a reply"} else {"lists": LARGE["lists"]}
    for name, raw in given.items():
        child = CHILD.format(raw=raw, memory=MEMORY, seconds=4 * CPU_S)
        command = [sys.executable, "-c", child, READERS[reader]]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (name, done.stderr[-800:])
