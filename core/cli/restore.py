"""`core restore`: degraded images of the user's, restored by a trained run in several answers."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import numpy as np
from numpy.typing import NDArray

from core.cli.degradation import Degradation
from core.cli.images import emit_images
from core.cli.last_checkpoint import load_last_checkpoint
from core.cli.options import (
    SEED,
    STEPS,
    GivenPath,
    checkpoint_option,
    device_option,
    json_option,
    prepare_torch,
    runs_option,
)
from core.cli.output import check_out_file, emit, emit_json, note, writing_out
from core.cli.progress import progress_bar
from core.cli.user_image import check_file, read_user_image, single_image_recipe
from core.files.sanitize import sanitize
from core.imaging import to_channels_last, to_pixels, write_sheet
from core.runs import RunStore
from core.sampling_names import RESTORATION_METHODS, RestorationMethod

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from core.diffusion.restoration.operators import Operator
    from core.training.checkpoint import LoadedModel

LIVE_SECONDS = 0.4
"""Seconds between two sheets with --live."""

Values = NDArray[np.float32]


@click.command("restore")
@click.argument("run", metavar="RUN")
@click.argument("images", metavar="IMAGE...", type=GivenPath(path_type=Path), nargs=-1, required=True)
@runs_option
@click.option(
    "--mask",
    "masks",
    multiple=True,
    metavar="FILE|X,Y,W,H",
    help="Missing pixels: an image whose dark pixels are missing, or a box; again for further boxes.",
)
@click.option(
    "--noise",
    metavar="S|auto",
    help="Standard deviation of white noise, where white is 1; auto estimates it. Also beside another degradation.",
)
@click.option(
    "--down", type=int, metavar="F", help="Factor by which the image was averaged down, for example 2."
)
@click.option(
    "--blur", type=float, metavar="S", help="Standard deviation of a Gaussian blur, in the run's pixels."
)
@click.option("--jpeg", type=int, metavar="Q", help="Quality of JPEG, from 1 to 100.")
@click.option(
    "--degrade", is_flag=True, help="Degrade clean images first, and measure the answers against them."
)
@click.option(
    "--method",
    type=click.Choice(RESTORATION_METHODS),
    help="By default, repaint for masks without noise, denoise for noise alone, else pigdm.",
)
@click.option(
    "--count",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    metavar="K",
    help="Answers for each image.",
)
@click.option(
    "--steps", type=STEPS, default=100, show_default=True, metavar="N", help="Network calls of an answer."
)
@click.option("--seed", type=SEED, default=0, show_default=True, metavar="N", help="Seed of the noise.")
@checkpoint_option
@device_option
@click.option(
    "--out",
    type=GivenPath(dir_okay=False, path_type=Path),
    metavar="FILE.png",
    help="PNG with a row for each image; by default, restored-RUN.png.",
)
@click.option("--live", is_flag=True, help="Rewrite the PNG while it is computed.")
@click.option("--show", is_flag=True, help="Show the images in the terminal too.")
@json_option
def command(
    run: str,
    images: tuple[Path, ...],
    root: Path,
    masks: tuple[str, ...],
    noise: str | None,
    down: int | None,
    blur: float | None,
    jpeg: int | None,
    degrade: bool,
    method: RestorationMethod | None,
    count: int,
    steps: int,
    seed: int,
    checkpoint: Literal["last", "best"],
    device: str,
    out: Path | None,
    live: bool,
    show: bool,
    as_json: bool,
) -> None:
    """Restore masked, noisy, small, blurred or JPEG images with a trained run.

    RUN is an id, an unambiguous prefix of one, the path of a run's folder, or latest. A row of the PNG has the
    original (with --degrade), the degraded image, the answers, their mean, and their standard deviation, twice as
    bright. The mean has the higher PSNR, an answer the likelier details. The name of the file goes to stdout.
    """
    degradation = Degradation(masks, noise, down, blur, jpeg)
    degradation.check()
    for path in images:
        check_file(path)
    found = RunStore(root).find(run)
    out = out or Path(f"restored-{sanitize(found.id)}.png")
    check_out_file(out, ".png", inputs=(*images, *map(Path, masks)))
    device = prepare_torch(device)
    import torch

    from core.evaluation.metrics.denoising import psnr
    from core.evaluation.metrics.ssim import ssim
    from core.evaluation.preprocess import to_x0
    from core.evaluation.restoration.restore import check_method, default_method
    from core.statistics.noise_level import estimate_noise

    loaded = load_last_checkpoint(found, device, checkpoint)
    channels, size, _ = loaded.shape
    degraded_size = degradation.size(size)
    read_size = size if degrade else degraded_size
    dataset = loaded.config.data.dataset
    operator = degradation.operator(size, single_image_recipe(dataset).fit)
    pixels = np.concatenate(
        [read_user_image(path, (channels, read_size, read_size), dataset) for path in images]
    )
    generator = torch.Generator().manual_seed(seed)
    given = torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1.0)
    level = 2.0 * degradation.noise_level()
    if degrade:
        x0 = to_x0(loaded, pixels).cpu()
        y = operator.forward(x0)
        y = y + level * torch.randn(y.shape, generator=generator) if level else y
    else:
        y = operator.forward(given) if degradation.masks else given
    levels = [level] * len(images)
    if noise == "auto":
        levels = [2.0 * float(one) for one in estimate_noise((y.numpy() + 1.0) / 2.0)]
        for path, estimated in zip(images, levels, strict=True):
            note(f"{sanitize(str(path))}: estimated noise {estimated / 2.0:.3f}")
    method = method or default_method(operator, max(levels))
    check_method(method, operator, max(levels))

    shown = _displayed(y, size)
    first = [pixels] * degrade
    meta = {"run": sanitize(found.id), "degradation": degradation.text(), "method": method, "seed": str(seed)}
    meta |= {"epoch": str(loaded.position.epoch), "answers": str(count), "originals": str(int(degrade))}

    def write(answers: Values, calls: int, total: int) -> NDArray[np.uint8]:
        rows = _sheet(first, shown, answers)
        with writing_out(out):
            write_sheet(
                out,
                to_channels_last(rows),
                columns=len(rows) // len(images),
                meta=meta | {"calls": str(calls), "of": str(total)},
            )
        return rows

    answers, last = np.zeros((len(images), count, *loaded.shape), np.float32), 0.0
    calls = total = 0
    with progress_bar("restoring", "network calls") as report:
        for calls, total, answers in _restored(loaded, y, operator, levels, method, steps, count, generator):
            report(calls, total)
            if live and calls < total and time.monotonic() - last >= LIVE_SECONDS:
                write(answers, calls, total)
                last = time.monotonic()
    rows = write(answers, total, total)
    values = (answers.clip(-1.0, 1.0).astype(np.float64) + 1.0) / 2.0
    mean, spread = values.mean(axis=1), values.std(axis=1).mean(axis=(1, 2, 3))
    if as_json:
        truth = pixels.astype(np.float64) / 255.0
        results: list[dict[str, Any]] = []
        for index, path in enumerate(images):
            one: dict[str, Any] = {
                "image": str(path),
                "noise": levels[index] / 2.0,
                "spread": float(spread[index]),
            }
            if degrade:
                clean = truth[index : index + 1]
                each = np.repeat(clean, count, axis=0)
                one |= {
                    "psnr_degraded": float(
                        psnr(clean, shown[index : index + 1].astype(np.float64) / 255.0)[0]
                    ),
                    "psnr_mean": float(psnr(clean, mean[index : index + 1])[0]),
                    "psnr_answers": psnr(each, values[index]).tolist(),
                    "ssim_mean": float(ssim(clean, mean[index : index + 1])[0]),
                    "ssim_answers": ssim(each, values[index]).tolist(),
                }
            results.append(one)
        emit_json(
            {
                "run": found.id,
                "path": str(out),
                "degradation": degradation.text(),
                "method": method,
                "count": count,
                "calls": total // len(images),
                "seed": seed,
                "epoch": loaded.position.epoch,
                "shape": loaded.shape,
                "images": results,
            }
        )
        return
    emit(str(out))
    if show:
        emit_images(to_channels_last(rows))


def _restored(
    loaded: "LoadedModel",
    y: "Tensor",
    operator: "Operator",
    levels: list[float],
    method: RestorationMethod,
    steps: int,
    count: int,
    generator: "torch.Generator",
) -> Iterator[tuple[int, int, Values]]:
    """Yield the calls so far, the calls in all, and the answers so far, [N, K, C, S, S] around [-1, 1]."""
    from core.evaluation.restoration.restore import network_calls, restore, to_device

    operator = to_device(operator, loaded.device)
    answers = np.zeros((len(y), count, *loaded.shape), np.float32)
    each = [network_calls(loaded, method, steps, level) for level in levels]
    done = 0
    for index, level in enumerate(levels):
        states = restore(
            loaded,
            y[index : index + 1].repeat_interleave(count, dim=0).to(loaded.device),
            operator,
            method=method,
            sigma_y=level,
            calls=steps,
            generator=generator,
        )
        for state in states:
            found = state.xt if state.timestep < 0 or state.x0 is None else state.x0
            answers[index] = found.float().cpu().numpy()
            yield done + state.index, sum(each), answers
        done += each[index]


def _displayed(y: "Tensor", size: int) -> NDArray[np.uint8]:
    """Convert degraded images to pixels of full size; missing pixels are in the middle of the greys."""
    factor = size // y.shape[-1]
    larger = y.repeat_interleave(factor, dim=-2).repeat_interleave(factor, dim=-1)
    return to_pixels(larger.numpy())


def _sheet(first: list[NDArray[np.uint8]], shown: NDArray[np.uint8], answers: Values) -> NDArray[np.uint8]:
    """Arrange rows of original, degraded image, answers, mean and doubled standard deviation: uint8 [N, C, S, S]."""
    values = answers.clip(-1.0, 1.0)
    mean, spread = values.mean(axis=1), values.std(axis=1)
    columns = [
        *first,
        shown,
        *to_pixels(values.swapaxes(0, 1)),
        to_pixels(mean),
        to_pixels(2.0 * spread - 1.0),
    ]
    return np.stack(columns, axis=1).reshape(-1, *shown.shape[1:])
