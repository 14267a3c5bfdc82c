"""The making of a whole set of pictures, in a thread, watched from the screen and stopped from there."""

import threading

from core.data import ImageSet, load_dataset
from core.errors import UserError


class BuildStoppedError(Exception):
    """Somebody stopped it; nothing is left of what had been made."""


class DatasetBuild:
    """Makes one set; one picture after the other, because training beside it needs the other cores.

    Attributes:
        done: pictures that are made.
        total: pictures in all; 0 until that is known.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.done = self.total = 0
        self._stopped = threading.Event()

    def run(self) -> ImageSet:
        """Make it; blocks.

        Raises:
            BuildStoppedError: it was stopped.
            UserError: it cannot be made.
        """
        try:
            return load_dataset(self.name, progress=self._on_progress, workers=1)
        except OSError as error:
            raise UserError(f"{self.name}: cannot be made ({error.strerror or error})") from error

    def stop(self) -> None:
        """Let it end at the next picture."""
        self._stopped.set()

    @property
    def status(self) -> str:
        """How far it is, in words."""
        share = f": {100 * self.done // self.total}% of {self.total:,}" if self.total else ""
        return f"making all pictures{share}"

    def _on_progress(self, done: int, total: int) -> None:
        if self._stopped.is_set():
            raise BuildStoppedError
        self.done, self.total = done, total
