"""A stand-in for CUDA graphs on a CPU: torch calls of a function are recorded, and repeated with the same values."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]


class _Recorder(TorchDispatchMode):
    """Records calls, and what the tensors that the function did not make held before."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.before: dict[int, tuple[Tensor, Tensor]] = {}
        self._made: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError(
                "operation not permitted when stream is capturing: a value was read on the CPU"
            )
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor) and id(leaf) not in self._made and id(leaf) not in self.before:
                self.before[id(leaf)] = leaf, leaf.detach().clone()
        result = func(*args, **kwargs)
        self._made.update(
            id(leaf)
            for leaf in tree_leaves(result)
            if isinstance(leaf, Tensor) and id(leaf) not in self.before
        )
        self.calls.append((func, args, kwargs, result))
        return result


class RecordedCapture:
    """The interface of `core.training.captured_step.Capture` on a CPU.

    As in a CUDA graph, the recording computes nothing: what it changed is put back. A repetition calls the same
    functions with the same Python values, on the same tensors where the function did not make them.
    """

    def __init__(self) -> None:
        self.log: list[str] = []

    def warm_up(self, function: Callable[[], None]) -> None:
        self.log.append("warm up")
        function()

    def capture(self, function: Callable[[], None], generator: torch.Generator | None) -> Callable[[], None]:
        self.log.append("capture")
        random_state = generator.get_state() if generator else None
        recorder = _Recorder()
        try:
            with recorder:
                function()
        finally:
            if generator and random_state is not None:
                generator.set_state(random_state)
            for tensor, value in recorder.before.values():
                tensor.data.copy_(value)

        def replay() -> None:
            self.log.append("replay")
            _repeat(recorder.calls)

        return replay

    def record_event(self) -> "RecordedEvent":
        return RecordedEvent(self.log)


class RecordedEvent:
    """An event that notes when it is made and waited for."""

    def __init__(self, log: list[str]) -> None:
        self._log, self._number = log, sum(entry.startswith("event") for entry in log)
        log.append(f"event {self._number}")

    def synchronize(self) -> None:
        self._log.append(f"wait {self._number}")


@torch.no_grad()
def _repeat(calls: list[Call]) -> None:
    values: dict[int, Any] = {}

    def current(leaf: Any) -> Any:
        return values.get(id(leaf), leaf) if isinstance(leaf, Tensor) else leaf

    for func, args, kwargs, result in calls:
        repeated = func(*tree_map(current, args), **tree_map(current, kwargs))
        for old, new in zip(tree_leaves(result), tree_leaves(repeated), strict=True):
            if isinstance(old, Tensor):
                values[id(old)] = new
