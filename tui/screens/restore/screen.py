"""Restore screen: a mask is painted on an image, and a run fills it in while the user watches."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from core.errors import UserError
from tui.commands import RESTORE, bindings
from tui.screens.live import RunsScreen
from tui.screens.restore.canvas import Canvas
from tui.screens.restore.model import BRUSHES, Answers, MaskPainter, Pixels
from tui.screens.schedules.noising import heldout_images, load_own_image
from tui.state.formatting import run_labels
from tui.state.run_controller import RunController
from tui.state.sheet_cache import SheetCache
from tui.state.snapshot import RunSnapshot
from tui.widgets.images.image_wall import ImageWall, WallColumn, plan_wall
from tui.widgets.images.render_mode import current_render_mode
from tui.widgets.key_bar import KeyBar, KeyHint
from tui.widgets.key_hints import keys_by_command, screen_hints
from tui.widgets.title_bar import title_and_tabs, update_static

if TYPE_CHECKING:
    from core.launch.jobs import Job

POLL_SECONDS: Final = 0.2
IMAGES: Final = 32
"""Held-out images to choose from."""
ANSWER_COLUMNS: Final = 40
"""Least cells for the answers beside the canvas."""
MIN_ANSWER: Final = 8
"""Least cells of an answer."""


class RestoreScreen(RunsScreen):
    """A mask painter beside the answers of a run.

    The images are held out from the run's data, or its samples where the data are not here.

    Args:
        control: of the runs folder.
        run_id: the run.
    """

    CSS_PATH = "screen.tcss"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(RESTORE)]

    def __init__(self, control: RunController, run_id: str) -> None:
        super().__init__(control, [run_id])
        self.images: Pixels | None = None
        self.index = 0
        self.source = "loading images"
        self.painter: MaskPainter | None = None
        self.answers: Answers | None = None
        self.job: Job | None = None
        self.seed = 0
        self._sheets = SheetCache(4)
        self._shown: tuple[Answers, int, int, list[WallColumn]] | None = None
        """The columns, with the answers and the room that they were made for."""
        self._output: Path | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="top")
        yield Static(id="description")
        with Horizontal(id="body"):
            yield Canvas(id="canvas")
            yield ImageWall(min_tile=MIN_ANSWER, id="answers")
        yield Static("this run is no longer here", id="gone")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self.set_interval(POLL_SECONDS, self._poll)
        # After the handler of the base class, which gives the screen its snapshot.
        self.call_after_refresh(self._load_images)

    @property
    def run_snapshot(self) -> RunSnapshot | None:
        """The run, if it still exists."""
        return next(iter(self.runs), None)

    @work(thread=True)
    def _load_images(self) -> None:
        """Load held-out images, or else the run's latest samples."""
        run = self.run_snapshot
        if run is None:
            return
        sheet = self._sheets.sheet(run.sheets[-1][1]) if run.sheets else None
        images, source = (sheet.images, "samples") if sheet else (None, "")
        try:
            heldout = heldout_images(run.dataset, IMAGES)
            # Data that were made with another size since are not what the network was trained on.
            if images is None or heldout.shape[1:] == images.shape[1:]:
                images, source = heldout, "held-out image"
        except (UserError, OSError):
            pass
        self.app.call_from_thread(self._show_images, images, source or "open an image of your own")

    def _show_images(self, images: Pixels | None, source: str) -> None:
        self.source = source
        if images is not None and len(images):
            self.images, self.index = images, 0
            self._show_image()
        self.update()

    def _show_image(self) -> None:
        if self.images is None:
            return
        image = self.images[self.index % len(self.images)]
        if self.painter is None:
            self.painter = MaskPainter(image)
        else:
            self.painter.show(image)

    def update(self) -> None:
        """Bring the screen in line with the mask, the answers and the size."""
        if not self.is_mounted or not self.is_current:
            return
        run = self.run_snapshot
        self.set_class(run is None, "-gone")
        width = self.size.width
        title = run_labels([run], short=True)[run.id] if run is not None else ""
        update_static(self.query_one("#top", Static), title_and_tabs("restore", title, [], "", width))
        update_static(
            self.query_one("#description", Static), self._description().truncate(width, ellipsis=True)
        )
        self.query_one(KeyBar).show(restore_hints(self))
        if run is None or self.painter is None:
            return
        body = self.query_one("#body").size
        room = max(16, width - ANSWER_COLUMNS)
        canvas = self.query_one(Canvas)
        canvas.show(self.painter.render(cursor=True), room, body.height)
        # The canvas has a margin of a cell, and the wall a line of titles.
        left = max(1, body.width - canvas.shown_width - 1), body.height - 1
        self.query_one("#answers", ImageWall).show(self._columns(*left))

    def _columns(self, width: int, height: int) -> list[WallColumn]:
        keys = keys_by_command(self)
        if self.answers is None:
            key = keys.get("restore.fill", ["enter"])[0]
            return [WallColumn("answers", None, empty=self._waiting_text(key))]
        if self._shown is None or self._shown[:3] != (self.answers, width, height):
            zoom = current_render_mode(self).zoom
            columns = answer_columns(
                self.answers, width, height, zoom, further=keys.get("restore.further", ["pagedown"])[0]
            )
            self._shown = self.answers, width, height, columns
        return self._shown[3]

    def _waiting_text(self, key: str) -> str:
        if self.job is not None:
            return "about to be computed"
        if self.painter is not None and self.painter.missing.any():
            return f"{key} fills in the missing pixels"
        return f"paint what is missing; {key} fills it in"

    def _description(self) -> Content:
        if self.painter is None:
            return Content.styled(f" {self.source}", "$text-muted")
        number = "" if self.images is None else f" {self.index % len(self.images) + 1} of {len(self.images)}"
        side = BRUSHES[self.painter.brush]
        parts = [f"{self.source}{number}", f"brush {side}x{side}{', pen down' if self.painter.pen else ''}"]
        parts.append(f"{self.painter.missing.mean():.0%} missing")
        if self.job is not None:
            done = f" {100 * self.answers.calls // max(1, self.answers.total)}%" if self.answers else ""
            parts.append(f"filling in{done}")
        elif self.answers is not None:
            parts.append("done" if self.answers.calls == self.answers.total else "ended")
        return Content.styled(f" {' · '.join(parts)}", "$text-muted")

    def _poll(self) -> None:
        """Show what the job has written, and its error if it failed."""
        if self.job is None or self._output is None:
            return
        # Asked before the sheet is read, which a job that has ended does not write any more.
        ended = self.job.ended
        sheet = self._sheets.sheet(self._output)
        if sheet is not None and (found := Answers.from_sheet(sheet)) is not None:
            self.answers = found
        if ended:
            if problem := self.job.problem:
                self.notify(problem, severity="error", markup=False, timeout=8)
            self.job = None
        self.update()

    def on_canvas_pressed(self, message: Canvas.Pressed) -> None:
        self._edit(lambda painter: painter.paint_at(message.row, message.column, missing=message.missing))

    def _edit(self, change: Callable[[MaskPainter], None]) -> None:
        """Change the mask or the brush, once there is an image."""
        if self.painter is not None:
            change(self.painter)
            self.update()

    def action_close(self) -> None:
        self.dismiss()

    def action_move(self, down: int, right: int) -> None:
        stride = self.query_one(Canvas).stride
        self._edit(lambda painter: painter.move(down * stride, right * stride))

    def action_paint(self) -> None:
        """Paint under the brush, or erase where the cursor is on a missing pixel."""
        self._edit(MaskPainter.toggle)

    def action_pen(self) -> None:
        self._edit(MaskPainter.toggle_pen)

    def action_brush(self, steps: int) -> None:
        self._edit(lambda painter: painter.resize_brush(steps))

    def action_clear(self) -> None:
        self._edit(MaskPainter.clear)

    def action_shape(self) -> None:
        self._edit(MaskPainter.next_shape)

    def action_image(self, steps: int) -> None:
        """Show another image, under the same mask."""
        if self.images is not None and self.job is None:
            self.index = (self.index + steps) % len(self.images)
            self.answers = None
            self._show_image()
            self.update()

    def action_answers(self, rows: int) -> None:
        """Scroll to further answers."""
        self.query_one("#answers", ImageWall).scroll_rows(rows)

    def action_open(self) -> None:
        """Let the user choose an image of their own."""
        from tui.dialogs.path_picker import IMAGE, PickerScreen

        def decided(path: Path | None) -> None:
            if path is None:
                return
            size = self.painter.missing.shape[0] if self.painter is not None else 32
            try:
                images = load_own_image(str(path), size)
            except UserError as error:
                self.notify(str(error), severity="error", markup=False, timeout=8)
                return
            self.answers = None
            self._show_images(images, path.name)

        self.app.push_screen(PickerScreen(IMAGE, None), decided)

    def action_fill(self) -> None:
        """Start filling in the missing pixels; each time with other noise."""
        run = self.run_snapshot
        if run is None or self.painter is None:
            return
        if self.job is not None:
            self.notify("is being filled in already")
        elif not self.painter.missing.any() or self.painter.missing.all():
            self.notify("paint some pixels first" if not self.painter.missing.any() else "leave some pixels")
        elif not run.run.checkpoint.exists():
            self.notify("the run has no checkpoint yet")
        else:
            self._start(run, self.painter.image.copy(), ~self.painter.missing)

    @work(thread=True)
    def _start(self, run: RunSnapshot, image: Pixels, known: Any) -> None:
        self.seed += 1
        try:
            job, output = self.control.restore(run, image, known, seed=self.seed)
        except UserError as error:
            self.app.call_from_thread(self.notify, str(error), severity="error", markup=False, timeout=8)
            return
        self.app.call_from_thread(self._started, job, output)

    def _started(self, job: "Job", output: Path) -> None:
        self.job, self._output, self.answers = job, output, None
        self.update()


