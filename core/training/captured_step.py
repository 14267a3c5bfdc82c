"""Training steps as CUDA graphs: one call launches all kernels of a step.

A graph repeats the kernels of one step, with the same addresses and the same Python values. So all that changes from
step to step must be a tensor on the device: `StepTables` holds an epoch's values, and a counter that every step
increments selects among them. Random numbers follow the seed that the generator has at each replay (see
`core.training.seeding`), because the graph knows the generator.

Nothing here has run on a GPU yet. Tests repeat the recorded calls of a step on a CPU instead.
"""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import torch
from torch import Tensor

from core.data.augmentation import Augment
from core.training.augmentation import symmetry_indices, symmetry_parts

STEPS_IN_FLIGHT: Final = 32
"""Steps that the CPU may be ahead of the GPU at most. A stop takes effect after them."""
_WARM_UP: Final = 3
"""Steps of each batch size before the capture, which make the optimizer's state and choose the algorithms of cuDNN."""


class StepTables:
    """Values of an epoch's steps on the device, and the counter that selects those of the next step.

    Args:
        images: training images, uint8 [N, C, H, W], on the device.
        batch_size: images of a batch; the last one of an epoch may be smaller.
        augment: symmetries of the images, see `core.training.augmentation`.
    """

    def __init__(self, images: Tensor, batch_size: int, augment: Augment) -> None:
        count, self._shape, device = len(images), images.shape[1:], images.device
        batches = math.ceil(count / batch_size)
        self._count, self._pixels = count, images.flatten(2)
        self._order = torch.zeros(batches, batch_size, dtype=torch.int64, device=device)
        self._rates, self._ema_weights, self._losses = torch.zeros(3, batches, device=device)
        self._counter = torch.zeros(2, 1, dtype=torch.int64, device=device)
        self._batch, self._step = self._counter  # views, so that one kernel increments both
        self._symmetries = symmetry_indices(augment, images.shape[-1]).to(device)
        sizes = {min(batch_size, count), count - (batches - 1) * batch_size}
        self._parts = {size: symmetry_parts(augment, size).to(device) for size in sizes}
        self.rate = torch.zeros((), device=device)
        """Learning rate of the step, for the optimizers' parameter groups."""

    def start(
        self, order: Tensor, rates: Sequence[float], ema_weights: Sequence[float], *, batch: int, step: int
    ) -> None:
        """Fill the tables with the values of an epoch, whose next step is `batch`.

        Args:
            order: permutation of the images, int64 [N].
            rates: learning rate of each batch.
            ema_weights: weight of the parameters in the moving average after each batch.
            batch: batches of this epoch that are done.
            step: steps of the training that are done.
        """
        self._order.view(-1)[: self._count] = order
        self._rates.copy_(torch.tensor(rates))
        self._ema_weights.copy_(torch.tensor(ema_weights))
        self._counter.copy_(torch.tensor([[batch], [step]]))

    def images(self, count: int) -> Tensor:
        """Gather the step's images, augmented, uint8 [count, C, H, W]."""
        indices = self._order.index_select(0, self._batch)[0, :count]
        pixels = self._pixels.index_select(0, indices)
        if len(self._symmetries) > 1:
            numbers = (self._parts[count] + self._step) % len(self._symmetries)
            sources = self._symmetries.index_select(0, numbers)
            pixels = pixels.gather(2, sources[:, None].expand_as(pixels))
        return pixels.view(count, *self._shape)

    def update_rate(self) -> None:
        """Set `rate` to that of the step."""
        self.rate.copy_(self._rates.index_select(0, self._batch)[0])

    def ema_weight(self) -> Tensor:
        """Return the weight of the parameters in the moving average after the step, float32 []."""
        return self._ema_weights.index_select(0, self._batch)[0]

    def finish_step(self, loss: Tensor) -> None:
        """Store the step's loss and go on to the next step."""
        self._losses.index_copy_(0, self._batch, loss.reshape(1))
        self._counter.add_(1)

    def loss(self, batch: int) -> Tensor:
        """Return the loss of a batch, float32 []: a view that the batch's step writes."""
        return self._losses[batch]


