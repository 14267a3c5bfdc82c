"""Training steps and calls of a network as CUDA graphs: one call launches all kernels.

A graph repeats the kernels of one step, with the same addresses and the same Python values. So all that changes from
step to step must be a tensor on the device (see `core.training.captured_training`). The graph knows the generator, so
random numbers follow the seed that the generator has at each repetition (see `core.training.seeding`).

Nothing here has run on a GPU yet. Tests repeat the recorded calls of a step on a CPU instead.
"""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import torch
from torch import Tensor

from core.errors import UserError

VARIABLE: Final = "DDPM_CAPTURE"
"""Environment variable: `off` never captures steps; `auto`, the default, does on one GPU, unless they are compiled."""
STEPS_IN_FLIGHT: Final = 32
"""Steps that the CPU may be ahead of the GPU at most. A stop takes effect after them."""
_WARM_UP: Final = 3
"""Steps of each batch size before the capture, which make the optimizer's state and choose the algorithms of cuDNN."""


class Event(Protocol):
    """A mark in a device's work."""

    def synchronize(self) -> None:
        """Wait until the device has reached the mark."""


class Capture(Protocol):
    """Recording of a device's work."""

    def warm_up(self, function: Callable[[], None]) -> None:
        """Call the function where it will be captured, but without recording."""

    def capture(self, function: Callable[[], None], generator: torch.Generator | None) -> Callable[[], None]:
        """Record the function, which computes nothing now, and return a function that repeats it.

        Args:
            function: does nothing but work of the device.
            generator: source of the function's random numbers, which follow its seed at each repetition; None if it
                draws none.

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

    def capture(self, function: Callable[[], None], generator: torch.Generator | None) -> Callable[[], None]:
        """Capture the function; see `Capture.capture`."""
        graph = torch.cuda.CUDAGraph()
        if generator is not None:
            graph.register_generator_state(generator)
        with (
            torch.cuda.device(self._device),
            # Back to this stream after a failed capture too, which torch.cuda.graph does not ensure.
            torch.cuda.stream(torch.cuda.current_stream(self._device)),
            # Other threads, such as that of a checkpoint, may use the device meanwhile.
            torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"),
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


class CaptureError(Exception):
    """A step could not be captured."""


class CapturedSteps:
    """Steps of a training that are captured, one graph for each batch size, and repeated.

    The first steps of a batch size are done without a graph. If a capture fails, so are further ones without theirs.

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

        Raises:
            CaptureError: the step could not be captured and was not done; further steps are not captured.
        """
        self._limit_steps_in_flight()
        if count not in self._graphs and not self.problem:
            if self._warmed_up.get(count, 0) < _WARM_UP:
                self._warmed_up[count] = self._warmed_up.get(count, 0) + 1
                self._capture.warm_up(lambda: self._step(count))
                return
            try:
                self._graphs[count] = self._capture.capture(lambda: self._step(count), generator)
            except RuntimeError as error:
                self.problem = first_line(error)
                raise CaptureError(self.problem) from error
        if count in self._graphs:
            self._graphs[count]()
        else:
            self._step(count)

    def reset(self) -> None:
        """Forget the graphs, because the optimizers' state is at other addresses now."""
        self._graphs.clear()
        self._warmed_up.clear()

    def _limit_steps_in_flight(self) -> None:
        """Mark every 16th step, and wait for the mark before it."""
        self._since_event += 1
        if self._since_event > STEPS_IN_FLIGHT // 2:
            if self._event is not None:
                self._event.synchronize()
            self._event, self._since_event = self._capture.record_event(), 1


class CapturedNetwork:
    """A network without gradients, such as in sampling, captured for each shape of its images.

    Args:
        network: a function of xt [N, C, H, W] and t int64 [N] whose result is like xt. Its weights may change, but not
            their addresses.
        capture: the device's recorder.
    """

    def __init__(self, network: Callable[[Tensor, Tensor], Tensor], capture: Capture) -> None:
        self._network, self._capture = network, capture
        self._graphs: dict[torch.Size, tuple[Tensor, Tensor, Tensor, Callable[[], None]]] = {}
        self._fails = False

    def __call__(self, xt: Tensor, t: Tensor) -> Tensor:
        """Call the network; without a graph if it cannot be captured, which is printed once."""
        if xt.shape not in self._graphs and not self._fails:
            try:
                self._graphs[xt.shape] = self._make_graph(xt, t)
            except RuntimeError as error:
                self._fails = True
                print(f"calls of the network are not captured as CUDA graphs: {first_line(error)}")
        if xt.shape not in self._graphs:
            return self._network(xt, t)
        own_xt, own_t, output, replay = self._graphs[xt.shape]
        own_xt.copy_(xt)
        own_t.copy_(t)
        replay()
        return output.clone()

    def _make_graph(self, xt: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Callable[[], None]]:
        own_xt, own_t, output = xt.clone(), t.clone(), torch.empty_like(xt)

        def call() -> None:
            output.copy_(self._network(own_xt, own_t))

        self._capture.warm_up(call)
        return own_xt, own_t, output, self._capture.capture(call, None)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text."""
    return " ".join(str(error).split("\n")[0].split())


def find_capture(device: torch.device, world_size: int) -> Capture | None:
    """Return the recorder of a training's device; None if its steps are not captured.

    Args:
        device: the device of the training.
        world_size: processes of the training; the collectives of several are not captured.

    Raises:
        UserError: the environment variable `DDPM_CAPTURE`, which can switch captures off, has an unknown value.
    """
    wanted = os.environ.get(VARIABLE) or "auto"
    if wanted not in ("auto", "off"):
        raise UserError(f"{VARIABLE}={wanted}: expected auto or off")
    return CudaCapture(device) if wanted == "auto" and device.type == "cuda" and world_size == 1 else None
