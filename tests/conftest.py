"""Shared by all tests: a neutral environment, and the command line as a subprocess."""

import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.leftovers import end_with_this_process
from tests.support.shared_styles import share

# Before torch is imported, because two processes with two threads each on two cores are many times slower.
os.environ["OMP_NUM_THREADS"] = "1"
# Subprocesses import the checkout under test, in any working directory.
os.environ["PYTHONPATH"] = str(ROOT)
# The user's own settings for terminal and data must not decide whether tests pass.
for _name in (
    "COLORTERM",
    "COLUMNS",
    "DDPM_DATA",
    "FORCE_COLOR",
    "LINES",
    "NO_COLOR",
    "TEXTUAL",
    "TEXTUAL_THEME",
    "TMUX",
):
    os.environ.pop(_name, None)

share()


def pytest_configure(config: pytest.Config) -> None:
    """End with this session whatever its tests start; with xdist, with each of its processes that run tests."""
    if hasattr(config, "workerinput") or not getattr(config.option, "numprocesses", None):
        end_with_this_process()


Core = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def all_runs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the dashboard's first poll read all runs, however slow the machine is."""
    monkeypatch.setattr("tui.state.reader.FIRST_READ_SECONDS", math.inf)


@pytest.fixture
def core(tmp_path: Path) -> Core:
    """Run the command line in an empty folder: ``core(*arguments, env={}, cwd=tmp_path)``."""

    def call(
        *arguments: str, env: Mapping[str, str] | None = None, cwd: Path = tmp_path, timeout: float = 120
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "core", *arguments],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return call
