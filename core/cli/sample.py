"""`core sample`: new images from a trained run."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import click
import numpy as np
import psutil
from msgspec.structs import replace as replace_setting

from core.cli.between import check_between, deterministic, draw_between, label_between
from core.cli.images import emit_images
from core.cli.last_checkpoint import load_last_checkpoint
from core.cli.options import (
    COUNT,
    SEED,
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
from core.cli.run_images import load_run_images
from core.config import SamplingOverrides
from core.config.consistency import check_guidance
from core.errors import UserError
from core.files.atomic import atomic_path
from core.files.sanitize import sanitize
from core.imaging import to_channels_last, to_pixels, write_sheet
from core.imaging.sheet import MAX_PIXELS
from core.imaging.sheet_classes import class_columns, cycled_classes
from core.runs import RunStore

COLUMNS = 8
_BYTES = 12
"""Memory for each value: the sample, its copy in one array, and the clipped or rounded one."""


@click.command("sample")
@click.argument("run", metavar="RUN")
@runs_option
@click.option(
    "--count",
    type=COUNT,
    default=16,
    show_default=True,
    metavar="N",
    help="Number of images to draw.",
)
@sampling_options("Network calls per image; by default, the run's own.")
@click.option(
    "--between",
    nargs=2,
    metavar="A B",
    help="A strip from one seed or image to another, by interpolation of their noises.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, metavar="N", help="Seed of the noise.")
@click.option(
    "--label",
    "asked",
    metavar="NAME[,NAME]...",
    help="Classes to draw in turn, of a run trained with data.labels; by default, all.",
)
@click.option(
    "--autoguide",
    metavar="RUN|FILE|best",
    help="Guide by a worse network: another run, a copy of an earlier checkpoint, or the best one; with --guidance.",
)
@checkpoint_option
@device_option
@click.option(
    "--out",
    type=GivenPath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="FILE.png, or FILE.npy for float32 [N,C,H,W] in [0,1]; by default, samples-RUN.png.",
)
@click.option("--show", is_flag=True, help="Show the images in the terminal too.")
@json_option
def command(
    run: str,
    root: Path,
    count: int,
    sampling: SamplingOverrides,
    between: tuple[str, str] | None,
    seed: int,
    asked: str | None,
    autoguide: str | None,
    checkpoint: Literal["last", "best"],
    device: str,
    out: Path | None,
    show: bool,
    as_json: bool,
) -> None:
    """Draw new images with a trained run.

    RUN is an id, an unambiguous prefix of one, the path of a run's folder, or latest. The name of the file
    is written to stdout. The same seed gives the same images each time on the same machine.
    """
    found = RunStore(root).find(run)
    out = out or Path(f"samples-{sanitize(found.id)}.png")
    check_out_file(out, ".png", ".npy", inputs=tuple(map(Path, between or ())))
    if between is not None:
        check_between(between, count, sampling)
        sampling = deterministic(sampling, found.read().config.schedule.timesteps)
    device = prepare_torch(device)
    from core.cli.labels import labels_asked_for, load_weak
    from core.config.sampling_levels import sampling_calls, visited_timesteps
    from core.evaluation.sampling import draw_samples, to_unit  # torch takes seconds to import
    from core.evaluation.starts import make_start

    loaded = load_last_checkpoint(found, device, checkpoint)
    loaded = replace(loaded, config=sampling.apply_to(loaded.config))
    note_levels(loaded.config)
    _check_count(count, loaded.shape, out)
    labels = labels_asked_for(asked, loaded, count, run=sanitize(found.id))
    weak = load_weak(autoguide, found, loaded, device, root) if autoguide else None
    check_guidance(loaded.config, autoguided=weak is not None)
    if weak is not None and loaded.config.sample.guidance == 1.0:
        raise UserError(
            f"--autoguide {autoguide}: a weight of 1 guides nothing; give --guidance too, such as 2"
        )
    if between is not None:
        labels = label_between(asked, labels, sampling.guidance if weak is None else None)
        if labels is None and weak is None:  # nothing guides, whatever the run's own settings are
            sample = replace_setting(loaded.config.sample, guidance=1.0)
            loaded = replace(loaded, config=replace_setting(loaded.config, sample=sample))
    start = None
    if sampling.start not in (None, "noise"):
        t = visited_timesteps(loaded.config)[0]
        start = make_start(sampling.start, load_run_images(found), loaded.diffusion, t, seed=seed)
    if between is not None:
        values = draw_between(loaded, between, count, labels=labels, weak=weak)
    else:
        with progress_bar("sampling", "network calls") as progress:
            values = draw_samples(
                loaded, count, seed=seed, start=start, progress=progress, labels=labels, weak=weak
            )
    settings = loaded.config.sample
    pixels = to_channels_last(to_pixels(values))
    meta = {
        "run": sanitize(found.id),
        "epoch": str(loaded.position.epoch),
        "sampler": settings.sampler,
        "eta": f"{settings.eta:g}",
        "spacing": settings.spacing,
        "clip": settings.clip,
        "start": sampling.start or "noise",
        "seed": str(seed),
        "guidance": f"{settings.guidance:g}",
    }
    names = [] if labels is None else [loaded.classes[index] for index in labels]
    cycle = names[: len(dict.fromkeys(names))]
    meta |= cycled_classes(count, cycle)
    if between is not None:
        meta |= {"between": " and ".join(map(sanitize, between))}
    with writing_out(out):
        if out.suffix.lower() == ".npy":
            with atomic_path(out) as temporary, temporary.open("wb") as file:
                np.save(file, to_unit(values))
        else:
            columns = count if between is not None else class_columns(len(cycle), COLUMNS)
            write_sheet(out, pixels, columns=min(count, columns), meta=meta)
    if as_json:
        emit_json(
            {
                "run": found.id,
                "path": str(out),
                "count": count,
                "sampler": settings.sampler,
                "steps": sampling_calls(loaded.config),
                "eta": settings.eta,
                "spacing": settings.spacing,
                "levels": settings.levels,
                "clip": settings.clip,
                "start": sampling.start or "noise",
                "seed": seed,
                "guidance": settings.guidance,
                "guidance_interval": settings.guidance_interval,
                "labels": names,
                "between": between,
                "epoch": loaded.position.epoch,
                "shape": values.shape,
            }
        )
        return
    emit(str(out))
    if show:
        emit_images(pixels)


def _check_count(count: int, shape: tuple[int, int, int], out: Path) -> None:
    """Raise a `UserError` now for images that could be drawn for hours, but then neither be kept nor written."""
    channels, height, width = shape
    if out.suffix.lower() == ".png":
        rows, columns = -(-count // COLUMNS), min(count, COLUMNS)
        if rows * columns * (height + 1) * (width + 1) > MAX_PIXELS:
            most = MAX_PIXELS // ((height + 1) * (width + 1)) // COLUMNS * COLUMNS
            raise UserError(
                f"--count {count}: a PNG has room for {most} images of {width}x{height}; give --out FILE.npy"
            )
    needed, there = count * channels * height * width * _BYTES, psutil.virtual_memory().total
    if needed > there:
        raise UserError(
            f"--count {count}: {needed / 2**30:,.0f} GiB of images, but this machine has {there / 2**30:,.0f} GiB "
            "of memory; draw them in parts, with another --seed for each"
        )
