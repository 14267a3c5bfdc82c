"""The line at the top of every screen of a replay: that it is one, where it is, and how to go elsewhere."""

from typing import Final

from textual.message import Message

from tui.replay.clock import ReplayClock
from tui.state.formatting import hms
from tui.widgets.scrubber import Scrubber

TICKS: Final = 1001
NARROW: Final = 76


class ReplayBar(Scrubber):
    """Time and speed of a replay; a click or a drag asks for another time.

    It lies in the padding that its screen has for it, so that screens need not know of it.
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
        """Somebody asked for a time: a share of the whole, 0 to 1."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    def show(self, time: ReplayClock, keys: dict[str, str]) -> None:
        """Show where a replay is.

        Args:
            time: of the replay.
            keys: by the command's id, as they are bound now.
        """
        share = time.position / time.length if time.length else 1.0
        hint = {
            name: keys.get(f"replay.{name}", "") for name in ("pause", "back", "forward", "slower", "faster")
        }
        playing = time.playing
        tail = f"{'▶' if playing else '■' if time.at_end else '‖'} {time.speed}x"
        word = "pause" if playing else "again" if time.at_end else "play"
        if self.app.size.width >= NARROW:
            tail += f"  {hint['pause']} {word:5}  {hint['back']} {hint['forward']} seek"
            tail += f"  {hint['slower']} {hint['faster']} speed"
        self.put(
            round(share * (TICKS - 1)),
            TICKS,
            head=f"REPLAY {hms(time.position)} of {hms(time.length)}",
            tail=tail,
            lit=playing,
        )

    def seek(self, place: int) -> None:
        self.post_message(self.SeekRequested(place / (TICKS - 1)))
