"""Setting up `.venv`: a small project is installed from local indexes, by uv and by pip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

from tools.install import Unusable, pip_settings, requirements, uv_variables

SCRIPT = Path(__file__).parents[2] / "tools" / "install.py"
UV = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")

PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "cat-bench"
version = "0.1.0"
dependencies = ["toy-core>=1"]

[project.optional-dependencies]
hf = ["toy-model>=1"]
train = ["toy-trainer>=1", "cat-bench[hf]"]
"""
BACKEND = '''\
"""Build an editable wheel without any requirement."""

from zipfile import ZipFile

METADATA = """\\
Metadata-Version: 2.1
Name: cat-bench
Version: 0.1.0
Requires-Dist: toy-core>=1
Provides-Extra: hf
Requires-Dist: toy-model>=1; extra == "hf"
Provides-Extra: train
Requires-Dist: toy-trainer>=1; extra == "train"
Requires-Dist: cat-bench[hf]; extra == "train"
"""


def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "cat_bench-0.1.0-py3-none-any.whl"
    with ZipFile(f"{folder}/{name}", "w") as wheel:
        info = "cat_bench-0.1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", METADATA)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
'''


def write_wheel(folder: Path, name: str, version: str) -> Path:
    """Write a wheel of an empty package."""
    folder.mkdir(parents=True, exist_ok=True)
    base = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{base}-py3-none-any.whl"
    tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with ZipFile(path, "w") as wheel:
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        wheel.writestr(f"{base}.dist-info/METADATA", metadata)
        wheel.writestr(f"{base}.dist-info/WHEEL", tag)
        wheel.writestr(f"{base}.dist-info/RECORD", "")
    return path


def write_index(folder: Path, **packages: list[str]) -> str:
    """Write an index of packages in these versions; the index's URL."""
    for name, versions in packages.items():
        own = folder / name.replace("_", "-")
        wheels = [write_wheel(own, own.name, version).name for version in versions]
        (own / "index.html").write_text("".join(f'<a href="{each}">{each}</a>' for each in wheels))
    return folder.as_uri()


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout of a small project, and the variables under which commands run in it."""

    folder: Path
    environment: dict[str, str]

    def start(self, *arguments: str, **extra: str) -> subprocess.Popen[str]:
        """Start `tools/install.py ARGUMENTS`."""
        return subprocess.Popen(
            [sys.executable, "tools/install.py", *arguments],
            cwd=self.folder,
            env=self.environment | extra,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def install(self, *arguments: str, **extra: str) -> str:
        """Run `tools/install.py ARGUMENTS`; what it prints."""
        with self.start(*arguments, **extra) as process:
            printed, _ = process.communicate()
        assert process.returncode == 0, printed
        return printed

    def versions(self, venv: str = ".venv") -> dict[str, str]:
        """The version of each package that is installed, but for the installers."""
        found = {}
        for path in (self.folder / venv).glob("lib/python*/site-packages/*.dist-info"):
            name, _, version = path.name.removesuffix(".dist-info").partition("-")
            found[name] = version
        return {name: found[name] for name in found if name not in ("pip", "setuptools", "uv")}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout, whose pip is configured with two indexes and a folder of wheels.

    The best version of `toy-model` is in the second index; `toy-trainer` is in the folder only, and
    constrained to an older version than the best.
    """
    place = tmp_path_factory.mktemp("place")
    folder = place / "checkout"
    (folder / "tools").mkdir(parents=True)
    shutil.copy(SCRIPT, folder / "tools")
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "backend.py").write_text(BACKEND)
    (folder / "constraints.txt").write_text("toy-trainer==1.1\n")
    first = write_index(place / "first", toy_core=["1.0", "1.2"], toy_model=["1.0"])
    second = write_index(place / "second", toy_model=["1.0", "1.5"])
    for version in ("1.1", "1.2"):
        write_wheel(place / "wheels", "toy-trainer", version)
    config = place / "pip.conf"
    config.write_text(
        f"[global]\nindex-url = {first}\nextra-index-url = {second}\nfind-links = {place}/wheels\n"
    )
    kept = {"PATH": "/usr/bin:/bin", "PIP_CONFIG_FILE": str(config), "HOME": str(place)}
    return Checkout(folder, kept)


