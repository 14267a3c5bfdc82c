"""What a run was made with: what a person needs to make it again, and a worker to find what its maker saw."""

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Final

import msgspec

from core.config.schema import RunConfig
from core.data.recipe import absolute_dataset
from core.files.untrusted import absolute_if_exists
from core.runs.directory import RunFile
from core.runs.process import host_name

PACKAGE_PARENT: Final = Path(__file__).resolve().parents[2]
"""The folder that `core` lies in: a checkout, or site-packages."""

_PACKAGES: Final = ("ddpm-tui", "torch", "numpy", "safetensors")


def provenance_of_this_process() -> dict[str, str]:
    """Versions, commit, host; and the working directory and data folder, which workers will use."""
    provenance = {
        "host": host_name(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        **{package: version for package in _PACKAGES if (version := _version(package))},
        "directory": os.getcwd()
        .encode(errors="replace")
        .decode(),  # a name that is not text is no folder for workers
    }
    if commit := _commit():
        provenance["commit"] = commit
    if data := os.environ.get("DDPM_DATA"):
        provenance["data_dir"] = os.path.abspath(data)
    return provenance


def with_absolute_path(config: RunConfig, directory: Path | None = None) -> RunConfig:
    """The same with absolute paths of its data and betas, so that a run means the same in every working directory.

    Names of recipes stay as they are, and so does what is not there.

    Args:
        config: of a run that is about to be made.
        directory: what relative paths start at; the working directory unless given.
    """
    dataset, file = absolute_dataset(config.data.dataset, directory), config.schedule.file
    betas = (absolute_if_exists(Path(file), directory) or file) if file else file
    return msgspec.structs.replace(
        config,
        data=msgspec.structs.replace(config.data, dataset=dataset),
        schedule=msgspec.structs.replace(config.schedule, file=betas),
    )


def with_absolute_paths(file: RunFile) -> RunConfig:
    """A run's configuration; relative paths, which older runs have, start where the run was made."""
    directory = file.provenance.get("directory")
    return with_absolute_path(file.config, Path(directory)) if directory else file.config


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


@functools.cache
def _commit() -> str:
    """The checkout's commit, with ``+changes`` when files differ from it; empty when this is no checkout."""
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
