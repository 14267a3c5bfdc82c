"""Cores: real affinities and control-group files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.launch import cores as module
from core.launch.devices import detect_machine


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_an_affinity_is_respected() -> None:
    core = min(os.sched_getaffinity(0))
    program = (
        f"import os\nos.sched_setaffinity(0, {{{core}}})\n"
        "from core.launch.devices import detect_machine\nprint(detect_machine().cores)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


@pytest.mark.parametrize(
    ("files", "membership", "expected"),
    [
        ({"cpu.max": "150000 100000"}, "0::/", 1.5),
        ({"cpu.max": "max 100000"}, "0::/", None),
        (
            {"cpu.max": "max 100000", "a/cpu.max": "400000 100000", "a/b/cpu.max": "300000 100000"},
            "0::/a/b",
            3.0,
        ),
        ({"a/cpu.max": "100000 100000", "a/b/cpu.max": "300000 100000"}, "0::/a/b", 1.0),
        ({"cpu.max": "200000 100000"}, "0::/docker/not/mounted/here", 2.0),
        ({"unified/cpu.max": "200000 100000"}, "0::/", 2.0),
        (
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "250000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
            "3:cpu,cpuacct:/a",
            2.5,
        ),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "1:cpu:/\n0::/", None),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "0"}, "1:cpu:/", None),
        ({"cpu.max": "nonsense"}, "0::/", None),
        ({}, "0::/", None),
        ({"cpu.max": "100000 100000"}, "not a line of ours", None),
    ],
)
def test_the_quota_of_a_container_is_found(
    tmp_path: Path, files: dict[str, str], membership: str, expected: float | None
) -> None:
    groups = tmp_path / "cgroup"
    for name, content in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(content + "\n")
    (tmp_path / "membership").write_text(membership + "\n")
    assert module._cpu_quota(groups, tmp_path / "membership") == expected
    assert module._cpu_quota(groups, tmp_path / "nothing") is None


@pytest.mark.parametrize(("quota", "cores"), [(0.5, 1), (1.9, 1), (1000.0, None), (None, None)])
def test_a_quota_is_rounded_down_to_whole_cores(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, cores: int | None
) -> None:
    monkeypatch.setattr(module, "_cpu_quota", lambda *_: None)
    allowed = detect_machine().cores
    monkeypatch.setattr(module, "_cpu_quota", lambda *_: quota)
    machine = detect_machine()
    assert machine.cores == (cores or allowed)
    assert ("container" in machine.notes[0]) == (cores is not None)
