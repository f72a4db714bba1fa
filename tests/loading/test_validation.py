"""Outside text is read strictly, and an error says where and what would be right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from cat_bench.errors import ConfigError
from cat_bench.loading.catalog import MethodFile
from cat_bench.loading.task_file import TaskFile
from cat_bench.loading.validation import read_yaml, scalar, split_inline, split_list, validate
from cat_bench.types.calls import JSON, Sampling


@dataclass(frozen=True)
class Plugin:
    by: Literal["a", "b"] = "a"
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.share > 1:
            raise ValueError("share is above 1")


class Thing: ...


@dataclass(frozen=True)
class Odd:
    thing: Thing


METHOD = {"summary": "x", "aggregator": "vote"}
TASK = {"version": 1, "summary": "x", "scorer": "s"}


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Plugin, {"shar": 1}, "shar: is not a known field. .* 'share'. Known: by, share"),
        (Plugin, {"by": "c"}, "by: Input should be 'a' or 'b', not 'c'"),
        (Plugin, {"share": "half"}, "share: Input should be a valid number"),
        (Plugin, {"share": 2}, "share is above 1"),
        (Sampling, {"temprature": 1}, "temprature: .* Did you mean 'temperature'"),
        (MethodFile, {**METHOD, "wiht": {}}, "wiht: is not a known field. Did you mean 'with'"),
        (MethodFile, {"summary": "x"}, "aggregator: is missing"),
        (MethodFile, {**METHOD, "summary": 3}, "summary: Input should be a valid string, not 3"),
        (MethodFile, {**METHOD, "budgets": "1"}, "budgets: Input should be a valid list"),
        (TaskFile, {**TASK, "data": {"fille": "x"}}, "data.fille: .* Did you mean 'file'"),
        (TaskFile, {**TASK, "data": {"file": "x", "fields": {}}}, "`problem` or `messages`"),
        (TaskFile, {**TASK, "data": 3}, "data: Input should be a valid dictionary"),
    ],
)
def test_what_is_off_is_named(kind: type, values: dict[str, JSON], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^here\.yaml: .*{message}") as caught:
        validate(kind, values, source="here.yaml")
    assert "\n" not in str(caught.value)


def test_a_field_of_a_type_that_no_yaml_holds_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"here: .*Thing"):
        validate(Odd, {"thing": 1}, source="here")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [", "line 1: is not YAML"),
        (b"a: 1\nb: : c\n", "line 2: is not YAML"),
        (b"\x00", "is not YAML"),
        (b"[" * 9_999, "is nested too deep"),
        (b"\xff\xfe\x00a", "is not"),
        (b"- a\n- b\n", "should hold a mapping"),
        (b"", "should hold a mapping"),
    ],
)
def test_a_file_that_is_no_yaml_mapping(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_what_is_off_is_quoted_in_short(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"summary: [{'x' * 999}, {{a: {[0] * 999}}}]\naggregator: vote\n")
    with pytest.raises(
        ConfigError, match="summary: Input should be a valid string, not "
    ) as caught:
        validate(MethodFile, read_yaml(path), source=path)
    assert len(str(caught.value)) < 300 + len(str(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_yaml(path)


def test_inline_parameters() -> None:
    spec = " best_of_n{by=length, share=0.5,flag=true,none=null,text='a b'} "
    expected = {"by": "length", "share": 0.5, "flag": True, "none": None, "text": "a b"}
    assert split_inline(spec, source="s") == ("best_of_n", expected)
    assert split_inline("vote", source="s") == ("vote", {})
    assert split_inline("vote{}", source="s") == ("vote", {})
    nested = split_inline("vote{by=confidence{part=tail,window=4},of=[a,b]}", source="s")
    assert nested == ("vote", {"by": "confidence{part=tail,window=4}", "of": ["a", "b"]})


@pytest.mark.parametrize("spec", ["", "{a=1}", "x{a=1", "x}a=1{", "x{a=1}{b=2}", "x{a}", "x{a=[}"])
def test_bad_inline_parameters(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"^s: "):
        split_inline(spec, source="s")


def test_commas_inside_braces_do_not_split() -> None:
    assert split_list("a{x=1,y=2}, b ,,c{z=3}") == ["a{x=1,y=2}", "b", "c{z=3}"]
    assert split_list("a{x=1,y=b{z=[2,3]}},c") == ["a{x=1,y=b{z=[2,3]}}", "c"]
    assert split_list("") == []


def test_a_scalar_is_what_yaml_says() -> None:
    assert scalar("0.7", source="s", field="f") == 0.7
    with pytest.raises(ConfigError, match=r"s: f: '\{a' is not a YAML value"):
        scalar("{a", source="s", field="f")
