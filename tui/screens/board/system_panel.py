"""Panel of the board with the system load and the time left of the runs."""

from collections.abc import Mapping, Sequence
from typing import Final

from textual.content import Content
from textual.widget import Widget

from core.runs.status import State
from tui.state.formatting import approx_duration, images_per_second, pluralize, seconds_left
from tui.state.snapshot import RunSnapshot
from tui.state.system_load import GpuLoad, SystemLoad

BAR_WIDTH: Final = 10
GIBIBYTE: Final = 1 << 30
MAX_GPUS: Final = 8
GAP: Final = "   "


class SystemPanel(Widget, can_focus=False):
    """System load and time left, on as many lines as they need."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.load: SystemLoad | None = None
        self._lines: list[Content] = []

    def update_lines(self, width: int, pending: Sequence[RunSnapshot], names: Mapping[str, str]) -> int:
        """Update the text for `width` cells, and return its number of lines."""
        lines = panel_lines(self.load, pending, names, width)
        if [line.markup for line in lines] != [line.markup for line in self._lines]:
            self._lines = lines
            self.refresh()
        return len(lines)

    def render(self) -> Content:
        return Content("\n").join(self._lines)


def panel_lines(
    load: SystemLoad | None, pending: Sequence[RunSnapshot], names: Mapping[str, str], width: int
) -> list[Content]:
    """Return the lines of the panel.

    Args:
        load: of the system; None before the first reading.
        pending: the runs that train or wait.
        names: of these runs, by id.
        width: cells.
    """
    return [*_flowed(_system_parts(load), width), *_flowed(_training_parts(pending, names, width), width)]


def _system_parts(load: SystemLoad | None) -> list[Content]:
    if load is None:
        return [_labelled("cpu", "...")]
    memory = f"{_bytes(load.used)} of {_bytes(load.total)} GB"
    parts = [
        _meter("cpu", load.cpu, f"of {pluralize(load.cores, 'core')}"),
        _meter("memory", load.used / max(1, load.total), memory, percent=False),
    ]
    several = len(load.gpus) > 1
    return parts + [_gpu(gpu, index if several else None) for index, gpu in enumerate(load.gpus[:MAX_GPUS])]


def _gpu(gpu: GpuLoad, index: int | None) -> Content:
    name = gpu.name if index is None else f"gpu {index} {gpu.name}"
    text = f"{_bytes(gpu.used)} of {_bytes(gpu.total)} GB"
    if gpu.temperature is not None:
        text += f" {gpu.temperature}°C"
    if gpu.utilization is None:
        return _labelled(name, text)
    return _meter(name, gpu.utilization, text)


def _training_parts(pending: Sequence[RunSnapshot], names: Mapping[str, str], width: int) -> list[Content]:
    """Speed of all runs, time left of each that trains, and time until the queue is done."""
    live = [run for run in pending if run.state.is_live]
    queued = [run for run in pending if run.state is State.QUEUED]
    if not pending:
        return [_labelled("nothing trains", "")]
    parts = [_labelled("all", f"{images_per_second(live):,.0f} img/s")] if images_per_second(live) else []
    for run in live:
        left = seconds_left([run])
        text = f"{approx_duration(left)} left" if left is not None else str(run.state)
        parts.append(_labelled(names.get(run.id, run.label), text))
    room = max(1, width // 24 * 2)
    if len(parts) > room:
        parts = [*parts[:room], _labelled("and", f"{len(parts) - room} more")]
    if queued:
        left = seconds_left(pending)
        after = f", all done in {approx_duration(left)}" if left is not None else ""
        parts.append(_labelled("queue", f"{pluralize(len(queued), 'run')}{after}"))
    return parts


def _labelled(name: str, value: str) -> Content:
    return (
        Content.assemble((f"{name} ", "$text-muted"), value) if value else Content.styled(name, "$text-muted")
    )


def _meter(name: str, share: float, text: str, *, percent: bool = True) -> Content:
    share = min(1.0, max(0.0, share))
    full = round(share * BAR_WIDTH)
    tone = "$text-error" if share > 0.95 and not percent else "$text-primary"
    return Content.assemble(
        (f"{name} ", "$text-muted"),
        ("━" * full, tone),
        ("─" * (BAR_WIDTH - full), "$text-disabled"),
        f" {share:.0%} " if percent else " ",
        (text, "" if not percent else "$text-muted"),
    )


def _bytes(count: int) -> str:
    """Format bytes as gibibytes, which the panel labels GB as usual.

    >>> _bytes(3 * 2**30), _bytes(80 * 2**30)
    ('3.0', '80')
    """
    gigabytes = count / GIBIBYTE
    return f"{gigabytes:.1f}" if gigabytes < 10 else f"{gigabytes:.0f}"


def _flowed(parts: Sequence[Content], width: int) -> list[Content]:
    """Return the parts one after the other, as many on a line as fit."""
    lines: list[Content] = []
    for part in parts:
        part = part.truncate(max(1, width - 2), ellipsis=True)
        if lines and lines[-1].cell_length + len(GAP) + part.cell_length <= width - 1:
            lines[-1] = Content.assemble(lines[-1], GAP, part)
        else:
            lines.append(Content.assemble(" ", part))
    return lines
