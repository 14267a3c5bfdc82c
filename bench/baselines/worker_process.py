"""Work in processes of its own: whole benchmarks, and a training that runs trials on request.

The training is ``python -m bench.baselines.worker_process``. It reads lines from stdin: first its settings
(`WorkerSettings` as JSON), then a number of seconds for each trial. It answers each line on stdout: first the seconds
until it was ready and the number of parameters, then the images of each trial. Between trials it waits without using a
core.
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


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the training in a worker process.

    Attributes:
        network: ``lean`` or ``thesis``.
        batch: images per step.
        size: size of noise images; those of a data set have their own.
        count: number of images; a whole number of batches.
        threads: number of OpenMP threads.
        device: the device.
        dataset: the name of the data set; empty for images of noise.
        contender: the name in `bench.baselines.registry`. Ours starts as a worker does, peers' start as scripts do.
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
        """True if the contender is our own loop."""
        return self.contender.split(",")[0] == "ours"


class WorkerProcess:
    """Handle of a worker process in its parent."""

    def __init__(self, settings: WorkerSettings) -> None:
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

    def wait_until_ready(self) -> float:
        """Wait for the first training steps, set `parameters`, and return the seconds since the process started."""
        seconds, parameters = self._read().split()
        self.parameters = int(parameters)
        return float(seconds)

    def start_trial(self, seconds: float) -> None:
        """Start a trial of that many seconds."""
        self._write(json.dumps(seconds))

    def finish_trial(self) -> float:
        """Wait for the end of the trial, and return its number of images."""
        return float(self._read())

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def _write(self, line: str) -> None:
        if not self._process.stdin:
            raise RuntimeError("the worker process has no stdin")
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _read(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise UserError(f"a training process ended by itself, with {self._process.wait()}; see above")
        return line


@contextlib.contextmanager
def start_workers(settings: Sequence[WorkerSettings]) -> Iterator[list[WorkerProcess]]:
    """Start processes together, and end them with the context."""
    started: list[WorkerProcess] = []
    try:
        for one in settings:
            started.append(WorkerProcess(one))  # noqa: PERF401 (started ones are ended even if the next fails to start)
        yield started
    finally:
        for worker in started:
            worker.close()


def combined_work(workers: Sequence[WorkerProcess], seconds: float) -> Work:
    """The images of all workers in one trial, which ends with the last of them."""

    def work() -> float:
        for worker in workers:
            worker.start_trial(seconds)
        return sum(worker.finish_trial() for worker in workers)

    return work


def run_benchmarks(commands: Iterable[Sequence[str]], failed: Sequence[str] = ()) -> None:
    """Run all benchmarks one after another, each in a process of its own.

    Args:
        commands: the arguments of each, its name first.
        failed: names of earlier failures.

    Raises:
        UserError: benchmarks failed; it names them after all have run.
    """
    failed = [*failed]
    for arguments in commands:
        click.echo(f"\n=== {' '.join(arguments)}\n")
        # The subprocess writes to the same stream, so lines would change their order in a file without a flush.
        sys.stdout.flush()
        done = subprocess.run([sys.executable, "-m", "bench", *arguments], cwd=_CHECKOUT, check=False)
        if done.returncode:
            failed.append(arguments[0])
    if failed:
        raise UserError(f"{', '.join(failed)}: failed; see above")


def main() -> None:
    """Train in this process."""
    began = time.perf_counter()
    settings = msgspec.json.decode(sys.stdin.readline(), type=WorkerSettings)
    import torch  # the environment sets its number of threads

    from bench.baselines import training_loops
    from bench.baselines.registry import build_contender, needs_peers
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
        work, parameters = build_contender(
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
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
