"""GPU benchmark: correctness, then speed, with the essential first, in at most 8 minutes.

Each part runs in a process of its own, which is ended when its time is over. So neither a crash nor a hang of one part
costs the others, and the whole benchmark can be cut off after any minute. The result of a part is a JSON file that is
replaced with each new line. It needs no more than torch, numpy, scipy, safetensors, Pillow, msgspec, tomli and
tomli-w. The benchmarks that need more come last.
"""

import argparse
import contextlib
import importlib.util
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from bench.cases.gpu_record import CUT_OFF, FAILED, LEFT_OUT, PartResult, read_result, write_result
from bench.harness.report import RESULTS_VARIABLE, results_folder
from core.errors import EXIT_USAGE, UserError

LIMIT: Final = 480.0
NETWORKS: Final = ("lean", "thesis")
LEAST_SECONDS: Final = 5.0
"""Time that a part needs to import torch; with less left it is left out."""
_GRACE: Final = 2.0
"""Time between the request to end and the kill."""
_CHECKOUT: Final = Path(__file__).resolve().parents[2]


class PlannedPart(NamedTuple):
    """One part of the plan.

    Attributes:
        name: a key of `bench.cases.gpu_parts.PARTS`, or the name of another benchmark.
        networks: the networks that it measures.
        seconds: time after which it is cut off; those with `needs` get their share of what is left, if that is more.
        needs: packages without which it is left out.
    """

    name: str
    networks: tuple[str, ...]
    seconds: float
    needs: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name, with the network if it measures only one of them."""
        return self.name if len(self.networks) > 1 else f"{self.name}-{self.networks[0]}"


_NEEDS: Final = ("click", "psutil")


def plan_parts(networks: Sequence[str], *, checks_only: bool = False) -> list[PlannedPart]:
    """The parts in their order; together they take at most `LIMIT`, most of them much less than their time."""
    each = tuple(networks)
    checks_seconds = LIMIT / len(each) if checks_only else 45
    checks = [PlannedPart("checks", (network,), checks_seconds) for network in each]
    if checks_only:
        return checks
    return [
        PlannedPart("doctor", each, 30),
        *checks,
        *(PlannedPart("steps", (network,), 35) for network in each),
        PlannedPart("cudnn", each, 25),
        PlannedPart("yardsticks", each, 30),
        PlannedPart("profile", each, 25),
        PlannedPart("train", each, 70),
        PlannedPart("resume", each, 40),
        *(
            PlannedPart(name, each[-1:], 25, _NEEDS)
            for name in ("limit", "throughput", "concurrency", "scaling")
        ),
    ]


def part_command(part: PlannedPart, device: str, seconds: float, results: Path) -> list[str]:
    """The command line of one part."""
    networks = [word for network in part.networks for word in ("--network", network)]
    start = [sys.executable, "-m"]
    if not part.needs:
        options = ["--device", device, "--limit", f"{seconds:g}", "--results", str(results)]
        return [*start, "bench.cases.gpu", "--part", part.name, "--label", part.label, *networks, *options]
    only = ["--only", "ours", "--only", "the printed loop"] if part.name == "throughput" else []
    # Processes start and warm up in the other half.
    return [*start, "bench", part.name, *networks, "--device", device, "--seconds", f"{seconds / 2:g}", *only]


def run_plan(
    parts: Sequence[PlannedPart],
    *,
    device: str,
    limit: float,
    results: Path,
    clock: Callable[[], float] = time.monotonic,
    run: Callable[[list[str], float], int | None] | None = None,
    missing: Callable[[str], bool] = lambda name: importlib.util.find_spec(name) is None,
) -> list[PartResult]:
    """Run all parts, and return their results, which also lie in the folder.

    Ctrl-C and SIGTERM end the part that runs, whose results so far stay, and leave out the others.

    Args:
        parts: the plan.
        device: the name of the device.
        limit: seconds for all of them together.
        results: the folder; results of an earlier benchmark in it are replaced part by part.
        clock: a monotonic clock in seconds.
        run: runs a command for at most some seconds, and returns its exit code, or None if it was ended.
        missing: returns whether a package is not installed.
    """
    start = clock()
    run = run or (lambda command, seconds: run_command(command, seconds, results))
    found: list[PartResult] = []
    is_interrupted = False
    for index, part in enumerate(parts, start=1):
        left = limit - (clock() - start)
        path = part_path(results, part)
        lacks = [name for name in part.needs if missing(name)]
        if is_interrupted or lacks or left < LEAST_SECONDS + _GRACE:
            reason = f"it needs {' and '.join(lacks)}" if lacks else f"the {limit:g} s are over"
            reason = "interrupted before" if is_interrupted else reason
            print(f"\n=== {index}/{len(parts)} {part.label}: left out: {reason}", flush=True)
            found.append(PartResult(part=part.label, state=LEFT_OUT, notes=(reason,)))
            write_result(path, found[-1])
            continue
        share = (
            left / (len(parts) - index + 1) if part.needs else 0.0
        )  # these come last, and take what is left
        seconds = min(max(part.seconds, share), left - _GRACE)
        began = clock()
        print(f"\n=== {index}/{len(parts)} {part.label}, at most {seconds:.0f} s", flush=True)
        path.unlink(missing_ok=True)
        code = None
        try:
            code = run(part_command(part, device, seconds, results), seconds)
        except (KeyboardInterrupt, SystemExit):  # Ctrl-C or SIGTERM
            is_interrupted = True
        result = read_result(path, part.label)
        if code is None:
            result = msgspec.structs.replace(result, state=CUT_OFF)
        elif code:
            text = f"it ended with {code}; see above"
            failures = result.failures or {part.label: text}
            result = msgspec.structs.replace(result, state=FAILED, failures=failures)
        elif part.needs:
            result = msgspec.structs.replace(result, state="done", notes=("see its own file",))
        result = msgspec.structs.replace(result, seconds=round(clock() - began, 2))
        write_result(path, result)
        print(f"  {result.state} after {result.seconds:.0f} s", flush=True)
        found.append(result)
    return found


def part_path(results: Path, part: PlannedPart) -> Path:
    """The file of a part."""
    return results / f"gpu-{part.label}.json"


def run_command(command: list[str], seconds: float, results: Path) -> int | None:
    """Run a command in a process group of its own; end the group, and return None, if it takes longer."""
    environment = {**os.environ, RESULTS_VARIABLE: str(results)}
    process = subprocess.Popen(command, cwd=_CHECKOUT, env=environment, start_new_session=True)
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end_group(process)


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """End a process and those that it started, which may outlive it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_GRACE / 2)


