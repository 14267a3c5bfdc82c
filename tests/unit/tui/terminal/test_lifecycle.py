"""State of the terminal after the dashboard was suspended or killed."""

import os
import re
import shutil
import signal
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.fake_groups import comparison
from tests.support.terminals import DASHBOARD, Terminal, terminals

GIVEN_BACK = b"\x1b[?1049l"


@pytest.fixture
def open_terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    with terminals(tmp_path) as start:
        yield start


@pytest.fixture
def shell(tmp_path: Path, open_terminal: Callable[..., Terminal]) -> Terminal:
    """A shell in which a dashboard runs."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    comparison(tmp_path / "runs", "running")
    terminal = open_terminal("--norc", "-i", program=(bash,), controlling=True, size=(100, 30))
    terminal.shows("bash-")
    terminal.press(f"PS1='ready> '; {' '.join(DASHBOARD)}\r")
    terminal.shows("● running", "q quit")
    return terminal


def dashboard_in(shell: Terminal) -> psutil.Process:
    """The shell's only child; the dashboard's guard is the dashboard's child."""
    (found,) = psutil.Process(shell.process.pid).children()
    return found


def answers(shell: Terminal) -> None:
    """The shell takes a command, and what it says is seen."""
    before = shell.raw.count(b"42\r\n")
    shell.press("echo 4$((1+1))\r")
    shell.until(lambda: shell.raw.count(b"42\r\n") > before)


def test_ctrl_z_gives_the_terminal_to_the_shell_until_its_fg(shell: Terminal) -> None:
    dashboard = dashboard_in(shell)
    shell.press("\x1a")
    shell.until(lambda: dashboard.status() == psutil.STATUS_STOPPED)
    shell.until(lambda: b"Stopped" in shell.raw)
    assert GIVEN_BACK in shell.raw
    answers(shell)
    drawn = len(shell.raw)
    shell.press("fg\r")
    shell.until(lambda: b"\x1b[?1049h" in shell.raw[drawn:] and b"linear" in shell.raw[drawn:])
    shell.press("q")
    shell.until(lambda: b"Training goes on" in shell.raw)
    answers(shell)
    assert b"was killed" not in shell.raw


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_shell_has_its_terminal_back_after_a_dashboard_that_was_killed(
    shell: Terminal, number: signal.Signals
) -> None:
    dashboard_in(shell).send_signal(number)
    shell.until(lambda: b"ddpm-tui was killed; training goes on" in shell.raw)
    for mode in (b"?1049l", b"?1000l", b"?1003l", b"?1006l", b"?2004l", b"?25h"):
        assert b"\x1b[" + mode in shell.raw
    shell.press("\r")
    answers(shell)


def test_a_dashboard_killed_while_suspended_restores_nothing(shell: Terminal) -> None:
    dashboard = dashboard_in(shell)
    (guard,) = dashboard.children()
    shell.press("\x1a")
    shell.until(lambda: b"Stopped" in shell.raw)
    dashboard.kill()
    shell.until(lambda: not guard.is_running() or guard.status() == psutil.STATUS_ZOMBIE)
    answers(shell)
    assert b"was killed; training" not in shell.raw


def test_a_terminal_without_a_shell_has_its_modes_back_and_is_not_suspended(
    tmp_path: Path, open_terminal: Callable[..., Terminal]
) -> None:
    comparison(tmp_path / "runs", "running")
    terminal = open_terminal()
    before = termios.tcgetattr(terminal.master)
    terminal.shows("● running", "q quit")
    assert termios.tcgetattr(terminal.master)[3] != before[3]
    terminal.press("\x1a")
    terminal.shows("no shell to go to")
    os.killpg(terminal.process.pid, signal.SIGKILL)
    terminal.until(lambda: b"ddpm-tui was killed; training goes on" in terminal.raw)
    assert termios.tcgetattr(terminal.master) == before
    assert re.search(rb"\x1b\[\?1049l.*\x1b\[\?25h", terminal.raw)


def test_the_guard_ends_with_the_dashboard(tmp_path: Path, open_terminal: Callable[..., Terminal]) -> None:
    comparison(tmp_path / "runs", "running")
    terminal = open_terminal()
    terminal.shows("● running", "q quit")
    (guard,) = psutil.Process(terminal.process.pid).children()
    terminal.press("q")
    assert terminal.ends() == 0
    terminal.until(lambda: not guard.is_running())
    assert b"was killed" not in terminal.raw
