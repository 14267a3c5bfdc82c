"""Log of a run's worker, followed as it grows."""

import textwrap
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Log, Static

from core.files.sanitize import sanitize
from core.files.signature import FileSignature, signature
from core.files.untrusted import open_regular
from tui.commands import LOG, bindings
from tui.state.snapshot import RunSnapshot
from tui.widgets.images.render_mode import on_keymap_changed
from tui.widgets.key_bar import KeyBar
from tui.widgets.key_hints import screen_hints

TAIL_BYTES: Final = 256 * 1024
POLL_SECONDS: Final = 0.5
HORIZONTAL_STEP: Final = 8
"""Cells by which long lines scroll sideways."""
LINE_LIMIT: Final = 2000
"""Characters shown of a line, because a log of endless lines would fill the memory."""


def wrapped_line(line: str, width: int) -> list[str]:
    """A line as several of at most so many characters; the line itself for 0.

    >>> wrapped_line("OSError: no space left", 14), wrapped_line("", 14)
    (['OSError: no ', '  space left'], [''])
    """
    if not width or len(line) <= width:
        return [line]
    return textwrap.wrap(line, width, subsequent_indent="  ", drop_whitespace=False, replace_whitespace=False)


class LogLines(Log, inherit_bindings=False):
    """Lines of the log, scrolled by the screen's commands."""


class LogScreen(Screen[None]):
    """End of a run's `worker.log`; it follows new lines while scrolled to the end, and stays when scrolled up."""

    CSS_PATH = "screen.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(LOG)]

    def __init__(self, run: RunSnapshot) -> None:
        super().__init__()
        self.run_shown = run
        self._path = run.run.log
        self._seen: FileSignature | None = None
        self._offset = 0
        self._partial = b""
        self._at_end = True
        self._wraps = True
        self._wrapped_width = 0

    def compose(self) -> ComposeResult:
        run = self.run_shown
        yield Static(
            Content.assemble(
                (f" {run.label}", "bold $text-primary"), "  log  ", (sanitize(str(self._path)), "$text-muted")
            ),
            id="title",
        )
        yield LogLines(max_lines=5000, auto_scroll=True)
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self._show_keys()
        on_keymap_changed(self, self._show_keys)
        log = self.query_one(Log).focus()
        self.watch(log, "scroll_y", self._scrolled, init=False)
        self.call_after_refresh(self._read)
        self.set_interval(POLL_SECONDS, self._read)

    def _show_keys(self) -> None:
        words = {
            "log.close": "back",
            "log.down": "scroll",
            "log.first": "beginning",
            "log.last": "end, follow",
            "log.wrap": "wrap",
        }
        self.query_one(KeyBar).show(screen_hints(self, LOG, words))

    def on_resize(self) -> None:
        """Wrap lines to another width, and stay at the end when the size changes."""
        if self._at_end:
            self.call_after_refresh(self.action_bottom)
        if self._wraps and self._seen is not None:
            self.call_after_refresh(self._wrap_again)

    def _wrap_again(self) -> None:
        """Read the log again if lines are wrapped to another width than the present one."""
        width = self._line_width if self._wraps else 0
        if width != self._wrapped_width:
            self._seen = None
            self._read()

    @property
    def _line_width(self) -> int:
        """Cells of a line beside the scroll bar."""
        return max(8, self.size.width - 2)

    def _scrolled(self) -> None:
        self._at_end = self.query_one(Log).is_vertical_scroll_end

    def _read(self) -> None:
        """Append new lines; start over when the file is another one."""
        seen = signature(self._path)
        log = self.query_one(Log)
        if seen == self._seen and seen is not None:
            return
        if seen is None:
            if self._seen is not None or not log.line_count:
                log.clear()
                log.write_line("no log yet")
                self._offset, self._seen = 0, None
            return
        unread = seen[2] - self._offset
        if self._seen is None or seen[0] != self._seen[0] or not 0 <= unread <= TAIL_BYTES:
            log.clear()
            self._wrapped_width = self._line_width if self._wraps else 0
            self._offset, self._partial = max(0, seen[2] - TAIL_BYTES), b""
            self.call_after_refresh(log.scroll_end, animate=False)
        self._seen = seen
        try:
            with open_regular(self._path) as file:
                file.seek(self._offset)
                data = file.read(seen[2] - self._offset)
        except OSError as error:
            log.write_line(f"cannot be read ({error.strerror or error})")
            return
        self._offset += len(data)
        lines, newline, rest = (self._partial + data).rpartition(b"\n")
        self._partial = rest[:TAIL_BYTES]
        if newline:
            text = sanitize(lines.decode("utf-8", errors="replace"), lines=True)
            log.write_lines(
                part
                for line in text.split("\n")
                for part in wrapped_line(line[:LINE_LIMIT], self._wrapped_width)
            )

    def action_close(self) -> None:
        self.dismiss()

    def action_scroll(self, lines: int) -> None:
        self.query_one(Log).scroll_relative(y=lines, animate=False)

    def action_page(self, pages: int) -> None:
        log = self.query_one(Log)
        log.scroll_relative(y=pages * log.scrollable_content_region.height, animate=False)

    def action_wrap(self) -> None:
        """Wrap long lines at the edge of the screen, or leave them to scrolling."""
        self._wraps = not self._wraps
        self._wrap_again()

    def action_across(self, steps: int) -> None:
        self.query_one(Log).scroll_relative(x=steps * HORIZONTAL_STEP, animate=False)

    def action_top(self) -> None:
        self.query_one(Log).scroll_home(animate=False)

    def action_bottom(self) -> None:
        self.query_one(Log).scroll_end(animate=False)
