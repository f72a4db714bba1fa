"""Places are a set, in order, and none of them is in memory."""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256

from cat_bench.cache import Places

MANY = """
import resource
from hashlib import sha256
from cat_bench.cache import Places

with Places() as places:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(20_000):
        places.add(sha256(b"%d" % number).hexdigest(), range(16))
    assert sum(1 for _ in places) == 320_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_each_place_comes_once_and_in_order() -> None:
    keys = [sha256(b"%d" % number).hexdigest() for number in range(50)]
    with Places() as places:
        for key in [*keys, *keys[::3]]:
            places.add(key, {3, 12, 0})
        assert [*places] == sorted((key, slot) for key in keys for slot in (0, 3, 12))


def test_places_lie_on_disk() -> None:
    done = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, check=True)
    in_memory_kb = 320_000 * sys.getsizeof(("key", 1)) / 1024
    assert int(done.stdout) < in_memory_kb / 2
