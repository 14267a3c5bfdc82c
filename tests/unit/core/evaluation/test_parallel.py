"""Tasks that compute at once: their results, progress and failures."""

import threading

import pytest
import torch

from core.evaluation.parallel import run_together

CPU = torch.device("cpu")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_tasks_compute_at_once_on_a_cpu_and_their_threads_are_given_back() -> None:
    met, reports = threading.Barrier(2, timeout=20), []

    def task(progress):
        met.wait()
        progress(1, 2)
        progress(2, 2)
        return torch.get_num_threads()

    found = run_together(
        {"a": task, "b": task},
        {"a": 10, "b": 4},
        device=CPU,
        progress=lambda *counts: reports.append(counts),
    )
    assert found == {"a": 1, "b": 1}
    assert reports[-1] == (14, 14)
    assert sorted(reports) == reports
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_failure_stops_the_other_tasks_at_their_next_progress() -> None:
    failed = threading.Event()

    def endless(progress):
        while True:
            progress(0, 1)

    def fail(progress):
        failed.set()
        raise ValueError("diverged")

    with pytest.raises(ValueError, match="diverged"):
        run_together(
            {"endless": endless, "fail": fail},
            {"endless": 1, "fail": 1},
            device=CPU,
            progress=lambda *_: None,
        )
    assert failed.is_set()
