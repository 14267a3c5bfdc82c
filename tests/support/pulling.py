"""Another host for tests of pulling: an `ssh` that runs its command on this machine, and runs to pull."""

import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.config import RunConfig
from core.launch.pull import Puller
from core.launch.rsync import Rsync, Source
from core.runs import EpochRecord, MetricsWriter, RunDirectory, State, Status

needs_rsync = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")

_SSH = """#!/bin/sh
while :; do case "$1" in -o|-l) shift 2;; --) shift; break;; *) break;; esac; done
shift
exec sh -c "$*"
"""


def fake_ssh(folder: Path, monkeypatch: pytest.MonkeyPatch, *, date: str = "", failure: str = "") -> None:
    """Put an `ssh` first in the path.

    Args:
        folder: for the script.
        monkeypatch: of the test.
        date: shell command that writes the clock of the other host.
        failure: words with which it fails, as ssh does.
    """
    folder.mkdir(exist_ok=True)
    script = f"#!/bin/sh\necho '{failure}' >&2\nexit 255\n" if failure else _SSH
    programs = {"ssh": script} | ({"date": f"#!/bin/sh\n{date}\n"} if date else {})
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def remote_run(root: Path, name: str, **status: Any) -> RunDirectory:
    """Make a run of another host with one epoch, a sheet, a checkpoint and files that belong to that host."""
    run = RunDirectory.create(root, RunConfig(recipe="there"), group="g", run_id=name)
    for folder in (run.samples, run.checkpoint.parent):
        folder.mkdir()
    (run.samples / "epoch-0001.png").write_bytes(b"sheet")
    for path in (run.checkpoint, run.previous_checkpoint, run.control, run.lock_file, run.path / ".x.tmp"):
        path.write_bytes(b"content")
    write(run, **{"state": State.RUNNING, "epoch": 1, "epochs": 3, "attempt": 1, "host": "node7"} | status)
    append_epoch(run, 1)
    return run


def write(run: RunDirectory, **status: Any) -> Status:
    """Change fields of a run's status."""
    changed = msgspec.structs.replace(run.read_status(), **status)
    run.write_status(changed)
    return changed


def append_epoch(run: RunDirectory, epoch: int) -> None:
    """Append an epoch of two steps to the metrics."""
    with MetricsWriter(run.metrics_file) as metrics:
        metrics.append_steps(2 * epoch - 1, epoch, float(epoch), [0.5, 0.25])
        metrics.append_epoch(
            EpochRecord(
                epoch=epoch,
                step=2 * epoch,
                elapsed=float(epoch),
                mean=0.4,
                min=0.25,
                max=0.5,
                heldout=0.5,
                images_per_second=1.0,
                learning_rate=1e-3,
            )
        )


def puller(source: str | Path, root: Path, **options: Any) -> Puller:
    """Return the puller of a source, which asks for nothing."""
    return Puller(Rsync(Source.parse(str(source))), root, **options)
