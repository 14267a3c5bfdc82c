"""What screens share from which something is done that takes a moment."""

import asyncio
from collections.abc import Callable

from textual import work
from textual.screen import Screen

from core.errors import UserError
from tui.messages import RunsTouched


class BackgroundScreen(Screen[None]):
    """A screen that does things away from the screen, and says what came of them."""

    @work
    async def run_in_background(self, act: Callable[[], str]) -> None:
        """Do something that may block, away from the screen, and say what came of it."""
        try:
            said = await asyncio.to_thread(act)
        except UserError as error:
            self.notify(str(error), severity="error", markup=False, timeout=8)
        else:
            if said:
                self.notify(said, markup=False, timeout=3)
        finally:
            self.post_message(RunsTouched())
