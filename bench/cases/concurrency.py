"""Throughput of five runs at once against five in turn.

Runs in turn have all cores each and train equally fast, so one of them represents all. Every training is a process of
its own, as workers are, and waits during the trials of others.
"""

import click

from bench.baselines.worker_process import WorkerSettings, combined_work, start_workers
from bench.harness.environment import OtherLoad, describe_machine
from bench.harness.interleaved import ratios, run_interleaved
from bench.harness.options import batch_option, device_option, network_option, seconds_option
from bench.harness.report import failure_notes, log_progress, make_row, report_result
from bench.harness.workloads import recipe_config

TRIAL_SECONDS = 3.0
_BATCHES = 16


@click.command("concurrency")
@network_option
@batch_option
@click.option("--count", type=click.IntRange(2), default=5, show_default=True, metavar="N", help="Runs.")
@seconds_option(90)
@device_option
def command(network: str, batch: int | None, count: int, seconds: float, device: str) -> None:
    """Several runs at once against the same runs in turn: total images per second."""
    machine = describe_machine()
    batch = batch or recipe_config(network).train.batch_size
    several = max(1, machine.cores // count)
    groups = thread_groups(count, machine.cores)
    settings = {
        name: [
            WorkerSettings(
                network=network,
                batch=batch,
                size=32,
                count=batch * _BATCHES,
                threads=threads,
                device=device,
            )
        ]
        * runs
        for name, (runs, threads) in groups.items()
    }
    with (
        OtherLoad() as others,
        start_workers([one for group in settings.values() for one in group]) as processes,
    ):
        pool = iter(processes)
        workers = {name: [next(pool) for _ in group] for name, group in settings.items()}
        for process in processes:
            process.wait_until_ready()
        log_progress("all are ready")
        works = {name: combined_work(group, TRIAL_SECONDS) for name, group in workers.items()}
        failures: dict[str, str] = {}
        rates = run_interleaved(
            works, seconds=seconds, trial_seconds=TRIAL_SECONDS, report=log_progress, failures=failures
        )
    in_turn, at_once = list(groups)[:2]
    rows = [make_row(name, "pictures/s", values) for name, values in rates.items()]
    if shares := ratios(rates, at_once, in_turn):
        rows.append(make_row(f"{at_once} / {in_turn}", "times", shares))
    report_result(
        "concurrency",
        rows,
        machine=machine,
        others=others.share,
        settings={
            "network": network,
            "batch": batch,
            "runs": count,
            "threads at once": several,
            "device": device,
        },
        notes=[
            "The start of processes is left out, because each needs it once, in turn or at once.",
            *failure_notes(failures),
        ],
        variant=f"{network}-{batch}" if device == "cpu" else f"{network}-{batch}-{device.replace(':', '')}",
    )


def thread_groups(count: int, cores: int) -> dict[str, tuple[int, int]]:
    """Ways to share the cores by name, as runs at once and threads each: in turn, at once, and as many as cores."""
    several = max(1, cores // count)
    groups = {
        f"{count} in turn, {thread_count_text(cores)}": (1, cores),
        f"{count} at once, {thread_count_text(several)} each": (count, several),
    }
    if 1 < cores < count:
        groups[f"{cores} at once, 1 thread each"] = (cores, 1)
    return groups


def thread_count_text(threads: int) -> str:
    """Format a number of threads: 1 thread, 2 threads."""
    return f"{threads} thread{'s' if threads != 1 else ''}"
