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
    from core.launch.overlay import Fitting

POLL_SECONDS: Final = 0.2


class DatasetJobs(Screen[list[RunConfig] | None]):
    """A screen that waits for things done to the dataset that it shows.

    Args:
        control: has triangles fitted.
        shown: what is looked at.
    """

    def __init__(self, control: RunController, shown: DatasetBrowser) -> None:
        super().__init__()
        self.control = control
        self.browser = shown
        self.build: DatasetBuild | None = None
        self._is_starting_fit = False
        self._fit_job: Fitting | None = None
        self._poll_timer: Timer | None = None

    def on_unmount(self) -> None:
        if self.build is not None:
            self.build.stop()

    def update(self) -> None:
        """Bring the screen in line with what is looked at."""

    @property
    def job_status(self) -> list[str]:
        """What is under way, in words."""
        said = [self.build.status] if self.build is not None else []
        return [*said, "fitting triangles"] if self.is_fitting else said

    @property
    def is_fitting(self) -> bool:
        """Whether triangles are being fitted, from the key on: starting a process for that takes a moment."""
        return self._is_starting_fit or self._fit_job is not None

    @work(exclusive=True, group="look")
    async def load_preview(self, name: str) -> None:
        """Read or make the first pictures, away from the screen."""
        try:
            self.browser.preview, self.browser.problem = await asyncio.to_thread(preview_dataset, name), ""
        except UserError as error:
            self.browser.preview, self.browser.problem = None, sanitize(str(error))
        self.update()

    def fit_in_background(self, images: Any, kept: Path, samples: Sequence[tuple[Path, Path]]) -> None:
        """Have triangles fitted in another process; see `RunController.fit`. To be called while nothing is `fitting`."""
        self._is_starting_fit = True
        self._start_fitting(images, kept, samples)

    @work(group="fit")
    async def _start_fitting(self, images: Any, kept: Path, samples: Sequence[tuple[Path, Path]]) -> None:
        try:
            self._fit_job = await asyncio.to_thread(self.control.fit, images, kept, samples)
        except UserError as error:
            self.notify(sanitize(str(error)), severity="error", markup=False)
        self._is_starting_fit = False
        self._start_polling()

    def action_make(self) -> None:
        """Make the whole set, or stop making it."""
        seen = self.browser.preview
        if self.build is not None:
            self.build.stop()
        elif seen is not None and seen.folder is not None:
            self.notify("all of its pictures are made")
        elif seen is not None:
            self.build = DatasetBuild(self.browser.name)
            self.build_in_background(self.build)
            self._start_polling()

    @work(group="make")
    async def build_in_background(self, making: DatasetBuild) -> None:
        """Make a whole set in a thread, then look at it again."""
        try:
            await asyncio.to_thread(making.run)
        except BuildStoppedError:
            self.notify("stopped; nothing of it is kept")
        except UserError as error:
            self.notify(sanitize(str(error)), severity="error", markup=False)
        self.build = None
        if same_dataset(self.browser.name, making.name):
            self.load_preview(self.browser.name)

    def _start_polling(self) -> None:
        """Look now and then at what is under way, for as long as anything is."""
        if self._poll_timer is None:
            self._poll_timer = self.set_interval(POLL_SECONDS, self._poll)
        self.update()

    def _poll(self) -> None:
        if self._fit_job is not None and self._fit_job.ended:
            if self._fit_job.problem:
                self.notify(self._fit_job.problem, severity="error", markup=False)
            self._fit_job = None
        if not self.is_fitting and self.build is None and self._poll_timer is not None:
            self._poll_timer.stop()
            self._poll_timer = None
        self.update()
