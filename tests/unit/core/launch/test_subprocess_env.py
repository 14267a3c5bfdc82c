"""Environments of workers."""

import pytest

from core.launch.subprocess_env import worker_environment


def test_threads_of_a_worker_wait_awake_only_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    environment = worker_environment(threads=2)
    assert 300 <= int(environment["GOMP_SPINCOUNT"]) <= 10_000
    assert "OMP_WAIT_POLICY" not in environment  # PASSIVE would sleep at each of thousands of short waits


@pytest.mark.parametrize(("name", "value"), [("GOMP_SPINCOUNT", "7"), ("OMP_WAIT_POLICY", "ACTIVE")])
def test_the_way_in_which_threads_wait_can_be_chosen(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    environment = worker_environment(threads=2)
    assert environment[name] == value
    assert ("GOMP_SPINCOUNT" in environment) == (name == "GOMP_SPINCOUNT")
