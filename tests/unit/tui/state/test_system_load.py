"""System load, read with psutil, nvidia-smi and NVML; and the panel that shows it at each width."""

import json
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.fake_groups import comparison
from tui.screens.board.system_panel import panel_lines
from tui.state.reader import RunsReader
from tui.state.system_load import GpuLoad, SystemLoad, SystemLoadReader, parse_smi


@pytest.fixture(autouse=True)
def _no_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)


def program(folder: Path, text: str, *, code: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\necho x >> {folder}/calls\nprintf '%s\\n' '{text}'\nexit {code}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_a_machine_without_gpus_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    load = SystemLoadReader().read()
    assert load.gpus == ()
    assert 0.0 <= load.cpu <= 1.0
    assert 0 < load.used <= load.total
    assert load.cores >= 1


def test_without_nvml_nvidia_smi_is_called_but_not_at_each_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program(tmp_path / "bin", "NVIDIA A100, 37, 2048, 40960, 51")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    moment = [0.0]
    reader = SystemLoadReader(monotonic=lambda: moment[0])
    calls = tmp_path / "bin" / "calls"
    for now, expected in ((0.0, 1), (5.0, 1), (11.0, 2)):
        moment[0] = now
        assert reader.read().gpus == (GpuLoad("A100", 0.37, 2 << 30, 40 << 30, 51),)
        assert len(calls.read_text().splitlines()) == expected


def test_a_failing_nvidia_smi_means_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(tmp_path / "bin", "no driver", code=9)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert SystemLoadReader().read().gpus == ()


def test_without_nvidia_smi_the_gpus_of_rocm_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card = {
        "Card Series": "AMD Instinct MI210",
        "GPU use (%)": "50",
        "Temperature (Sensor edge) (C)": "41.5",
        "VRAM Total Memory (B)": str(64 << 30),
        "VRAM Total Used Memory (B)": str(1 << 30),
    }
    program(tmp_path, json.dumps({"card0": card}))
    (tmp_path / "nvidia-smi").rename(tmp_path / "rocm-smi")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert SystemLoadReader().read().gpus == (GpuLoad("Instinct MI210", 0.5, 1 << 30, 64 << 30, 41),)


def test_a_malformed_answer_means_no_gpu_and_escape_codes_are_removed() -> None:
    assert parse_smi("NVIDIA-SMI has failed\n, , ,\n") == ()
    (gpu,) = parse_smi("NVIDIA \x1b[31mX, [N/A], 10, 20, [N/A]")
    assert "\x1b" not in gpu.name
    assert (gpu.utilization, gpu.temperature) == (None, None)


def test_nvml_is_read_if_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    class NVMLError(Exception):
        pass

    broken = [False]

    def rates(handle: int) -> SimpleNamespace:
        if handle == 1:
            raise NVMLError
        return SimpleNamespace(gpu=80)

    def memory(handle: int) -> SimpleNamespace:
        if broken[0]:
            raise NVMLError
        return SimpleNamespace(used=1 << 30, total=2 << 30)

    nvml = SimpleNamespace(
        NVMLError=NVMLError,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda handle: "NVIDIA H100" if handle else b"NVIDIA H100",
        nvmlDeviceGetMemoryInfo=memory,
        nvmlDeviceGetUtilizationRates=rates,
        nvmlDeviceGetTemperature=lambda handle, kind: 40,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    reader = SystemLoadReader()
    known, slice_of_one = reader.read().gpus
    assert known == GpuLoad("H100", 0.8, 1 << 30, 2 << 30, 40)
    assert slice_of_one == GpuLoad("H100", None, 1 << 30, 2 << 30, None)
    broken[0] = True
    assert reader.read().gpus == ()


@pytest.mark.parametrize("width", [60, 80, 120, 160, 250])
def test_the_panel_shows_everything_at_each_width_and_no_line_is_too_long(tmp_path: Path, width: int) -> None:
    comparison(tmp_path, "running")
    snapshot = RunsReader(tmp_path).poll()
    assert snapshot is not None
    gpus = tuple(GpuLoad("H100", share, 40 << 30, 80 << 30, 60) for share in (0.1, None))
    lines = panel_lines(SystemLoad(0.5, 1, 1 << 30, 2 << 30, gpus), snapshot.pending, {}, width)
    assert all(line.cell_length <= width for line in lines)
    text = "\n".join(line.plain for line in lines)
    for text_part in ("50% of 1 core", "1.0 of 2.0 GB", "gpu 0 H100", "gpu 1 H100", "queue 2 runs", "sine"):
        assert text_part in text


def test_the_panel_shows_that_nothing_was_read_yet_and_nothing_trains() -> None:
    lines = panel_lines(None, (), {}, 80)
    assert [line.plain.strip() for line in lines] == ["cpu ...", "nothing trains"]
