"""`core sample`: new pictures from a trained run."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from core.cli.options import json_option, runs_option
from core.cli.output import emit, emit_json
from core.cli.pictures import emit_pictures
from core.cli.progress import counting
from core.errors import UserError
from core.imaging import to_pixels, to_tiles, write_sheet
from core.runs import RunStore, atomic_path

if TYPE_CHECKING:
    from core.training.checkpoint import LoadedModel

BATCH = 64
"""Pictures drawn at once; part of what a seed means, so it is no option."""
COLUMNS = 8


@click.command("sample")
@click.argument("run")
@runs_option
@click.option(
    "--count", type=click.IntRange(1), default=16, show_default=True, metavar="N", help="Pictures to draw."
)
@click.option("--sampler", type=click.Choice(["ddpm", "ddim"]), help="The run's own unless given.")
@click.option(
    "--steps",
    type=click.IntRange(1),
    metavar="K",
    help="Network calls a picture; the run's own unless given.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Seed of the noises."
)
@click.option(
    "--device", default="cpu", show_default=True, metavar="DEVICE", help="cpu, cuda, cuda:N or mps."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="FILE.png, or FILE.npy for float32 [N,C,H,W] in [0,1]; samples-RUN.png unless given.",
)
@click.option("--show", is_flag=True, help="Show the pictures in the terminal too.")
@json_option
def command(
    run: str,
    root: Path,
    count: int,
    sampler: str | None,
    steps: int | None,
    seed: int,
    device: str,
    out: Path | None,
    show: bool,
    as_json: bool,
) -> None:
    """Draw pictures with a trained RUN (an id, the beginning of one, a path, or latest) and write them to a file.

    The same seed, count and run give the same pictures on a CPU.
    """
    found = RunStore(root).find(run)
    out = out or Path(f"samples-{found.id}.png")
    if out.suffix not in (".png", ".npy"):
        raise UserError(f"--out {out}: expected a name that ends in .png or .npy")
    if not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}; make it first")
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # threads that spin starve the runs that train beside us
    from core.training.checkpoint import load_model  # torch takes seconds to import

    loaded = load_model(found, _torch_device(device))
    sampler = sampler or loaded.config.sample.sampler
    steps = steps or loaded.config.sample.steps
    values = _draw(loaded, count, sampler, steps, seed, device)
    pixels = to_tiles(to_pixels(values))
    try:
        if out.suffix == ".npy":
            with atomic_path(out) as temporary, temporary.open("wb") as file:
                np.save(file, (values.clip(-1, 1) + 1) / 2)
        else:
            write_sheet(out, pixels, columns=min(count, COLUMNS), meta={"run": found.id, "seed": str(seed)})
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror or error})") from error
    if as_json:
        emit_json(
            {
                "run": found.id,
                "file": str(out),
                "count": count,
                "sampler": sampler,
                "steps": steps or loaded.diffusion.timesteps,
                "seed": seed,
                "epoch": loaded.position.epoch,
            }
        )
    else:
        emit(str(out))
    if show and not as_json:
        emit_pictures(pixels)


def _torch_device(name: str) -> Any:
    import torch

    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name}: not to be had here ({str(error).splitlines()[0]})") from error
    return device


def _draw(
    loaded: "LoadedModel", count: int, sampler: str, steps: int | None, seed: int, device: str
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Pictures float32 [count, C, H, W] in [-1, 1]."""
    import torch

    from core.diffusion.samplers import run_sampler

    generator = torch.Generator().manual_seed(seed)
    calls = steps or loaded.diffusion.timesteps
    batches = [min(BATCH, count - start) for start in range(0, count, BATCH)]
    drawn = []
    with counting("sampling", "network calls") as report:
        for number, size in enumerate(batches):
            noise = torch.randn((size, *loaded.shape), generator=generator).to(device)
            for state in run_sampler(
                sampler,
                loaded.model,
                loaded.diffusion,
                noise,
                steps=steps,
                eta=loaded.config.sample.eta,
                clip=loaded.config.sample.clip,
                generator=generator,
            ):
                report(number * calls + state.index, len(batches) * calls)
                final = state.xt
            drawn.append(final.cpu())
    return torch.cat(drawn).numpy()
