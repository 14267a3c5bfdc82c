"""Examples in docstrings, and the epoch slider."""

import doctest
import importlib

import pytest

from tests.support.widget_bench import WidgetApp
from tui.widgets.epoch_slider import EpochSlider


@pytest.mark.parametrize(
    "name",
    [
        "tui.state.formatting",
        "tui.state.run_draft",
        "tui.screens.schedules.noising",
        "tui.screens.schedules.table",
        "tui.widgets.charts.ticks",
        "tui.widgets.charts.decimation",
        "tui.widgets.charts.canvas",
        "tui.widgets.epoch_slider",
    ],
)
def test_the_examples_in_docstrings_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert result.attempted > 0


async def test_the_slider_shows_the_current_epoch_and_a_click_requests_another() -> None:
    slider = EpochSlider()
    requested: list[int | None] = []

    class Listening(WidgetApp):
        def on_epoch_slider_epoch_requested(self, message: EpochSlider.EpochRequested) -> None:
            requested.append(message.epoch)

    async with Listening(slider).run_test(size=(80, 3)) as pilot:
        assert "no images yet" in str(slider.render())
        slider.show(range(10, 110, 10), 30)
        await pilot.pause()
        assert "epoch  30 of 100" in str(slider.render())
        assert "held" in str(slider.render())
        slider.show(range(10, 110, 10), None)
        assert "latest" in str(slider.render())
        slider.show(range(10, 110, 10), 30, playing=True)
        assert "playing" in str(slider.render())
        await pilot.pause()
        await pilot.click(slider, offset=(19, 0))
        await pilot.click(slider, offset=(79, 0))
        await pilot.pause()
        assert requested[0] == 10
        assert requested[-1] is None


async def test_a_slider_with_one_epoch_or_little_room_still_shows_it() -> None:
    slider = EpochSlider()
    async with WidgetApp(slider).run_test(size=(24, 1)) as pilot:
        slider.show([7], None)
        await pilot.pause()
        assert str(slider.render()).strip().startswith("epoch 7 of 7")
        await pilot.resize_terminal(80, 1)
        await pilot.pause()
        assert "●" in str(slider.render())
