"""Data-parallel training of one run in several processes, one for each device, as torchrun starts them.

Every process draws the order, timesteps and noise of whole batches from the same generator and computes its shard. So
training on N devices equals training on one device, except for the order of summation. DistributedDataParallel averages
the gradients during the backward pass. Rank 0 decides and writes; the other ranks only compute.

Losses stay on the device for a window of steps and are flushed together at its end. Once a window the processes agree
over gloo, from CPU to CPU, on the number of steps in the next window and on whether to stop. So all processes stop at
the same step, no step waits for a device, and a lost process is noticed within a window.
"""

import contextlib
import datetime
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
import torch
import torch.distributed as dist  # part of what `import torch` loads anyway
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from core.errors import EXIT_RUN_FAILED, UserError
from core.training.shared_batch_norm import share_batch_norm

FLUSH_SECONDS: Final = 0.25
_CONTROL_TIMEOUT: Final = datetime.timedelta(days=7)
"""The other ranks wait while rank 0 samples, for as long as that takes. If rank 0 dies, they notice at once."""
_ERROR_KEY: Final = "last words"


class Shard(NamedTuple):
    """The images of a batch that a process computes, and the weight of their mean loss in that of the batch."""

    images: slice
    weight: float


class SingleProcess:
    """The interface of a process group, for training in one process: every collective is the identity.

    `rank` is this process's number, from 0 to `world_size` - 1. `device` is its own device, and `devices` names the
    devices of all processes of this host, joined by ``+``.
    """

    rank, world_size = 0, 1

    def __init__(self, devices: str = "cpu", local_rank: int = 0) -> None:
        self.devices, self.device = devices, torch.device(devices.split("+")[local_rank])
        self._window_start = 0.0

    def sync_batchnorm(self, model: nn.Module) -> nn.Module:
        """Return the network with BatchNorm statistics shared by all processes; its tensors and their names stay."""
        return model

    def wrap_ddp(self, model: nn.Module) -> nn.Module:
        """Return the network with a backward pass that averages the gradients over all processes."""
        return model

    def shard(self, count: int) -> Shard:
        """Return this process's shard of a batch of `count` images."""
        return Shard(slice(0, count), 1.0)

    def start_window(self) -> None:
        """Start the window of steps whose losses are flushed together."""
        self._window_start = time.monotonic()

    def should_stop(self, stop: Callable[[], bool]) -> bool:
        """Return whether to stop before the next step; `stop` is the wish of this process and is called every time."""
        return stop()

    def should_flush(self, stop: Callable[[], bool]) -> bool:
        """Return whether to flush the losses now, after a step."""
        return stop() or time.monotonic() - self._window_start >= FLUSH_SECONDS

    def flush(self, records: list[Tensor]) -> NDArray[np.float32]:
        """Return the records of steps, float32 [k] each, summed over the processes as [n, k]; waits for the device."""
        values: NDArray[np.float32] = torch.stack(records).cpu().numpy()
        return values

    def all_reduce_sum(self, part: Tensor) -> float:
        """Return the sum over all processes, and wait for them."""
        return float(part)

    def all_reduce_max(self, *values: int) -> list[int]:
        """Return the maximum of each value over all processes, and wait for them."""
        return list(values)

    def peer_error(self, error: BaseException) -> str:
        """Return one line on why another process ended, if `error` is only a symptom of that; else an empty string."""
        return ""

    def abort(self, error_text: str = "") -> None:
        """Leave the group after an error, without waiting for the others; rank 0 can read `error_text`."""


