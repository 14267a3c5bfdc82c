"""Bar at the top of every screen of a replay: position, speed and keys."""

from typing import Final

from textual.message import Message

from tui.replay.clock import ReplayClock
from tui.state.formatting import hms
from tui.widgets.scrubber import Scrubber

TICKS: Final = 1001
NARROW: Final = 76


class ReplayBar(Scrubber):
    """Scrubber over the time of a replay; a click or a drag requests another position.

    It is an overlay in the top padding of its screen, which need not know of it.
    """

    DEFAULT_CSS = """
    ReplayBar {
        overlay: screen;
        position: absolute;
        offset: 0 -1;
        width: 100%;
        background: $panel;
        color: $text-accent;
    }
    """

    class SeekRequested(Message):
        """Request to move to a position, as a share of the whole from 0 to 1."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    def show(self, clock: ReplayClock, keys: dict[str, str]) -> None:
        """Show the state of a replay.

        Args:
            clock: clock of the replay.
            keys: current keys by command id.
        """
        share = clock.position / clock.length if clock.length else 1.0
        hints = {
            name: keys.get(f"replay.{name}", "") for name in ("pause", "back", "forward", "slower", "faster")
        }
        playing = clock.playing
        tail = f"{'▶' if playing else '■' if clock.at_end else '‖'} {clock.speed}x"
        word = "pause" if playing else "again" if clock.at_end else "play"
        if self.app.size.width >= NARROW:
            tail += f"  {hints['pause']} {word:5}  {hints['back']} {hints['forward']} seek"
            tail += f"  {hints['slower']} {hints['faster']} speed"
        self.show_index(
            round(share * (TICKS - 1)),
            TICKS,
            head=f"REPLAY {hms(clock.position)} of {hms(clock.length)}",
            tail=tail,
            lit=playing,
        )

    def request_index(self, index: int) -> None:
        self.post_message(self.SeekRequested(index / (TICKS - 1)))
