"""Closed screens are released, so memory does not grow with use."""

import gc
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import ref

from textual.screen import Screen
from textual.widget import Widget

from tests.support.fake_groups import five_runs
from tests.support.tui_pilot import LOAD, dashboard
from tui.screens.board.system_panel import SystemPanel
from tui.screens.compare.screen import CompareScreen
from tui.state.system_load import SystemLoad
from tui.textual_ext.signals import subscribe_weakly

SCREENS = ("c", "d", "s", "b", "n", "T", "question_mark")
"""Keys that open one each."""


async def test_closed_screens_are_forgotten_with_all_that_they_had_drawn(tmp_path: Path) -> None:
    five_runs(tmp_path)
    async with dashboard(tmp_path) as driven:
        closed: list[ref[object]] = []
        for key in SCREENS:
            await driven.press(key)
            await driven.until(lambda: driven.app.screen is not driven.board)
            await driven.pilot.pause()
            closed += _parts(driven.app.screen)
            await driven.press("escape")
            await driven.until(lambda: driven.app.screen is driven.board)

        def forgotten() -> bool:
            gc.collect()
            return all(part() is None for part in closed)

        await driven.until(forgotten)


def _parts(screen: Screen[Any]) -> list[ref[object]]:
    """Everything on a screen, and what holds the lines that it drew."""
    widgets = [screen, *screen.query("*")]
    return [ref(part) for widget in widgets for part in (widget, widget._styles_cache)]


async def test_a_subscriber_is_called_until_it_is_closed(tmp_path: Path) -> None:
    five_runs(tmp_path)
    async with dashboard(tmp_path) as driven:
        await driven.press("c")
        compare = driven.app.screen
        assert isinstance(compare, CompareScreen)
        called: list[Widget] = []

        class Listener(Widget):
            def hear(self) -> None:
                called.append(self)

        listener = Listener()
        await compare.mount(listener)
        subscribe_weakly(listener, driven.app.theme_changed_signal, listener.hear)
        driven.app.theme = "ddpm-light"
        await driven.until(lambda: called == [listener])
        await listener.remove()
        driven.app.theme = "ddpm-dark"
        await driven.pilot.pause()
        await driven.pilot.pause()
        assert called == [listener]


async def test_a_look_at_the_machine_that_ends_after_the_panel_was_closed_is_no_error(tmp_path: Path) -> None:
    five_runs(tmp_path)
    asked, answer, loads = threading.Event(), threading.Event(), [LOAD]

    def look() -> SystemLoad:
        if loads:
            return loads.pop()
        asked.set()
        answer.wait(30)
        return replace(LOAD, cpu=0.99)

    async with dashboard(tmp_path, (160, 50), machine=look) as driven:
        driven.board._refresh_system()
        await driven.until(asked.is_set)
        looks = [worker for worker in driven.app.workers if worker.group == "system"]
        await driven.board.query_one(SystemPanel).remove()
        answer.set()
        await driven.until(lambda: all(worker.is_finished for worker in looks))
        assert looks
        assert {worker.error for worker in looks} == {None}
