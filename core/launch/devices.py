"""Detection of the devices to train on, and their division into slots for runs, without importing torch.

A worker gets its share of the cores, at least one thread. If the OpenMP threads of a worker outnumber the cores, they
wait for each other most of the time: two workers of two threads on two cores were 25 times slower. Workers of one
thread each never wait, and share the cores well even if they outnumber them.

Several devices joined by ``+`` count as one device, for one run that trains on all of them with a process on each.
"""

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Self

import psutil

from core.errors import UserError
from core.launch.cores import cpu_name, find_cores, pluralize
from core.launch.gpu_check import check_gpus
from core.launch.gpus import Gpu, find_gpus

Kind = Literal["cpu", "cuda", "mps"]

SLOTS_PER_GPU: Final = 4
"""Several runs share a GPU, because small networks leave it idle between their kernels."""
BYTES_PER_GPU_SLOT: Final = 4 << 30
"""Free memory of the GPU for each of its runs."""
HOST_BYTES_PER_GPU_SLOT: Final = 2 << 30
"""Memory of the machine for each run on a GPU: torch with CUDA's libraries, and the images."""
THREADS_PER_GPU_SLOT: Final = 4
MIN_CPU_SLOTS: Final = 5
"""Runs of one thread each that share fewer cores, because a comparison of five schedules shall be seen side by side."""
BYTES_PER_CPU_SLOT: Final = 1 << 30

_NUMBERED: Final = re.compile(r"cuda:[0-9]+(\+(cuda:)?[0-9]+)*|cpu(\+cpu)+")


@dataclass(frozen=True)
class Device:
    """A device to train on.

    `name` is torch's name (``cpu``, ``cuda:0``, ``mps``), or several names joined (``cuda:0+cuda:1``) if one run trains
    on all of them. `memory` is the total in bytes, `free` the part of it that others leave, if that is known, and
    `detail` a short description for the user.
    """

    name: str
    kind: Kind
    detail: str
    memory: int
    free: int | None = None

    @property
    def torch_names(self) -> tuple[str, ...]:
        """Torch's names of the single devices; each gets one process of a run."""
        return tuple(self.name.split("+"))


@dataclass(frozen=True)
class Slot:
    """Capacity for one run: a device and a number of OpenMP threads. `index` counts from 0.

    `device` may be several names joined by ``+``; `threads` is the total of all processes of the run.
    """

    device: str
    threads: int
    index: int

    @property
    def processes(self) -> int:
        """Number of processes that train the run together."""
        return self.device.count("+") + 1


@dataclass(frozen=True)
class Machine:
    """All devices, the number of cores that this process may use, and sentences that explain both.

    `problems` are sentences about GPUs that torch cannot compute on, which are not among the devices. `silence` is a
    sentence about a vendor's program that does not answer, so that there may be GPUs.
    """

    devices: tuple[Device, ...]
    cores: int
    notes: tuple[str, ...]
    problems: tuple[str, ...] = ()
    silence: str = ""


