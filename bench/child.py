"""Work in processes of its own: whole benchmarks, and a training that works when it is told to.

The training is ``python -m bench.child``. On stdin come lines: first the settings (`Settings`, JSON), then a number of
seconds for each trial. On stdout goes a line for each: how many seconds it took to get ready, then the pictures of each
trial. Between trials it waits and takes no time from anybody.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec

from core.errors import UserError

_CHECKOUT: Final = Path(__file__).resolve().parents[1]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a child trains."""

    network: str
    batch: int
    size: int
    count: int
    threads: int
    device: str


class Child:
    """The parent's end of it."""

    def __init__(self, settings: Settings) -> None:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(settings.threads),
            # As workers have it: a thread that spins while it waits takes the core of another worker.
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.child"],
            cwd=_CHECKOUT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._write(msgspec.json.encode(settings).decode())

    def ready(self) -> float:
        """Wait until it has trained its first steps; the seconds since its first line."""
        return self._read()

    def go(self, seconds: float) -> None:
        """Have it train so long."""
        self._write(json.dumps(seconds))

    def done(self) -> float:
        """Wait for the end of the trial; its pictures."""
        return self._read()

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

    def _read(self) -> float:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise UserError(f"a training process ended by itself, with {self._process.wait()}; see above")
        return float(line)


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

    from bench.training import endless, noise_set, recipe_of, training

    torch.set_num_threads(settings.threads)
    config = endless(recipe_of(settings.network), batch=settings.batch)
    work = training(config, noise_set(settings.count, settings.size), torch.device(settings.device))
    work()
    print(time.perf_counter() - began, flush=True)
    for line in sys.stdin:
        seconds, done, start = float(line), 0.0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            done += work()
        print(done, flush=True)


if __name__ == "__main__":
    main()
