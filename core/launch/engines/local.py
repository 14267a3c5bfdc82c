"""The local engine: the queue runner of this machine (`core.launch.queue`), which has no ids of its own."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from core.errors import UserError
from core.launch.engines.base import Job
from core.launch.queue import ensure_runner
from core.runs.directory import RunDirectory


class LocalEngine:
    """Starts the runs of a folder by its queue runner; the runs' own statuses say all about them.

    Args:
        root: the runs folder.
        device: see `core.launch.devices.make_plan`.
        slots: see `core.launch.devices.make_plan`.
    """

    name = "local"

    def __init__(self, root: Path, *, device: str = "auto", slots: int | None = None) -> None:
        self._root, self._device, self._slots = root, device, slots

    def submit(self, runs: Sequence[RunDirectory]) -> list[str]:
        """Ensure that a queue runner serves the folder."""
        ensure_runner(self._root, self._device, self._slots)
        return [""] * len(runs)

    def states(self, ids: Iterable[str]) -> Mapping[str, Job]:
        """Return nothing, because there are no jobs besides the runs."""
        return {}

    def stop(self, ids: Iterable[str]) -> None:
        """Do nothing, because `core.launch.control.stop` has signalled the worker."""

    def requeue(self, ids: Iterable[str]) -> None:
        """Refuse."""
        raise UserError("the local queue cannot requeue a run; stop it, then resume it")
