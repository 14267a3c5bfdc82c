"""A device that computes nothing: shapes, dtypes and devices of a GPU on a machine that has none.

Under FakeTensorMode tensors of ``cuda`` and ``mps`` have no data, so whatever needs their values fails, and the rest
runs as it would there. `Guard` sees each operator that reaches the dispatcher, and refuses what a device would refuse
or wait for. Random generators of a device cannot be made without the device. They are replaced by ones without a state.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from core.diffusion.models.registry import build_network
from core.training.distributed import SingleProcess

aten = torch.ops.aten
_WAITS = {
    aten._local_scalar_dense,
    aten.is_nonzero,
    aten.equal,
    aten.nonzero,
    aten.masked_select,
    aten.repeat_interleave,
    aten._unique2,
    aten.bincount,
}
_FUSED_WITH_TENSOR_RATE = (aten._fused_adam_.tensor_lr, aten._fused_adamw_.tensor_lr)
_META = torch.device("meta")
_DRAWS = ("randn", "rand", "randint", "randperm", "normal")


class DeviceFault(AssertionError):
    """An operator that a real device would refuse or wait for."""


class Guard(TorchDispatchMode):
    """Watches all operators on a device.

    Args:
        kind: ``cuda`` or ``mps``.

    Attributes:
        operators: names of the operators that would launch something on the device, with their counts.
        fetches: number of copies from the device to the CPU, each of which waits.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.operators: Counter[str] = Counter()
        self.fetches = 0
        self.may_fetch = False
        self.capturing = False

    @property
    def launches(self) -> int:
        return self.operators.total()

    @contextlib.contextmanager
    def fetching(self) -> Iterator[None]:
        """Allow copies to the CPU inside the context."""
        self.may_fetch = True
        try:
            yield
        finally:
            self.may_fetch = False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.ops.prim.device.default:
            return func(*args, **(kwargs or {}))
        given = _tensors((args, kwargs or {}))
        here = any(value.device.type == self.kind for value in given)
        if here:
            self._check_inputs(func, given)
        result = func(*args, **(kwargs or {}))
        made = _tensors(result)
        on_device = [value for value in made if value.device.type == self.kind]
        if here and made and not on_device:
            self.fetches += 1
            if not self.may_fetch:
                raise DeviceFault(f"{func}: copies to the CPU and waits for it")
        if self.capturing and on_device and any(value.device.type == "cpu" for value in given):
            raise DeviceFault(f"{func}: copies from the CPU, which a captured step cannot")
        if self.kind == "mps" and any(value.dtype in _DOUBLE for value in on_device):
            raise DeviceFault(f"{func}: makes float64, which mps has not")
        if (here or on_device) and not func.is_view and func is not aten.detach.default:
            self.operators[str(func)] += 1
        return result

    def _check_inputs(self, func: Any, given: list[Tensor]) -> None:
        name = func.overloadpacket
        masked = name in (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_) and any(
            value.dtype in (torch.bool, torch.uint8) for value in given[1:]
        )
        if masked or name in _WAITS:
            raise DeviceFault(f"{func}: needs values of the device and waits for them")
        copies = name in (aten._to_copy, aten.copy_)
        if not copies and any(value.device.type != self.kind and value.ndim for value in given):
            raise DeviceFault(f"{func}: tensors of {self.kind} and of another device")
        if self.kind == "mps":
            # The inputs of BatchNorm take their format from the weights of the convolution before.
            watched = given if "batch_norm" in str(func) else given[1:2] if name is aten.convolution else []
            if any(map(_is_channels_last, watched)):
                raise DeviceFault(f"{func}: channels_last, in which BatchNorm is wrong on mps")


_DOUBLE = (torch.float64, torch.complex128)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _is_channels_last(value: Tensor) -> bool:
    return (
        value.ndim == 4
        and value.is_contiguous(memory_format=torch.channels_last)
        and not value.is_contiguous()
    )


class _Autocast(TorchFunctionMode):
    """Casts as autocast does in C++, where fake tensors are not of the device and so are left alone.

    Reference: PyTorch, "Automatic Mixed Precision", section "Autocast Op Reference".
    """

    LOWER: Final = {
        *("conv2d", "conv_transpose2d", "linear", "matmul", "__matmul__", "__rmatmul__"),
        *("mm", "bmm", "addmm", "baddbmm", "scaled_dot_product_attention"),
    }
    FLOAT32: Final = {
        "layer_norm",
        "native_layer_norm",
        "softmax",
        "log_softmax",
        "sum",
        "norm",
        "exp",
        "log",
        "pow",
    }
    WIDEST: Final = {"addcmul", "addcdiv", "cat", "stack", "bilinear", "dot"}

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind
        self._weights: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not torch.is_autocast_enabled(self._kind):
            self._weights.clear()  # kept to the end of the outermost context
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        dtype: torch.dtype | None = None
        if name in self.LOWER:
            dtype = torch.bfloat16
        elif name in self.FLOAT32 or (
            name in self.WIDEST and any(value.dtype == torch.float32 for value in _tensors((args, kwargs)))
        ):
            dtype = torch.float32
        if dtype is not None:
            args, kwargs = tree_map_only(Tensor, lambda value: self._cast(value, dtype), (args, kwargs))
        return func(*args, **kwargs)

    def _cast(self, value: Tensor, dtype: torch.dtype) -> Tensor:
        here = value.device.type == self._kind and value.is_floating_point() and value.dtype != dtype
        if not here:
            return value
        if not (value.is_leaf and value.requires_grad and dtype == torch.bfloat16):
            return value.to(dtype)
        if id(value) not in self._weights:
            self._weights[id(value)] = value, value.to(dtype)
        return self._weights[id(value)][1]


