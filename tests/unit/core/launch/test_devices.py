"""Devices and slots: real `nvidia-smi` programs that say what we want to hear, real control-group files."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import UserError
from core.launch import devices as module
from core.launch import nvidia
from core.launch.devices import (
    Device,
    Machine,
    Plan,
    Slot,
    detect_devices,
    detect_machine,
    make_plan,
    plan_explanation,
    plan_slots,
)

GIB = 1 << 30
CPU = Device("cpu", "cpu", "a CPU", 8 * GIB)
MPS = Device("mps", "mps", "a Mac", 8 * GIB)
TWO_GPUS = "0, GPU-aaa, NVIDIA A, 81920, 81000\n1, GPU-bbb, NVIDIA B, 8192, 100\n"


def gpu(number: int, memory: int = 80 * GIB) -> Device:
    return Device(f"cuda:{number}", "cuda", "a GPU", memory)


def cpu_plan(cores: int, slots: int | None = None) -> Plan:
    return Plan((CPU,), cores, slots)


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the front of the PATH for a made-up `nvidia-smi`; without one there is none."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    monkeypatch.setattr(module, "check_gpus", lambda gpus, **_: [""] * len(gpus))
    return folder / "nvidia-smi"


def says(program: Path, text: str, code: int = 0) -> None:
    program.write_text(f"#!/bin/sh\nprintf '%s' '{text}'\nexit {code}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("cores", "runs", "expected"),
    [
        (2, 5, [1] * 5),
        (2, 40, [1] * 5),
        (2, 1, [2]),
        (1, 3, [1] * 3),
        (4, 3, [1] * 3),
        (16, 5, [3] * 5),
        (16, 40, [1] * 16),
        (8, 3, [2, 2, 2]),
        (4, 0, []),
    ],
)
def test_cores_are_shared_out_among_the_runs(cores: int, runs: int, expected: list[int]) -> None:
    slots = cpu_plan(cores).free_slots([], runs)
    assert slots == [Slot("cpu", threads, index) for index, threads in enumerate(expected)]
    assert sum(expected) <= max(cores, 5)


def test_no_more_runs_share_the_cores_than_fit_into_memory() -> None:
    small = Plan((Device("cpu", "cpu", "a CPU", 3 * GIB),), 2)
    assert small.capacity == len(small.free_slots([], 9)) == 3
    assert Plan((Device("cpu", "cpu", "a CPU", GIB // 2),), 2).capacity == 2


def test_a_live_run_of_several_threads_keeps_its_cores() -> None:
    assert cpu_plan(2).free_slots([("cpu", 2)], 4) == []
    assert cpu_plan(8).free_slots([("cpu", 6)], 9) == [Slot("cpu", 1, 0), Slot("cpu", 1, 1)]
    assert cpu_plan(8).free_slots([("cpu", 2)], 1) == [Slot("cpu", 6, 0)]
    assert cpu_plan(2).free_slots([("cpu", 64)], 1) == []


def test_runs_of_one_thread_are_joined_by_others_up_to_five() -> None:
    assert cpu_plan(2).free_slots([("cpu", 1)], 9) == [Slot("cpu", 1, index) for index in range(4)]
    assert cpu_plan(2).free_slots([("cpu", 1)] * 2, 1) == [Slot("cpu", 1, 0)]
    assert cpu_plan(2).free_slots([("cpu", 1)] * 5, 4) == []


def test_slots_that_are_asked_for_are_given_even_beyond_the_cores() -> None:
    assert cpu_plan(2, slots=5).free_slots([], 9) == [Slot("cpu", 1, index) for index in range(5)]
    assert cpu_plan(8, slots=2).free_slots([], 1) == [Slot("cpu", 4, 0)]
    assert cpu_plan(2, slots=3).free_slots([("cpu", 1), ("cpu", 1)], 9) == [Slot("cpu", 1, 0)]
    assert cpu_plan(2, slots=1).free_slots([("cpu", 2)], 9) == []


def test_gpus_are_filled_in_turn_up_to_their_memory() -> None:
    plan = Plan((gpu(0), gpu(1, 9 * GIB), gpu(2, 2 * GIB)), 16)
    assert plan.capacity == 4 + 2 + 1
    names = [slot.device for slot in plan.free_slots([], 9)]
    assert names == ["cuda:0", "cuda:1", "cuda:2", "cuda:0", "cuda:1", "cuda:0", "cuda:0"]
    assert [slot.device for slot in plan.free_slots([("cuda:0", 2), ("cuda:0", 2), ("cuda:1", 2)], 3)] == [
        "cuda:2",
        "cuda:1",
        "cuda:0",
    ]
    assert plan.free_slots([(name, 2) for name in names], 3) == []


def test_workers_on_gpus_share_the_cores_too() -> None:
    assert {slot.threads for slot in Plan((gpu(0),), 16).free_slots([], 9)} == {4}
    assert len(Plan((gpu(0),), 2).free_slots([], 9)) == 2
    assert {slot.threads for slot in Plan((gpu(0),), 2).free_slots([], 9)} == {1}
    assert {slot.threads for slot in Plan((gpu(0), gpu(1)), 16).free_slots([], 9)} == {2}


def test_a_gpu_takes_no_more_runs_than_cores_host_memory_and_its_free_memory_serve() -> None:
    t4 = Device("cuda:0", "cuda", "Tesla T4", 15360 << 20, 15095 << 20)
    assert Plan((t4,), 2, host_memory=13 * GIB).capacity == 2
    assert Plan((t4,), 8, host_memory=13 * GIB).capacity == 3
    assert Plan((t4,), 8, host_memory=5 * GIB).capacity == 2
    assert Plan((replace(t4, free=5 * GIB),), 8, host_memory=13 * GIB).capacity == 1
    assert Plan((replace(t4, free=0),), 1, host_memory=GIB).capacity == 1
    four = tuple(replace(gpu(number), free=79 * GIB) for number in range(4))
    assert Plan(four, 8, host_memory=500 * GIB).capacity == 8
    assert Plan(four, 64, host_memory=500 * GIB).capacity == 16
    assert Plan(four, 2, slots=6, host_memory=500 * GIB).capacity == 6


def test_runs_that_fill_a_gpu_are_spread_one_on_each() -> None:
    plan = Plan((gpu(0), gpu(1)), 16).with_own_gpus()
    assert [(slot.device, slot.threads) for slot in plan.free_slots([], 9)] == [("cuda:0", 4), ("cuda:1", 4)]
    assert plan.free_slots([("cuda:0", 4), ("cuda:1", 4)], 9) == []
    assert Plan((gpu(0),), 16, slots=3).with_own_gpus().capacity == 3


def test_runs_on_the_cpu_take_no_room_on_a_gpu() -> None:
    assert len(Plan((gpu(0),), 8).free_slots([("cpu", 8)], 9)) == 4


def test_slots_over_several_gpus_are_spread() -> None:
    slots = Plan((gpu(0), gpu(1)), 8, slots=6).free_slots([("cuda:0", 1)], 9)
    assert [slot.device for slot in slots] == ["cuda:1", "cuda:0", "cuda:1", "cuda:0", "cuda:1"]


def test_metal_runs_one_at_a_time() -> None:
    assert Plan((MPS,), 8).free_slots([], 5) == [Slot("mps", 4, 0)]
    assert Plan((MPS,), 8).free_slots([("mps", 4)], 5) == []


def test_gpus_are_found_with_names_and_memory(nvidia_smi: Path) -> None:
    says(nvidia_smi, TWO_GPUS)
    machine = detect_machine()
    assert [device.name for device in machine.devices] == ["cuda:0", "cuda:1", "cpu"]
    first, second, _ = machine.devices
    assert (first.kind, first.memory, first.detail) == ("cuda", 80 * GIB, "NVIDIA A, 79.1 GiB free")
    assert (second.memory, second.detail) == (8 * GIB, "NVIDIA B, 0.1 GiB free")
    assert detect_devices() == list(machine.devices)
    assert [device.name for device in make_plan().devices] == ["cuda:0", "cuda:1"]
    assert [device.name for device in make_plan("cuda:1").devices] == ["cuda:1"]
    assert [device.name for device in make_plan("cpu").devices] == ["cpu"]


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("0,1", ["NVIDIA A", "NVIDIA B"]),
        ("1", ["NVIDIA B"]),
        (" 1 , 0 ", ["NVIDIA B", "NVIDIA A"]),
        ("GPU-bb", ["NVIDIA B"]),
        ("1,7,0", ["NVIDIA B"]),
        ("1,1", []),
        ("", []),
        ("-1", []),
        ("GPU-zz", []),
        ("MIG-1234,MIG-5678", ["MIG instance"]),
    ],
)
def test_cuda_visible_devices_is_honoured_as_cuda_does(
    nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch, visible: str, names: list[str]
) -> None:
    says(nvidia_smi, TWO_GPUS)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpus = detect_devices()[:-1]
    assert [device.detail.split(",")[0] for device in gpus] == names
    assert [device.name for device in gpus] == [f"cuda:{index}" for index in range(len(names))]
    assert any(f"shows {len(names)} of 2 GPUs" in note for note in detect_machine().notes)


def test_a_torch_without_cuda_leaves_the_gpus_alone_and_says_why(
    nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(nvidia_smi, TWO_GPUS)
    monkeypatch.setattr(
        module, "check_gpus", lambda gpus, **_: ["torch 2.13.0+cpu is built for CPUs only"] * len(gpus)
    )
    assert [device.name for device in detect_devices()] == ["cpu"]
    with pytest.raises(
        UserError,
        match=r"cuda:0 .NVIDIA A. and cuda:1 .NVIDIA B.: torch 2\.13\.0\+cpu is built for CPUs only; install",
    ):
        make_plan("cuda")


def test_gpus_that_torch_cannot_compute_on_are_left_out_and_named(
    nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(nvidia_smi, TWO_GPUS)
    failures = ["no kernel image is available", ""]
    monkeypatch.setattr(module, "check_gpus", lambda gpus, **_: failures)
    plan = make_plan()
    assert [device.name for device in plan.devices] == ["cuda:1"]
    assert plan.note == (
        "Torch cannot compute on cuda:0 (NVIDIA A): no kernel image is available; install a build of torch that suits "
        "GPU and driver, or use --device cpu. Used instead: cuda:1."
    )
    assert make_plan("cuda").note == plan.note
    assert make_plan("cuda:1").note == make_plan("cpu").note == ""
    with pytest.raises(
        UserError, match=r"--device cuda:0: not on this machine.*no kernel image.*--device cpu"
    ):
        make_plan("cuda:0")
    with pytest.raises(UserError, match="no kernel image"):
        make_plan("cuda:0+1")
    assert "Torch cannot compute on cuda:0" in "\n".join(plan_explanation())


def test_for_the_cpu_no_gpu_is_tried(nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says(nvidia_smi, TWO_GPUS)
    monkeypatch.setattr(module, "check_gpus", lambda *_, **__: pytest.fail("a GPU was tried"))
    assert make_plan("cpu").first_device == make_plan("cpu+cpu").first_device == "cpu"


@pytest.mark.parametrize(
    ("text", "code", "why"),
    [
        (None, 0, "nvidia-smi is not installed"),
        ("No devices were found", 6, "nvidia-smi failed .No devices were found"),
        ("", 9, "nvidia-smi failed .no reason given"),
        ("", 0, "nvidia-smi lists none"),
        ("what, is, this", 0, "nvidia-smi lists none"),
    ],
)
def test_no_gpu_means_the_cpu_and_a_reason(nvidia_smi: Path, text: str | None, code: int, why: str) -> None:
    if text is not None:
        says(nvidia_smi, text, code)
    assert [device.name for device in make_plan().devices] == ["cpu"]
    with pytest.raises(UserError, match=f"--device cuda: not on this machine, which has cpu.*{why}"):
        make_plan("cuda")


def test_memory_that_nvidia_does_not_tell_still_makes_a_slot(nvidia_smi: Path) -> None:
    says(nvidia_smi, "0, GPU-a, NVIDIA GB10, [N/A], [N/A]\n")
    device = detect_devices()[0]
    assert (device.name, device.memory) == ("cuda:0", 0)
    assert make_plan("cuda:0").capacity == 1


def test_an_nvidia_smi_that_hangs_is_given_up(nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi.write_text("#!/bin/sh\nexec sleep 600\n")
    nvidia_smi.chmod(0o755)
    monkeypatch.setattr(nvidia, "_TIMEOUT", 0.05)
    assert [device.name for device in detect_devices()] == ["cpu"]
    assert any("did not answer" in note for note in detect_machine().notes)
    # There may well be a GPU, so a user that left the choice to the program is told.
    silence = "No NVIDIA GPU: nvidia-smi did not answer within 0.05 s."
    assert make_plan().note == f"{silence} Used instead: cpu."
    assert make_plan("cpu").note == ""
    with pytest.raises(UserError, match="did not answer"):
        make_plan("cuda")


def test_without_a_program_of_a_vendor_there_is_nothing_to_note(nvidia_smi: Path) -> None:
    assert make_plan().note == ""


def test_apple_silicon_has_metal(nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(module.platform, "machine", lambda: "arm64")
    assert [device.name for device in detect_devices()] == ["mps", "cpu"]
    assert make_plan().devices[0].name == "mps"
    monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")
    assert [device.name for device in detect_devices()] == ["cpu"]


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", "", "cuda:²"])
def test_a_device_that_is_none_is_a_users_error(device: str) -> None:
    with pytest.raises(UserError, match=r"expected auto, cpu, cuda, cuda:N or mps"):
        make_plan(device)


def test_joined_devices_are_one_that_a_run_has_to_itself(nvidia_smi: Path) -> None:
    says(nvidia_smi, TWO_GPUS)
    plan = make_plan("cuda:0+1", machine=Machine((gpu(0), gpu(1), CPU), 16, ()))
    assert plan == make_plan("cuda:0+cuda:1", machine=Machine((gpu(0), gpu(1), CPU), 16, ()))
    (both,) = plan.devices
    assert (both.name, both.kind, both.memory, both.torch_names) == (
        "cuda:0+cuda:1",
        "cuda",
        160 * GIB,
        ("cuda:0", "cuda:1"),
    )
    assert (plan.capacity, plan.first_device) == (1, "cuda:0")
    assert plan.free_slots([], 9) == [Slot("cuda:0+cuda:1", 8, 0)]
    assert plan.free_slots([], 9)[0].processes == 2
    for live in ("cuda:0+cuda:1", "cuda:1", "cuda:1+cuda:2"):
        assert plan.free_slots([(live, 2)], 9) == []
    assert len(plan.free_slots([("cuda:2", 2), ("cpu", 4)], 9)) == 1
    one_each = Plan((gpu(0), gpu(1), gpu(2)), 16)
    assert {slot.device for slot in one_each.free_slots([("cuda:0+cuda:1", 8)], 9)} == {"cuda:2"}
    assert "A run trains on all of cuda:0+cuda:1, a process on each" in plan_explanation("cuda:0+cuda:1")[-1]


def test_processes_of_a_run_on_the_cpu_share_its_cores() -> None:
    plan = make_plan("cpu+cpu", machine=Machine((CPU,), 5, ()))
    assert plan.free_slots([], 3) == [Slot("cpu+cpu", 4, 0)]
    assert plan.free_slots([("cpu", 1)], 3) == plan.free_slots([("cpu+cpu", 4)], 3) == []
    assert Plan(plan.devices, 1).free_slots([], 1) == [Slot("cpu+cpu", 2, 0)]
    assert cpu_plan(5).free_slots([("cpu+cpu", 4)], 3) == [Slot("cpu", 1, 0)]


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("cuda:0+cuda:2", "not on this machine, which has cuda:0, cuda:1, cpu"),
        ("cuda:1+1", "expected each GPU once, as in cuda:0[+]cuda:1"),
        ("cuda:0+cpu", "several for one run are joined by [+]"),
        ("cuda+cuda", "several for one run are joined by [+]"),
        ("mps+mps", "several for one run are joined by [+]"),
        ("cpu+", "several for one run are joined by [+]"),
    ],
)
def test_devices_that_cannot_be_joined_are_a_users_error(nvidia_smi: Path, device: str, words: str) -> None:
    says(nvidia_smi, TWO_GPUS)
    with pytest.raises(UserError, match=words):
        make_plan(device)


@pytest.mark.parametrize("slots", [0, -3])
def test_slots_below_one_are_a_users_error(slots: int) -> None:
    with pytest.raises(UserError, match=f"--slots {slots}: expected at least 1"):
        plan_slots("cpu", slots)


def test_slots_without_a_number_of_runs_are_all_there_are() -> None:
    cores = detect_machine().cores
    assert plan_slots("cpu") == [Slot("cpu", 1, index) for index in range(make_plan("cpu").capacity)]
    assert plan_slots("cpu", runs=1) == [Slot("cpu", cores, 0)]


def test_the_explanation_says_what_is_used_and_why(nvidia_smi: Path) -> None:
    two_cores = Machine((CPU,), 2, ("2 cores.",))
    assert plan_explanation(machine=two_cores) == [
        "cpu: a CPU, 8.0 GiB.",
        "2 cores.",
        "Up to 5 runs at once on cpu, sharing 2 cores: a run alone gets all of them, "
        "and each gets at least one thread.",
    ]
    assert plan_explanation(slots=5, machine=two_cores)[-1].endswith("as asked for with --slots.")
    many = Machine((gpu(0), gpu(1), replace(CPU, memory=64 * GIB)), 8, ())
    assert "Up to 8 runs at once on cuda:0 and cuda:1" in plan_explanation(machine=many)[-1]
    assert "one fills the GPU" in plan_explanation(machine=Machine((MPS, CPU), 8, ()))[-1]
    assert plan_explanation()


def test_devices_are_detected_without_torch() -> None:
    program = (
        "import sys\nfrom core.launch.devices import plan_explanation\n"
        "plan_explanation()\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
