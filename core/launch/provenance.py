"""Provenance of a run: what the user needs to reproduce it, and the folders that its worker needs."""

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Final

import msgspec

from core.config.schema import RunConfig
from core.data.augmentation import with_own_augment
from core.data.recipe import absolute_dataset, default_data_dir
from core.files.untrusted import absolute_if_exists
from core.runs.directory import RunFile
from core.runs.process import host_name

PACKAGE_PARENT: Final = Path(__file__).resolve().parents[2]
"""The folder that `core` lies in: a checkout, or site-packages."""

_PACKAGES: Final = ("ddpm-tui", "torch", "numpy", "safetensors")


def current_provenance() -> dict[str, str]:
    """Return versions, commit and host, and the working directory and data folder that workers will use."""
    provenance = {
        "host": host_name(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        **{package: version for package in _PACKAGES if (version := _version(package))},
        # A name that is not text would be no folder for workers.
        "directory": os.getcwd().encode(errors="replace").decode(),
    }
    if commit := _commit():
        provenance["commit"] = commit
    if data := os.environ.get("DDPM_DATA"):
        provenance["data_dir"] = os.path.abspath(data)
    return provenance


def with_absolute_paths(config: RunConfig, directory: Path | None = None) -> RunConfig:
    """Make the paths of data and betas absolute, because a run must not depend on the working directory.

    Names of recipes stay as they are, and so do paths that do not exist. The augmentation of the data set replaces
    `auto`, because a run must not depend on its data recipe either.

    Args:
        config: of a run that is about to be created.
        directory: base of relative paths; the working directory unless given.
    """
    dataset, file = absolute_dataset(config.data.dataset, directory), config.schedule.file
    betas = (absolute_if_exists(Path(file), directory) or file) if file else file
    return with_own_augment(
        msgspec.structs.replace(
            config,
            data=msgspec.structs.replace(config.data, dataset=dataset),
            schedule=msgspec.structs.replace(config.schedule, file=betas),
        )
    )


def config_with_absolute_paths(file: RunFile) -> RunConfig:
    """Return a run's configuration; relative paths, which older runs have, start at the directory of its creation."""
    directory = file.provenance.get("directory")
    return with_absolute_paths(file.config, Path(directory)) if directory else file.config


def run_data_dirs(file: RunFile) -> list[Path]:
    """Return the folders that may hold a run's images: those that its worker uses, and then our own."""
    recorded, directory = file.provenance.get("data_dir"), file.provenance.get("directory")
    folders = [Path(recorded)] if recorded else [Path(directory, "datasets")] if directory else []
    return list(dict.fromkeys([*folders, default_data_dir()]))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


@functools.cache
def _commit() -> str:
    """Return the checkout's commit, with ``+changes`` if files differ from it; empty if this is no checkout."""
    if not (PACKAGE_PARENT / ".git").exists():
        return ""
    git = ["git", "-C", str(PACKAGE_PARENT)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit.stdout.strip() + ("+changes" if changes.stdout.strip() else "")
