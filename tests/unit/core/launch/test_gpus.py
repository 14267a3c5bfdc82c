"""GPUs as vendors' programs list them: captured outputs, with the variables and instances that limit them."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from core.launch import gpus, nvidia, rocm
from core.launch.gpus import Gpu, filter_visible
from core.launch.nvidia import parse_list, parse_query

GIB = 1 << 30
# nvidia-smi of driver 550, an A100 in MIG mode beside one that is not, with the query of `core.launch.nvidia`.
QUERY = """0, GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77, NVIDIA A100-SXM4-40GB, 40960, 40326, 550.54.15, Enabled
1, GPU-6d96b254-8a4a-9a0b-8bc1-3f1e8e7c6d10, NVIDIA A100-SXM4-40GB, 40960, 39000, 550.54.15, Disabled
"""
LIST = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 3g.20gb     Device  0: (UUID: MIG-c7384736-a75d-5afc-978f-d2f1294409fd)
  MIG 1g.5gb+me   Device  1: (UUID: MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-6d96b254-8a4a-9a0b-8bc1-3f1e8e7c6d10)
"""
T4 = "0, GPU-3e1a1c5b-0000-1111-2222-333344445555, Tesla T4, 15360, 15095, 535.104.05, [N/A]\n"
# rocm-smi of ROCm 6, which warns before the JSON.
CARDS = """WARNING: AMD GPU device(s) is/are in a low-power state. Check power control/runtime_status

{"card0": {"Unique ID": "0x6f1a2b3c4d5e6f70", "Temperature (Sensor edge) (C)": "34.0", "GPU use (%)": "12",
"VRAM Total Memory (B)": "25753026560", "VRAM Total Used Memory (B)": "27385856", "Card Series": "Radeon RX 7900 XTX",
"Card Model": "0x744c", "GFX Version": "gfx1100"},
"card1": {"Unique ID": "N/A", "GPU use (%)": "N/A", "VRAM Total Memory (B)": "536870912",
"VRAM Total Used Memory (B)": "500000000", "Card Series": "N/A", "GFX Version": "gfx1036"},
"system": {"Driver version": "6.2.4"}}
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def install(folder: Path, name: str, text: str, listed: str = "") -> None:
    """A program that prints a text, and another one with -L."""
    (folder / "text").write_text(text)
    (folder / "listed").write_text(listed)
    script = f"""#!/bin/sh
