"""Pictures a second in training: our loop and other people's, with one network, in turns.

"ours" is our loop with all that the recipe switches on; "ours, plain" is the same loop in fp32 with Adam and nothing
else, so that beside it the loops alone differ.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import torch
from torch import nn

from bench import peers
from bench.machine import Neighbours, describe
from bench.options import batch_option, device_option, network_option, seconds_option, threads_option
from bench.report import Row, finish, row, say
from bench.training import endless, in_bulk, plain, printed_loop, recipe_of, set_threads, training
from bench.trials import Rates, Work, race, ratios
from core.config import RunConfig
from core.data import PictureSet, load_dataset
from core.diffusion.networks import build_network

OURS, PLAIN, PRINTED, COMPILED = "ours", "ours, plain", "the printed loop", "ours, compiled"
PEERS = ("denoising-diffusion-pytorch", "diffusers", "smalldiffusion")
OWN = ("denoising-diffusion-pytorch, own net", "diffusers, own net")
NAMES = (OURS, COMPILED, PLAIN, PRINTED, *PEERS, *OWN)
_BATCHES = 16


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
    machine, where = describe(peers.PACKAGES), torch.device(device)
    used = set_threads(threads, machine.cores)
    recipe = recipe_of(network)
    batch = batch or recipe.train.batch_size
    pictures = load_dataset(dataset, count=batch * _BATCHES, heldout=1)
    chosen = only or tuple(name for name in NAMES if name != COMPILED)
    if set(chosen) & {*PEERS, *OWN}:
        peers.require_peers(where)
    with tempfile.TemporaryDirectory() as scratch, Neighbours() as others:
        contenders, sizes = prepare(chosen, recipe, pictures, batch, where, Path(scratch))
        rates = race(contenders, seconds=seconds, report=say)
        contenders.clear()  # data loaders have processes, which read the scratch folder
    finish(
        "throughput",
        rows_of(rates, sizes),
        machine=machine,
        others=others.share,
        settings={
            "network": network,
            "batch": batch,
            "size": pictures.size,
            "device": device,
            "threads": used,
        },
        variant=f"{network}-{batch}" if where.type == "cpu" else f"{network}-{batch}-{where.type}",
    )


def prepare(
    names: tuple[str, ...],
    recipe: RunConfig,
    pictures: PictureSet,
    batch: int,
    device: torch.device,
    scratch: Path,
) -> tuple[dict[str, Work], dict[str, int]]:
    """The contenders, and how many parameters the network of each has."""
    channels, size = pictures.channels, pictures.size

    def network() -> nn.Module:
        torch.manual_seed(0)
        return build_network(recipe.model.preset, channels=channels, width=recipe.model.width)

    count = peers.parameters_of(network())
    contenders: dict[str, Work] = {}
    sizes = dict.fromkeys(names, count)

    def add(name: str, loop: Callable[..., Iterator[int]], model: nn.Module, **options: Path) -> None:
        sizes[name] = peers.parameters_of(model)
        contenders[name] = in_bulk(peers.silently(loop(model, pictures, batch, device, **options)), device)

    for index, name in enumerate(names):
        own = scratch / str(index)
        if name == OURS:
            contenders[name] = training(endless(recipe, batch=batch), pictures, device)
        elif name == COMPILED:
            contenders[name] = training(endless(recipe, batch=batch, compile=True), pictures, device)
        elif name == PLAIN:
            contenders[name] = training(plain(endless(recipe, batch=batch)), pictures, device)
        elif name == PRINTED:
            add(name, printed_loop, network())
        elif name == PEERS[0]:
            wrapped = peers.WithSelfCondition(network(), channels)
            add(name, peers.denoising_diffusion_pytorch_loop, wrapped, folder=own)
        elif name == PEERS[1]:
            add(name, peers.diffusers_loop, network())
        elif name == PEERS[2]:
            add(name, peers.smalldiffusion_loop, network())
        elif name == OWN[0]:
            theirs = peers.own_of_denoising_diffusion_pytorch(count, channels)
            add(name, peers.denoising_diffusion_pytorch_loop, theirs, folder=own)
        else:
            add(name, peers.diffusers_loop, peers.own_of_diffusers(count, channels, size))
    return contenders, sizes


def rows_of(rates: Rates, sizes: dict[str, int]) -> list[Row]:
    """Pictures a second of each, then how many times faster ours are than the others, round by round."""
    rows = [
        row(name, "pictures/s", values, f"{sizes[name] / 1e6:.2f} M parameters")
        for name, values in rates.items()
    ]
    for mine in (OURS, COMPILED, PLAIN):
        rows += [
            row(f"{mine} / {name}", "times", ratios(rates, mine, name))
            for name in rates
            if mine in rates and name not in (OURS, COMPILED, mine)
        ]
    return rows
