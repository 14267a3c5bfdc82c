"""Private names of Textual and textual-serve: all are there, one module uses them, and none is missed silently."""

import ast
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import rich.text
import textual.content
from textual._compositor import Compositor
from textual._context import visible_screen_stack
from textual._styles_cache import StylesCache
from textual.app import App
from textual.drivers._writer_thread import WriterThread
from textual.drivers.linux_driver import LinuxDriver
from textual.screen import Screen
from textual.widgets._toast import Toast

from core.errors import UserError
from tests.support import ROOT
from tui.textual_ext import compat
from tui.web import Address, serve


class Plain(App[None]):
    """An app without anything of ours."""


class Covering(compat.CoveredScreensMixin, App[None]):
    """An app that skips covered screens."""


class Opaque(Screen[None]):
    CSS = "Opaque { background: black; }"


def linux_driver() -> Any:
    return LinuxDriver(Plain())


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(lambda: hasattr(Plain(), "_driver"), id="App._driver"),
        pytest.param(lambda: isinstance(App._background_screens, property), id="App._background_screens"),
        pytest.param(lambda: visible_screen_stack.set, id="textual._context.visible_screen_stack"),
        pytest.param(lambda: isinstance(Screen()._compositor, Compositor), id="Screen._compositor"),
        pytest.param(lambda: Compositor.render_strips, id="Compositor.render_strips"),
        pytest.param(lambda: StylesCache.get_inner_outer.cache_clear, id="StylesCache.get_inner_outer"),
        pytest.param(lambda: list(compat.key_events("a")), id="textual._xterm_parser.XTermParser.feed"),
        pytest.param(lambda: hasattr(linux_driver(), "_key_thread"), id="LinuxDriver._key_thread"),
        pytest.param(lambda: LinuxDriver._run_input_thread, id="LinuxDriver._run_input_thread"),
        pytest.param(lambda: linux_driver().exit_event.is_set, id="LinuxDriver.exit_event"),
        pytest.param(lambda: hasattr(linux_driver(), "_writer_thread"), id="LinuxDriver._writer_thread"),
        pytest.param(lambda: WriterThread(sys.stdout)._queue.qsize, id="WriterThread._queue"),
        pytest.param(
            lambda: linux_driver()._in_band_window_resize is False, id="LinuxDriver._in_band_window_resize"
        ),
        pytest.param(lambda: textual.content._strip_control_codes, id="textual.content._strip_control_codes"),
        pytest.param(lambda: rich.text.strip_control_codes, id="rich.text.strip_control_codes"),
        pytest.param(lambda: Toast._css_type_name == "Toast", id="textual.widgets._toast.Toast"),
    ],
)
async def test_this_private_name_of_textual_is_there(found: Callable[[], object]) -> None:
    assert found()


def test_the_codes_of_synchronized_updates_are_textual_s() -> None:
    from textual._ansi_sequences import SYNC_END, SYNC_START

    assert (compat.SYNC_START, compat.SYNC_END) == (SYNC_START, SYNC_END)


async def test_textual_asks_the_app_which_screens_are_in_the_background() -> None:
    async with Covering().run_test() as pilot:
        below = pilot.app.screen
        await pilot.app.push_screen(Opaque())
        assert not below.is_current
        assert compat.driver_of(pilot.app) is not None
        assert compat.rendered_strips(pilot.app)
        before = StylesCache.get_inner_outer.cache_info().misses
        await pilot.app.pop_screen()
        # Clearing the cache resets its counters. The screen below may have been drawn since.
        assert StylesCache.get_inner_outer.cache_info().misses < before


def private_uses(source: str, ours: set[str]) -> list[str]:
    """Private names in a module that are not defined in the dashboard, ``line: name``."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            parts = [*node.module.split("."), *(name.name for name in node.names)]
            if node.module.split(".")[0] in ("textual", "textual_serve"):
                found += [f"{node.lineno}: {part}" for part in parts if part.startswith("_")]
        elif isinstance(node, ast.Import):
            names = [name.name for name in node.names if name.name.startswith("textual")]
            found += [f"{node.lineno}: {name}" for name in names if "._" in name]
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__"):
            found += [] if node.attr in ours else [f"{node.lineno}: {node.attr}"]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("attr"):
            names = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            found += [f"{node.lineno}: {name}" for name in names if str(name).startswith("_")]
    return found


def private_definitions(source: str) -> set[str]:
    """Private names that a module defines: functions, classes, variables, attributes and fields."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.id if isinstance(node, ast.Name) else node.attr)
    return {name for name in found if name.startswith("_")}


COMPAT = Path(compat.__file__)
OTHERS = [path for path in sorted((ROOT / "tui").rglob("*.py")) if path != COMPAT]


