"""All benchmarks, one after another, each in a process of its own so that none affects the next."""

from pathlib import Path
from typing import Final

import click

from bench.baselines.worker_process import run_benchmarks
from core.runs import RunStore, State

WITHOUT_RUN: Final = ("throughput", "concurrency", "scaling", "limit", "dashboard")

ONLY_ON_REQUEST: Final = ("gpu", "quality")
"""Benchmarks that run only on request: one needs a GPU, one takes long."""


@click.command("all")
@click.option("--runs", type=click.Path(path_type=Path), default="runs", show_default=True, metavar="DIR")
def command(runs: Path) -> None:
    """All benchmarks but `gpu` and `quality`, with their own defaults; sampling if there is a finished run.

    For other settings, call a benchmark by itself.
    """
    run_benchmarks(benchmark_commands(runs))


def benchmark_commands(runs: Path) -> list[list[str]]:
    """The arguments of each benchmark that can be run here."""
    chosen = [[name] for name in WITHOUT_RUN]
    finished = [info for info in RunStore(runs).infos() if info.state is State.FINISHED]
    if finished:
        chosen.append(["sampling", finished[-1].id, "--runs", str(runs.absolute())])
    else:
        click.echo(f"sampling is left out: {runs} has no finished run; ddpm-tui quick makes five")
    return chosen
