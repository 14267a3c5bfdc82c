"""Check of each GPU by a convolution and its gradients: ``python -m core.training.gpu_check``.

`core.launch.gpu_check` starts it as a process of its own, because a broken driver may crash it. It writes lines of JSON
to stdout: first the problem of torch with all GPUs, then the problem with each GPU in torch's order. A problem is a
sentence without a capital letter or full stop, or empty.
"""

import json
import sys

import torch
from torch.nn.functional import conv2d


def main() -> int:
    """Run the check; see the module."""
    problem = problem_of_torch()
    count = 0 if problem else torch.cuda.device_count()
    _write(problem=problem, count=count)
    for number in range(count):
        _write(device=number, problem=problem_of_device(torch.device(f"cuda:{number}")))
    return 0


def problem_of_torch() -> str:
    """Return the reason why this torch sees no GPU at all, or an empty string."""
    if torch.version.cuda is None and torch.version.hip is None:
        return f"torch {torch.__version__} is built for CPUs only"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return _text(error)
    return ""


def problem_of_device(device: torch.device) -> str:
    """Return the reason why a device cannot compute a convolution and its gradients, or an empty string."""
    try:
        # Ones everywhere: a pixel inside sums 9 neighbours in 8 channels, and all images sum to each of the kernels.
        x = torch.ones(2, 8, 8, 8, device=device, requires_grad=True)
        kernel = torch.ones(8, 8, 3, 3, device=device, requires_grad=True)
        y = conv2d(x, kernel, padding=1)
        by_x, by_kernel = torch.autograd.grad(y.sum(), (x, kernel))
        values = [float(y.detach()[0, 0, 4, 4]), float(by_x[0, 0, 4, 4]), float(by_kernel[0, 0, 1, 1])]
    except torch.OutOfMemoryError:
        return ""  # it computes, but for others now
    except (RuntimeError, AssertionError) as error:
        return _text(error) + _capability(device)
    return "" if values == [72.0, 72.0, 128.0] else f"a convolution gave wrong results ({values})"


def _text(error: BaseException) -> str:
    """Return the first sentence of torch's message."""
    line = " ".join(str(error).strip().split("\n")[0].split())
    return line.partition(". ")[0].rstrip(".") or type(error).__name__


def _capability(device: torch.device) -> str:
    """Return the device's compute capability and those that torch has kernels for, in brackets; empty if unknown."""
    try:
        major, minor = torch.cuda.get_device_capability(device)
        return f" (the GPU is sm_{major}{minor}, torch is built for {', '.join(torch.cuda.get_arch_list())})"
    except (RuntimeError, AssertionError):
        return ""


def _write(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    sys.exit(main())
