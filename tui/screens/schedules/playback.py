"""Navigation through timesteps: keys, a slider, and playback from image to noise."""

from collections.abc import Sequence
from typing import Final

from textual.screen import Screen

from core.config import RunConfig
from core.recipes import load_recipe
from tui.screens.schedules.model import ScheduleExplorer
from tui.screens.schedules.table import ScheduleEntry
from tui.textual_ext.playback import Player
from tui.widgets.scrubber import Scrubber

PLAY_SECONDS: Final = 5.0
FRAME_SECONDS: Final = 0.1


class NoisePlayback(Screen[list[RunConfig] | None]):
    """A screen that shows schedules at one timestep.

    Args:
        configs: the configurations to start from; without any, those of the quick recipe.
    """

    def __init__(self, configs: Sequence[RunConfig] = ()) -> None:
        super().__init__()
        self.explorer = ScheduleExplorer.from_config(configs or load_recipe("quick").configs)
        self._player = Player(self, self._advance)

    @property
    def entries(self) -> list[ScheduleEntry]:
        """The schedules shown."""
        return self.explorer.entries(self.app.theme_variables)

    @property
    def t(self) -> int:
        """The current timestep, from 0 to T."""
        return self.explorer.t(self.entries)

    @property
    def playing(self) -> bool:
        """True while playback is running."""
        return self._player.playing

    def update(self) -> None:
        """Move the slider to the current timestep."""
        t, count = self.t, self.explorer.timesteps(self.entries)
        head = f"t {str(t).rjust(len(str(count)))} of {count}"
        tail = "▶ playing" if self.playing else ""
        self.query_one(Scrubber).show_index(
            t, count + 1 if count else 0, head=head, tail=f"{tail:9}", lit=self.playing
        )

    def on_scrubber_index_requested(self, message: Scrubber.IndexRequested) -> None:
        self._seek(message.index / max(1, self.explorer.timesteps(self.entries)))

    def action_scrub(self, hundredths: int) -> None:
        """Move by hundredths of T, or by one timestep each if that is more."""
        count = max(1, self.explorer.timesteps(self.entries))
        self._seek((self.t + hundredths * max(1, count // 100)) / count)

    def action_go(self, share: int) -> None:
        self._seek(float(share))

    def action_play(self) -> None:
        """Play from the current timestep, or from the image if at the end; or pause."""
        if self.playing:
            self._player.pause()
        else:
            self.explorer.share = 0.0 if self.explorer.share >= 1.0 else self.explorer.share
            self._player.play(FRAME_SECONDS)
        self.update()

    def _advance(self) -> None:
        self.explorer.share = min(1.0, self.explorer.share + FRAME_SECONDS / PLAY_SECONDS)
        if self.explorer.share >= 1.0:
            self._player.pause()
        self.update()

    def _seek(self, share: float) -> None:
        self._player.pause()
        self.explorer.share = min(max(0.0, share), 1.0)
        self.update()
