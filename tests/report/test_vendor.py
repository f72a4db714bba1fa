"""What the page carries of others' work is what the list beside it says, byte for byte."""

from __future__ import annotations

import re
from hashlib import sha256
from importlib.resources import files

VENDOR = files("cat_bench.report") / "page" / "vendor"
ROW = re.compile(r"^\| `(\S+)` \| (\S+) [\d.]+, `\S+` \| MIT \| `([0-9a-f]{64})` \|$", re.M)


def test_each_file_is_listed_with_its_digest_and_has_its_licence() -> None:
    listed = ROW.findall((VENDOR / "README.md").read_text(encoding="utf-8"))
    code = {each.name for each in VENDOR.iterdir() if each.name.endswith((".js", ".css"))}
    assert {name for name, *_ in listed} == code
    for name, package, digest in listed:
        assert sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name
        licence = (VENDOR / f"LICENSE-{package}.txt").read_text(encoding="utf-8")
        assert "Permission is hereby granted" in licence
