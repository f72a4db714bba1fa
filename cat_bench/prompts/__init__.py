"""Prompt texts: jinja2 templates in plain files, a task's own before the general ones here.

A text that a model wrote is quoted with the filter `inside("tag")`, which escapes that tag within
it, so that no rollout can close the delimiters around it. Values are never evaluated as templates.
"""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import SandboxedEnvironment

from cat_bench.errors import ConfigError
from cat_bench.types import JSON

GENERAL = Path(__file__).parent
_UNSEEN = r"\s\u00ad\u200b-\u200f\u2060-\u2064\ufeff"
"""White space and invisible characters."""


class Prompts:
    """The prompt texts of one task (a folder of `NAME.txt`), backed by the general ones."""

    def __init__(self, folder: Path | None = None) -> None:
        folders = [folder, GENERAL] if folder else [GENERAL]
        self.folder = folder or GENERAL
        self._environment = SandboxedEnvironment(
            loader=ChoiceLoader([FileSystemLoader(each) for each in folders]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters["inside"] = inside

    def source(self, name: str) -> str:
        """The text `name` (without `.txt`) as written; raises ConfigError where there is none."""
        for folder in (self.folder, GENERAL):
            if (path := folder / f"{name}.txt").is_file():
                return path.read_text(encoding="utf-8")
        raise ConfigError(self.folder, f"{name}.txt", "there is no such prompt text.")

    def render(self, name: str, **values: JSON) -> str:
        """The text `name` (without `.txt`) with its variables filled in.

        Raises ConfigError where there is no such text or it uses a variable that is not given.
        """
        try:
            return self._environment.get_template(f"{name}.txt").render(**values)
        except TemplateNotFound as error:
            raise ConfigError(
                self.folder, f"{error.name}", "there is no such prompt text."
            ) from error
        except TemplateError as error:
            raise ConfigError(self.folder / f"{name}.txt", "", f"{error.message}.") from error

    def reads(self, name: str) -> set[str]:
        """The variables that a text uses itself; raises ConfigError as `render` does."""
        loader = self._environment.loader
        try:
            source = loader.get_source(self._environment, f"{name}.txt")[0] if loader else ""
            return find_undeclared_variables(self._environment.parse(source))
        except TemplateNotFound as error:
            raise ConfigError(
                self.folder, str(error.name), "there is no such prompt text."
            ) from error
        except TemplateError as error:
            raise ConfigError(self.folder / f"{name}.txt", "", f"{error.message}.") from error


def inside(text: str, tag: str) -> str:
    """`text` with every opening or closing `<tag` escaped, hidden characters or not."""
    return re.sub(rf"<(?=[{_UNSEEN}/]*{re.escape(tag)})", "&lt;", text, flags=re.IGNORECASE)