class Event(Protocol):
    """A mark in a device's work."""

    def synchronize(self) -> None:
        """Wait until the device has reached the mark."""


class Capture(Protocol):
    """Recording of a device's work."""

    def warm_up(self, function: Callable[[], None]) -> None:
        """Call the function where it will be captured, but without recording."""

    def capture(self, function: Callable[[], None], generator: torch.Generator) -> Callable[[], None]:
        """Record the function, which computes nothing now, and return a function that repeats it.

        Args:
            function: does nothing but work of the device.
            generator: source of the function's random numbers, which follow its seed at each repetition.

        Raises:
            RuntimeError: the function cannot be recorded.
        """

    def record_event(self) -> Event:
        """Mark the end of the work so far."""


class CudaCapture:
    """Capture of CUDA graphs, which share one pool of memory, because they never run at the same time.

    Args:
        device: a CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, function: Callable[[], None]) -> None:
        """Call the function on the stream of the captures."""
        with self._on_stream(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="This instance was constructed with capturable=True")
            function()

    def capture(self, function: Callable[[], None], generator: torch.Generator) -> Callable[[], None]:
        """Capture the function; see `Capture.capture`."""
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(generator)
        with (
            torch.cuda.device(self._device),
            # Other threads, such as that of a checkpoint, may use the device meanwhile.
            torch.cuda.graph(
                graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
            ),
        ):
            function()
        return graph.replay

    def record_event(self) -> Event:
        """Record an event on the current stream; waiting for it does not occupy a core."""
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event

    @contextlib.contextmanager
    def _on_stream(self) -> Iterator[None]:
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            yield
        current.wait_stream(self._stream)


class CapturedSteps:
    """Steps of a training that are captured, one graph for each batch size, and repeated.

    The first steps of a batch size are done without a graph. If the capture fails, all further steps are.

    Args:
        step: a training step, a function of the number of its images; see the module.
        capture: the device's recorder.
    """

    def __init__(self, step: Callable[[int], None], capture: Capture) -> None:
        self._step, self._capture = step, capture
        self._warmed_up: dict[int, int] = {}
        self._graphs: dict[int, Callable[[], None]] = {}
        self._event: Event | None = None
        self._since_event = 0
        self.problem = ""
        """Reason why steps are not captured, in one line; empty while they are."""

    def run(self, count: int, generator: torch.Generator) -> None:
        """Do the next step, of `count` images; wait if `STEPS_IN_FLIGHT` steps are in flight.

        Args:
            count: images of the batch.
            generator: seeded for this step.
        """
        self._limit_steps_in_flight()
        if count not in self._graphs and not self.problem:
            if self._warmed_up.get(count, 0) < _WARM_UP:
                self._warmed_up[count] = self._warmed_up.get(count, 0) + 1
                self._capture.warm_up(lambda: self._step(count))
                return
            try:
                self._graphs[count] = self._capture.capture(lambda: self._step(count), generator)
            except torch.OutOfMemoryError:
                self._give_up("no memory for it")
            except RuntimeError as error:
                self._give_up(" ".join(str(error).split("\n")[0].split()))
        if count in self._graphs:
            self._graphs[count]()
        else:
            self._step(count)

    def reset(self) -> None:
        """Forget the graphs, because the optimizers' state is at other addresses now."""
        self._graphs.clear()
        self._warmed_up.clear()

    def _give_up(self, reason: str) -> None:
        self.problem = reason
        self._graphs.clear()

    def _limit_steps_in_flight(self) -> None:
        """Mark every 16th step, and wait for the mark before it."""
        self._since_event += 1
        if self._since_event > STEPS_IN_FLIGHT // 2:
            if self._event is not None:
                self._event.synchronize()
            self._event, self._since_event = self._capture.record_event(), 1


def find_capture(setting: str, device: torch.device, world_size: int) -> Capture | None:
    """Return the recorder of a training's device; None if its steps are not captured.

    Args:
        setting: `train.capture`.
        device: the device of the training.
        world_size: processes of the training; NCCL's collectives are not captured.
    """
    return CudaCapture(device) if setting == "auto" and device.type == "cuda" and world_size == 1 else None
