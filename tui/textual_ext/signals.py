"""Signals, followed by screens and widgets without being kept alive by them."""

from collections.abc import Callable
from typing import Any
from weakref import WeakMethod, ref

from textual.signal import Signal
from textual.widget import Widget


def subscribe_weakly(widget: Widget, signal: Signal[Any], act: Callable[[], object]) -> None:
    """Do something whenever a signal is given, for as long as the widget is there.

    Textual forgets a subscriber that nobody else knows, but what it calls it keeps, and that usually knows the
    subscriber: each screen that was ever opened would be kept, with all that was drawn on it, until the signal is next
    given. Nights go by in which the theme is not changed.

    Args:
        widget: who follows; mounted.
        signal: what is followed.
        act: a method of an object that lives as long as the widget does, such as the widget itself.
    """
    follower, method = ref(widget), WeakMethod(act)

    def pass_on(_: object) -> None:
        if (there := follower()) is not None and (still := method()) is not None:
            there.call_next(still)

    signal.subscribe(widget, pass_on, immediate=True)
