"""Pictures a second in training: our loop and other people's, with one network, in turns.

"ours" is our loop with all that the recipe switches on; "ours, plain" is the same loop in fp32 with Adam and nothing
else, so that beside it the loops alone differ. Each trains in a process of its own: ours as its workers are started,
others as a script of theirs would be. Whose turn it is not, waits.
"""

import click
import torch

from bench.baselines import training_loops
from bench.baselines.registry import COMPILED, NAMES, OUR_OWN, PLAIN, needs_peers
from bench.baselines.worker_process import Settings, children, together
from bench.harness.environment import OtherLoad, describe
from bench.harness.interleaved import TRIAL_SECONDS, Rates, race, ratios
from bench.harness.options import batch_option, device_option, network_option, seconds_option, threads_option
from bench.harness.report import Row, finish, row, say
from bench.harness.workloads import recipe_of

_IMAGES = 10_000
"""About as many as an epoch has, so that its end costs what it does in a real training."""
_SIZE = 32


@click.command("throughput")
@network_option
@batch_option
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(NAMES),
    help="One of the contenders; several times for several. All but the compiled one unless given.",
)
@click.option("--dataset", default="high", show_default=True, metavar="NAME")
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
    """Pictures a second in training, our loop against others."""
    machine, where = describe(training_loops.PACKAGES), torch.device(device)
    used = threads or machine.cores
    batch = batch or recipe_of(network).train.batch_size
    chosen = only or tuple(name for name in NAMES if name != COMPILED)
    if any(map(needs_peers, chosen)):
        training_loops.require_peers(where)
    settings = [
        Settings(
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
    with OtherLoad() as others, children(settings) as processes:
        crews = dict(zip(chosen, processes, strict=True))
        for name, child in crews.items():
            say(f"{name} was ready in {child.ready():.1f} s")
        works = {name: together([child], TRIAL_SECONDS) for name, child in crews.items()}
        rates = race(works, seconds=seconds, report=say)
        sizes = {name: child.parameters for name, child in crews.items()}
    finish(
        "throughput",
        rows_of(rates, sizes),
        machine=machine,
        others=others.share,
        settings={"network": network, "batch": batch, "size": _SIZE, "device": device, "threads": used},
        variant=f"{network}-{batch}" if where.type == "cpu" else f"{network}-{batch}-{where.type}",
    )


def rows_of(rates: Rates, sizes: dict[str, int]) -> list[Row]:
    """Pictures a second of each, then how many times faster ours are than the others, round by round."""
    rows = [
        row(name, "pictures/s", values, f"{sizes[name] / 1e6:.2f} M parameters")
        for name, values in rates.items()
    ]
    for mine in OUR_OWN:
        rows += [
            row(f"{mine} / {name}", "times", ratios(rates, mine, name))
            for name in rates
            if mine in rates and (name not in OUR_OWN or name == PLAIN) and name != mine
        ]
    return rows
