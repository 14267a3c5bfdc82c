"""Going through the epochs of a comparison: pictures and the cursor of the curves go together."""

from typing import Final

from tui.screens.compare.chart_actions import ChartActionsMixin
from tui.state.snapshot import RunSnapshot
from tui.textual_ext.playback import Player
from tui.widgets.charts.interactive_loss_chart import InteractiveLossChart
from tui.widgets.charts.loss_series import epoch_near, x_of_epoch
from tui.widgets.epoch_slider import EpochSlider, moved, position
from tui.widgets.images.gallery import all_epochs

FRAME_SECONDS: Final = 0.2


class EpochActionsMixin(ChartActionsMixin):
    """A screen that shows the pictures of one epoch of all its runs."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch: int | None = None
        """The one that is seen; None follows the latest."""
        self._player = Player(self, self._advance)

    @property
    def runs(self) -> list[RunSnapshot]:
        """The runs whose pictures are seen; none unless a screen says so."""
        return []

    @property
    def playing(self) -> bool:
        """Whether the epochs go on by themselves."""
        return self._player.playing

    def on_epoch_slider_sought(self, message: EpochSlider.Sought) -> None:
        self._player.pause()
        self._seek(message.epoch)

    def on_interactive_loss_chart_pointed(self, message: InteractiveLossChart.Pointed) -> None:
        """Show the pictures of the epoch that ended next to where somebody pointed."""
        self._player.pause()
        epochs = all_epochs(self.runs)
        near = epoch_near(self.runs, message.place, self.chart.unit)
        if epochs and near is not None:
            self.epoch = None if position(epochs, near) == len(epochs) - 1 else near
        self.update()

    def action_scrub(self, epochs: int) -> None:
        self._player.pause()
        self._seek(moved(all_epochs(self.runs), self.epoch, epochs))

    def action_first(self) -> None:
        self._player.pause()
        epochs = all_epochs(self.runs)
        self._seek(epochs[0] if len(epochs) > 1 else None)

    def action_follow(self) -> None:
        self._player.pause()
        self._seek(None)

    def action_play(self) -> None:
        """Play from where it stands, from the start when at the end; or pause."""
        if self.playing:
            self._player.pause()
            self.update()
            return
        epochs = all_epochs(self.runs)
        if len(epochs) < 2:
            self.notify("there are no epochs to play through yet")
            return
        if position(epochs, self.epoch) == len(epochs) - 1:
            self._seek(epochs[0])
        self._player.play(FRAME_SECONDS)
        self.update()

    def _advance(self) -> None:
        epoch = moved(all_epochs(self.runs), self.epoch, 1)
        if epoch is None:
            self._player.pause()
        self._seek(epoch)

    def _seek(self, epoch: int | None) -> None:
        """Show an epoch's pictures, and put the cursor of the curves where it ended."""
        self.epoch = epoch
        self.chart.hold(None if epoch is None else x_of_epoch(self.runs, epoch, self.chart.unit))
        self.update()