class FakeGenerator:
    """A generator without a state, which knows its device."""

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)

    def manual_seed(self, seed: int) -> "FakeGenerator":
        return self

    def get_state(self) -> Tensor:
        return torch.zeros(16, dtype=torch.uint8)

    def set_state(self, state: Tensor) -> "FakeGenerator":
        return self


class FakeCapture:
    """The interface of `core.training.captured_step.Capture`: a function is computed where it would be repeated."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def warm_up(self, function: Callable[[], None]) -> None:
        function()

    def capture(self, function: Callable[[], None], generator: object) -> Callable[[], None]:
        self._guard.capturing = True
        try:
            function()
        finally:
            self._guard.capturing = False
        return function

    def record_event(self) -> "FakeCapture":
        return self

    def synchronize(self) -> None:
        pass


def _drawing(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function that draws numbers without its generator, and refuses one of another device, as torch does."""

    def drawn(*args: Any, generator: Any = None, device: Any = "cpu", **options: Any) -> Tensor:
        if generator is not None and generator.device.type != torch.device(device).type:
            raise DeviceFault(f"a generator of {generator.device} cannot draw on {device}")
        return draw(*args, device=device, **options)

    return drawn


class FakeProcess(SingleProcess):
    """A process of which no number is ever fetched."""

    def flush(self, records: list[Tensor]) -> NDArray[np.float32]:
        return np.zeros(torch.stack(records).shape, dtype=np.float32)

    def all_reduce_sum(self, part: Tensor) -> float:
        return 0.0


class _FakeMode(FakeTensorMode):
    """FakeTensorMode in which C++ takes the device for ``meta``: what it makes there is on the device."""

    def __init__(self, kind: str) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self._made_on = torch.device(kind, 0)

    def dispatch(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> object:
        if func in _FUSED_WITH_TENSOR_RATE:
            return None  # torch has no fake kernel for them; they return nothing
        if kwargs and kwargs.get("device") == _META:
            kwargs = {**kwargs, "device": self._made_on}
        return super().dispatch(func, types, args, kwargs or {})


def _device_for_cpp(args: Any) -> torch.device:
    """Tell C++ the device of a tensor: "meta", because it would ask for queues and streams of any other."""
    (value,) = args
    known: torch.device = value.fake_device
    return known if known.type == "cpu" else _META


def _real_network(*args: Any, **options: Any) -> nn.Module:
    """Build a network with data on the CPU, because torch cannot move parameters that are fake already."""
    with unset_fake_temporarily():
        return build_network(*args, **options)


@contextlib.contextmanager
def fake_device(kind: str) -> Iterator[Guard]:
    """Compute on a device of that kind without having one; the guard watches.

    Args:
        kind: ``cuda`` or ``mps``.

    Raises:
        DeviceFault: inside the context, for what the device would refuse or wait for.
    """
    with contextlib.ExitStack() as stack:
        for name in _DRAWS:
            stack.enter_context(mock.patch.object(torch, name, _drawing(getattr(torch, name))))
        stack.enter_context(mock.patch.object(torch, "Generator", FakeGenerator))
        supported: dict[Any, dict[str, object]] = {
            torch.cuda.amp.common: {"amp_definitely_not_available": lambda: False},
            torch.cuda: {
                "is_bf16_supported": lambda *_, **__: True,
                "get_device_capability": lambda *_: (9, 0),
                "device": lambda _: contextlib.nullcontext(),
            },
            torch.backends.mps: {"is_macos_or_newer": lambda *_: True},
        }
        for module, functions in supported.items():
            for name, function in functions.items():
                stack.enter_context(mock.patch.object(module, name, function))
        stack.enter_context(mock.patch("core.training.precision.bf16_speedup", return_value=2.0))
        guard = Guard(kind)
        capture = FakeCapture(guard)
        stack.enter_context(mock.patch("core.training.captured_step.CudaCapture", return_value=capture))
        stack.enter_context(mock.patch("core.training.network.build_network", _real_network))
        handlers = {torch.ops.prim.device.default: _device_for_cpp}
        stack.enter_context(mock.patch.dict(fake_tensor._DISPATCH_META_HANDLERS, handlers))
        stack.enter_context(_FakeMode(kind))
        stack.enter_context(guard)
        stack.enter_context(_Autocast(kind))
        yield guard
