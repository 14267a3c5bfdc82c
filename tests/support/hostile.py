"""Runs and data sets from a stranger, with escape codes and bidirectional marks in every text that a file can hold."""

import re
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from PIL import Image

from core.config import DataConfig, RunConfig, SampleConfig, ScheduleConfig, TrainConfig
from core.runs import RunDirectory, State
from tests.support.fake_runs import DASHBOARD, DEAD_PROCESS, make_run, write_evaluation

CODES: Final = (
    "\x1b]52;c;aGk=\x07",  # the clipboard
    "\x1b]8;;http:x\x1b\\link\x1b]8;;\x1b\\",
    "\x1b]0;title\x07\x1b[2J\x1b[31m",
    "\x9b31m\x9d0;title\x9c\x85",
    "\u202e\u2066\u200e\u200f\u2069\u061c",
    "\x00\x07\x08\x7f\r\n",
)
EVIL: Final = "".join(CODES)
NAME: Final = EVIL.replace("\x00", "")
"""The same without what no file name can hold."""
FORBIDDEN: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""All control characters but the end of a line, and all bidirectional marks."""


def hostile_run(root: Path, state: State = State.FINISHED, *, index: int = 0) -> RunDirectory:
    """Write a run whose every text is hostile, with samples, evaluations and a log."""
    config = RunConfig(
        recipe=f"rec{index}{EVIL}",
        data=DataConfig(dataset=f"data{EVIL}"),
        schedule=ScheduleConfig(name=("linear", "sine", "x^2")[index % 3]),
        train=TrainConfig(epochs=4, seed=index),
        sample=SampleConfig(count=4),
    )
    run = make_run(
        root,
        profile=DASHBOARD,
        state=state,
        epochs=4,
        index=index,
        group=f"group{EVIL}",
        run_id=f"2026112{index}-101502-run{NAME}",
        config=config,
        count=4,
        clean=True,
        device=f"cpu{EVIL}",
        message=f"busy{EVIL}",
        error=f"boom{EVIL}" if state is State.FAILED else "",
    )
    file = run.read()
    texts = {
        "tags": (f"tag{EVIL}",),
        "provenance": {f"key{EVIL}": f"value{EVIL}", "host": EVIL, "device": EVIL},
    }
    run.write_run_file(msgspec.structs.replace(file, **texts))
    status = msgspec.json.decode(run.status_file.read_bytes())
    for name in ("message", "error", "device"):
        if status[name]:
            status[name] += EVIL  # written as a stranger would
    status["host"] = status["host"] and (DEAD_PROCESS.host if state is State.CRASHED else status["host"])
    run.status_file.write_bytes(msgspec.json.encode(status))
    run.log.write_text(f"line{EVIL}\n", encoding="utf-8")
    if state.is_ended:
        write_evaluation(run, 0.5 + index / 10, dataset=f"data{EVIL}", sampler=f"ddim{EVIL}")
    return run


def hostile_runs(root: Path) -> list[RunDirectory]:
    """Hostile runs in several states, and one that cannot be read."""
    states = (State.FINISHED, State.STOPPED, State.FAILED, State.CRASHED, State.QUEUED)
    runs = [hostile_run(root, state, index=index) for index, state in enumerate(states)]
    broken = hostile_run(root, index=9)
    broken.run_file.write_text(f'"{EVIL}" = 1', encoding="utf-8")
    return runs


def hostile_folder(folder: Path, count: int = 12) -> Path:
    """Make a folder of images with a hostile name, and a file in it that is no image."""
    folder.mkdir(parents=True)
    for index in range(count):
        Image.fromarray(np.full((8, 8), 20 * index, np.uint8)).save(folder / f"{index}.png")
    (folder / f"broken{NAME}.png").write_bytes(b"no image")
    return folder


def hostile_recipes(data_dir: Path) -> None:
    """Write recipes of data sets with hostile names and descriptions."""
    data_dir.mkdir(parents=True, exist_ok=True)
    escaped = EVIL.encode("unicode_escape").decode().replace("\\x", "\\u00").replace("\x7f", "\\u007f")
    text = f'name = "named{escaped}"\ndescription = "described{escaped}"\ncount = 4\nheldout = 2\n'
    (data_dir / f"file{NAME}.toml").write_text(text, encoding="utf-8")
