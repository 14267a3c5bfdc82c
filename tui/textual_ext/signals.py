"""Subscriptions to Textual's signals that do not keep screens and widgets alive."""

from collections.abc import Callable
from typing import Any
from weakref import WeakMethod, ref

from textual.signal import Signal
from textual.widget import Widget


def subscribe_weakly(widget: Widget, signal: Signal[Any], act: Callable[[], object]) -> None:
    """Call a method whenever a signal is published, for as long as the widget exists.

    Textual holds subscribers weakly but their callbacks strongly. A bound method keeps its screen alive, so every
    closed screen would leak, with all that it drew, until the signal is next published. For `theme_changed` that may
    be never.

    Args:
        widget: the subscriber; mounted.
        signal: the signal.
        act: a method of an object that lives as long as the widget, such as the widget itself.
    """
    subscriber, method = ref(widget), WeakMethod(act)

    def forward(_: object) -> None:
        if (there := subscriber()) is not None and (callback := method()) is not None:
            there.call_next(callback)

    signal.subscribe(widget, forward, immediate=True)
