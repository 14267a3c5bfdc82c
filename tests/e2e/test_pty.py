"""The real program in a real pseudo-terminal."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from core.runs.process import ProcessIdentity, is_alive
from core.runs.status import State
from core.runs.store import RunStore
from tests.support.fake_groups import comparison
from tests.support.fake_runs import dashboard_run
from tests.support.terminals import DASHBOARD, Terminal, terminals
from tui.terminal.watchdog import EXIT_HUNG_UP

TINY = """
description = "A comparison that is over in seconds."

[data]
dataset = "array"
count = 64
heldout = 16

[schedule]
timesteps = 20

[model]
width = 16

[train]
epochs = 2
batch_size = 16

[sample]
count = 2
sampler = "ddim"
steps = 4
reverse_every = 2
reverse_count = 2
reverse_states = 3

[grid]
"schedule.name" = ["linear", "x^2"]
"""


@pytest.fixture
def open_terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    with terminals(tmp_path) as start:
        yield start


def test_at_80x24_keys_work_sizes_change_and_the_screen_is_given_back(
    tmp_path: Path, open_terminal: Callable[..., Terminal]
) -> None:
    comparison(tmp_path / "runs", "running")
    terminal = open_terminal()
    terminal.shows("linear", "● running", "37/100", "▀", "q quit")
    assert len(terminal.screen.display) == 24
    terminal.press("2")
    terminal.shows(">2")
    terminal.press("?")
    terminal.shows("Select the run above")
    terminal.press("\x1b")
    # A key that comes too soon after escape is a key with alt.
    terminal.until(lambda: "Select the run above" not in terminal.text)
    for key, seen in (
        ("d", "its first strip"),
        ("s", "beta_t"),
        ("c", "log y"),
        ("n", "f5"),
        ("l", "epoch 49"),
    ):
        terminal.press(key)
        terminal.shows(seen)
        for width, height in ((20, 5), (250, 70), (100, 30), (80, 24)):
            drawn = len(terminal.raw)
            terminal.resize(width, height)
            terminal.until(lambda drawn=drawn: len(terminal.raw) > drawn)
        terminal.shows(seen)
        terminal.press("\x1b")
        terminal.shows(">2", "q quit")
    for width, height in ((160, 50), (20, 5), (100, 30)):
        terminal.resize(width, height)
        terminal.shows("needs 60x15" if width == 20 else "x^10")
    terminal.press("q")
    assert terminal.ends() == 0
    assert b"\x1b[?1049l" in terminal.raw
    assert b"\x1b[?25h" in terminal.raw
    terminal.shows("Training goes on (3 running, 2 queued); come back with: ddpm-tui")
    assert "Traceback" not in terminal.text


@pytest.mark.parametrize("state", ["running", "finished"])
def test_a_dashboard_whose_terminal_vanishes_without_a_word_leaves(
    tmp_path: Path, open_terminal: Callable[..., Terminal], state: str
) -> None:
    comparison(tmp_path / "runs", state)
    terminal = open_terminal()
    terminal.shows("linear", "q quit")
    terminal.hang_up()
    assert terminal.ends() == EXIT_HUNG_UP


def test_a_worker_killed_without_warning_is_crashed_within_three_seconds(
    tmp_path: Path, open_terminal: Callable[..., Terminal]
) -> None:
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        identity = ProcessIdentity.from_pid(worker.pid)
        assert identity is not None
        run = dashboard_run(tmp_path / "runs", "linear", epoch=3, process=identity)
        terminal = open_terminal()
        terminal.shows("● running")
    finally:
        worker.kill()
        worker.wait()
    terminal.shows("✖ crashed", "process is gone", "r resume", seconds=3)
    with run.lock():
        terminal.press("r")
        terminal.shows("another process writes this run")
    terminal.press("x")
    terminal.shows("nothing to stop")


def test_from_noise_to_the_first_images_and_back_again(
    tmp_path: Path, open_terminal: Callable[..., Terminal]
) -> None:
    (tmp_path / "tiny.toml").write_text(TINY, encoding="utf-8")
    terminal = open_terminal("tiny.toml", "--device", "cpu", "--slots", "2", size=(100, 30))
    terminal.shows("linear", "x^2", "2 schedules")
    terminal.until(lambda: "▀" in terminal.text and re.search(r"epoch [12]\b", terminal.text), 240)
    terminal.press("q")
    assert terminal.ends() == 0
    again = open_terminal()
    again.shows("linear", "x^2")
    again.until(lambda: again.text.count("✔ finished") == 2, seconds=240)
    states = {info.state for info in RunStore(tmp_path / "runs").infos()}
    assert states == {State.FINISHED}
    again.press("[")
    again.shows("held")
    again.press("q")
    assert again.ends() == 0
    assert "Training goes on" not in again.text


def test_training_outlives_a_dashboard_that_is_killed(
    tmp_path: Path, open_terminal: Callable[..., Terminal]
) -> None:
    (tmp_path / "tiny.toml").write_text(TINY.replace("epochs = 2", "epochs = 100000"), encoding="utf-8")
    terminal = open_terminal("tiny.toml", "--device", "cpu", "--slots", "1")
    terminal.shows("● running", seconds=240)
    os.killpg(terminal.process.pid, signal.SIGKILL)
    terminal.process.wait()
    (running,) = [info for info in RunStore(tmp_path / "runs").infos() if info.state is State.RUNNING]
    assert is_alive(ProcessIdentity.from_status(running.status))
    assert terminal.process.pid not in {parent.pid for parent in psutil.Process(running.status.pid).parents()}
    again = open_terminal("tiny.toml", "--device", "cpu", "--slots", "1")
    again.shows("● running", "○ queued")
    again.press("X")
    again.shows("Stop 2 runs?")
    again.press("y")
    again.until(lambda: again.text.count("■ stopped") == 2, seconds=120)
    again.press("1r")
    again.until(lambda: "● running" in again.text, seconds=240)


def test_exported_columns_and_lines_do_not_replace_the_size_of_the_terminal(
    tmp_path: Path, open_terminal: Callable[..., Terminal]
) -> None:
    comparison(tmp_path / "runs", "finished")
    terminal = open_terminal(size=(100, 30), variables={"COLUMNS": "60", "LINES": "15"})
    terminal.shows("linear", "q quit")
    assert "q quit" in terminal.screen.display[29]
    assert max(map(len, map(str.rstrip, terminal.screen.display))) > 80
    terminal.resize(120, 36)
    terminal.until(lambda: "q quit" in terminal.screen.display[35])


def test_the_locale_c_is_drawn_in_ascii_where_the_terminal_cannot_do_utf8(
    tmp_path: Path, open_terminal: Callable[..., Terminal]
) -> None:
    comparison(tmp_path / "runs", "finished")
    terminal = open_terminal(variables={"LC_ALL": "C"})  # does not answer, as a terminal that is no better
    terminal.shows("linear", "q quit")
    terminal.settle()
    assert terminal.raw.replace("é".encode(), b"").isascii()


def test_gnu_screen_gets_no_true_colours_that_it_has_inherited(
    tmp_path: Path, open_terminal: Callable[..., Terminal]
) -> None:
    comparison(tmp_path / "runs", "finished")
    terminal = open_terminal(variables={"TERM": "screen-256color", "STY": "1.pts-0.host"})
    terminal.shows("linear", "▀", "q quit")
    terminal.settle()
    assert b"8;5;" in terminal.raw
    assert b"8;2;" not in terminal.raw


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "file"])
def test_the_screen_is_drawn_on_stdout_where_stderr_is_no_terminal(
    tmp_path: Path, open_terminal: Callable[..., Terminal], closed: bool
) -> None:
    comparison(tmp_path / "runs", "finished")
    shell = ("/bin/sh", "-c", 'exec "$@" 2>&-', "sh") if closed else ()
    with (tmp_path / "errors").open("wb") as errors:
        terminal = open_terminal(program=(*shell, *DASHBOARD), errors=None if closed else errors.fileno())
    terminal.shows("linear", "q quit")
    terminal.press("q")
    assert terminal.ends() == 0
    assert (tmp_path / "errors").read_bytes() == b""
