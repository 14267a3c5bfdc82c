"""One training in several processes, one a device, as torchrun starts them: who is who, and what they agree on.

Every process draws the order, timesteps and noises of whole batches from the same generator and takes its share, so a
training on N devices is the one on a single device, but for the order of summation. DistributedDataParallel averages
the gradients while the backward pass goes on. Process 0 decides and writes; the others only compute.

What they agree on goes over gloo, from CPU to CPU, once a drain of the losses: how many steps come before the next one,
and whether to stop. So all stop at the same step, no step waits for a device, and a process that is gone is noticed
within a drain.
"""

import contextlib
import datetime
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import torch
import torch.distributed as dist  # part of what `import torch` loads anyway
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from core.errors import EXIT_RUN_FAILED, UserError

FLUSH_SECONDS: Final = 0.25
_CONTROL_TIMEOUT: Final = datetime.timedelta(days=7)
"""The others wait for process 0 to draw pictures, however long that takes; should it die, they hear of it at once."""
_ERROR_KEY: Final = "last words"


class Shard(NamedTuple):
    """Which pictures of a batch a process computes, and what part of the batch's mean loss is their mean's."""

    images: slice
    weight: float


class SingleProcess:
    """The processes of a training: here one, which computes everything and agrees with itself.

    `rank` is this process's number, from 0, of `size`; `device` is its own, and `devices` names those of all processes
    of this host, joined by ``+``.
    """

    rank, world_size = 0, 1

    def __init__(self, devices: str = "cpu", place: int = 0) -> None:
        self.devices, self.device = devices, torch.device(devices.split("+")[place])
        self._window_start = 0.0

    def sync_batchnorm(self, model: nn.Module) -> nn.Module:
        """The network, fit to see a share of each batch only; its tensors and their names stay."""
        return model

    def wrap_ddp(self, model: nn.Module) -> nn.Module:
        """The network with a backward pass that averages the gradients over all processes."""
        return model

    def shard(self, count: int) -> Shard:
        """This process's part of a batch of `count` pictures."""
        return Shard(slice(0, count), 1.0)

    def start_window(self) -> None:
        """Losses begin to pend."""
        self._window_start = time.monotonic()

    def should_stop(self, stop: Callable[[], bool]) -> bool:
        """Whether to end before the next step; `stop` is what this process wants, and is asked each time."""
        return stop()

    def should_flush(self, stop: Callable[[], bool]) -> bool:
        """Whether to fetch the losses now, after a step."""
        return stop() or time.monotonic() - self._window_start >= FLUSH_SECONDS

    def flush(self, losses: list[Tensor]) -> list[float]:
        """The losses of whole batches, from what each process adds to each; waits for the device."""
        fetched: list[float] = torch.stack(losses).tolist()
        return fetched

    def all_reduce_sum(self, part: Tensor) -> float:
        """The sum of what each process has; waits for all of them."""
        return float(part)

    def all_reduce_max(self, *values: int) -> list[int]:
        """The largest of what all processes say, of each value; waits for all of them."""
        return list(values)

    def peer_error(self, error: BaseException) -> str:
        """In one line why another process ended, where `error` is but a sign of that; else nothing."""
        return ""

    def abort(self, words: str = "") -> None:
        """After an error, leave the others, who cannot be waited for; `words` are for process 0, should it wonder."""