def answer_columns(answers: Answers, width: int, height: int, zoom: int, *, further: str) -> list[WallColumn]:
    """Arrange the answers in so many columns that all are visible, as large as possible, before mean and spread.

    If they do not all fit, a note says which key shows the others.

    Args:
        answers: the answers.
        width: cells for all columns.
        height: lines below the titles.
        zoom: as for `plan_wall`.
        further: the key that scrolls down.
    """
    count = len(answers.answers)
    arrangements = []
    for across in range(1, count + 1):
        columns = [WallColumn("", answers.answers[first::across]) for first in range(across)]
        columns.append(WallColumn("mean, spread", answers.mean_and_spread))
        layout = plan_wall(columns, width, zoom, min_tile=MIN_ANSWER)
        fits = layout.shown == len(columns) and max(2, -(-count // across)) * layout.lines <= height
        arrangements.append((fits, layout.tile if fits else -across, columns))
    fits, _, columns = max(arrangements, key=lambda one: one[:2])
    columns[0] = replace(columns[0], title=f"{count} answers", note="" if fits else f"{further}: more")
    return columns


def restore_hints(screen: Screen[Any]) -> list[KeyHint]:
    """Return the hints of the key bar, with the keys as they are bound now."""
    words = {
        "restore.right": "move",
        "restore.paint": "paint",
        "restore.fill": "fill in",
        "restore.larger": "brush",
        "restore.shape": "shape",
        "restore.pen": "pen",
        "restore.clear": "clear",
        "restore.further": "answers",
        "restore.next": "image",
        "restore.open": "open",
        "restore.close": "back",
    }
    return screen_hints(screen, RESTORE, words)
