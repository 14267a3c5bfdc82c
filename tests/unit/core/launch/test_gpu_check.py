"""The check of GPUs: its results, the cases in which they are kept, and the real one with this torch."""

import json
import time
from pathlib import Path

import pytest

from core.launch import gpu_check
from core.launch.gpu_check import check_gpus, parse_check
from core.launch.gpus import Gpu

ONE = [Gpu("0", "GPU-a", "NVIDIA A", 1 << 34, 1 << 34, "550.1")]
OLD = "no kernel image is available for execution on the device"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The answers of the process that checks, taken from the front."""
    answers: list[list[str]] = []
    monkeypatch.setattr(gpu_check, "_run", lambda count: answers.pop(0))
    return answers


def lines(*fields: dict[str, object]) -> str:
    return "a warning of a library\n" + "".join(json.dumps(line) + "\n" for line in fields)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (lines({"problem": "built for CPUs only", "count": 0}), ["built for CPUs only"] * 2),
        (
            lines({"problem": "", "count": 2}, {"device": 0, "problem": ""}, {"device": 1, "problem": OLD}),
            ["", OLD],
        ),
        (lines({"problem": "", "count": 2}, {"device": 0, "problem": ""}), ["", "it was killed"]),
        (lines({"problem": "", "count": 1}, {"device": 0, "problem": ""}), ["", "torch does not see it"]),
        ("Traceback\n3\n{}\n", ["it was killed"] * 2),
        ('{"problem": "", "count": Infinity}\n' + "[" * 99999, ["it was killed"] * 2),
        ("", ["it was killed"] * 2),
    ],
)
def test_each_gpu_has_its_own_result(text: str, expected: list[str]) -> None:
    assert parse_check(text, 2, "it was killed") == expected


@pytest.mark.parametrize("result", ["", OLD, "torch 2.13.0 is built for CPUs only", "the driver is too old"])
def test_a_result_that_lasts_is_checked_once(runs: list[list[str]], cache: Path, result: str) -> None:
    runs += [[result], ["again"]]
    assert check_gpus(ONE) == check_gpus(ONE) == [result]
    (kept,) = (cache / "ddpm-tui").iterdir()
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "time": 0.0}))
    assert check_gpus(ONE) == [result]
    assert check_gpus(ONE, fresh=True) == ["again"]


def test_a_result_that_may_pass_is_checked_again_after_a_while(runs: list[list[str]], cache: Path) -> None:
    runs += [["permission denied"], [""]]
    assert check_gpus(ONE) == check_gpus(ONE) == ["permission denied"]
    (kept,) = (cache / "ddpm-tui").iterdir()
    kept.write_text(json.dumps({"problems": ["permission denied"], "time": time.time() - 3600}))
    assert check_gpus(ONE) == [""]


@pytest.mark.parametrize("change", ["driver", "gpu", "torch"])
def test_another_driver_gpu_or_torch_is_checked_itself(
    runs: list[list[str]], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    runs += [[OLD], [""]]
    assert check_gpus(ONE) == [OLD]
    gpu = ONE[0]
    if change == "driver":
        gpu = gpu._replace(driver="560.1")
    elif change == "gpu":
        gpu = gpu._replace(name="NVIDIA B")
    else:
        monkeypatch.setattr(gpu_check, "torch_version", lambda: "9.9")
    assert check_gpus([gpu]) == [""]


@pytest.mark.parametrize(
    "content",
    [
        *(
            "",
            "{",
            "[]",
            "[" * 65000,
            "\udcff",
            '{"problems": [], "time": 1}',
            '{"problems": [3], "time": 1e300}',
        ),
        '{"problems": "x", "time": NOW}',
    ],
)
def test_a_damaged_result_is_replaced(runs: list[list[str]], cache: Path, content: str) -> None:
    runs += [[""], [OLD]]
    assert check_gpus(ONE) == [""]
    (kept,) = (cache / "ddpm-tui").iterdir()
    kept.write_text(content.replace("NOW", str(time.time())), errors="surrogateescape")
    assert check_gpus(ONE) == [OLD]


def test_a_cache_that_cannot_be_written_hinders_nothing(runs: list[list[str]], cache: Path) -> None:
    cache.write_text("a file where a folder should be")
    runs += [[""], [""]]
    assert check_gpus(ONE) == check_gpus(ONE) == [""]
    assert runs == []


def test_without_gpus_nothing_is_checked(runs: list[list[str]]) -> None:
    assert check_gpus([]) == []
