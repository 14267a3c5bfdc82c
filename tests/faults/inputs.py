"""Faults of inputs: what a run was trained with changes between two parts of its training, or cannot be read."""

import contextlib
import functools
import io
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import msgspec
from PIL import Image

from core.config import DataConfig
from core.data import load_dataset
from core.errors import UserError
from core.launch import control
from core.runs import RunDirectory, State
from tests.faults import tiny
from tests.faults.lab import fault, wait_for_exit
from tests.support import fake_images

IMAGES = 26
"""Images of a folder, of which one in ten is held out."""


make_images = functools.partial(fake_images.make_images, side=8)


def _new_run(folder: Path) -> RunDirectory:
    """A queued run of a recipe of a folder of images, with a folder of made sets of its own."""
    os.environ["DDPM_DATA"] = str(folder / "data")
    make_images(folder / "images", range(IMAGES))
    recipe = folder / "mine.toml"
    recipe.write_text('kind = "folder"\npath = "images"\nsize = 8\n')
    return tiny.new_run(folder, msgspec.structs.replace(tiny.config(), data=DataConfig(dataset=str(recipe))))


@functools.cache
def _undisturbed() -> tiny.Result:
    with tempfile.TemporaryDirectory(prefix="faults-inputs-") as folder:
        before = os.environ["DDPM_DATA"]
        run = _new_run(Path(folder))
        assert tiny.finish(run) == 0, run.log.read_text()
        os.environ["DDPM_DATA"] = before
        return tiny.result(run)


def _delete_images(folder: Path) -> None:
    for number in range(5, IMAGES):
        (folder / "images" / f"{number:03}.png").unlink()


CHANGES: dict[str, Callable[[Path], object]] = {
    "images deleted": _delete_images,
    "images added": lambda folder: make_images(folder / "images", range(IMAGES, IMAGES + 9)),
    "an image in colour": lambda folder: make_images(folder / "images", range(2), colour=True),
    "folder moved": lambda folder: (folder / "images").rename(folder / "elsewhere"),
    "recipe edited": lambda folder: (folder / "mine.toml").write_text(
        'kind = "folder"\npath = "images"\nsize = 16\n'
    ),
    "recipe deleted": lambda folder: (folder / "mine.toml").unlink(),
}


def _disturb(run: RunDirectory, rng: random.Random) -> None:
    """Kill a worker at a random instant after its images were made."""
    pid = tiny.start(run)
    tiny.wait_until(lambda: run.checkpoint.exists() or tiny.state(run).is_ended, "a checkpoint")
    tiny.kill_after(pid, rng.uniform(0, 0.3) * tiny.duration())


@fault("images or recipe change between two parts of a run", times=18, short=1, prepare=_undisturbed)
def inputs_change(folder: Path, rng: random.Random) -> None:
    run = _new_run(folder)
    _disturb(run, rng)
    CHANGES[rng.choice(sorted(CHANGES))](folder)
    _resume_to_the_same_end(run)


@fault("the same, and the made set is deleted", times=18, short=1, prepare=_undisturbed)
def inputs_change_and_set_is_gone(folder: Path, rng: random.Random) -> None:
    run = _new_run(folder)
    _disturb(run, rng)
    CHANGES[rng.choice(sorted(CHANGES))](folder)
    shutil.rmtree(folder / "data")
    if tiny.state(run) is not State.FINISHED:
        checkpoint, position = run.checkpoint.read_bytes(), run.read_status().step
        reason = _refused(run)
        assert "images" in reason or "data set" in reason or "recipe" in reason, reason
        assert "\n" not in reason, reason
        assert run.checkpoint.read_bytes() == checkpoint, "a refused run lost its checkpoint"
        assert run.read_status().step == position
    for name in ("images", "elsewhere", "data"):
        shutil.rmtree(folder / name, ignore_errors=True)
    make_images(folder / "images", range(IMAGES))  # as from a backup
    (folder / "mine.toml").write_text('kind = "folder"\npath = "images"\nsize = 8\n')
    _resume_to_the_same_end(run)


def _refused(run: RunDirectory) -> str:
    """The line with which a resume is refused, by the command or by the worker."""
    try:
        control.resume(run)
    except UserError as error:
        return str(error)
    code = tiny.finish(run)
    status = run.read_status()
    assert (code, status.state) == (3, State.FAILED), f"{code} {status}\n{run.log.read_text()}"
    return status.error


