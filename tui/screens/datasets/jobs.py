"""What the datasets screen has done elsewhere: looking at a set, making all of it, fitting triangles."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from textual import work
from textual.screen import Screen
from textual.timer import Timer

from core.config import RunConfig
from core.errors import UserError
from core.files.sanitize import sanitize
from tui.screens.datasets.build_job import BuildStoppedError, DatasetBuild
from tui.screens.datasets.model import DatasetBrowser
from tui.screens.datasets.preview import preview_dataset, same_dataset
from tui.state.run_controller import RunController

if TYPE_CHECKING:
    from core.launch.jobs import Job

WAIT_SECONDS: Final = 0.2


class DatasetJobs(Screen[list[RunConfig] | None]):
    """A screen that waits for things done to the dataset that it shows.

    Args:
        control: has triangles fitted.
        shown: what is looked at.
    """

    def __init__(self, control: RunController, shown: DatasetBrowser) -> None:
        super().__init__()
        self.control = control
        self.shown = shown
        self.making: DatasetBuild | None = None
        self._starting = False
        self._fitting: Job | None = None
        self._waiting: Timer | None = None

    def on_unmount(self) -> None:
        if self.making is not None:
            self.making.stop()

    def update(self) -> None:
        """Bring the screen in line with what is looked at."""

    @property
    def job_status(self) -> list[str]:
        """What is under way, in words."""
        said = [self.making.said] if self.making is not None else []
        return [*said, "fitting triangles"] if self.fitting else said

    @property
    def fitting(self) -> bool:
        """Whether triangles are being fitted, from the key on: starting a process for that takes a moment."""
        return self._starting or self._fitting is not None

    @work(exclusive=True, group="look")
    async def preview(self, name: str) -> None:
        """Read or make the first pictures, away from the screen."""
        try:
            self.shown.seen, self.shown.problem = await asyncio.to_thread(preview_dataset, name), ""
        except UserError as error:
            self.shown.seen, self.shown.problem = None, sanitize(str(error))
        self.update()

    def fit_in_background(self, images: Any, kept: Path, samples: Sequence[tuple[Path, Path]]) -> None:
        """Have triangles fitted in another process; see `RunController.fit`. To be called while nothing is `fitting`."""
        self._starting = True
        self._start_fitting(images, kept, samples)

    @work(group="fit")
    async def _start_fitting(self, images: Any, kept: Path, samples: Sequence[tuple[Path, Path]]) -> None:
        try:
            self._fitting = await asyncio.to_thread(self.control.fit, images, kept, samples)
        except UserError as error:
            self.notify(sanitize(str(error)), severity="error", markup=False)
        self._starting = False
        self._wait()

    def action_make(self) -> None:
        """Make the whole set, or stop making it."""
        seen = self.shown.seen
        if self.making is not None:
            self.making.stop()
        elif seen is not None and seen.made is not None:
            self.notify("all of its pictures are made")
        elif seen is not None:
            self.making = DatasetBuild(self.shown.name)
            self.build_in_background(self.making)
            self._wait()

    @work(group="make")
    async def build_in_background(self, making: DatasetBuild) -> None:
        """Make a whole set in a thread, then look at it again."""
        try:
            await asyncio.to_thread(making.run)
        except BuildStoppedError:
            self.notify("stopped; nothing of it is kept")
        except UserError as error:
            self.notify(sanitize(str(error)), severity="error", markup=False)
        self.making = None
        if same_dataset(self.shown.name, making.name):
            self.preview(self.shown.name)

    def _wait(self) -> None:
        """Look now and then at what is under way, for as long as anything is."""
        if self._waiting is None:
            self._waiting = self.set_interval(WAIT_SECONDS, self._poll)
        self.update()

    def _poll(self) -> None:
        if self._fitting is not None and self._fitting.ended:
            if self._fitting.problem:
                self.notify(self._fitting.problem, severity="error", markup=False)
            self._fitting = None
        if not self.fitting and self.making is None and self._waiting is not None:
            self._waiting.stop()
            self._waiting = None
        self.update()
