"""The key that exports: what is on the screen, and what the screen has beside that, written in a thread."""

import asyncio
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from textual.app import App

from core.errors import UserError
from core.files.sanitize import sanitize
from tui.export.item import ExportItem, write_items
from tui.export.screenshot import Screenshot, screen_png, screen_svg


@runtime_checkable
class Exporting(Protocol):
    """A screen that has more to export than its looks."""

    def exports(self) -> list[ExportItem]:
        """What there is; nothing is made yet."""


async def export(app: App[Any], root: Path) -> None:
    """Export what the screen offers, and say where it is; a mistake is one line."""
    screen = app.screen
    name = type(screen).__name__.removesuffix("Screen").lower()
    await _without_notices(app)
    try:
        shot = Screenshot.capture(app)
    except UserError as error:
        app.notify(str(error), severity="error", markup=False, timeout=8)
        return
    pieces = [
        ExportItem("screen.svg", lambda: screen_svg(shot)),
        ExportItem("screen.png", lambda: screen_png(shot)),
        *(screen.exports() if isinstance(screen, Exporting) else ()),
    ]
    app.notify(f"writing {', '.join(piece.name for piece in pieces)}", markup=False, timeout=2)
    try:
        written = await asyncio.to_thread(write_items, root, name, pieces)
    except UserError as error:
        app.notify(str(error), severity="error", markup=False, timeout=8)
        return
    said = f"{sanitize(_short(written.folder))}: {', '.join(written.names)}"
    app.notify(said, title="exported", markup=False, timeout=8)
    for line in written.missing:
        app.notify(sanitize(line), title="not exported", severity="warning", markup=False, timeout=8)


async def _without_notices(app: App[Any]) -> None:
    """Take notices off the screen: they say what was, and do not belong into its picture."""
    if not app.screen.query("Toast"):
        return
    app.clear_notifications()
    while app.screen.query("Toast"):
        await asyncio.sleep(0.01)
    drawn = asyncio.Event()
    app.screen.call_after_refresh(drawn.set)
    await drawn.wait()


def _short(path: Path) -> str:
    """A path as a person would type it here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
