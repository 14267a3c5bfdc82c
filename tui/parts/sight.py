"""Which screens can be seen: what nobody sees is not drawn."""

from typing import Any

from textual.app import App
from textual.screen import Screen


class SightApp(App[None]):
    """An app in which a screen that others cover wholly is no longer current.

    Textual takes the screen below the one on top for visible even where that is opaque, and draws the whole of the
    one on top again for each message that the other gets.
    """

    @property
    def _background_screens(self) -> list[Screen[Any]]:
        covered = self.screen.styles.background.a == 1
        return [] if covered else super()._background_screens
