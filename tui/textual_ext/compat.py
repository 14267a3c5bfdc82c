"""Private names of Textual and textual-serve; no other module of the dashboard uses any.

A minor release may rename them, so `pyproject.toml` admits only the releases that were tested. Seen in textual 8.2.8
and textual-serve 1.1.3; `tests/unit/tui/textual_ext/test_compat.py` names each one that is gone.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from textual.driver import Driver
from textual.message import Message

from core.errors import UserError
from core.files.sanitize import sanitize

if TYPE_CHECKING:
    from textual.app import App
    from textual.await_complete import AwaitComplete
    from textual.screen import Screen
    from textual.strip import Strip

    AppMixin = App[None]
else:
    AppMixin = object
"""Base of the classes that are mixed into an app: typed as an app, an empty class at runtime.

Textual collects `BINDINGS` from subclasses of `DOMNode` alone, so an app lists the bindings of its mixins itself.
"""

SYNC_START: Final = "\x1b[?2026h"
SYNC_END: Final = "\x1b[?2026l"
"""Begin and end of a synchronized update, as in `textual._ansi_sequences`: literals, because the protocol is fixed."""


def sanitize_drawn_texts() -> None:
    """Have Textual and Rich remove control characters and bidirectional marks from every text that they lay out.

    Both only remove a few control characters. Widgets that make segments themselves sanitize their texts.
    """
    import rich.text
    import textual.content

    for module, name in ((textual.content, "_strip_control_codes"), (rich.text, "strip_control_codes")):
        if hasattr(module, name):
            setattr(module, name, _sanitize_lines)


def _sanitize_lines(text: str) -> str:
    return text if text.isprintable() else sanitize(text, lines=True)


class CoveredScreensMixin(AppMixin):
    """Skip the drawing of screens that an opaque screen covers, and release what closed screens have drawn.

    Textual takes the screen below the topmost one for visible even where the topmost one is opaque. It then draws the
    whole topmost screen again for each message that the lower one receives.
    """

    @property
    def _background_screens(self) -> "list[Screen[Any]]":
        covered = self.screen.styles.background.a == 1
        return [] if covered else super()._background_screens

    def pop_screen(self) -> "AwaitComplete":
        """Close the topmost screen and clear Textual's cache of background styles.

        `StylesCache.get_inner_outer` keeps up to a thousand widgets alive, and with them the lines that they drew last:
        tens of megabytes in a night. The entries of open widgets are computed again in microseconds.
        """
        from textual._styles_cache import StylesCache

        popped = super().pop_screen()
        clear: Callable[[], None] = getattr(
            getattr(StylesCache, "get_inner_outer", None), "cache_clear", lambda: None
        )
        clear()
        return popped


def driver_of(app: "App[Any]") -> Driver | None:
    """The driver of an app; None before the app runs, and where Textual keeps it under another name."""
    driver: Driver | None = getattr(app, "_driver", None)
    return driver


def rendered_strips(app: "App[Any]") -> "list[Strip]":
    """The lines of the topmost screen, composed as Textual does for its own screenshots.

    Raises:
        UserError: this release of Textual composes screens otherwise.
    """
    try:
        from textual._context import visible_screen_stack

        visible_screen_stack.set(app._background_screens)
        return app.screen._compositor.render_strips()
    except (ImportError, AttributeError) as error:
        raise UserError(f"this release of Textual cannot be exported from ({error})") from error


def queued_writes(driver: Driver) -> int:
    """The number of writes that wait in the driver's own thread; 0 where that cannot be seen, see `backlog_warning`."""
    queue = getattr(getattr(driver, "_writer_thread", None), "_queue", None)
    return 0 if queue is None else int(queue.qsize())


def backlog_warning(driver: Driver | None) -> str:
    """The consequence of a writer thread without the queue that `queued_writes` reads; empty where it has one."""
    from textual.drivers.linux_driver import LinuxDriver

    if not isinstance(driver, LinuxDriver) or hasattr(getattr(driver, "_writer_thread", None), "_queue"):
        return ""
    return "this release of Textual hides its queue of writes: on a slow connection the screen may lag"


@contextmanager
def paused_input(driver: Driver) -> Iterator[bool]:
    """Stop the driver's thread that reads keys, and start another one afterwards.

    Yields:
        True once the thread has stopped; False where there is none, as after the terminal is given back.
    """
    thread, read = getattr(driver, "_key_thread", None), getattr(driver, "_run_input_thread", None)
    stop = getattr(driver, "exit_event", None)
    if thread is None or read is None or stop is None:
        yield False
        return
    stop.set()
    thread.join()
    stop.clear()
    try:
        yield True
    finally:
        driver._key_thread = threading.Thread(target=read, name="textual-input")  # type: ignore[attr-defined]  # LinuxDriver's
        driver._key_thread.start()  # type: ignore[attr-defined]  # as above


def key_events(typed: str) -> Iterator[Message]:
    """The events of what was typed; none where this release of Textual parses input otherwise."""
    try:
        from textual._xterm_parser import XTermParser
    except ImportError:
        return
    yield from XTermParser().feed(typed)


def reports_size_in_band(driver: Driver) -> bool:
    """Return whether the terminal reports its size among the input (mode 2048)."""
    return bool(getattr(driver, "_in_band_window_resize", False))


def add_middleware(server: Any, middleware: Any) -> None:
    """Have a textual-serve server pass every request through an aiohttp middleware.

    Raises:
        UserError: this release of textual-serve builds its application otherwise, so the middleware would be skipped.
    """
    make_app = getattr(server, "_make_app", None)
    serve = getattr(type(server).serve, "__code__", None)
    if make_app is None or serve is None or "_make_app" not in serve.co_names:
        raise UserError(
            "--web: this release of textual-serve cannot be guarded; install textual-serve==1.1.3"
        )

    async def make_guarded_app() -> Any:
        app = await make_app()
        app.middlewares.append(middleware)
        return app

    server._make_app = make_guarded_app
