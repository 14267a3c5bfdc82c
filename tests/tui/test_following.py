"""A dashboard that follows another host: the state of that in the top line, and one notification for each failure."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import EXIT_USAGE, UserError
from core.launch.pull import Pulled
from core.launch.rsync import Interrupted, Source
from core.runs.status import State
from tests.support.fake_runs import dashboard_run
from tests.support.tui_pilot import Driven, QuietControl, make_app, ready
from tui.__main__ import main
from tui.state.follower import Follower


class FakePuller:
    """Puller that fails while it is told to."""

    source = "cluster:runs"

    def __init__(self) -> None:
        self.is_failing, self.pulls, self.cancelled = True, 0, threading.Event()
        self.rsync = SimpleNamespace(source=Source("cluster", "runs"), cancel=self.cancelled.set)

    def pull(self) -> Pulled:
        self.pulls += 1
        if self.cancelled.is_set():
            raise Interrupted
        if self.is_failing:
            raise UserError("cluster:runs: no route")
        return Pulled()


async def test_a_followed_host_is_in_the_top_line_and_a_failure_is_notified_once(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", state=State.QUEUED)
    puller: Any = FakePuller()
    app = make_app(tmp_path)
    app.follower = Follower(puller, every=1e-3)
    async with app.run_test(size=(120, 36)) as pilot:
        assert isinstance(app.control, QuietControl)
        driven = Driven(app, pilot, app.control)
        await ready(pilot)
        await driven.until(lambda: puller.pulls >= 3 and "cluster not reached" in driven.text())
        assert len([text for text in driven.notifications() if "no route" in text]) == 1
        puller.is_failing = False
        await driven.until(lambda: "from cluster" in driven.text())
        assert "waiting for a slot" in driven.text()  # the other host has a runner
        assert "cluster not reached" not in driven.text()
        assert "cluster:runs: reached again" in driven.notifications()
    assert puller.cancelled.is_set()


def test_an_old_pull_tells_its_age() -> None:
    puller: Any = FakePuller()
    puller.is_failing = False
    clock = [0.0]
    follower = Follower(puller, monotonic=lambda: clock[0])
    assert follower.text == "connecting to cluster"
    next(follower.run())
    assert follower.text == "from cluster"
    clock[0] = 600.0
    assert follower.text == "from cluster, 10 min ago"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--follow", "h:/a;reboot"], "which the shell of h would read"),
        (["--follow", "h:/a", "--replay", "latest"], "it takes no --follow"),
    ],
)
def test_a_source_that_cannot_be_followed_ends_in_one_line(
    words: list[str], error: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == EXIT_USAGE
    (line,) = capfd.readouterr().err.splitlines()
    assert error in line
