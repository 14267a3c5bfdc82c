"""`core sample`: new pictures from a trained run."""

from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from core.cli.images import emit_images
from core.cli.options import (
    device_option,
    json_option,
    prepare_torch,
    runs_option,
    sampling_options,
)
from core.cli.output import emit, emit_json
from core.cli.progress import counting
from core.config import SamplingOverrides
from core.errors import UserError
from core.files.atomic import atomic_path
from core.files.sanitize import sanitize
from core.imaging import to_channels_last, to_pixels, write_sheet
from core.runs import RunStore

COLUMNS = 8


@click.command("sample")
@click.argument("run", metavar="RUN")
@runs_option
@click.option(
    "--count", type=click.IntRange(1), default=16, show_default=True, metavar="N", help="Pictures to draw."
)
@sampling_options("Network calls a picture; the run's own unless given.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Seed of the noises."
)
@device_option
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
    drawing: SamplingOverrides,
    seed: int,
    device: str,
    out: Path | None,
    show: bool,
    as_json: bool,
) -> None:
    """Draw new pictures with a trained run.

    RUN is an id, the beginning of exactly one id, the path of a run's folder, or latest. The name of the
    file goes to stdout. The same seed gives the same pictures each time on the same machine.
    """
    found = RunStore(root).find(run)
    out = out or Path(f"samples-{found.id}.png")
    if out.suffix.lower() not in (".png", ".npy"):
        raise UserError(f"--out {out}: expected a name that ends in .png or .npy")
    if not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}; make it first")
    device = prepare_torch(device)
    from core.evaluation.sampling import draw_samples, to_unit  # torch takes seconds to import
    from core.training.checkpoint import load_model

    loaded = load_model(found, device)
    loaded = replace(loaded, config=drawing.apply_to(loaded.config))
    with counting("sampling", "network calls") as report:
        values = draw_samples(loaded, count, seed=seed, progress=report)
    how = loaded.config.sample
    pixels = to_channels_last(to_pixels(values))
    meta = {
        "run": sanitize(found.id),
        "sampler": how.sampler,
        "eta": f"{how.eta:g}",
        "spacing": how.spacing,
        "clip": how.clip,
        "seed": str(seed),
    }
    try:
        if out.suffix.lower() == ".npy":
            with atomic_path(out) as temporary, temporary.open("wb") as file:
                np.save(file, to_unit(values))
        else:
            write_sheet(out, pixels, columns=min(count, COLUMNS), meta=meta)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror or error})") from error
    if as_json:
        emit_json(
            {
                "run": sanitize(found.id),
                "path": str(out),
                "count": count,
                "sampler": how.sampler,
                "steps": how.steps or loaded.diffusion.timesteps,
                "eta": how.eta,
                "spacing": how.spacing,
                "clip": how.clip,
                "seed": seed,
                "epoch": loaded.position.epoch,
                "shape": values.shape,
            }
        )
        return
    emit(str(out))
    if show:
        emit_images(pixels)
