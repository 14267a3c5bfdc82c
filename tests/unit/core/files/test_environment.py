"""Closed streams, a deleted folder or little memory end a command in one line, not in a traceback."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.runs import State
from tests.support.fake_runs import make_run

CLOSED = [
    " ".join(some) for count in (1, 2, 3) for some in itertools.combinations(("<&-", ">&-", "2>&-"), count)
]


def shell(module: str, words: str, redirections: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    script = f'exec "$0" -m {module} {words} {redirections}'
    return subprocess.run(
        ["/bin/sh", "-c", script, sys.executable],
        cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


COMMANDS = [
    *(("runs list", 0), ("runs list --json", 0), ("data make low --count 3", 0), ("schedules", 0)),
    *(("--help", 0), ("nonsense", 2), ("runs rm x", 2), ("", 2)),
]


# Each process takes half a second: one command that works and a mistake meet every combination, the others the worst.
@pytest.mark.parametrize(
    ("words", "code", "redirections"),
    [(*command, CLOSED[-1]) for command in COMMANDS]
    + [(*command, some) for command in (("runs list --json", 0), ("nonsense", 2)) for some in CLOSED[:-1]]
    + [("data make low --count 3", 0, "2>&-")],
)
def test_a_command_does_its_work_without_the_streams(
    tmp_path: Path, words: str, code: int, redirections: str
) -> None:
    done = shell("core", words, redirections, tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert ("make" in words) == (tmp_path / "datasets").exists()
    if "2>&-" not in redirections and code:
        assert done.stderr
    if ">&-" not in redirections.replace("2>&-", "") and not code and words != "runs list":
        assert done.stdout


@pytest.mark.parametrize("redirections", [*CLOSED, "2>/dev/full"])
def test_the_dashboard_ends_with_code_2_without_the_streams(tmp_path: Path, redirections: str) -> None:
    done = shell("tui", "", redirections, tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize(
    ("words", "redirections", "code"),
    [
        ("data make low --count 3", "2>/dev/full", 0),
        ("nonsense", "2>/dev/full", 2),
        ("schedules", ">/dev/full", 2),
        ("schedules", ">/dev/full 2>/dev/full", 2),
    ],
)
def test_a_stream_on_a_full_disk_ends_in_a_line_at_most(
    tmp_path: Path, words: str, redirections: str, code: int
) -> None:
    done = shell("core", words, redirections, tmp_path)
    assert done.returncode == code
    assert done.stderr in ("", "error: No space left on device\n")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        *(("core", words) for words in ("runs list", "data list", "schedules", "sample latest", "doctor")),
        *(("tui", words) for words in ("", "quick", "--replay latest")),
    ],
)
def test_a_deleted_working_directory_is_named_in_a_line(tmp_path: Path, module: str, words: str) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f'rmdir "{gone}"; exec "$0" -m {module} {words}'
    done = subprocess.run(
        ["/bin/sh", "-c", script, sys.executable],
        cwd=gone, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr == "error: the working directory was deleted; go to another one with cd\n"


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        *((words, 300) for words in ("evaluate latest", "denoise latest a.png", "runs resume latest")),
        *((words, 700) for words in ("sample latest", "train quick --detach", "runs clone latest")),
    ],
)
def test_a_memory_limit_that_torch_cannot_be_loaded_with_is_named_in_a_line(
    tmp_path: Path, words: str, limit: int
) -> None:
    run = make_run(tmp_path / "runs", state=State.STOPPED)
    (tmp_path / "a.png").write_bytes(b"")
    before = run.read_status()
    script = f'ulimit -v {limit * 1024}; exec "$0" -m core {words}'
    done = subprocess.run(
        ["/bin/sh", "-c", script, sys.executable],
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert f"the memory limit of {limit} MiB (ulimit -v) is too low" in done.stderr
    assert run.read_status() == before
    assert len(list((tmp_path / "runs").iterdir())) == 1
