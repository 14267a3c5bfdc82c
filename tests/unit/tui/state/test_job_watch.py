"""Jobs of waiting runs, asked for in a thread."""

import threading
import time
from pathlib import Path

from core.launch.engines.base import Job, JobState
from core.runs.status import State, Status
from tui.state.job_watch import INTERVAL, JobWatch

WAITING = Status(engine="slurm", job="4711_1")


def wait_for_answer(watch: JobWatch, status: Status, text: str) -> None:
    deadline = time.monotonic() + 10
    while watch.note(status) != text:
        assert time.monotonic() < deadline, watch.note(status)
        time.sleep(0.002)


def test_a_slow_scheduler_is_never_waited_for_and_asked_once_for_all_runs(tmp_path: Path) -> None:
    asked: list[list[Status]] = []
    answer, clock = threading.Event(), [0.0]

    def look_up(root: Path, statuses: list[Status]) -> tuple[dict[str, dict[str, Job] | None], str]:
        asked.append(statuses)
        answer.wait(10)
        return {"slurm": {"4711_1": Job("4711_1", JobState.PENDING, "Priority")}}, ""

    watch = JobWatch(tmp_path, look_up, lambda: clock[0])
    local, other = Status(), Status(engine="slurm", job="4711_2")
    watch.ask([local])
    assert not asked
    for _ in range(3):
        watch.ask([local, WAITING, other, Status(engine="slurm", state=State.RUNNING)])
    assert watch.note(WAITING) == "slurm 4711_1", "known before Slurm answers"
    clock[0] += INTERVAL + 1
    watch.ask([WAITING])  # the first question is still open
    answer.set()
    wait_for_answer(watch, WAITING, "slurm 4711_1: Priority")
    assert watch.note(other) == "slurm 4711_2: not in its queue; resume it"
    assert watch.note(local) == ""
    assert asked == [[WAITING, other]]
