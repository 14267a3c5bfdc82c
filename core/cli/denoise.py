"""`core denoise`: an image of the user's, noised and denoised by a trained run."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
import numpy as np
from numpy.typing import NDArray

from core.cli.images import emit_images
from core.cli.last_checkpoint import load_last_checkpoint
from core.cli.options import (
    SEED,
    STEPS,
    GivenPath,
    checkpoint_option,
    device_option,
    json_option,
    note_levels,
    prepare_torch,
    runs_option,
    sampling_options,
)
from core.cli.output import check_out_file, emit, emit_json, writing_out
from core.cli.progress import progress_bar
from core.cli.user_image import check_file, read_user_image
from core.config import SamplingOverrides
from core.errors import UserError
from core.files.sanitize import sanitize
from core.imaging import to_channels_last, to_pixels, write_sheet
from core.runs import RunStore

if TYPE_CHECKING:
    from core.training.checkpoint import LoadedModel

DEFAULT_STRENGTH = 0.5


@click.command("denoise")
@click.argument("run", metavar="RUN")
@click.argument("image", metavar="PICTURE", type=GivenPath(path_type=Path))
@runs_option
@click.option("--t", "t", type=STEPS, metavar="N", help="Noise the image to this timestep, from 1 to T.")
@click.option(
    "--strength",
    type=float,
    metavar="S",
    help="The same as a share of T, above 0 and at most 1; by default, 0.5.",
)
@sampling_options("Network calls from there; by default, their share of the run's own.", start=False)
@click.option("--seed", type=SEED, default=0, show_default=True, metavar="N", help="Seed of the noise.")
@checkpoint_option
@device_option
@click.option(
    "--out",
    type=GivenPath(dir_okay=False, path_type=Path),
    metavar="FILE.png",
    help="PNG of original, noised and denoised, side by side; by default, denoised-RUN.png.",
)
@click.option("--show", is_flag=True, help="Show the three images in the terminal too.")
@json_option
def command(
    run: str,
    image: Path,
    root: Path,
    t: int | None,
    strength: float | None,
    sampling: SamplingOverrides,
    seed: int,
    checkpoint: Literal["last", "best"],
    device: str,
    out: Path | None,
    show: bool,
    as_json: bool,
) -> None:
    """Noise your own image and denoise it with a trained run.

    RUN is an id, an unambiguous prefix of one, the path of a run's folder, or latest. The image
    may have any size, in colour or grey. Its centre is cropped and scaled to the size of the run's data. The
    name of the written file goes to stdout.
    """
    if t is not None and strength is not None:
        raise UserError("--t and --strength set the same value; give one of them")
    if strength is not None and not 0.0 < strength <= 1.0:
        raise UserError(f"--strength {strength}: expected a share above 0 and at most 1")
    check_file(image)
    found = RunStore(root).find(run)
    out = out or Path(f"denoised-{sanitize(found.id)}.png")
    check_out_file(out, ".png", inputs=(image,))
    device = prepare_torch(device)
    from core.evaluation.metrics.denoising import denoising_calls, psnr, timestep_from_strength

    loaded = load_last_checkpoint(found, device, checkpoint)
    loaded = replace(loaded, config=sampling.apply_to(loaded.config))
    timesteps = loaded.diffusion.timesteps
    if t is not None and t > timesteps:
        raise UserError(f"--t {t}: expected from 1 to {timesteps}, the timesteps of {found.id}")
    level = timestep_from_strength(strength or DEFAULT_STRENGTH, timesteps) if t is None else t - 1
    note_levels(loaded.config)
    calls = sampling.steps or denoising_calls(loaded, level)
    before = read_user_image(image, loaded.shape, loaded.config.data.dataset)
    noised, after = _denoise(loaded, before, level, calls, seed)
    strip = np.concatenate([before, to_pixels(noised), to_pixels(after)])
    settings = loaded.config.sample
    meta = {
        "run": sanitize(found.id),
        "epoch": str(loaded.position.epoch),
        "t": str(level + 1),
        "sampler": settings.sampler,
        "seed": str(seed),
    }
    with writing_out(out):
        write_sheet(out, to_channels_last(strip), columns=3, meta=meta)
    if as_json:
        shown = strip.astype(np.float64) / 255.0
        emit_json(
            {
                "run": found.id,
                "picture": str(image),
                "path": str(out),
                "t": level + 1,
                "strength": (level + 1) / timesteps,
                "alpha_bar": float(loaded.diffusion.schedule.alphas_cumprod[level]),
                "sampler": settings.sampler,
                "steps": calls,
                "eta": settings.eta,
                "spacing": settings.spacing,
                "levels": settings.levels,
                "clip": settings.clip,
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


def _denoise(
    loaded: "LoadedModel", before: NDArray[np.uint8], t: int, steps: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Noise the image to timestep `t` and denoise it: both as float32 [1, C, S, S] around [-1, 1]."""
    import torch

    from core.evaluation.metrics.denoising import denoise
    from core.evaluation.preprocess import to_x0

    states = []
    with progress_bar("denoising", "network calls") as report:
        generator = torch.Generator(loaded.device).manual_seed(seed)
        for state in denoise(loaded, to_x0(loaded, before), t, steps=steps, generator=generator):
            report(state.index, steps)
            states.append(state.xt)
    return states[0].float().cpu().numpy(), states[-1].float().cpu().numpy()