class ProcessGroup(SingleProcess):
    """One of several processes, with the environment that torchrun gave it."""

    def __init__(self, devices: str, local_rank: int) -> None:
        super().__init__(devices, local_rank)
        self._launcher_pid = os.getppid()
        # Length of the next window as this process estimates it, and the steps left in the current one.
        self._window_steps, self._steps_left = 1, 0
        self._copies = 1  # processes that compute the same images
        self._store, self.rank, self.world_size = next(rendezvous("env://"))
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            torch.cuda.set_device(self.device)
        dist.init_process_group(
            "nccl" if on_gpu else "gloo",
            store=self._store,
            rank=self.rank,
            world_size=self.world_size,
            device_id=self.device if on_gpu else None,
        )
        self._control_group = dist.new_group(backend="gloo", timeout=_CONTROL_TIMEOUT)

    def sync_batchnorm(self, model: nn.Module) -> nn.Module:
        return share_batch_norm(model, lambda: self._copies)

    def wrap_ddp(self, model: nn.Module) -> nn.Module:
        ids = [self.device] if self.device.type == "cuda" else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # about a new name that PyTorch 2.9 does not have
            # Buffers need no broadcast: statistics are shared already, and the other buffers are constant.
            return nn.parallel.DistributedDataParallel(model, device_ids=ids, broadcast_buffers=False)

    def shard(self, count: int) -> Shard:
        self._copies = self.world_size if count < self.world_size else 1
        if self._copies > 1:  # too few for one each, so each process computes all
            return Shard(slice(0, count), 1 / self.world_size)
        first, end = (count * number // self.world_size for number in (self.rank, self.rank + 1))
        return Shard(slice(first, end), (end - first) / count)

    def should_stop(self, stop: Callable[[], bool]) -> bool:
        # Without torchrun nothing would end the other processes when one fails.
        wants_stop = stop() or os.getppid() != self._launcher_pid
        if self._steps_left:
            return False
        self._window_start = time.monotonic()
        stopping, self._steps_left = self.all_reduce_max(
            wants_stop, self._window_steps if self.rank == 0 else 1
        )
        return bool(stopping)

    def should_flush(self, stop: Callable[[], bool]) -> bool:
        self._steps_left -= 1
        return self._steps_left == 0

    def flush(self, records: list[Tensor]) -> NDArray[np.float32]:
        self.all_reduce_max()  # raises if a process is lost; the sum on a GPU would wait for it
        stacked = torch.stack(records)
        dist.all_reduce(stacked)
        values: NDArray[np.float32] = stacked.cpu().numpy()
        steps_per_second = len(values) / max(1e-9, time.monotonic() - self._window_start)
        self._window_steps = max(1, min(2 * len(values), int(steps_per_second * FLUSH_SECONDS)))
        self._steps_left = 0
        return values

    def all_reduce_sum(self, part: Tensor) -> float:
        self.all_reduce_max()  # as in `flush`
        dist.all_reduce(part)
        return float(part)

    def all_reduce_max(self, *values: int) -> list[int]:
        reduced = torch.tensor(values or (0,), dtype=torch.int64)
        dist.all_reduce(reduced, dist.ReduceOp.MAX, group=self._control_group)
        maxima: list[int] = reduced.tolist()
        return maxima

    def peer_error(self, error: BaseException) -> str:
        from_gloo = isinstance(error, RuntimeError) and "gloo" in str(error)
        if not (from_gloo or isinstance(error, dist.DistError)):
            return ""
        with contextlib.suppress(RuntimeError):  # the store belongs to torchrun, which may be gone too
            if self._store.check([_ERROR_KEY]):
                error_text: bytes = self._store.get(_ERROR_KEY)
                return error_text.decode(errors="replace")
        return (
            f"one of its {self.world_size} processes was killed or crashed, and its log may say why; "
            "resume, and it goes on from its last checkpoint"
        )

    def abort(self, error_text: str = "") -> None:
        if error_text:
            with contextlib.suppress(RuntimeError):
                self._store.set(_ERROR_KEY, f"process {self.rank} of {self.world_size}: {error_text}")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(EXIT_RUN_FAILED)  # the group cannot be destroyed in order without the others


@contextlib.contextmanager
def init_distributed(device: str) -> Iterator[SingleProcess]:
    """Join the processes that torchrun started with this one; without torchrun, this process is alone.

    Args:
        device: a device; for several processes one each, joined by ``+``, or just ``cuda`` or ``cpu``.

    Raises:
        UserError: the numbers of devices and processes differ, or the processes cannot find each other.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield SingleProcess(_device_names(device, 1))
        return
    try:
        local_rank, count = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
        process_group = ProcessGroup(_device_names(device, count), local_rank)
    except (KeyError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split("\n")[0].split())
        raise UserError(
            f"the processes of a run do not find each other ({reason}); start them by torchrun"
        ) from error
    yield process_group
    with contextlib.suppress(RuntimeError):  # others may have left already
        process_group.all_reduce_max()
        dist.destroy_process_group()


def _device_names(device: str, count: int) -> str:
    """Return the devices of `count` processes of this host, joined by ``+``."""
    short = {"cpu": ["cpu"] * count, "cuda": [f"cuda:{number}" for number in range(count)]}
    names = short.get(device, device.split("+"))
    if len(names) != count:
        raise UserError(
            f"--device {device}: expected as many devices, joined by +, as there are processes, and that is {count}; "
            "torchrun --nproc-per-node N starts N"
        )
    if count == 1 or set(names) == {"cpu"}:
        return "+".join(names)
    seen = {f"cuda:{number}" for number in range(torch.cuda.device_count())}
    if len(seen.intersection(names)) < count:
        here = ", ".join(sorted(seen)) or "no GPU"
        raise UserError(
            f"--device {device}: expected {count} different GPUs, and torch sees {here}; or cpu for all"
        )
    return "+".join(names)
