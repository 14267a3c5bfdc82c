"""`core denoise`: a picture of one's own, noised and denoised by a trained run."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray

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
from core.data import folder
from core.errors import UserError
from core.files.sanitize import sanitize
from core.imaging import to_channels_last, to_pixels, write_sheet
from core.runs import RunStore

if TYPE_CHECKING:
    from core.training.checkpoint import LoadedModel

STRENGTH = 0.5


@click.command("denoise")
@click.argument("run", metavar="RUN")
@click.argument("picture", metavar="PICTURE", type=click.Path(path_type=Path))
@runs_option
@click.option(
    "--t", "t", type=click.IntRange(1), metavar="N", help="Noise the picture to this timestep, from 1 to T."
)
@click.option(
    "--strength",
    type=float,
    metavar="S",
    help="The same as a share of T, above 0 and at most 1; 0.5 unless given.",
)
@sampling_options("Network calls from there; their share of the run's own unless given.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Seed of the noise."
)
@device_option
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.png",
    help="Before, noised and after, side by side; denoised-RUN.png unless given.",
)
@click.option("--show", is_flag=True, help="Show the three in the terminal too.")
@json_option
def command(
    run: str,
    picture: Path,
    root: Path,
    t: int | None,
    strength: float | None,
    drawing: SamplingOverrides,
    seed: int,
    device: str,
    out: Path | None,
    show: bool,
    as_json: bool,
) -> None:
    """Noise a picture of your own and denoise it with a trained run.

    RUN is an id, the beginning of exactly one id, the path of a run's folder, or latest. PICTURE is a file
    of any size, in colour or grey; its centre is cut out and made as large as what the run has learnt. The
    name of the file that is written goes to stdout.
    """
    if t is not None and strength is not None:
        raise UserError("--t and --strength say the same; give one of them")
    if strength is not None and not 0.0 < strength <= 1.0:
        raise UserError(f"--strength {strength}: expected a share above 0 and at most 1")
    if not picture.is_file():
        raise UserError(
            f"{sanitize(str(picture))}: {'not a file' if picture.exists() else 'no such picture'}"
        )
    found = RunStore(root).find(run)
    out = out or Path(f"denoised-{found.id}.png")
    if out.suffix.lower() != ".png":
        raise UserError(f"--out {out}: expected a name that ends in .png")
    if not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}; make it first")
    device = prepare_torch(device)
    from core.evaluation.metrics.denoising import psnr, scaled_steps, timestep_from_strength
    from core.training.checkpoint import load_model

    loaded = load_model(found, device)
    own = loaded.config.sample.steps
    loaded = replace(loaded, config=drawing.apply_to(loaded.config))
    timesteps = loaded.diffusion.timesteps
    if t is not None and t > timesteps:
        raise UserError(f"--t {t}: expected from 1 to {timesteps}, the timesteps of {found.id}")
    level = timestep_from_strength(strength or STRENGTH, timesteps) if t is None else t - 1
    calls = drawing.steps or scaled_steps(own, level, timesteps)
    before = _read_image(picture, loaded.shape)
    noised, after = _denoise(loaded, before, level, calls, seed)
    strip = np.concatenate([before, to_pixels(noised), to_pixels(after)])
    how = loaded.config.sample
    meta = {"run": sanitize(found.id), "t": str(level + 1), "sampler": how.sampler, "seed": str(seed)}
    try:
        write_sheet(out, to_channels_last(strip), columns=3, meta=meta)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror or error})") from error
    if as_json:
        shown = strip.astype(np.float64) / 255.0
        emit_json(
            {
                "run": sanitize(found.id),
                "picture": sanitize(str(picture)),
                "path": str(out),
                "t": level + 1,
                "strength": (level + 1) / timesteps,
                "alpha_bar": float(loaded.diffusion.schedule.alphas_cumprod[level]),
                "sampler": how.sampler,
                "steps": calls,
                "eta": how.eta,
                "spacing": how.spacing,
                "clip": how.clip,
                "seed": seed,
                "epoch": loaded.position.epoch,
                "shape": loaded.shape,
                "psnr_noised": float(psnr(shown[:1], shown[1:2])[0]),
                "psnr": float(psnr(shown[:1], shown[2:])[0]),
            }
        )
        return
    emit(str(out))
    if show:
        emit_images(to_channels_last(strip))


def _read_image(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A person's picture as the network has learnt them: uint8 [1, C, S, S]."""
    channels, size, _ = shape
    try:
        with warnings.catch_warnings():
            # Pillow warns of oddities in people's pictures that do not keep it from reading them.
            warnings.filterwarnings("ignore", module="PIL")
            colour, _ = folder.load_image(path, size)
    except folder.NotAnImageError as error:
        formats = ", ".join(folder.FORMATS)
        raise UserError(f"{sanitize(str(path))}: {error}; expected a picture ({formats})") from error
    return colour[None] if channels == 3 else folder.to_grey(colour[None])


def _denoise(
    loaded: "LoadedModel", before: NDArray[np.uint8], t: int, steps: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The picture noised to a timestep, and what the run makes of that: float32 [1, C, S, S] around [-1, 1]."""
    import torch

    from core.evaluation.metrics.denoising import denoise
    from core.evaluation.preprocess import to_x0

    states = []
    with counting("denoising", "network calls") as report:
        generator = torch.Generator().manual_seed(seed)
        for state in denoise(loaded, to_x0(loaded, before), t, steps=steps, generator=generator):
            report(state.index, steps)
            states.append(state.xt)
    return states[0].float().cpu().numpy(), states[-1].float().cpu().numpy()
