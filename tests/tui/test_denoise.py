"""The denoise screen, driven by keys."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot

from core.runs.status import State
from core.runs.trajectory import TrajectorySpec
from tests.support.fake_groups import THREE, three_runs
from tests.support.fake_images import states, write_strip
from tests.support.fake_runs import dashboard_run, write_trajectory
from tests.support.tui_pilot import Driven, dashboard, make_app, ready
from tui.commands import DENOISE
from tui.screens.compare.screen import CompareScreen
from tui.screens.denoise.screen import DenoiseScreen
from tui.widgets.images.image_wall import ImageWall
from tui.widgets.scrubber import Scrubber


async def denoise(driven: Driven) -> DenoiseScreen:
    """Press d and wait for the screen."""
    await driven.press("d")
    await driven.until(lambda: isinstance(driven.app.screen, DenoiseScreen) and driven.app.screen.runs)
    await driven.pilot.pause()
    screen = driven.app.screen
    assert isinstance(screen, DenoiseScreen)
    return screen


def images(screen: DenoiseScreen) -> list[Any]:
    return [one.images for one in screen.query_one("#wall", ImageWall).columns]


async def test_finished_images_first_then_back_to_the_noise_all_runs_together(tmp_path: Path) -> None:
    three_runs(tmp_path)
    async with dashboard(tmp_path, (120, 40)) as driven:
        screen = await denoise(driven)
        assert "saved during training · epoch 4" in driven.text()
        assert "t    0 of 1000" in driven.text()
        for place, shown in enumerate(images(screen)):
            assert np.array_equal(shown, states(10, seed=3 + place)[-1])
        await driven.press("left")
        assert "t  111 of 1000" in driven.text()
        assert driven.text().count("t 111 ") == 3
        await driven.press("home")
        assert all(np.array_equal(shown, states(10)[0]) for shown in images(screen))
        await driven.press("left", "pageup")
        assert "t 1000 of 1000" in driven.text()
        await driven.press("pagedown", "right", "right")
        assert "t  667 of 1000" in driven.text()
        await driven.press("end", "right")
        assert screen.model.fraction == 1.0
        screen.query_one(Scrubber).request_index(4)
        await driven.until(lambda: "t  556 of 1000" in driven.text())


async def test_it_plays_from_noise_to_image_and_pauses_there(tmp_path: Path) -> None:
    three_runs(tmp_path)
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await denoise(driven)
        await driven.press("plus", "plus", "plus")
        assert "in 2 s" in driven.text()
        await driven.press("space")
        assert "▶ in 2 s" in driven.text()
        assert screen.model.fraction < 1.0
        await driven.until(lambda: 0.2 < screen.model.fraction < 1.0)
        await driven.press("minus")
        assert "▶ in 5 s" in driven.text()
        await driven.press("equals_sign")
        await driven.until(lambda: screen.model.fraction == 1.0)
        assert "▶" not in driven.text()
        await driven.press("space", "space")
        assert "▶" not in driven.text()
        assert screen.model.fraction < 1.0


async def test_brackets_step_through_the_saved_epochs(tmp_path: Path) -> None:
    three_runs(tmp_path)
    async with dashboard(tmp_path, (120, 40)) as driven:
        screen = await denoise(driven)
        await driven.press("left_square_bracket")
        assert "epoch 2" in driven.text()
        assert screen.model.epoch == 2
        await driven.press("right_square_bracket")
        assert screen.model.epoch is None
        await driven.press("m", "left_square_bracket")
        assert any("only the last checkpoint can be sampled" in said for said in driven.notifications())


async def test_missing_trajectories_are_computed_on_enter_and_then_shown(tmp_path: Path) -> None:
    directories = three_runs(tmp_path)
    write_trajectory(directories[0], TrajectorySpec("ddpm", 1000), epoch=4)
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await denoise(driven)
        await driven.press("m")
        assert "ddpm · 1000 steps · epoch 4" in driven.text()
        assert driven.text().count("computes it") == 2
        await driven.press("enter")
        await driven.until(lambda: len(driven.control.specs) == 2)
        assert driven.control.specs == [
            ("sine", TrajectorySpec("ddpm", 1000)),
            ("x^10", TrajectorySpec("ddpm", 1000)),
        ]
        for directory in directories[1:]:
            write_trajectory(directory, TrajectorySpec("ddpm", 1000), epoch=4)
        await driven.until(lambda: driven.text().count("predicted x_0") == 3)
        assert len(images(screen)) == 6
        assert np.array_equal(images(screen)[1], 255 - images(screen)[0])
        await driven.press("enter")
        assert "all trajectories are computed" in driven.notifications()
        await driven.press("p")
        assert len(images(screen)) == 3


async def test_another_number_of_steps_and_another_sampler_are_other_trajectories(tmp_path: Path) -> None:
    three_runs(tmp_path)
    async with dashboard(tmp_path, (120, 40)) as driven:
        await denoise(driven)
        await driven.press("N")
        assert "ddpm · 500 steps" in driven.text()
        await driven.press("n", "n")
        assert "ddpm · 1000 steps" in driven.text()
        assert any("no more steps" in said for said in driven.notifications())
        await driven.press(*["N"] * 9)
        assert "ddpm · 1 step" in driven.text()
        assert "1 steps" not in driven.text()
        await driven.press("n", "n", "m", "enter")
        assert "ddim · 5 steps · eta 0" in driven.text()
        await driven.until(lambda: driven.control.specs)
        assert driven.control.specs == [(name, TrajectorySpec("ddim", 5)) for name in THREE]
        await driven.press(*["n"] * 8)
        assert "ddim · 1000 steps" in driven.text()
        await driven.press("m", "m")
        assert "unipc · 1000 steps" in driven.text()
        assert "1000 steps · eta" not in driven.text()  # it has none
        await driven.press("m")
        assert "churn · 1000 steps · eta 0" in driven.text()
        await driven.press("m")
        assert "saved during training" in driven.text()
        await driven.press("p")
        assert any("saves x_t only" in said for said in driven.notifications())


async def test_a_trajectory_older_than_the_training_is_computed_again(tmp_path: Path) -> None:
    for directory in three_runs(tmp_path):
        write_trajectory(directory, TrajectorySpec("ddpm", 50), epoch=3)
    async with dashboard(tmp_path, (120, 40)) as driven:
        screen = await denoise(driven)
        screen.model.sampler, screen.model.steps = "ddpm", 50
        screen.update()
        await driven.pilot.pause()
        assert "trained further since:" in driven.text()
        await driven.press("enter")
        await driven.until(lambda: len(driven.control.specs) == 3)


async def test_a_run_without_a_checkpoint_is_not_computed(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", epoch=1)
    async with dashboard(tmp_path, (120, 40)) as driven:
        await denoise(driven)
        assert "its first strip comes with" in driven.text()
        await driven.press("space", "left", "left_square_bracket", "enter")
        assert {"there is nothing to play yet", "no run has a checkpoint yet"} <= set(driven.notifications())
        assert driven.control.specs == []


async def test_strips_grow_as_they_are_played_and_noises_change_all_of_them(tmp_path: Path) -> None:
    for directory in three_runs(tmp_path):
        write_trajectory(directory, TrajectorySpec("ddpm", 50), epoch=4)
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await denoise(driven)
        await driven.press("tab")
        assert screen.view == "strips"
        walls = list(screen.query("#strips > ImageWall").results(ImageWall))

        def shown(place: int) -> list[Any]:
            return [one.images for one in walls[place].columns if one.images is not None]

        assert [len(shown(place)) for place in range(3)] == [10, 10, 10]
        assert "noise 1 of 5" in driven.text()
        await driven.press("left", "left", "left")
        assert len(shown(1)) == 7
        assert np.array_equal(shown(1)[-1], states(10, seed=4)[6][:1])
        await driven.press("down", "down")
        assert "noise 3 of 5" in driven.text()
        assert np.array_equal(shown(1)[-1], states(10, seed=4)[6][2:3])
        screen.model.sampler, screen.model.steps = "ddpm", 50
        await driven.press("end")
        assert shown(0)[0].shape == (1, 32, 32)
        assert "t 120" in driven.text()
        await driven.pilot.resize_terminal(160, 70)
        await driven.until(lambda: shown(0)[0].shape == (2, 32, 32))
        await driven.press("up", "up", "up", "up")
        assert "noise 1 of 5" in driven.text()
        await driven.press("1")
        assert screen.view == "images"


async def test_further_runs_and_noises_are_reached_in_a_small_terminal(tmp_path: Path) -> None:
    for place in range(8):
        write_strip(
            dashboard_run(tmp_path, "linear", state=State.STOPPED, epoch=2, index=place, seed=place), 2
        )
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await denoise(driven)
        wall = screen.query_one("#wall", ImageWall)
        await driven.press("full_stop", "down")
        assert (wall.first_column, wall.first_row) == (1, 1)
        await driven.press("comma", "up", "2", "full_stop")
        assert (wall.first_column, wall.first_row) == (0, 0)
        assert screen.query_one("#strips").scroll_offset.y > 0
        for widget in screen.query("*"):
            if widget.display and widget.size and not isinstance(widget, ImageWall):
                assert widget.region.right <= 80
                assert widget.region.bottom <= 24


async def test_runs_that_are_deleted_leave_the_screen(tmp_path: Path) -> None:
    directories = three_runs(tmp_path)
    async with dashboard(tmp_path, (120, 40)) as driven:
        screen = await denoise(driven)
        await driven.press("2")
        shutil.rmtree(directories[0].path)
        await driven.until(lambda: sum(wall.display for wall in screen.query("#strips > ImageWall")) == 2)
        for directory in directories[1:]:
            shutil.rmtree(directory.path)
        await driven.until(lambda: "no longer here" in driven.text())
        await driven.press("space", "left", "end", "down", "m", "n", "enter", "p", "full_stop", "tab", "down")
        await driven.press("escape")
        assert driven.app.screen is driven.board


@pytest.mark.parametrize("key", ["escape", "q", "d"])
async def test_back_to_the_comparison_from_which_it_was_opened(tmp_path: Path, key: str) -> None:
    three_runs(tmp_path)
    async with dashboard(tmp_path, (120, 40)) as driven:
        await driven.press("1", "space", "3", "space", "c")
        await driven.until(lambda: isinstance(driven.app.screen, CompareScreen) and driven.app.screen.runs)
        screen = await denoise(driven)
        assert [run.label for run in screen.runs] == ["linear", "x^10"]
        assert [one.title for one in screen.query_one("#wall", ImageWall).columns] == ["1 linear", "3 x^10"]
        await driven.press(key)
        assert isinstance(driven.app.screen, CompareScreen)


async def test_help_lists_every_key_of_the_screen(tmp_path: Path) -> None:
    three_runs(tmp_path)
    async with dashboard(tmp_path, (120, 70)) as driven:
        await denoise(driven)
        await driven.press("question_mark")
        for command in DENOISE:
            assert command.text in driven.text()


async def test_no_size_of_terminal_breaks_it(tmp_path: Path) -> None:
    three_runs(tmp_path)
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await denoise(driven)
        for size in ((20, 5), (30, 8), (250, 70), (80, 24)):
            await driven.pilot.resize_terminal(*size)
            await driven.press("left", "tab", "left", "down", "m", "n")
            assert screen.size == size


# Snapshots


@pytest.fixture
def _truecolor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")


def pressed(*keys: str) -> Callable[[Pilot[Any]], Any]:
    async def until_drawn(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("d", *keys)
        await pilot.pause()

    return until_drawn


@pytest.mark.usefixtures("_truecolor")
@pytest.mark.parametrize("size", [(80, 24), (120, 36), (160, 50)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("keys", [(), ("tab", "left", "left"), ("m",)], ids=["kept", "strips", "computed"])
def test_it_looks_as_it_did(
    snap_compare: Any, tmp_path: Path, size: tuple[int, int], keys: tuple[str, ...]
) -> None:
    for directory in three_runs(tmp_path, size=16)[:2]:
        write_trajectory(directory, TrajectorySpec("ddpm", 1000), epoch=4, size=16)
    assert snap_compare(make_app(tmp_path), terminal_size=size, run_before=pressed(*keys))
