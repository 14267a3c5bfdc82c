"""Progress on stderr: bars on a terminal, plain lines in a file."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from core.cli.output import is_terminal, note
from core.files.sanitize import sanitize

Report = Callable[[int, int], None]

LINE_INTERVAL = 2.0
"""Seconds between two plain lines."""


@contextlib.contextmanager
def progress_bar(label: str, unit: str) -> Iterator[Report]:
    """Show progress while the block runs; nothing is shown before the first report.

    Args:
        label: the name of the work, for example ``high``.
        unit: the counted things, in the plural.

    Yields:
        A function of (done, total), cheap enough to call often and from any thread.
    """
    label = sanitize(label)
    if not is_terminal(sys.stderr):
        yield _line_reporter(label, unit)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=None, visible=False)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, visible=True)

        yield report


def _line_reporter(label: str, unit: str) -> Report:
    due = time.monotonic()
    ended = False

    def report(done: int, total: int) -> None:
        nonlocal due, ended
        now = time.monotonic()
        if (now >= due or done == total) and not ended:
            due, ended = now + LINE_INTERVAL, done == total
            note(f"{label}: {done} of {total} {unit}")

    return report
