"""Which screens can be seen: what nobody sees is not drawn, and what was closed is not kept."""

from typing import Any

from textual._styles_cache import StylesCache
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.screen import Screen


class CoveredScreensMixin(App[None]):
    """An app in which a screen that others cover wholly is no longer current, and a closed one leaves nothing behind.

    Textual takes the screen below the one on top for visible even where that is opaque, and draws the whole of the
    one on top again for each message that the other gets.
    """

    @property
    def _background_screens(self) -> list[Screen[Any]]:
        covered = self.screen.styles.background.a == 1
        return [] if covered else super()._background_screens

    def pop_screen(self) -> AwaitComplete:
        """Close the screen on top, with all that was drawn on it.

        Textual remembers the ground of each widget in a cache that also holds, until a thousand widgets later, the
        lines that the widget drew last: tens of megabytes in a night. What is forgotten here of others is found again
        in microseconds.
        """
        popped = super().pop_screen()
        StylesCache.get_inner_outer.cache_clear()
        return popped
