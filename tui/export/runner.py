"""The export command: a screenshot and the screen's own exports, written in a thread."""

import asyncio
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from textual.app import App

from core.errors import UserError
from core.files.sanitize import sanitize
from tui.export.item import ExportItem, write_export
from tui.export.screenshot import Screenshot, screen_png, screen_svg


@runtime_checkable
class Exportable(Protocol):
    """A screen with exports besides its screenshot."""

    def exports(self) -> list[ExportItem]:
        """The items to export, whose contents are made later."""


async def export(app: App[Any], root: Path) -> None:
    """Export the current screen, and notify the user of the folder or of the error."""
    screen = app.screen
    name = type(screen).__name__.removesuffix("Screen").lower()
    await _dismiss_notifications(app)
    try:
        shot = Screenshot.capture(app)
    except UserError as error:
        app.notify(str(error), severity="error", markup=False, timeout=8)
        return
    items = [
        ExportItem("screen.svg", lambda: screen_svg(shot)),
        ExportItem("screen.png", lambda: screen_png(shot)),
        *(screen.exports() if isinstance(screen, Exportable) else ()),
    ]
    app.notify(f"writing {', '.join(item.name for item in items)}", markup=False, timeout=2)
    try:
        result = await asyncio.to_thread(write_export, root, name, items)
    except UserError as error:
        app.notify(str(error), severity="error", markup=False, timeout=8)
        return
    text = f"{sanitize(_relative_path(result.folder))}: {', '.join(result.names)}"
    app.notify(text, title="exported", markup=False, timeout=8)
    for line in result.errors:
        app.notify(sanitize(line), title="not exported", severity="warning", markup=False, timeout=8)


async def _dismiss_notifications(app: App[Any]) -> None:
    """Remove notifications from the screen, because they do not belong into its screenshot."""
    if not app.screen.query("Toast"):
        return
    app.clear_notifications()
    while app.screen.query("Toast"):
        await asyncio.sleep(0.01)
    refreshed = asyncio.Event()
    app.screen.call_after_refresh(refreshed.set)
    await refreshed.wait()


def _relative_path(path: Path) -> str:
    """A path relative to the working directory, or absolute if it is elsewhere."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
