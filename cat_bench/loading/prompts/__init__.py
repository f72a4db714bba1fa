"""Prompt texts: jinja2 templates in plain files; a task's texts override the general ones here.

Every text may use `{{ closing }}`, which completes "End with …" as the task reads answers, and `{{
meta.NAME }}`, a meta field of the question's row; `VARIABLES` lists the other variables.

A text that a model wrote is quoted with the filter `inside("tag")`, which escapes that tag within
it, so that no rollout can close the delimiters around it. Values are never evaluated as templates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined
from jinja2.exceptions import TemplateNotFound, TemplateSyntaxError
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import SandboxedEnvironment

from cat_bench.errors import ConfigError
from cat_bench.loading.prompts.quoting import quote_tag
from cat_bench.types.calls import JSON

GENERAL = Path(__file__).parent
VARIABLES: Mapping[str, tuple[str, ...]] = {
    "prompt": ("problem", "stem"),
    "compare": ("question", "drafts"),
    "criteria": ("response", "criteria", "most"),
    "judge": ("question", "response"),
    "match": ("conversation", "reference", "response"),
    "predict": ("question", "drafts"),
    "rubric": ("conversation", "response", "criterion"),
    "select": ("question", "drafts"),
    "summary": ("draft",),
    "synthesis": ("drafts",),
    "synthesis_aware": ("drafts", "question"),
    "synthesis_free": ("drafts",),
    "synthesis_free_aware": ("drafts", "question"),
    "universal_consistency": ("question", "drafts"),
}
"""The variables of each text, besides `closing`, `meta` and the meta fields by their names."""


class Prompts:
    """The prompt texts of one task (a folder of `NAME.txt`), backed by the general ones."""

    def __init__(self, folder: Path | None = None, *, closing: str = "") -> None:
        folders = [folder, GENERAL] if folder else [GENERAL]
        self.folder = folder or GENERAL
        self.closing = closing
        """The required ending of a response; "" if the task has no final answers."""
        self._environment = SandboxedEnvironment(
            loader=ChoiceLoader([FileSystemLoader(path, "utf-8-sig") for path in folders]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters["inside"] = quote_tag

    def source(self, name: str) -> str:
        """Return the unrendered text `name` (without `.txt`); raises ConfigError if missing."""
        for folder in (self.folder, GENERAL):
            if (path := folder / f"{name}.txt").is_file():
                return path.read_text(encoding="utf-8-sig")
        raise ConfigError(self.folder, f"{name}.txt", "there is no such prompt text: write it")

    def texts(self) -> dict[str, str]:
        """Return every prompt text by name; the task's texts replace general ones."""
        names = {path.stem for path in GENERAL.glob("*.txt")} | set(self.own())
        return {name: self.source(name) for name in sorted(names)}

    def render(self, name: str, **values: JSON) -> str:
        """Return the text `name` (without `.txt`) with its variables filled in.

        Raises ConfigError if there is no such text or it uses an unknown variable.
        """
        meta = values.get("meta", {})
        variables = {**meta, "closing": self.closing, "meta": meta, **values}
        with self._explain_errors(name):
            return self._environment.get_template(f"{name}.txt").render(**variables)

    def reads(self, name: str) -> set[str]:
        """Return the variables that a text uses; raises ConfigError as `render` does."""
        with self._explain_errors(name):
            loader = self._environment.loader
            source = loader.get_source(self._environment, f"{name}.txt")[0] if loader else ""
            return find_undeclared_variables(self._environment.parse(source))

    def own(self) -> list[str]:
        """Return the names of the task's own texts."""
        if self.folder == GENERAL:
            return []
        return sorted(path.stem for path in self.folder.glob("*.txt"))

    @contextmanager
    def _explain_errors(self, name: str) -> Iterator[None]:
        """Turn any error of a text into a ConfigError with its file, and its line if known."""
        file = self.folder / f"{name}.txt"
        try:
            yield
        except TemplateNotFound as error:
            raise ConfigError(
                self.folder,
                str(error.name),
                "there is no such prompt text: write it",
            ) from error
        except UnicodeDecodeError as error:
            raise ConfigError(file, "", "is not UTF-8 text: save it as UTF-8") from error
        except TemplateSyntaxError as error:
            raise ConfigError(file, f"line {error.lineno}", _sentence(error)) from error
        except Exception as error:
            raise ConfigError(file, "", _sentence(error)) from error


def _sentence(error: Exception) -> str:
    return f"{str(error).partition(chr(10))[0].rstrip('.')}."
