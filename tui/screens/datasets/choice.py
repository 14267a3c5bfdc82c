"""Choice of the dataset to show, from a line of known datasets or from the user's files."""

from pathlib import Path
from typing import Final

from tui.screens.datasets.jobs import DatasetJobs
from tui.screens.datasets.model import DatasetBrowser
from tui.screens.datasets.preview import known_datasets, same_dataset, short_name
from tui.settings.schema import remember_folder
from tui.settings.series_colors import series_style
from tui.state.run_controller import RunController
from tui.state.snapshot import Snapshot
from tui.widgets.chip_line import ChipLine

MAX_NAMES: Final = 9
NAMES_BEFORE: Final = 2
"""The number of names before the chosen one, if there are too many names for a line."""


class DatasetChoice(DatasetJobs):
    """A screen that shows one dataset at a time, with a line of names to choose from.

    Args:
        control: the controller of the runs folder.
        browser: the dataset that is shown.
    """

    def __init__(self, control: RunController, browser: DatasetBrowser) -> None:
        super().__init__(control, browser)
        self.snapshot = Snapshot()
        self.folders: list[str] = []
        self._names: tuple[object, list[str]] | None = None
        self._first_name = 0

    def on_chip_line_clicked(self, message: ChipLine.Clicked) -> None:
        self.action_choose(message.index + self._first_name)

    @property
    def names(self) -> list[str]:
        """The names of all known datasets, looked up again if a run has a new dataset, or a folder was added."""
        used = frozenset(run.file.config.data.dataset for run in self.snapshot.runs)
        key = (used, tuple(self.folders))
        if self._names is None or self._names[0] != key:
            self._names = (key, known_datasets(self.snapshot.runs, self.folders))
        return self._names[1]

    @property
    def index(self) -> int:
        """The index of the shown dataset in `names`; 0 if it is not among them."""
        same = (index for index, name in enumerate(self.names) if same_dataset(name, self.browser.name))
        return next(same, 0)

    def show_dataset(self, name: str) -> None:
        """Show another dataset."""
        self.browser.open(name)
        self.load_preview(name)
        self.update()

    def action_further(self, datasets: int) -> None:
        names = self.names
        self.show_dataset(names[(self.index + datasets) % len(names)])

    def action_choose(self, index: int) -> None:
        names = self.names
        if index < len(names) and not same_dataset(names[index], self.browser.name):
            self.show_dataset(names[index])

    def action_open(self) -> None:
        """Let the user choose a folder or a recipe file, and show it."""
        from tui.dialogs.path_picker import DATASET, PickerScreen

        def decided(path: Path | None) -> None:
            if path is not None:
                if not any(same_dataset(str(path), name) for name in self.names):
                    self.folders.insert(0, str(path))
                remember_folder(getattr(self.app, "remember", None), str(path))
                self.show_dataset(str(path))

        start = Path(self.browser.name) if "/" in self.browser.name else None
        self.app.push_screen(PickerScreen(DATASET, start), decided)

    def _update_names(self) -> None:
        names, current = self.names, self.index
        self._first_name = max(0, min(current - NAMES_BEFORE, len(names) - MAX_NAMES))
        chips = [
            (series_style(index, self.app.theme_variables), short_name(name), index == current)
            for index, name in enumerate(names)
        ]
        self.query_one(ChipLine).show(chips[self._first_name :])
