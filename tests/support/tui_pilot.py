"""Pilot of the dashboard in tests: an app on a folder of fake runs, and waits for conditions."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textual.app import App
from textual.pilot import Pilot

from core.runs import Evaluation
from core.runs.interventions import Interventions
from core.runs.trajectory import TrajectorySpec
from tests.support.fake_runs import NOW
from tui.app.dashboard import Dashboard
from tui.screens.board.screen import Board
from tui.screens.board.system_panel import SystemPanel
from tui.settings.schema import Settings
from tui.state.run_controller import RunController
from tui.state.snapshot import RunSnapshot, Snapshot
from tui.state.system_load import GpuLoad, SystemLoad

DEADLINE = 60.0
LOAD = SystemLoad(
    cpu=0.63,
    cores=8,
    used=3 << 30,
    total=16 << 30,
    gpus=(GpuLoad("A100", utilization=0.37, used=12 << 30, total=80 << 30, temperature=51),),
)
"""System load of the tests' machine."""


class FakeJob:
    """A job that runs until a test ends it."""

    ended = False
    problem = ""


@dataclass(frozen=True, slots=True)
class QuietControl(RunController):
    """Controller that records the processes it would start."""

    woken: list[Path] = field(default_factory=list)
    specs: list[tuple[str, TrajectorySpec]] = field(default_factory=list)
    restored: list[tuple[Any, Any, int]] = field(default_factory=list)
    evaluated: list[tuple[list[str], Evaluation | None]] = field(default_factory=list)
    explained: list[tuple[list[str], Interventions | None]] = field(default_factory=list)

    def wake(self) -> None:
        self.woken.append(self.root)

    def device_note(self) -> str:
        return ""

    def denoise(self, runs: Sequence[RunSnapshot], specs: Sequence[TrajectorySpec]) -> str:
        self.specs.extend((run.label, spec) for run, spec in zip(runs, specs, strict=True))
        return "computing"

    def restore(self, run: RunSnapshot, image: Any, known: Any, *, seed: int) -> Any:
        self.restored.append((image, known, seed))
        folder = run.run.path / "restored"
        return FakeJob(), folder / "restored.png"

    def evaluate(self, groups: Sequence[tuple[Sequence[RunSnapshot], Evaluation | None]]) -> str:
        self.evaluated.extend(([run.label for run in runs], like) for runs, like in groups)
        return "evaluating"

    def explain(self, groups: Sequence[tuple[Sequence[RunSnapshot], Interventions | None]]) -> str:
        self.explained.extend(([run.label for run in runs], like) for runs, like in groups)
        return "explaining"


@dataclass
class Driven:
    """A running dashboard."""

    app: Dashboard
    pilot: Pilot[Any]
    control: QuietControl

    @property
    def board(self) -> Board:
        return self.app.board

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds; fail at the deadline."""
        deadline = time.monotonic() + DEADLINE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError("waited in vain")
            await self.pilot.pause(0.01)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    def text(self) -> str:
        """Text of the screen."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip) for strip in strips)

    def notifications(self) -> list[str]:
        """Messages of the notifications."""
        return [notification.message for notification in self.app._notifications]


def make_app(root: Path, **keywords: Any) -> Dashboard:
    """Make a dashboard with the fixtures' clock that starts no processes."""
    usual = {"machine": lambda: LOAD, "settings": Settings(refresh=0.1)}
    return Dashboard(QuietControl(root, now=lambda: NOW), **{**usual, **keywords})


async def ready(pilot: Pilot[Any]) -> None:
    """Wait until a snapshot of all runs is drawn and the reader has nothing new."""
    app = pilot.app
    assert isinstance(app, Dashboard)
    deadline = time.monotonic() + DEADLINE
    while not app.is_open or (app.board.selection.snapshot or Snapshot(unread=1)).unread:
        assert time.monotonic() < deadline, "waited in vain"
        await pilot.pause(0.01)
    await pilot.pause()
    panel = app.board.query_one(SystemPanel)
    while panel.display and panel.load is None:
        assert time.monotonic() < deadline, "waited in vain"
        await pilot.pause(0.01)
    await pilot.pause()


async def still(pilot: Pilot[Any]) -> None:
    """Wait until the screen no longer changes, because threads have read and drawn all."""
    deadline = time.monotonic() + DEADLINE
    seen, alike = "", 0
    while alike < 4:
        assert time.monotonic() < deadline, "the screen never came to rest"
        await pilot.pause(0.03)
        before, seen = seen, pilot.app.export_screenshot()
        alike = alike + 1 if seen == before and not _chart_is_due(pilot.app) else 0


def _chart_is_due(app: App[Any]) -> bool:
    """Return whether the board's chart is not up to date, which is drawn once a second at most."""
    return isinstance(app, Dashboard) and app.board._chart_timer is not None


@asynccontextmanager
async def dashboard(root: Path, size: tuple[int, int] = (120, 36), **keywords: Any) -> AsyncIterator[Driven]:
    """Run the app without a terminal, until its first snapshot is drawn."""
    app = make_app(root, **keywords)
    async with app.run_test(size=size) as pilot:
        assert isinstance(app.control, QuietControl)
        driven = Driven(app, pilot, app.control)
        await ready(pilot)
        yield driven
