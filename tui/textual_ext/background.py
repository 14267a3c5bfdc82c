"""Screens that run blocking actions in a thread and notify the user of the result."""

import asyncio
from collections.abc import Callable

from textual import work
from textual.message import Message
from textual.screen import Screen

from core.errors import UserError


class BackgroundScreen(Screen[None]):
    """A screen that runs actions which may block."""

    class Finished(Message):
        """An action has ended, successfully or not."""

    @work
    async def run_in_background(self, act: Callable[[], str]) -> None:
        """Run an action in a thread, and show the text that it returns, or its error."""
        try:
            result = await asyncio.to_thread(act)
        except UserError as error:
            self.notify(str(error), severity="error", markup=False, timeout=8)
        else:
            if result:
                self.notify(result, markup=False, timeout=3)
        finally:
            self.post_message(self.Finished())
