"""Actions that step through the epochs of a comparison, moving images and chart cursor together."""

from collections.abc import Sequence
from typing import Final

from tui.screens.live import RunsScreen
from tui.state.run_controller import RunController
from tui.textual_ext.playback import Player
from tui.widgets.charts.interactive_loss_chart import InteractiveLossChart
from tui.widgets.charts.loss_series import epoch_to_x, x_to_epoch
from tui.widgets.epoch_slider import EpochSlider, epoch_index, step_epoch
from tui.widgets.images.gallery import all_epochs

FRAME_SECONDS: Final = 0.2


class EpochActionsMixin(RunsScreen):
    """Screen that shows the images of one epoch of all its runs.

    Attributes:
        epoch: the epoch shown; None follows the latest.
    """

    def __init__(self, control: RunController, run_ids: Sequence[str]) -> None:
        super().__init__(control, run_ids)
        self.epoch: int | None = None
        self._player = Player(self, self._advance)

    @property
    def playing(self) -> bool:
        """True while the epochs are being played."""
        return self._player.playing

    def on_epoch_slider_epoch_requested(self, message: EpochSlider.EpochRequested) -> None:
        self._player.pause()
        self._seek(message.epoch)

    def on_interactive_loss_chart_cursor_placed(self, message: InteractiveLossChart.CursorPlaced) -> None:
        """Show the images of the epoch whose end is nearest to the pointer."""
        self._player.pause()
        epochs = all_epochs(self.runs)
        near = x_to_epoch(self.runs, message.x, self.query_one(InteractiveLossChart).unit)
        if epochs and near is not None:
            self.epoch = None if epoch_index(epochs, near) == len(epochs) - 1 else near
        self.update()

    def action_scrub(self, epochs: int) -> None:
        self._player.pause()
        self._seek(step_epoch(all_epochs(self.runs), self.epoch, epochs))

    def action_first(self) -> None:
        self._player.pause()
        epochs = all_epochs(self.runs)
        self._seek(epochs[0] if len(epochs) > 1 else None)

    def action_follow(self) -> None:
        self._player.pause()
        self._seek(None)

    def action_play(self) -> None:
        """Pause, or play from the epoch shown; from the first one when at the end."""
        if self.playing:
            self._player.pause()
            self.update()
            return
        epochs = all_epochs(self.runs)
        if len(epochs) < 2:
            self.notify("there are no epochs to play through yet")
            return
        if epoch_index(epochs, self.epoch) == len(epochs) - 1:
            self._seek(epochs[0])
        self._player.play(FRAME_SECONDS)
        self.update()

    def _advance(self) -> None:
        epoch = step_epoch(all_epochs(self.runs), self.epoch, 1)
        if epoch is None:
            self._player.pause()
        self._seek(epoch)

    def _seek(self, epoch: int | None) -> None:
        """Show an epoch's images, and move the chart's cursor to its end."""
        self.epoch = epoch
        chart = self.query_one(InteractiveLossChart)
        chart.place_cursor(None if epoch is None else epoch_to_x(self.runs, epoch, chart.unit))
        self.update()
