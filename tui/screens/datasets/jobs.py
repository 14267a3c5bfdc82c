"""Background jobs of the datasets screen: load a preview, build the whole dataset, fit triangles."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from textual import work
from textual.screen import Screen
from textual.timer import Timer

from core.config import RunConfig
from core.data import ImageSet, load_dataset
from core.errors import UserError
from core.files.sanitize import sanitize
from tui.screens.datasets.model import DatasetBrowser
from tui.screens.datasets.preview import preview_dataset, same_dataset
from tui.state.run_controller import RunController

if TYPE_CHECKING:
    from core.launch.jobs import Job

POLL_SECONDS: Final = 0.2


class BuildStoppedError(Exception):
    """The build was stopped; none of its images are kept."""


class DatasetBuild:
    """Builds one dataset in one thread, because training beside it needs the other cores.

    Attributes:
        done: the number of images made so far.
        total: the number of images in all; 0 until it is known.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.done = self.total = 0
        self._stopped = threading.Event()

    def run(self) -> ImageSet:
        """Build the dataset; blocks.

        Raises:
            BuildStoppedError: the build was stopped.
            UserError: the dataset cannot be made.
        """
        try:
            return load_dataset(self.name, progress=self._on_progress, workers=1)
        except OSError as error:
            raise UserError(f"{self.name}: cannot be made ({error.strerror or error})") from error

    def stop(self) -> None:
        """Stop the build at the next image."""
        self._stopped.set()

    @property
    def status(self) -> str:
        """A text about the progress."""
        share = f": {100 * self.done // self.total}% of {self.total:,}" if self.total else ""
        return f"making all images{share}"

    def _on_progress(self, done: int, total: int) -> None:
        if self._stopped.is_set():
            raise BuildStoppedError
        self.done, self.total = done, total


class DatasetJobs(Screen[list[RunConfig] | None]):
    """A screen with background jobs on the dataset that it shows.

    Args:
        control: the controller that starts fitting triangles.
        browser: the dataset that is shown.
    """

    def __init__(self, control: RunController, browser: DatasetBrowser) -> None:
        super().__init__()
        self.control = control
        self.browser = browser
        self.build: DatasetBuild | None = None
        self._is_starting_fit = False
        self._fit_job: Job | None = None
        self._poll_timer: Timer | None = None

    def on_unmount(self) -> None:
        if self.build is not None:
            self.build.stop()

    def update(self) -> None:
        """Update the screen to the dataset that is shown."""

    @property
    def job_status(self) -> list[str]:
        """Texts about the jobs that are running."""
        texts = [self.build.status] if self.build is not None else []
        return [*texts, "fitting triangles"] if self.is_fitting else texts

    @property
    def is_fitting(self) -> bool:
        """True if triangles are being fitted, or the process for that is being started, which takes a moment."""
        return self._is_starting_fit or self._fit_job is not None

    @work(exclusive=True, group="look")
    async def load_preview(self, name: str) -> None:
        """Read or make the first images in a thread."""
        try:
            self.browser.preview, self.browser.problem = await asyncio.to_thread(preview_dataset, name), ""
        except UserError as error:
            self.browser.preview, self.browser.problem = None, sanitize(str(error))
        self.update()

    def fit_in_background(self, images: Any, overlay: Path, samples: Sequence[tuple[Path, Path]]) -> None:
        """Fit triangles in another process, see `RunController.fit`; may only be called if not `is_fitting`."""
        self._is_starting_fit = True
        self._start_fitting(images, overlay, samples)

    @work(group="fit")
    async def _start_fitting(self, images: Any, overlay: Path, samples: Sequence[tuple[Path, Path]]) -> None:
        try:
            self._fit_job = await asyncio.to_thread(self.control.fit, images, overlay, samples)
        except UserError as error:
            self.notify(sanitize(str(error)), severity="error", markup=False)
        self._is_starting_fit = False
        self._start_polling()

    def action_make(self) -> None:
        """Build the whole dataset, or stop building it."""
        preview = self.browser.preview
        if self.build is not None:
            self.build.stop()
        elif preview is not None and preview.folder is not None:
            self.notify("all of its images are made")
        elif preview is not None:
            self.build = DatasetBuild(self.browser.name)
            self.build_in_background(self.build)
            self._start_polling()

    @work(group="make")
    async def build_in_background(self, build: DatasetBuild) -> None:
        """Build a dataset in a thread, then load its preview again."""
        try:
            await asyncio.to_thread(build.run)
        except BuildStoppedError:
            self.notify("stopped; no images are kept")
        except UserError as error:
            self.notify(sanitize(str(error)), severity="error", markup=False)
        self.build = None
        if same_dataset(self.browser.name, build.name):
            self.load_preview(self.browser.name)

    def _start_polling(self) -> None:
        """Poll the jobs until all have ended."""
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
