"""Memory that a training keeps between its steps."""

import subprocess
import sys

import pytest

from core.training.malloc import disable_trim

_PROBE = """
import resource, sys
import torch
from core.training.malloc import disable_trim

kept = disable_trim() if sys.argv[1] == "keep" else False

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.empty(1 << 26, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(int(kept), faults())
"""


def probe(how: str) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, how], capture_output=True, text=True, check=True, timeout=120
    )
    kept, faults = done.stdout.split()
    return int(kept), int(faults)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="malloc of glibc")
def test_freed_blocks_are_not_requested_from_the_system_again() -> None:
    _, fetched = probe("give back")
    kept, still_fetched = probe("keep")
    if kept:
        assert still_fetched < fetched / 10


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not disable_trim()
