"""Work in processes of its own: whole benchmarks, and a training that works when it is told to.

The training is ``python -m bench.baselines.worker_process``. On stdin come lines: first the settings (`Settings`, JSON), then a number of
seconds for each trial. On stdout goes a line for each: how many seconds it took to get ready and how many parameters
are trained, then the pictures of each trial. Between trials it waits and takes no time from anybody.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec

from bench.harness.interleaved import Work
from core.errors import UserError
from core.launch.subprocess_env import worker_environment

_CHECKOUT: Final = Path(__file__).resolve().parents[2]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a child trains.

    Attributes:
        network: ``lean`` or ``thesis``.
        batch: pictures a step.
        size: of pictures of noise; those of a data set have their own.
        count: pictures; a whole number of batches.
        threads: of OpenMP.
        device: where.
        dataset: its name; or nothing, for pictures of noise.
        contender: whose training it is (`bench.baselines.registry`); ours is started as a worker is, others' as scripts are.
    """

    network: str
    batch: int
    size: int
    count: int
    threads: int
    device: str
    dataset: str = ""
    contender: str = "ours"

    @property
    def is_ours(self) -> bool:
        """Whether it is our own loop."""
        return self.contender.split(",")[0] == "ours"


class Child:
    """The parent's end of it."""

    def __init__(self, settings: Settings) -> None:
        environment = worker_environment(settings.threads) if settings.is_ours else dict(os.environ)
        self.parameters = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.baselines.worker_process"],
            cwd=_CHECKOUT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._write(msgspec.json.encode(settings).decode())

    def ready(self) -> float:
        """Wait until it has trained its first steps; the seconds since its first line. Then `parameters` is known."""
        seconds, parameters = self._read().split()
        self.parameters = int(parameters)
        return float(seconds)

    def go(self, seconds: float) -> None:
        """Have it train so long."""
        self._write(json.dumps(seconds))

    def done(self) -> float:
        """Wait for the end of the trial; its pictures."""
        return float(self._read())

    def end(self) -> None:
        """Have it leave."""
        with contextlib.suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def _write(self, line: str) -> None:
        if not self._process.stdin:
            raise RuntimeError("the child has no stdin")
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _read(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise UserError(f"a training process ended by itself, with {self._process.wait()}; see above")
        return line


@contextlib.contextmanager
def children(settings: Sequence[Settings]) -> Iterator[list[Child]]:
    """Processes that start at once, and end with the context."""
    started: list[Child] = []
    try:
        for one in settings:
            started.append(Child(one))  # noqa: PERF401 (those begun are ended even if the next cannot begin)
        yield started
    finally:
        for child in started:
            child.end()


def together(crew: Sequence[Child], seconds: float) -> Work:
    """The pictures of all of a crew in one trial, which ends with the last of them."""

    def work() -> float:
        for child in crew:
            child.go(seconds)
        return sum(child.done() for child in crew)

    return work


def run_benchmarks(commands: Iterable[Sequence[str]], failed: Sequence[str] = ()) -> None:
    """Run benchmarks one after another, all of them, each in a process of its own.

    Args:
        commands: the arguments of each, its name first.
        failed: what did not work before.

    Raises:
        UserError: something did not work; named at the end, when all have run.
    """
    failed = [*failed]
    for arguments in commands:
        click.echo(f"\n=== {' '.join(arguments)}\n")
        # The child writes to the same place, and lines must not change their order on the way into a file.
        sys.stdout.flush()
        done = subprocess.run([sys.executable, "-m", "bench", *arguments], cwd=_CHECKOUT, check=False)
        if done.returncode:
            failed.append(arguments[0])
    if failed:
        raise UserError(f"{', '.join(failed)}: did not work; see above")


def main() -> None:
    """The child's end."""
    began = time.perf_counter()
    settings = msgspec.json.decode(sys.stdin.readline(), type=Settings)
    import torch  # its threads are settled by the environment

    from bench.baselines import training_loops
    from bench.baselines.registry import contender, needs_peers
    from bench.harness.workloads import noise_set
    from core.data import load_dataset
    from core.training.malloc import disable_trim

    torch.set_num_threads(settings.threads)
    device = torch.device(settings.device)
    if settings.is_ours:
        disable_trim()
    if needs_peers(settings.contender):
        training_loops.require_peers(device)
    if settings.dataset:
        images = load_dataset(settings.dataset, count=settings.count, heldout=1)
    else:
        images = noise_set(settings.count, settings.size)
    with tempfile.TemporaryDirectory() as scratch:
        work, parameters = contender(
            settings.contender, settings.network, images, settings.batch, device, Path(scratch) / "peer"
        )
        work()
        print(time.perf_counter() - began, parameters, flush=True)
        for line in sys.stdin:
            seconds, done, start = float(line), 0.0, time.perf_counter()
            while time.perf_counter() - start < seconds:
                done += work()
            print(done, flush=True)


if __name__ == "__main__":
    main()
