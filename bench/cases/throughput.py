"""Images per second in training: our loop and peers', with one network, interleaved.

"ours" is our loop with all features of the recipe. "ours, plain" is the same loop in fp32 with Adam and nothing else,
so that it differs from peers only in the loop. Each trains in a process of its own, ours started as workers are and
peers' as scripts. Processes wait outside their turn.
"""

import click
import torch

from bench.baselines import training_loops
from bench.baselines.registry import COMPILED, CONTENDERS, OUR_VARIANTS, PLAIN, needs_peers
from bench.baselines.worker_process import WorkerSettings, combined_work, start_workers
from bench.harness.environment import OtherLoad, describe_machine
from bench.harness.interleaved import TRIAL_SECONDS, Rates, ratios, run_interleaved
from bench.harness.options import (
    batch_option,
    dataset_option,
    device_option,
    network_option,
    seconds_option,
    threads_option,
)
from bench.harness.report import Row, failure_notes, log_progress, make_row, report_result
from bench.harness.workloads import recipe_config
from core.errors import UserError

_IMAGES = 10_000
"""About the size of an epoch, so that the end of an epoch costs as much as in a real training."""
_SIZE = 32


@click.command("throughput")
@network_option
@batch_option
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(CONTENDERS),
    help="A contender; repeat for several. All but the compiled one unless given.",
)
@dataset_option
@seconds_option(120)
@device_option
@threads_option
def command(
    network: str,
    batch: int | None,
    only: tuple[str, ...],
    dataset: str,
    seconds: float,
    device: str,
    threads: int | None,
) -> None:
    """Images per second in training, our loop against other libraries."""
    machine, where = describe_machine(training_loops.PACKAGES), torch.device(device)
    used = threads or machine.cores
    batch = batch or recipe_config(network).train.batch_size
    chosen = only or tuple(name for name in CONTENDERS if name != COMPILED)
    if any(map(needs_peers, chosen)):
        training_loops.require_peers(where)
    settings = [
        WorkerSettings(
            network=network,
            batch=batch,
            size=_SIZE,
            count=batch * max(1, _IMAGES // batch),
            threads=used,
            device=device,
            dataset=dataset,
            contender=name,
        )
        for name in chosen
    ]
    with OtherLoad() as others, start_workers(settings) as processes:
        workers = dict(zip(chosen, processes, strict=True))
        failures: dict[str, str] = {}
        works = {}
        for name, worker in workers.items():
            try:
                log_progress(f"{name} was ready in {worker.wait_until_ready():.1f} s")
                works[name] = combined_work([worker], TRIAL_SECONDS)
            except UserError as error:
                failures[name] = str(error)
                log_progress(f"{name} failed: {error}")
        rates = run_interleaved(works, seconds=seconds, report=log_progress, failures=failures)
        sizes = {name: worker.parameters for name, worker in workers.items()}
    report_result(
        "throughput",
        result_rows(rates, sizes),
        machine=machine,
        others=others.share,
        settings={"network": network, "batch": batch, "size": _SIZE, "device": device, "threads": used},
        notes=failure_notes(failures),
        variant=f"{network}-{batch}" if where.type == "cpu" else f"{network}-{batch}-{where.type}",
    )


def result_rows(rates: Rates, sizes: dict[str, int]) -> list[Row]:
    """Images per second of each, then the ratio of ours to the others, round by round."""
    rows = [
        make_row(name, "pictures/s", values, f"{sizes[name] / 1e6:.2f} M parameters")
        for name, values in rates.items()
    ]
    for mine in OUR_VARIANTS:
        rows += [
            make_row(f"{mine} / {name}", "times", ratios(rates, mine, name))
            for name in rates
            if mine in rates and (name not in OUR_VARIANTS or name == PLAIN) and name != mine
        ]
    return rows