def test_both_installers_install_the_same_versions(checkout: Checkout) -> None:
    if UV is None:
        pytest.skip("uv is not installed")
    with_uv = f"{Path(UV).parent}:{checkout.environment['PATH']}"
    by_uv = checkout.install("train", "--venv", ".venv-uv", PATH=with_uv)
    by_pip = checkout.install("train", "--venv", ".venv-pip", "--by", "pip")
    assert "by uv" in by_uv
    assert "by pip" in by_pip
    expected = {"cat_bench": "0.1.0", "toy_core": "1.2", "toy_model": "1.5", "toy_trainer": "1.1"}
    assert checkout.versions(".venv-uv") == expected
    assert checkout.versions(".venv-pip") == expected


def test_an_environment_grows_and_keeps_what_it_has(checkout: Checkout) -> None:
    said = checkout.install()
    assert "Installing by pip, because pip could not fetch uv" in said, "no index here has it"
    assert checkout.versions() == {"cat_bench": "0.1.0", "toy_core": "1.2"}
    (core,) = checkout.folder.glob(".venv/lib/*/site-packages/cat_bench*.dist-info/METADATA")
    before = core.stat()
    assert checkout.install() == "", "nothing is missing"
    both = [checkout.start("hf") for _ in range(2)]
    printed = sorted((process.communicate()[0] for process in both), key=len)
    assert [process.returncode for process in both] == [0, 0], printed
    assert printed[0] == "Another process is installing; waiting for it\n"
    assert "Installing hf into .venv" in printed[1]
    assert checkout.install("hf") == checkout.install() == ""
    assert checkout.versions()["toy_model"] == "1.5"
    after = core.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_what_pip_cannot_install_is_said_and_tried_again(checkout: Checkout) -> None:
    with checkout.start("hff") as process:
        printed, _ = process.communicate()
    assert (process.returncode, printed) == (1, "No extra is called hff. Known: hf, train\n")
    constraints = checkout.folder / "constraints.txt"
    right = constraints.read_text()
    constraints.write_text("toy-core==9\n")
    with checkout.start("--by", "pip") as process:
        printed, _ = process.communicate()
    constraints.write_text(right)
    assert process.returncode == 1
    assert "toy-core==9" in printed
    assert checkout.install("--by", "pip") == "" or checkout.versions()["toy_core"] == "1.2"


@pytest.mark.slow
def test_what_is_broken_is_created_anew(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").symlink_to(tmp_path / "gone")
    failing = tmp_path / "uv"
    failing.write_text("#!/bin/sh\necho no such flag >&2\nexit 2\n")
    failing.chmod(0o755)
    path = f"{tmp_path}:{checkout.environment['PATH']}"
    said = checkout.install("--venv", str(tmp_path / "venv"), PATH=path)
    assert "Installing by pip, because uv failed (no such flag)" in said
    shutil.move(tmp_path / "venv", tmp_path / "moved")
    said = checkout.install("--venv", str(tmp_path / "moved"), PATH=path)
    assert "Creating moved" in said, "the scripts of a moved environment name its old place"


def test_settings_of_pip_are_handed_to_uv() -> None:
    listing = (
        ":env:.find-links='/wheels /more'\n"
        "global.cert='/ca.pem'\n"
        "global.extra-index-url='\\nhttps://one/simple\\nfile:///two/simple'\n"
        "global.find-links='/ignored'\n"
        "global.index-url='https://general/simple'\n"
        "global.timeout='60'\n"
        "freeze.timeout='10'\n"
        "install.index-url='https://special/simple'\n"
        "install.no-compile='no'\n"
    )
    assert uv_variables(pip_settings(listing)) == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/wheels,/more",
        "SSL_CERT_FILE": "/ca.pem",
        "UV_INDEX": "https://one/simple file:///two/simple",
        "UV_DEFAULT_INDEX": "https://special/simple",
        "UV_HTTP_TIMEOUT": "60",
    }
    with pytest.raises(Unusable, match="pip is configured with 'only-binary'"):
        uv_variables({"only-binary": ":all:"})


def test_the_extras_of_this_package_are_known() -> None:
    assert [each for each in requirements(["train"]) if each.startswith(("trl", "torch"))] == [
        "trl>=1.16",
        "torch>=2.6",
    ]