def test_no_other_module_of_the_dashboard_uses_a_private_name_of_textual() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in OTHERS}
    ours = {
        "_exit",
        "_replace",
        *(name for source in sources.values() for name in private_definitions(source)),
    }
    found = {
        str(path.relative_to(ROOT)): used
        for path, source in sources.items()
        if (used := private_uses(source, ours))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("source", "uses"),
    [
        ("from textual._context import active_app", ["1: _context"]),
        ("from textual.widgets import _toast", ["1: _toast"]),
        ("import textual._xterm_parser", ["1: textual._xterm_parser"]),
        ("self._driver.write()", ["1: _driver"]),
        ("getattr(app, '_driver', None)", ["1: _driver"]),
        ("self._mine.__class__", []),
        ("from textual.widgets import Static", []),
    ],
)
def test_the_search_for_private_names_finds_what_it_should(source: str, uses: list[str]) -> None:
    assert private_uses(source, {"_mine"}) == uses


# Where a name is gone


async def test_a_hidden_queue_of_writes_leaves_the_limit_of_bytes_and_says_so() -> None:
    driver = linux_driver()
    assert "screen may lag" in compat.backlog_warning(driver)
    driver._writer_thread = WriterThread(sys.stdout)
    assert compat.backlog_warning(driver) == ""
    driver._writer_thread.write("waits")
    assert compat.queued_writes(driver) == 1
    del driver._writer_thread._queue
    assert compat.queued_writes(driver) == 0
    assert "screen may lag" in compat.backlog_warning(driver)
    del driver._writer_thread
    assert compat.queued_writes(driver) == 0
    assert "screen may lag" in compat.backlog_warning(driver)


async def test_other_drivers_have_no_queue_to_warn_of() -> None:
    async with Plain().run_test() as pilot:
        driver = compat.driver_of(pilot.app)
        assert driver is not None
        assert compat.backlog_warning(driver) == compat.backlog_warning(None) == ""
        assert not compat.reports_size_in_band(driver)
        with compat.paused_input(driver) as paused:
            assert not paused


def test_keys_are_lost_rather_than_the_dashboard_without_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "textual._xterm_parser", None)
    assert list(compat.key_events("abc")) == []


async def test_an_export_is_refused_in_one_line_without_the_compositor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Plain().run_test() as pilot:
        monkeypatch.setitem(sys.modules, "textual._context", None)
        with pytest.raises(UserError, match="cannot be exported from"):
            compat.rendered_strips(pilot.app)


async def test_a_screen_closes_without_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Covering().run_test() as pilot:
        await pilot.app.push_screen(Opaque())
        monkeypatch.setattr("textual._styles_cache.StylesCache", SimpleNamespace())
        await pilot.app.pop_screen()
        assert len(pilot.app.screen_stack) == 1


# The guard of `ddpm-tui --web`


class Hooked:
    """textual-serve's server, as far as it is guarded."""

    def __init__(self, *arguments: object, **keywords: object) -> None:
        self.app = SimpleNamespace(middlewares=[])
        self.served = False

    async def _make_app(self) -> Any:
        return self.app

    def serve(self) -> None:
        self.served = True
        coroutine = self._make_app()
        with pytest.raises(StopIteration):
            coroutine.send(None)


class WithoutHook:
    def __init__(self, *arguments: object, **keywords: object) -> None:
        """Has no hook."""

    def serve(self) -> None:
        pytest.fail("served without a guard")


class WithUnusedHook(WithoutHook):
    async def _make_app(self) -> Any:
        """Nobody calls it."""


def fake_textual_serve(monkeypatch: pytest.MonkeyPatch, server: type[Any]) -> None:
    aiohttp, package, module = (
        ModuleType("aiohttp"),
        ModuleType("textual_serve"),
        ModuleType("textual_serve.server"),
    )
    aiohttp.web = SimpleNamespace(middleware=lambda guard: guard, HTTPForbidden=RuntimeError)  # type: ignore[attr-defined]  # a module
    module.Server = server  # type: ignore[attr-defined]  # a module
    for name, fake in (("aiohttp", aiohttp), ("textual_serve", package), ("textual_serve.server", module)):
        monkeypatch.setitem(sys.modules, name, fake)


@pytest.mark.parametrize("server", [WithoutHook, WithUnusedHook])
def test_a_server_that_cannot_be_guarded_is_not_started(
    server: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_textual_serve(monkeypatch, server)
    with pytest.raises(UserError, match="--web: this release of textual-serve cannot be guarded"):
        serve(Address("localhost", 8000), ["--web"])


def test_a_server_is_guarded_before_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Hooked] = []

    def server(*arguments: object, **keywords: object) -> Hooked:
        made.append(Hooked())
        return made[0]

    fake_textual_serve(monkeypatch, server)  # type: ignore[arg-type]  # a maker of servers
    serve(Address("localhost", 8000), ["--web"])
    assert made[0].served
    assert len(made[0].app.middlewares) == 1


@pytest.mark.skipif(importlib.util.find_spec("textual_serve") is None, reason="needs the extra `web`")
def test_this_private_name_of_textual_serve_is_there() -> None:
    from textual_serve.server import Server

    server = Server("true")
    compat.add_middleware(server, None)
    assert "_make_app" in vars(server)
