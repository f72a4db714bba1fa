"""Tables and figures from a run's records; nothing here computes a score.

Input: a run's folder. `summarise` gives a row per method × n, `markdown` a table to read; `write`
puts both (`table.csv`, `table.md`) and the figures into the folder. A run always gives the same
bytes.
"""

from cat_bench.report.files import Report, make_report, markdown, write
from cat_bench.report.summary import COLUMNS, summarise

__all__ = ["COLUMNS", "Report", "make_report", "markdown", "summarise", "write"]