@dataclass(frozen=True)
class Plan:
    """The devices that runs train on, and the number of runs at once.

    `host_memory` is that of the machine in bytes, if it limits the runs on GPUs. `note` is empty, or a sentence for the
    user about GPUs that are not used because torch cannot compute on them, or because nothing is known about them.
    """

    devices: tuple[Device, ...]
    cores: int
    slots: int | None = None
    host_memory: int | None = None
    runs_per_gpu: int = SLOTS_PER_GPU
    note: str = ""

    @property
    def capacity(self) -> int:
        """Maximum number of runs at once."""
        return self.slots or sum(self._device_capacity(device) for device in self.devices)

    @property
    def first_device(self) -> str:
        """Torch's name of the device for a computation that needs only one."""
        return self.devices[0].torch_names[0]

    def with_own_gpus(self) -> Self:
        """Return this plan with one run at a time on each GPU, for runs that fill it; `slots` is stronger."""
        return replace(self, runs_per_gpu=1)

    def free_slots(self, live: Sequence[tuple[str, int]], waiting: int) -> list[Slot]:
        """Return the slots that can be filled now.

        Args:
            live: device and threads of each run that is training.
            waiting: number of queued runs; the cores are divided among at most that many.

        Returns:
            At most `waiting` slots, the least busy device first.
        """
        on_cpu, processes = self.devices[0].kind == "cpu", len(self.devices[0].torch_names)
        cores = max(0, self.cores - sum(threads for _, threads in live))
        room = self.slots - len(live) if self.slots else self._free_capacity(live, cores)
        count = max(0, min(waiting, room))
        if count == 0:
            return []
        if on_cpu:
            threads = (self.cores // self.slots if self.slots else cores // count) // processes
        else:
            threads = min(THREADS_PER_GPU_SLOT, self.cores // self.capacity // processes)
        threads = processes * max(1, threads)
        load = {device.name: self._load(device, live) for device in self.devices}
        chosen: list[Slot] = []
        for index in range(count):
            open_devices = [
                d for d in self.devices if self.slots or on_cpu or load[d.name] < self._device_capacity(d)
            ]
            device = min(open_devices, key=lambda d: load[d.name])
            load[device.name] += 1
            chosen.append(Slot(device.name, threads, index))
        return chosen

    def _load(self, device: Device, live: Sequence[tuple[str, int]]) -> int:
        """Number of runs on a device; a run that trains on other devices too fills it."""
        names = [name.split("+") for name, _ in live if set(name.split("+")) & set(device.torch_names)]
        return sum(
            self._device_capacity(device) if len(parts) > len(device.torch_names) else 1 for parts in names
        )

    def _free_capacity(self, live: Sequence[tuple[str, int]], cores: int) -> int:
        if self.devices[0].name == "cpu":
            # Workers of several threads need their cores; workers of one thread may outnumber the cores.
            crowd = (
                self._device_capacity(self.devices[0]) - len(live)
                if all(count == 1 for _, count in live)
                else 0
            )
            return max(cores, crowd)
        return sum(
            max(0, self._device_capacity(device) - self._load(device, live)) for device in self.devices
        )

    def _device_capacity(self, device: Device) -> int:
        if len(device.torch_names) > 1:
            return 1
        match device.kind:
            case "cpu":
                return max(self.cores, min(MIN_CPU_SLOTS, device.memory // BYTES_PER_CPU_SLOT))
            case "mps":
                return 1
            case "cuda":
                return max(1, min(self.runs_per_gpu, *self._room_on_gpu(device)))

    def _room_on_gpu(self, device: Device) -> tuple[int, ...]:
        """Return the numbers of runs for which a GPU's memory, the cores and the machine's memory suffice.

        The GPUs share the cores, because a step is a long series of launches that keeps a core busy, and the memory.
        """
        gpus = len(self.devices)
        free = device.memory if device.free is None else device.free
        host = [] if self.host_memory is None else [self.host_memory // HOST_BYTES_PER_GPU_SLOT // gpus]
        return free // BYTES_PER_GPU_SLOT, self.cores // gpus, *host


def detect_devices() -> list[Device]:
    """Return the devices that torch can train on, best first; the CPU is always last."""
    return list(detect_machine().devices)


def detect_machine(*, check: bool = True, fresh: bool = False) -> Machine:
    """Detect devices and cores, with sentences that explain both.

    Args:
        check: leave out the GPUs that torch cannot compute on. The first check takes seconds, and its result is kept
            (`core.launch.gpu_check`). Otherwise take all that the driver lists.
        fresh: check again even if a result is kept.
    """
    cores, core_note = find_cores()
    notes = [core_note]
    found, gpu_note = find_gpus()
    if gpu_note:
        notes.append(gpu_note)
    if (order := os.environ.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID")) != "PCI_BUS_ID" and len(found) > 1:
        notes.append(f"CUDA_DEVICE_ORDER={order}: names and memory may be those of another GPU.")
    failures = check_gpus(found, fresh=fresh) if check else [""] * len(found)
    devices = [
        Device(f"cuda:{number}", "cuda", f"{gpu.name}, {gpu.free / 2**30:.1f} GiB free", gpu.total, gpu.free)
        for number, gpu in enumerate(found)
        if not failures[number]
    ]
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        notes.append("Apple silicon: Metal (mps) is used, one run at a time.")
        devices.append(Device("mps", "mps", "Apple GPU (Metal)", psutil.virtual_memory().total))
    devices.append(
        Device("cpu", "cpu", f"{cpu_name()}, {pluralize(cores, 'core')}", psutil.virtual_memory().total)
    )
    silence = gpu_note if not found and "did not answer" in gpu_note else ""
    return Machine(tuple(devices), cores, tuple(notes), tuple(_failure_texts(found, failures)), silence)


def _failure_texts(gpus: Sequence[Gpu], failures: Sequence[str]) -> list[str]:
    """Return a sentence for each reason why torch cannot compute on some GPUs, with what to do."""
    texts = []
    for failure in dict.fromkeys(filter(None, failures)):
        names = [
            f"cuda:{number} ({gpu.name})" for number, gpu in enumerate(gpus) if failures[number] == failure
        ]
        remedy = "install a build of torch that suits GPU and driver, or use --device cpu"
        texts.append(f"Torch cannot compute on {' and '.join(names)}: {failure}; {remedy}.")
    return texts


def make_plan(device: str = "auto", slots: int | None = None, *, machine: Machine | None = None) -> Plan:
    """Choose devices.

    Args:
        device: ``auto`` (all GPUs, else Metal, else the CPU), ``cpu``, ``cuda`` (all GPUs), ``cuda:N``,
            ``mps``; or several for one run at a time, ``cuda:0+cuda:1`` (``cuda:0+1`` for short) or ``cpu+cpu``.
        slots: number of runs at once on all devices; None derives it from cores and GPUs.
        machine: this machine, if detected already.

    Raises:
        UserError: no such device here, torch cannot compute on it, or `slots` below 1.
    """
    if slots is not None and slots < 1:
        raise UserError(f"--slots {slots}: expected at least 1")
    if device not in ("auto", "cpu", "mps", "cuda") and not _NUMBERED.fullmatch(device):
        raise UserError(
            f"--device {device}: expected auto, cpu, cuda, cuda:N or mps; several for one run are joined by +, "
            "as in cuda:0+cuda:1"
        )
    machine = machine or detect_machine(check=not device.startswith(("cpu", "mps")))
    if device == "auto":
        best = machine.devices[0].kind
        chosen = [found for found in machine.devices if found.kind == best]
    else:
        chosen = [found for found in machine.devices if device in (found.name, found.kind)]
    if "+" in device:
        chosen = _join_devices(device, machine)
    if not chosen:
        here = ", ".join(found.name for found in machine.devices)
        why = " ".join(machine.problems or machine.notes[1:])
        raise UserError(f"--device {device}: not on this machine, which has {here}. {why}".rstrip())
    note = ""
    if (why := " ".join(machine.problems) or machine.silence) and device in ("auto", "cuda"):
        names = " and ".join(found.name for found in chosen)
        note = f"{why} Used instead: {names}."
    return Plan(tuple(chosen), machine.cores, slots, machine.devices[-1].memory, note=note)


def _join_devices(device: str, machine: Machine) -> list[Device]:
    """Join several devices into one, for a run on all of them; empty if this machine lacks one of them."""
    names = [f"cuda:{name}" if name.isdigit() else name for name in device.split("+")]
    here = {found.name: found for found in machine.devices}
    if not set(names) <= here.keys():
        return []
    parts = [here[name] for name in names]
    kind = parts[0].kind
    if kind == "cuda" and len(set(names)) < len(names):
        raise UserError(f"--device {device}: expected each GPU once, as in cuda:0+cuda:1")
    details = " and ".join(dict.fromkeys(part.detail for part in parts))
    memory = sum(part.memory for part in parts) if kind == "cuda" else parts[0].memory
    return [Device("+".join(names), kind, details, memory)]


def plan_slots(device: str = "auto", slots: int | None = None, runs: int | None = None) -> list[Slot]:
    """Return the slots for a number of runs on an idle machine.

    Args:
        device: see `make_plan`.
        slots: see `make_plan`.
        runs: number of waiting runs; None for any number.

    Returns:
        At most `runs` slots. On two cores: five runs get five slots of one thread, one run gets one of two
        threads.

    Raises:
        UserError: see `make_plan`.
    """
    plan = make_plan(device, slots)
    return plan.free_slots([], plan.capacity if runs is None else runs)


def plan_explanation(
    device: str = "auto", slots: int | None = None, *, machine: Machine | None = None
) -> list[str]:
    """Return sentences that explain the devices and slots of a plan, for ``core doctor``.

    Raises:
        UserError: see `make_plan`.
    """
    machine = machine or detect_machine()
    plan = make_plan(device, slots, machine=machine)
    lines = [f"{found.name}: {found.detail}, {found.memory / 2**30:.1f} GiB." for found in machine.devices]
    lines += [*machine.notes, *machine.problems]
    names = " and ".join(found.name for found in plan.devices)
    at_once = f"Up to {pluralize(plan.capacity, 'run')} at once on {names}"
    if len(plan.devices[0].torch_names) > 1:
        lines.append(f"A run trains on all of {names}, a process on each. {at_once}.")
    elif slots is not None:
        lines.append(f"{at_once}, as asked for with --slots.")
    elif plan.devices[0].kind == "cpu":
        lines.append(
            f"{at_once}, sharing {pluralize(plan.cores, 'core')}: a run alone gets all of them, "
            "and each gets at least one thread."
        )
    elif plan.devices[0].kind == "mps":
        lines.append(f"{at_once}: one fills the GPU.")
    else:
        lines.append(
            f"{at_once}: at most {SLOTS_PER_GPU} share a GPU, each with at least a core, "
            f"{BYTES_PER_GPU_SLOT >> 30} GiB of the GPU's free memory and {HOST_BYTES_PER_GPU_SLOT >> 30} GiB of the "
            "machine's. A run of the thesis's network has a GPU to itself."
        )
    return lines
