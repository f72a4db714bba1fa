"""The leaderboard: a CSV whose rows can be recomputed from the pool and the calls that they name.

Input: a run's folder, or a CSV. Output: rows, published files, and findings. `add` appends a run's
rows and publishes the files that they were computed from, `check` recomputes them, and `render`
prints them. An existing row never changes, and `check` trusts no number that it did not recompute.
"""

from cat_bench.leaderboard.checking import Finding, check
from cat_bench.leaderboard.publishing import add, upload
from cat_bench.leaderboard.rows import COLUMNS, read, render, rows_of

__all__ = ["COLUMNS", "Finding", "add", "check", "read", "render", "rows_of", "upload"]