def check_device(device: str) -> str:
    """Check that torch can use a device here, and return its name.

    Raises:
        UserError: it cannot.
    """
    import torch  # takes seconds, and `--help` needs none of it

    try:
        where = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"--device {device}: expected cuda, cuda:N, mps or cpu") from error
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if (where.index or 0) >= there.get(where.type, 0):
        raise UserError(
            f"--device {device}: torch finds none on this machine; --device cpu tries the checks there"
        )
    return device


def device_slug(device: str) -> str:
    """The part of a folder name that identifies a device: its name on CUDA, else its kind."""
    import torch

    where = torch.device(device)
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else where.type
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def run_part(
    name: str, label: str, networks: tuple[str, ...], device: str, limit: float, results: Path
) -> bool:
    """Run one part in this process, and return whether nothing in it failed."""
    import torch

    from bench.cases.gpu_parts import PARTS, report_settings
    from bench.cases.gpu_record import Recorder

    torch.set_num_threads(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    path = part_path(results, PlannedPart(label, ("", ""), 0))
    record = Recorder(label, path, limit, report_settings(networks, device))
    with record.attempt(name):
        PARTS[name](record, networks, device)
    return not record.close().failures


def summary_lines(results: Sequence[PartResult]) -> Iterator[str]:
    """A line for each part, and one for each failure."""
    for result in results:
        yield f"{result.part}: {result.state}" + (f" after {result.seconds:.0f} s" if result.seconds else "")
        yield from (f"  {name}: {text}" for name, text in result.failures.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit code: 0, or 2 if a part failed or was cut off.

    Raises:
        UserError: an unknown device.
    """
    parser = argparse.ArgumentParser(prog="python -m bench gpu", description=__doc__.split("\n\n")[0])
    parser.add_argument("--network", action="append", choices=NETWORKS, help="both unless given")
    parser.add_argument("--device", default="cuda", metavar="D", help="cuda (default), cuda:N, mps; or cpu")
    parser.add_argument(
        "--limit", type=float, default=LIMIT, metavar="S", help=f"seconds for everything ({LIMIT:g})"
    )
    parser.add_argument("--results", type=Path, metavar="DIR", help="bench/results/gpu-NAME unless given")
    parser.add_argument(
        "--checks-only", action="store_true", help="correctness only, without the parts on speed"
    )
    parser.add_argument("--only", action="append", metavar="PART", help="a part; repeat for several")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--label", default="", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    networks = tuple(dict.fromkeys(options.network or NETWORKS))
    if options.part:
        results = options.results or results_folder()
        done = run_part(options.part, options.label, networks, options.device, options.limit, results)
        return 0 if done else EXIT_USAGE
    start = time.monotonic()
    check_device(options.device)
    parts = plan_parts(networks, checks_only=options.checks_only)
    if options.only:
        names = dict.fromkeys(part.name for part in parts)
        if unknown := [name for name in options.only if name not in names]:
            raise UserError(f"--only {unknown[0]}: expected some of {', '.join(names)}")
        parts = [part for part in parts if part.name in options.only]
    results = (options.results or results_folder() / f"gpu-{device_slug(options.device)}").absolute()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the part ends too
    print(shlex.join(["python", "-m", "bench", "gpu", *(sys.argv[2:] if arguments is None else arguments)]))
    limit = options.limit - (time.monotonic() - start)
    found = run_plan(parts, device=options.device, limit=limit, results=results)
    print("\n".join(["", *summary_lines(found), f"results: {results}"]), flush=True)
    return EXIT_USAGE if any(result.state in (FAILED, CUT_OFF) for result in found) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(problem.exit_code)