file={folder}/text
[ "$1" = -L ] && file={folder}/listed
while IFS= read -r line; do printf '%s\\n' "$line"; done < "$file"
"""
    (folder / name).write_text(script)
    (folder / name).chmod(0o755)


def test_a_gpu_has_its_driver_and_free_memory() -> None:
    (t4,) = parse_query(T4)
    assert (t4.name, t4.total, t4.free) == ("Tesla T4", 15360 << 20, 15095 << 20)
    assert (t4.driver, t4.is_mig) == ("535.104.05", False)
    assert [gpu.is_mig for gpu in parse_query(QUERY)] == [True, False]


def test_instances_have_uuid_and_the_memory_of_their_profile() -> None:
    instances = parse_list(LIST, parse_query(QUERY))
    assert [(owner[:12], gpu.uuid[:12], gpu.name, gpu.total) for owner, gpu in instances] == [
        ("GPU-5d5ba0d6", "MIG-c7384736", "MIG 3g.20gb of NVIDIA A100-SXM4-40GB", 20 * GIB),
        ("GPU-5d5ba0d6", "MIG-a28ad590", "MIG 1g.5gb+me of NVIDIA A100-SXM4-40GB", 5 * GIB),
    ]


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["MIG 3g.20gb of NVIDIA A100-SXM4-40GB"]),
        ("MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d", ["MIG 1g.5gb+me of NVIDIA A100-SXM4-40GB"]),
        ("MIG-a28ad590,MIG-c7384736", ["MIG 1g.5gb+me of NVIDIA A100-SXM4-40GB"]),
        ("0", ["MIG 3g.20gb of NVIDIA A100-SXM4-40GB"]),
        ("1", ["NVIDIA A100-SXM4-40GB"]),
        ("GPU-6d96b254", ["NVIDIA A100-SXM4-40GB"]),
        ("1,0", ["MIG 3g.20gb of NVIDIA A100-SXM4-40GB"]),
        ("MIG-GPU-5d5ba0d6/1/0", ["MIG instance"]),
        ("", []),
    ],
)
def test_of_the_instances_of_mig_a_process_sees_one(
    programs: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, names: list[str]
) -> None:
    install(programs, "nvidia-smi", QUERY, LIST)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found, explanation = gpus.find_gpus()
    assert [gpu.name for gpu in found] == names
    assert "MIG: 2 instances" in explanation
    assert ("a process sees one, here MIG-" in explanation) == (
        names[:1] not in ([], ["NVIDIA A100-SXM4-40GB"])
    )


def test_a_gpu_in_mig_mode_without_instances_cannot_be_used(programs: Path) -> None:
    whole = "\n".join(line for line in LIST.splitlines() if "MIG" not in line)
    install(programs, "nvidia-smi", QUERY.splitlines()[0] + "\n", whole + "\n")
    found, explanation = gpus.find_gpus()
    assert found == []
    assert explanation == (
        "MIG: 0 instances, none of them visible; a GPU in MIG mode is used through an instance."
    )


def test_a_uuid_must_name_one_gpu_only() -> None:
    two = [Gpu("0", "GPU-ab1", "A", 1, 1), Gpu("1", "GPU-ab2", "B", 1, 1)]
    assert filter_visible(two, "GPU-ab2,GPU-ab1") == two[::-1]
    assert filter_visible(two, "GPU-ab,1") == []


@pytest.mark.parametrize(
    ("visible", "numbers"),
    [
        *(
            (text, "")
            for text in ("1,1", "GPU-a,GPU-a", "GPU-a,0", "01,1", "-1,0", "gpu0", "none", "9" * 5000)
        ),
        *((text, "1") for text in ("1", "01", " +1 ", "1gpu", "1,-1", "1,2,0", "1,,0")),
        ("1gpu2,0ampere", "10"),
    ],
)
def test_a_list_of_numbers_is_read_as_torch_reads_it(visible: str, numbers: str) -> None:
    two = [Gpu("0", "GPU-a", "A", 1, 1), Gpu("1", "GPU-b", "B", 1, 1)]
    assert [gpu.number for gpu in filter_visible(two, visible)] == list(numbers)


@pytest.mark.parametrize(
    "text", ["a,b,c,d,e", "\x1b[31m, b, c, 1, 1, 5, [N/A]", "No devices, at, all, or, none", ", , , , "]
)
def test_lines_that_begin_with_no_number_are_no_gpus(text: str) -> None:
    assert parse_query(f"{text}\n{T4}") == parse_query(T4)


def test_a_program_that_waits_in_a_faulty_driver_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel does not end a process that waits for a driver, so it must not be waited for."""
    kill, left = subprocess.Popen.kill, list[subprocess.Popen[str]]()
    monkeypatch.setattr("subprocess.Popen.kill", lambda self: left.append(self))
    monkeypatch.setattr(gpus, "_KILL_SECONDS", 0.05)
    start = time.monotonic()
    with pytest.raises(gpus.SmiError, match=r"^sleep did not answer within 0\.05 s$"):
        gpus.run_smi(["sleep", "2"], 0.05)
    assert time.monotonic() - start < 1
    (process,) = left
    kill(process)
    process.wait()


def test_amd_gpus_have_name_memory_and_driver(programs: Path) -> None:
    install(programs, "rocm-smi", CARDS)
    found, explanation = gpus.find_gpus()
    assert explanation == ""
    assert found == [
        Gpu("0", "GPU-6f1a2b3c4d5e6f70", "Radeon RX 7900 XTX", 25753026560, 25753026560 - 27385856, "6.2.4"),
        Gpu("1", "", "gfx1036", 536870912, 36870912, "6.2.4"),
    ]
    assert [(card.utilization, card.temperature) for card in rocm.parse_json(CARDS)] == [
        (12, 34),
        (None, None),
    ]


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({"HIP_VISIBLE_DEVICES": "1"}, ["gfx1036"]),
        ({"CUDA_VISIBLE_DEVICES": "1,0"}, ["gfx1036", "Radeon RX 7900 XTX"]),
        ({"ROCR_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "0"}, ["gfx1036"]),
        ({"ROCR_VISIBLE_DEVICES": "GPU-6f1a2b3c4d5e6f70"}, ["Radeon RX 7900 XTX"]),
        ({"HIP_VISIBLE_DEVICES": "0", "CUDA_VISIBLE_DEVICES": "1"}, ["Radeon RX 7900 XTX"]),
    ],
)
def test_the_variables_of_rocm_are_honoured_one_after_the_other(
    programs: Path, variables: dict[str, str], names: list[str]
) -> None:
    install(programs, "rocm-smi", CARDS)
    found, explanation = rocm.find_gpus(variables)
    assert [gpu.name for gpu in found] == names
    assert all(name in explanation for name in variables if "CUDA" not in name or len(variables) == 1)


@pytest.mark.parametrize(
    "text", ["", "no JSON", "{", "[]", json.dumps({"card0": 3}), json.dumps({"system": 1})]
)
def test_an_answer_of_rocm_that_is_none_means_no_gpu(programs: Path, text: str) -> None:
    install(programs, "rocm-smi", text)
    assert rocm.find_gpus({}) == ([], "No AMD GPU: rocm-smi lists none.")


def test_without_any_program_nvidias_is_named(programs: Path) -> None:
    assert gpus.find_gpus() == ([], "No NVIDIA GPU: nvidia-smi is not installed.")
    assert nvidia.find_gpus({}) == gpus.find_gpus()
