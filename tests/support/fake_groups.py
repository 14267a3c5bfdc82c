"""Groups of fake runs, in the states that tests and snapshots show."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from core.runs import RunDirectory, State
from core.schedules import SCHEDULE_NAMES
from tests.support.fake_images import write_strip
from tests.support.fake_runs import dashboard_run, make_run, write_evaluation

THREE: Final = ("linear", "sine", "x^10")


def make_group(
    root: Path,
    run_states: Sequence[State] = (
        State.RUNNING,
        State.RUNNING,
        State.QUEUED,
        State.STOPPED,
        State.FAILED,
    ),
    **each: object,
) -> list[RunDirectory]:
    """One run a schedule, queued a millisecond apart; `each` goes to `make_run`."""
    return [
        make_run(root, schedule, state=state, index=index, **each)  # type: ignore[arg-type]  # keywords of make_run
        for index, (state, schedule) in enumerate(zip(run_states, SCHEDULE_NAMES, strict=True))
    ]


def comparison(root: Path, name: str, *, clean: bool = False) -> list[RunDirectory]:
    """Five runs, one a schedule, in one of the states that snapshots show: see `STATES`."""
    return [
        dashboard_run(root, schedule, index=index, clean=clean, **STATES[name][index])  # type: ignore[arg-type]  # keywords
        for index, schedule in enumerate(SCHEDULE_NAMES)
    ]


def evaluated(root: Path) -> list[RunDirectory]:
    """A finished comparison of five schedules: two are best, two clearly worse, and one is not evaluated."""
    runs = comparison(root, "finished", clean=True)
    for run, level in zip(runs, (0.94, 0.93, 0.7, 0.31), strict=False):
        write_evaluation(run, level)
    return runs


def three_runs(root: Path, *, epochs: tuple[int, ...] = (2, 4), size: int = 32) -> list[RunDirectory]:
    """Three runs with strips and an empty file in place of a checkpoint."""
    runs = []
    for index, schedule in enumerate(THREE):
        run = dashboard_run(root, schedule, state=State.STOPPED, epoch=4, epochs=8, index=index, size=size)
        for epoch in epochs:
            write_strip(run, epoch, size=size, seed=3 + index)
        run.checkpoint.parent.mkdir()
        run.checkpoint.touch()
        runs.append(run)
    return runs


def five_runs(root: Path) -> None:
    """A finished comparison of five schedules, of few epochs."""
    for index, schedule in enumerate(SCHEDULE_NAMES):
        dashboard_run(root, schedule, state=State.FINISHED, epoch=3, epochs=3, index=index)


def _all(**same: object) -> Sequence[dict[str, object]]:
    return [same] * len(SCHEDULE_NAMES)


STATES: Final[dict[str, Sequence[dict[str, object]]]] = {
    "running": [
        {"epoch": 37},
        {"epoch": 36},
        {"state": State.STARTING},
        {"state": State.QUEUED},
        {"state": State.QUEUED},
    ],
    "stopped": _all(state=State.STOPPED, epoch=12),
    "failed": [
        {"epoch": 37},
        {"state": State.CRASHED, "epoch": 36},
        {"state": State.QUEUED},
        {"state": State.STOPPED, "epoch": 12},
        {
            "state": State.FAILED,
            "epoch": 3,
            "nan_from": 101,
            "error": "loss became NaN at step 101; the checkpoint of epoch 2 is kept",
        },
    ],
    "finished": _all(state=State.FINISHED, epoch=40, epochs=40),
}
