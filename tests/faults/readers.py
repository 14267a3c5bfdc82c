"""Faults of readers: foreign files, files beside a live worker, and damaged files."""

import contextlib
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from core.cli.describe import read_epochs, run_details_json, run_row, run_text
from core.cli.output import format_table
from core.errors import UserError
from core.imaging import read_sheet
from core.runs import RunDirectory, RunStore, read_evaluations
from core.training.checkpoint import load_model, read_checkpoint
from tests.faults import tiny
from tests.faults.lab import fault, wait_for_exit
from tui.state.reader import RunsReader


def read_everything(root: Path) -> int:
    """Read a runs folder as the dashboard and the command line do. Return the number of listed runs."""
    scan = RunStore(root).scan()
    for info in scan.infos:
        epochs = read_epochs(info)
        run_details_json(info, epochs)
        run_text(info, epochs)
        format_table(
            ["a"] * len(run_row(info, epochs)), [run_row(info, epochs)], "l" * len(run_row(info, epochs))
        )
        for _, path in info.directory.sample_sheets() + info.directory.reverse_strips():
            with contextlib.suppress(UserError):
                read_sheet(path)
        with contextlib.suppress(UserError):
            read_evaluations(info.directory)
    for problem in scan.problems:
        assert len(problem.text.splitlines()) == 1, problem.text
    assert RunsReader(root).poll() is not None
    return len(scan.infos) + len(scan.problems)


@contextlib.contextmanager
def _readers(root: Path, looks: list[Callable[[], object]]) -> Iterator[None]:
    """Processes that read repeatedly until the block ends, and must not raise."""
    pids = []
    for look in looks:
        pid = os.fork()
        if pid == 0:
            deadline = time.monotonic() + 100
            while time.monotonic() < deadline and not (root / "enough").exists():
                look()
            os._exit(0)
        pids.append(pid)
    yield
    (root / "enough").touch()
    assert [wait_for_exit(pid, 30.0) for pid in pids] == [0] * len(pids), "a reader failed"


@fault("two dashboards and three commands read one live run", times=6)
def many_readers(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    root = run.path.parent
    dashboards = [RunsReader(root) for _ in range(2)]
    looks: list[Callable[[], object]] = [dashboard.poll for dashboard in dashboards]
    with _readers(root, looks + [lambda: read_everything(root)] * 3):
        assert tiny.finish(run) == 0
    tiny.assert_undisturbed(run)


def _add_foreign_files(root: Path, rng: random.Random) -> None:
    """Fill a runs folder with files and folders that are not runs, or broken ones."""
    (root / "notes.txt").write_text("mine")
    (root / "loop").symlink_to("loop")
    (root / "round").symlink_to(root)
    (root / "nowhere").symlink_to("/nonexistent/run")
    (root / "empty").mkdir()
    (root / "\x1b[31mred\x1b]0;title\x07").mkdir()
    (root / "\udcff").mkdir()
    future = root / "20991231-000000-future"
    shutil.copytree(next(root.glob("*tiny*")), future)
    text = (future / "status.json").read_text()
    (future / "status.json").write_text(
        text.replace('"format_version":1', f'"format_version":{rng.randint(2, 99)}')
    )
    for name, kind in (("pipe", "fifo"), ("folder", "dir"), ("circle", "link"), ("huge", "huge")):
        odd = root / f"20991231-000001-{name}"
        shutil.copytree(next(root.glob("*tiny*")), odd)
        victim = odd / rng.choice(["status.json", "run.toml", "metrics.jsonl", "evaluation.json"])
        victim.unlink(missing_ok=True)
        if kind == "fifo":
            os.mkfifo(victim)
            os.mkfifo(odd / "samples" / "epoch-0099.png")
        elif kind == "dir":
            victim.mkdir()
        elif kind == "link":
            victim.symlink_to(victim.name)
        else:
            victim.touch()
            os.truncate(victim, 1 << 34)
            if victim.name == "metrics.jsonl":
                os.truncate(victim, 1 << 24)  # a sparse file of zeros: one endless line


@fault("foreign files, circular links, pipes, newer formats in runs/", times=12, short=1)
def foreign_files(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    assert tiny.finish(run) == 0
    _add_foreign_files(run.path.parent, rng)
    assert read_everything(run.path.parent) >= 6
    assert tiny.listing(run) == "finished"
    assert "upgrade" in tiny.listing(RunDirectory(run.path.with_name("20991231-000000-future")))
    tiny.assert_undisturbed(run)


def _mutate(data: bytes, rng: random.Random) -> bytes:
    """Change bytes, truncate, repeat a part, or insert other bytes, a few times."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        place = rng.randrange(len(changed) + 1)
        match rng.randrange(5):
            case 0 if place < len(changed):
                changed[place] ^= 1 << rng.randrange(8)
            case 1:
                del changed[place:]
            case 2:
                changed[place:place] = changed[: rng.randrange(1, 200)]
            case 3:
                changed[place:place] = rng.randbytes(rng.randint(1, 50))
            case _:
                changed[place : place + 8] = rng.choice(
                    [b'"', b"{}", b"null", b"-1", b"1e999", b"9" * 400, b"\xff", b"[" * 2000]
                )
    return bytes(changed)


@fault("a run's files changed at random, 100 times each", times=20)
def mutated(folder: Path, rng: random.Random) -> None:
    """Readers report the problem in one line, or read the rest; they raise nothing else and never hang."""
    run = tiny.new_run(folder)
    assert tiny.finish(run) == 0
    files = [path for path in run.path.rglob("*") if path.is_file() and not path.name.startswith(".")]
    for _ in range(100):
        path = rng.choice(files)
        kept = path.read_bytes()
        path.write_bytes(_mutate(kept, rng))
        read_everything(run.path.parent)
        for read in (read_checkpoint, load_model):
            with contextlib.suppress(UserError):
                read(run)
        path.write_bytes(kept)
    tiny.assert_undisturbed(run)
