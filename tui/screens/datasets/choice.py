"""Which dataset is looked at: by its place among those that are known, or among a person's files."""

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
"""Names that are seen before the one that is chosen, where there are too many for a line."""


class DatasetChoice(DatasetJobs):
    """A screen of one dataset at a time, with a line of names to choose from.

    Args:
        control: of the runs folder.
        shown: what is looked at.
    """

    def __init__(self, control: RunController, shown: DatasetBrowser) -> None:
        super().__init__(control, shown)
        self.snapshot = Snapshot()
        self.folders: list[str] = []
        self._names: tuple[object, list[str]] | None = None
        self._first_name = 0

    def on_chip_line_clicked(self, message: ChipLine.Clicked) -> None:
        self.action_choose(message.place + self._first_name)

    @property
    def names(self) -> list[str]:
        """All that can be looked at; looked up again when there is a run on another one, or a new folder."""
        on = frozenset(run.file.config.data.dataset for run in self.snapshot.runs)
        key = (on, tuple(self.folders))
        if self._names is None or self._names[0] != key:
            self._names = (key, known_datasets(self.snapshot.runs, self.folders))
        return self._names[1]

    @property
    def index(self) -> int:
        """Where what is looked at is among them; 0 where it is not."""
        found = (place for place, name in enumerate(self.names) if same_dataset(name, self.browser.name))
        return next(found, 0)

    def show_dataset(self, name: str) -> None:
        """Look at another dataset."""
        self.browser.open(name)
        self.load_preview(name)
        self.update()

    def action_further(self, datasets: int) -> None:
        names = self.names
        self.show_dataset(names[(self.index + datasets) % len(names)])

    def action_choose(self, place: int) -> None:
        names = self.names
        if place < len(names) and not same_dataset(names[place], self.browser.name):
            self.show_dataset(names[place])

    def action_open(self) -> None:
        """Look at a folder of one's own."""
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
        names, at = self.names, self.index
        self._first_name = max(0, min(at - NAMES_BEFORE, len(names) - MAX_NAMES))
        shown = [
            (series_style(place, self.app.theme_variables), short_name(name), place == at)
            for place, name in enumerate(names)
        ]
        self.query_one(ChipLine).show(shown[self._first_name :])
