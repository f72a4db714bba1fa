"""The public surface: what `cat_bench` exports, and what importing it must not cost."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cat_bench

HEAVY = {
    "datasets",
    "huggingface_hub",
    "jinja2",
    "joblib",
    "math_verify",
    "matplotlib",
    "openai",
    "pandas",
    "pyarrow",
    "pydantic",
    "rich",
    "scipy",
    "sqlalchemy",
    "sympy",
    "torch",
    "transformers",
}


def test_exported_names() -> None:
    assert cat_bench.__all__ == [
        "Aggregator",
        "CacheError",
        "CallFailed",
        "CatBenchError",
        "ConfigError",
        "Context",
        "ContextTooLong",
        "DataError",
        "Estimate",
        "Failure",
        "GroupContext",
        "Marks",
        "Message",
        "ModelError",
        "NotAvailable",
        "Pool",
        "Question",
        "Reply",
        "Reward",
        "Rollout",
        "Run",
        "Sample",
        "Sampling",
        "Score",
        "Scorer",
        "Signal",
        "SupervisedReward",
        "UnknownName",
        "Usage",
        "UsageError",
        "__version__",
        "aggregate",
        "arun",
        "load",
        "run",
        "training",
    ]
    assert all(hasattr(cat_bench, name) for name in cat_bench.__all__)


@pytest.mark.parametrize(
    "statement",
    [
        "import cat_bench",
        "from cat_bench.cli import commands; commands(['--help'], standalone_mode=False)",
    ],
)
def test_loads_nothing_heavy(statement: str) -> None:
    program = f"import sys; {statement}; print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "cat_bench" in loaded
    assert loaded & HEAVY == set()