class ProcessGroup(SingleProcess):
    """Several processes. Each makes one, with the environment that torchrun gave it."""

    def __init__(self, devices: str, place: int) -> None:
        super().__init__(devices, place)
        self._launcher_pid = os.getppid()
        # Steps of a drain, as this process would have it, and those that this drain has left.
        self._window_steps, self._steps_left = 1, 0
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
        if not any(isinstance(part, nn.BatchNorm2d) for part in model.modules()):
            return model
        if self.device.type != "cuda":
            raise UserError(
                "the thesis's network has BatchNorm, whose statistics several processes can share on GPUs only; "
                "--device cpu gives it all cores in one process"
            )
        shared: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return shared

    def wrap_ddp(self, model: nn.Module) -> nn.Module:
        ids = [self.device] if self.device.type == "cuda" else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of a new name, which PyTorch 2.9 does not know
            # Buffers need no broadcast: statistics are shared already, and all else is constant.
            return nn.parallel.DistributedDataParallel(model, device_ids=ids, broadcast_buffers=False)

    def shard(self, count: int) -> Shard:
        if count < self.world_size:  # too few to give each process one: each computes them all
            return Shard(slice(0, count), 1 / self.world_size)
        first, end = (count * number // self.world_size for number in (self.rank, self.rank + 1))
        return Shard(slice(first, end), (end - first) / count)

    def should_stop(self, stop: Callable[[], bool]) -> bool:
        # Without torchrun nobody would end us all when one fails.
        wanted = stop() or os.getppid() != self._launcher_pid
        if self._steps_left:
            return False
        self._since = time.monotonic()
        stopping, self._steps_left = self.all_reduce_max(wanted, self._window_steps if self.rank == 0 else 1)
        return bool(stopping)

    def should_flush(self, stop: Callable[[], bool]) -> bool:
        self._steps_left -= 1
        return self._steps_left == 0

    def flush(self, losses: list[Tensor]) -> list[float]:
        self.all_reduce_max()  # a process that is gone is noticed here; the sum on a GPU would wait for it
        parts = torch.stack(losses)
        dist.all_reduce(parts)
        fetched: list[float] = parts.tolist()
        pace = len(fetched) / max(1e-9, time.monotonic() - self._since)
        self._window_steps, self._steps_left = max(1, min(2 * len(fetched), int(pace * FLUSH_SECONDS))), 0
        return fetched

    def all_reduce_sum(self, part: Tensor) -> float:
        self.all_reduce_max()  # as in `fetch`
        dist.all_reduce(part)
        return float(part)

    def all_reduce_max(self, *values: int) -> list[int]:
        said = torch.tensor(values or (0,), dtype=torch.int64)
        dist.all_reduce(said, dist.ReduceOp.MAX, group=self._control_group)
        found: list[int] = said.tolist()
        return found

    def peer_error(self, error: BaseException) -> str:
        of_gloo = isinstance(error, RuntimeError) and "gloo" in str(error)
        if not (of_gloo or isinstance(error, dist.DistError)):
            return ""
        with contextlib.suppress(RuntimeError):  # the store is torchrun's, which may be gone too
            if self._store.check([_ERROR_KEY]):
                words: bytes = self._store.get(_ERROR_KEY)
                return words.decode(errors="replace")
        return (
            f"one of its {self.world_size} processes was killed or crashed, and its log may say why; "
            "resume, and it goes on from its last checkpoint"
        )

    def abort(self, words: str = "") -> None:
        if words:
            with contextlib.suppress(RuntimeError):
                self._store.set(_ERROR_KEY, f"process {self.rank} of {self.world_size}: {words}")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(EXIT_RUN_FAILED)  # what is shared cannot be closed in good order without the others


@contextlib.contextmanager
def init_distributed(asked: str) -> Iterator[SingleProcess]:
    """This process and those that torchrun started with it; it alone, where torchrun did not start it.

    Args:
        asked: a device; or, of several processes, one each, joined by ``+``, or just ``cuda`` or ``cpu``.

    Raises:
        UserError: there are not as many devices as processes, or the processes do not find each other.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield SingleProcess(_device_names(asked, 1))
        return
    try:
        place, count = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
        process_group = ProcessGroup(_device_names(asked, count), place)
    except (KeyError, ValueError, RuntimeError) as error:
        words = " ".join(str(error).split("\n")[0].split())
        raise UserError(
            f"the processes of a run do not find each other ({words}); start them by torchrun"
        ) from error
    yield process_group
    with contextlib.suppress(RuntimeError):  # others may have left already
        process_group.all_reduce_max()
        dist.destroy_process_group()


def _device_names(asked: str, count: int) -> str:
    """The devices of so many processes of this host, joined by ``+``."""
    short = {"cpu": ["cpu"] * count, "cuda": [f"cuda:{number}" for number in range(count)]}
    names = short.get(asked, asked.split("+"))
    if len(names) != count:
        raise UserError(
            f"--device {asked}: expected as many devices, joined by +, as there are processes, and that is {count}; "
            "torchrun --nproc-per-node N starts N"
        )
    if count == 1 or set(names) == {"cpu"}:
        return "+".join(names)
    seen = {f"cuda:{number}" for number in range(torch.cuda.device_count())}
    if len(seen.intersection(names)) < count:
        here = ", ".join(sorted(seen)) or "no GPU"
        raise UserError(
            f"--device {asked}: expected {count} different GPUs, and torch sees {here}; or cpu for all"
        )
    return "+".join(names)
