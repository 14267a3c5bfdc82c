"""Replay on the screens: their content at a time, and the keys and the bar that seek."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from core.runs.status import State
from core.runs.trajectory import TrajectorySpec
from tests.cli.test_ddpm_tui import call
from tests.support.fake_groups import comparison
from tests.support.fake_images import write_strip
from tests.support.fake_runs import CREATED, dashboard_run, write_evaluation, write_trajectory
from tests.support.tui_pilot import LOAD, Driven, ready, still
from tui.replay.app import ReplayDashboard
from tui.replay.bar import ReplayBar
from tui.replay.control import REFUSAL
from tui.replay.recording import find_recordings


def recorded(root: Path, *, clean: bool = True) -> None:
    """A finished comparison whose runs ended one after the other, 40 seconds apart, with strips."""
    for place, run in enumerate(comparison(root, "finished", clean=clean)):
        for epoch in (10, 20, 30, 40):
            write_strip(run, epoch)
        status = run.read_status()
        run.write_status(msgspec.structs.replace(status, heartbeat=CREATED.timestamp() + 230 + 40 * place))


def replaying(root: Path, *, at: float) -> ReplayDashboard:
    """The app, standing still at a second."""
    app = ReplayDashboard(root, find_recordings(root, ["quick-20261124-101502"]))
    app.machine = lambda: LOAD  # and not how busy the tests keep theirs
    app.clock.pause()
    app.clock.seek(at)
    return app


@asynccontextmanager
async def replay(root: Path, *, at: float, size: tuple[int, int] = (120, 36)) -> AsyncIterator[Driven]:
    app = replaying(root, at=at)
    async with app.run_test(size=size) as pilot:
        await ready(pilot)
        yield Driven(app, pilot, app.control)  # type: ignore[arg-type]  # a control that does nothing at all


def states(driven: Driven) -> list[State]:
    return [run.state for run in driven.board.runs]


async def test_runs_pass_from_queued_to_running_to_finished(tmp_path: Path) -> None:
    recorded(tmp_path)
    async with replay(tmp_path, at=0.0) as driven:
        app = driven.app
        assert isinstance(app, ReplayDashboard)
        assert set(states(driven)) == {State.QUEUED}
        app.clock.seek(150.0)
        await driven.until(lambda: State.RUNNING in states(driven))
        epochs = [run.status.epoch for run in driven.board.runs]
        assert epochs == sorted(epochs, reverse=True) or 0 in epochs
        assert "queue is idle" not in driven.text()
        app.clock.seek(1e9)
        await driven.until(lambda: set(states(driven)) == {State.FINISHED})
        assert all(run.status.epoch == 40 for run in driven.board.runs)


@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=str)
async def test_every_screen_has_the_bar_of_the_replay_and_keeps_its_own_lines(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    recorded(tmp_path)
    async with replay(tmp_path, at=150.0, size=size) as driven:
        for key, title, last in (
            ("", "ddpm-tui", "quit"),
            ("c", "compare", "back"),
            ("d", "denoise", "back"),
        ):
            if key:
                await driven.press(key)
            await driven.until(lambda: "REPLAY 00:02:30 of 00:06" in driven.text().splitlines()[0])
            await driven.until(lambda title=title: title in driven.text().splitlines()[1])
            assert last in driven.text().splitlines()[-1]


async def test_a_comparison_shows_only_what_was_recorded_by_then(tmp_path: Path) -> None:
    recorded(tmp_path)
    async with replay(tmp_path, at=60.0, size=(160, 50)) as driven:
        await driven.press("c")
        assert isinstance(driven.app, ReplayDashboard)
        await driven.until(lambda: "queued" in driven.text())
        assert "40/40" not in driven.text()
        driven.app.clock.seek(1e9)
        await driven.until(lambda: driven.text().count("40/40") == 5)
        driven.app.clock.seek(60.0)
        await driven.until(lambda: "40/40" not in driven.text())


async def test_no_screen_offers_a_key_that_a_replay_refuses(tmp_path: Path) -> None:
    recorded(tmp_path)
    async with replay(tmp_path, at=150.0, size=(160, 50)) as driven:
        for keys in ((), ("c",), ("d",), ("m",), ("escape", "escape", "b"), ("escape", "s")):
            await driven.press(*keys)
            await still(driven.pilot)
            words = driven.text()
            for offer in (
                "x stop",
                "r resume",
                "r extend",
                "n new",
                "f fit",
                "m make",
                "⏎ compute",
                "⏎ evaluate",
            ):
                assert offer not in words, keys


async def test_what_was_computed_of_a_later_epoch_is_not_shown_before_it(tmp_path: Path) -> None:
    recorded(tmp_path)
    run = find_recordings(tmp_path, ["quick-20261124-101502"])[0].run
    write_evaluation(run, 0.5, epoch=16)
    write_trajectory(run, TrajectorySpec("ddpm", 1000), epoch=16)
    async with replay(tmp_path, at=0.0, size=(160, 50)) as driven:
        app = driven.app
        assert isinstance(app, ReplayDashboard)

        async def seek(epoch: int) -> None:
            first, timeline = app.reader.recordings[0], app.reader.timeline
            reached = first.started + float(first.epoch_seconds[epoch - 1])
            seconds = range(int(timeline.length))
            app.clock.seek(next(at for at in seconds if timeline.wall_clock(at) >= reached))
            await driven.until(
                lambda: app.snapshot is not None and app.snapshot.runs[0].status.epoch == epoch
            )
            await still(driven.pilot)

        await seek(4)
        await driven.press("c")
        for epoch, shown in ((5, False), (16, True), (4, False)):
            await seek(epoch)
            await driven.until(lambda shown=shown: ("50.0" in driven.text()) is shown)
        await driven.press("d", "m")
        await driven.until(lambda: "computed at" in driven.text())
        for epoch, shown in ((16, True), (4, False)):
            await seek(epoch)
            await driven.until(lambda shown=shown: ("predicted x_0" in driven.text()) is shown)
            assert ("computed at" in driven.text()) is not shown


async def test_the_keys_pause_seek_and_change_the_speed(tmp_path: Path) -> None:
    recorded(tmp_path)
    async with replay(tmp_path, at=150.0) as driven:
        assert isinstance(driven.app, ReplayDashboard)
        time = driven.app.clock
        twentieth = time.length / 20
        await driven.press("A")
        assert time.position == pytest.approx(150.0 + twentieth)
        await driven.press("B", "f7")
        assert time.position == pytest.approx(150.0 - twentieth)
        speed = time.speed
        await driven.press("F")
        assert time.speed > speed
        await driven.press("S", "S")
        assert time.speed < speed
        await driven.press("P")
        assert time.playing
        await driven.press("f8")
        assert not time.playing
        time.seek(1e9)
        await driven.until(lambda: "again" in driven.text().splitlines()[0])
        await driven.press("P")
        assert time.position < time.length


async def test_a_replay_that_plays_arrives_at_its_end(tmp_path: Path) -> None:
    recorded(tmp_path)
    async with replay(tmp_path, at=0.0) as driven:
        assert isinstance(driven.app, ReplayDashboard)
        await driven.press("P", *["F"] * 9)
        await driven.until(lambda: set(states(driven)) == {State.FINISHED})
        assert driven.app.clock.at_end


async def test_a_click_on_the_slider_goes_there_on_every_screen(tmp_path: Path) -> None:
    recorded(tmp_path)
    async with replay(tmp_path, at=0.0) as driven:
        assert isinstance(driven.app, ReplayDashboard)
        for key in ("", "c", "d"):
            if key:
                await driven.press(key)
            await driven.until(lambda: driven.app.screen.query(ReplayBar))
            bar = driven.app.screen.query_one(ReplayBar)
            await driven.until(lambda bar=bar: bar._track[1])
            start, room = bar._track
            driven.app.clock.seek(0.0)
            assert await driven.pilot.click(bar, offset=(start + room - 1, 0))
            await driven.until(lambda: driven.app.clock.at_end)


@pytest.mark.parametrize(
    "keys", [("x",), ("X",), ("r",), ("R",), ("D",), ("n",), ("y",), ("d", "enter")], ids=str
)
async def test_actions_that_would_change_runs_are_refused_in_one_line(
    tmp_path: Path, keys: tuple[str, ...]
) -> None:
    recorded(tmp_path)
    before = sorted(path for path in tmp_path.rglob("*"))
    async with replay(tmp_path, at=150.0) as driven:
        await driven.press(*keys)
        await driven.until(lambda: REFUSAL in driven.notifications())
        assert len(driven.app.screen_stack) == len(keys)
    assert sorted(path for path in tmp_path.rglob("*")) == before


async def test_runs_of_several_groups_are_all_shown(tmp_path: Path) -> None:
    ids = [
        dashboard_run(
            tmp_path, name, state=State.FINISHED, epoch=3, epochs=3, index=place, group=f"g{place}"
        ).id
        for place, name in enumerate(("linear", "sine"))
    ]
    app = ReplayDashboard(tmp_path, find_recordings(tmp_path, ids))
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot)
        driven = Driven(app, pilot, app.control)  # type: ignore[arg-type]  # a control that does nothing at all
        await driven.until(lambda: len(app.board.runs) == 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--replay"], "expected at least one argument"),
        (["--replay", "nobody"], "there are no runs here"),
        (["quick", "--replay", "latest"], "it takes no RECIPE"),
        (["--replay", "latest", "--no-start"], "no --no-start"),
    ],
    ids=str,
)
def test_a_replay_of_unknown_runs_is_refused_before_the_screen_is_taken_over(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, out, err = call(*arguments, cwd=tmp_path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def at_rest(*keys: str) -> Callable[[Pilot[Any]], Any]:
    async def until_drawn(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press(*keys)
        driven = Driven(pilot.app, pilot, pilot.app.control)  # type: ignore[arg-type, attr-defined]
        await driven.until(lambda: "REPLAY 00:02:30" in driven.text())
        await still(pilot)

    return until_drawn


@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_replay_looks_as_it_did(
    snap_compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    recorded(tmp_path)
    assert snap_compare(replaying(tmp_path, at=150.0), terminal_size=size, run_before=at_rest())
