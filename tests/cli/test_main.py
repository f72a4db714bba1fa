"""The entry point: what each kind of error becomes."""

from __future__ import annotations

import click
import pytest

from cat_bench import cli
from cat_bench.errors import CacheError, ConfigError, ModelError
from tests.conftest import Workshop


def test_help_names_every_command(workshop: Workshop) -> None:
    status, out, err = workshop.run("--help")
    assert (status, err) == (0, "")
    assert all(name in out for name in cli.COMMANDS)
    status, out, _ = workshop.run("--version")
    assert (status, out.startswith("cat-bench")) == (0, True)


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_has_help(name: str, workshop: Workshop) -> None:
    status, out, err = workshop.run(name, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"Usage: cat-bench {name}")


def test_nothing_at_all_is_answered_by_help(workshop: Workshop) -> None:
    status, out, err = workshop.run()
    assert (status, out) == (2, "")
    assert err.startswith("Usage: cat-bench")


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ConfigError("a.yaml", "b", "is odd."), 2, "cat-bench: a.yaml: b: is odd.\n"),
        (CacheError("it is full"), 1, "cat-bench: it is full\n"),
        (ModelError("several\n  lines"), 1, "cat-bench: several lines\n"),
        (click.UsageError("no such thing"), 2, "cat-bench: no such thing\n"),
        (KeyboardInterrupt(), 130, "interrupted; the samples so far are in the cache.\n"),
    ],
)
def test_an_error_is_one_line_and_a_status(
    error: BaseException, status: int, line: str, workshop: Workshop
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    workshop.monkeypatch.setattr(cli.commands, "invoke", fails)
    found, out, err = workshop.run("list", "tasks")
    assert (found, out) == (status, "")
    assert err.endswith(line)


def test_a_bug_is_not_hidden(workshop: Workshop) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    workshop.monkeypatch.setattr(cli.commands, "invoke", fails)
    with pytest.raises(ZeroDivisionError):
        workshop.run("list", "tasks")


def test_an_unknown_command(workshop: Workshop) -> None:
    status, out, err = workshop.run("rnu")
    assert (status, out) == (2, "")
    assert err == "cat-bench: No such command 'rnu'. Did you mean 'run'?\n"
    assert err.count("\n") == 1
