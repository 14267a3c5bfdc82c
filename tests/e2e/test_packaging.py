"""Wheel and sdist: their contents, and their use away from the checkout."""

import itertools
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path

import pytest

from tests.support import ROOT

DATA_RECIPES = {f"core/data/recipes/{name}.toml" for name in ("array", "high", "kinds", "low")}


def build(source: Path, target: str, folder: Path) -> Path:
    """A ``wheel`` or ``sdist`` of a source tree, made without a network."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked, as in a user's site-packages."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def python(installed: Path, tmp_path: Path) -> Callable[..., str]:
    """Run Python in an empty folder with nothing of the checkout on its path; returns stdout."""

    def call(*arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(installed)}
        done = subprocess.run(
            [sys.executable, "-P", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def files_of_packages() -> set[str]:
    """All files of `core` and `tui` that belong in a wheel."""
    return {
        path.relative_to(ROOT).as_posix()
        for package in ("core", "tui")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_has_both_packages_with_their_styles_and_recipes_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == files_of_packages() | DATA_RECIPES
    assert {"core/recipes/quick.toml", "core/recipes/thesis.toml", "tui/screens/board/screen.tcss"} <= names


def test_the_wheel_says_what_it_needs_and_brings_both_commands(installed):
    (info,) = installed.glob("*.dist-info")
    metadata = Parser().parsestr((info / "METADATA").read_text(encoding="utf-8"))
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert "torch>=2.9" in metadata.get_all("Requires-Dist", [])
    commands = (info / "entry_points.txt").read_text()
    assert "core = core.__main__:main" in commands
    assert "ddpm-tui = tui.__main__:main" in commands
    assert (info / "licenses" / "LICENSE").is_file()


def test_an_installed_wheel_works_in_an_empty_folder(python, installed, tmp_path):
    assert python("-c", "import core; print(core.__file__)").strip() == str(
        installed / "core" / "__init__.py"
    )
    assert len(python("-m", "core", "schedules").splitlines()) == 10
    assert "thesis" in python("-c", "from core.recipes import list_recipes; print(list_recipes())")
    assert (
        python("-c", "from core.recipes import load_recipe; print(len(load_recipe('quick').configs))")
        == "5\n"
    )
    assert python("-m", "core", "data", "list").splitlines()[1].startswith("array")
    assert os.listdir(tmp_path) == []


def test_generated_images_appear_where_the_wheel_is_called(python, installed, tmp_path):
    before = sorted(path for path in installed.rglob("*") if "__pycache__" not in path.parts)
    folder = python("-m", "core", "data", "make", "array", "--count", "5").strip()
    assert (tmp_path / folder / "train.npy").is_file()
    assert os.listdir(tmp_path) == ["datasets"]
    assert sorted(path for path in installed.rglob("*") if "__pycache__" not in path.parts) == before


def test_the_wheel_of_the_sdist_is_the_wheel_of_the_checkout(wheel, tmp_path):
    sdist = build(ROOT, "sdist", tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        # Python 3.11 before 3.11.4 knows no filters; the archive is our own.
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(tmp_path / "source", **safely)
    (source,) = (tmp_path / "source").iterdir()
    assert {"LICENSE", "README.md", "tests", "datasets"} <= set(os.listdir(source))
    assert not [path for path in (source / "datasets").iterdir() if path.is_dir()]
    again = build(source, "wheel", tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())


def test_the_constraints_are_within_the_ranges_and_cover_every_dependency():
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # Ray is left to the cluster, all of whose machines must have the same version.
    extras = [names for extra, names in project["optional-dependencies"].items() if extra != "ray"]
    needed = [Requirement(text) for text in [*project["dependencies"], *itertools.chain(*extras)]]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    for requirement in needed:
        assert requirement.specifier.contains(pins[requirement.name]), requirement