def _resume_to_the_same_end(run: RunDirectory) -> None:
    if tiny.state(run) is not State.FINISHED:
        tiny.resume(run)
        assert tiny.finish(run) == 0, run.log.read_text()
    assert tiny.state(run) is State.FINISHED
    status = run.read_status()
    assert (status.epoch, status.step) == (status.epochs, status.steps), status
    assert tiny.result(run) == _undisturbed()


EDITS = (
    ("train", {"batch_size": 4}),
    ("train", {"seed": 7}),
    ("schedule", {"name": "cosine"}),
    ("schedule", {"timesteps": 20}),
    ("diffusion", {"prediction_type": "epsilon"}),
    ("train", {"optimizer": "adamw"}),
    ("data", {"count": 12}),
)


@fault("run.toml edited between two parts of a run", times=14)
def settings_edited(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    _disturb(run, rng)
    if tiny.state(run) is not State.FINISHED:
        whole, checkpoint = run.read(), run.checkpoint.read_bytes()
        section, changes = rng.choice(EDITS)
        edited = msgspec.structs.replace(getattr(whole.config, section), **changes)
        config = msgspec.structs.replace(whole.config, **{section: edited})
        run.write_run_file(msgspec.structs.replace(whole, config=config))
        reason = _refused(run)
        assert all(name in reason for name in changes), reason
        assert run.checkpoint.read_bytes() == checkpoint
        run.write_run_file(whole)
    tiny.resume_and_compare(run)


@fault("images that cannot be read for a while", times=12)
def images_unreadable_for_a_while(folder: Path, rng: random.Random) -> None:
    run = _new_run(folder)
    broken = rng.randrange(IMAGES)
    error = rng.choice(
        [PermissionError(13, "Permission denied"), OSError(24, "Too many open files"), MemoryError()]
    )
    calls = 0
    read = Image.open

    def fail_once(*args: object, **options: object) -> Image.Image:
        nonlocal calls
        calls += 1
        if calls == broken + 1:
            raise error
        return read(*args, **options)  # type: ignore[arg-type]

    with mock.patch.object(Image, "open", fail_once), contextlib.suppress(UserError, OSError, MemoryError):
        images = load_dataset(str(folder / "mine.toml"), workers=1)
        raise AssertionError(f"made of {len(images.train)} images in spite of {error!r}")
    assert tiny.finish(run) == 0, run.log.read_text()
    assert tiny.result(run) == _undisturbed(), "images were left out for good"


@fault("a copy of a running run is stopped and deleted", times=10)
def copy_is_stopped(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    pid = tiny.start(run)
    tiny.wait_until(lambda: tiny.state(run) is not State.QUEUED, "the worker")
    time.sleep(rng.uniform(0, 0.5) * tiny.duration())
    copy = RunDirectory(run.path.with_name("copy"))
    shutil.copytree(run.path, copy.path, ignore=shutil.ignore_patterns(".*.tmp", ".tmp*"))
    with contextlib.suppress(UserError):
        control.stop(copy)
        control.remove(copy)
    assert wait_for_exit(pid, 60.0) == 0, run.log.read_text()
    tiny.assert_undisturbed(run)


@fault("a forged status names another process", times=5)
def forged_status(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    _disturb(run, rng)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        tiny.change_status(run, state=State.RUNNING, pid=stranger.pid, heartbeat=time.time())
        with contextlib.suppress(UserError), contextlib.redirect_stderr(io.StringIO()):
            control.stop(run)
        time.sleep(0.2)
        assert stranger.poll() is None, "a process that is no worker was signalled"
        stranger.kill()
    tiny.change_status(run, state=State.CRASHED, pid=0)
    tiny.resume_and_compare(run)


@fault("outputs of a run are links to a user's files", times=6)
def outputs_are_links(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    mine = folder / "mine.txt"
    mine.write_text("mine")
    name = rng.choice(["metrics.jsonl", "checkpoints/last.safetensors", "status.json", "worker.log"])
    link = run.path / name
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(mine)
    command = [
        sys.executable,
        "-m",
        "core",
        "runs",
        "start",
        run.id,
        "--runs",
        str(run.path.parent),
        "--follow",
    ]
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, capture_output=True, check=False, timeout=20)
    assert mine.read_text() == "mine", f"{name} was written through a link"
