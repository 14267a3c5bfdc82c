"""Invented images for fake runs: triangles under noise, and the sheets and strips that a training writes of them."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.imaging.sheet import write_sheet
from core.runs import RunDirectory


def fake_images(
    count: int, *, size: int = 32, clarity: float = 1.0, colour: bool = False, seed: int = 0
) -> NDArray[np.uint8]:
    """Dark triangles on white under noise: uint8 [count, size, size], and a trailing 3 for colour."""
    rng = np.random.default_rng([seed, 7])
    y, x = np.mgrid[0:size, 0:size] / size
    tiles = np.empty((count, size, size))
    for tile in tiles:
        a, b, c = rng.uniform(0.05, 0.95, (3, 2))
        sides = [(q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) for p, q in ((a, b), (b, c), (c, a))]
        inside = np.all(np.array(sides) >= 0, axis=0) | np.all(np.array(sides) <= 0, axis=0)
        tile[:] = np.where(inside, 30.0, 255.0)
    noise = rng.normal(128.0, 90.0, tiles.shape)
    grey = np.clip(clarity * tiles + (1 - clarity) * noise, 0, 255).astype(np.uint8)
    return np.stack([grey, 255 - grey, grey], axis=-1) if colour else grey


def triangles(count: int, size: int, seed: int) -> NDArray[np.float64]:
    """White triangles on black, smooth edges, in [0, 1]: [count, size, size]."""
    rng = np.random.default_rng(seed)
    images = []
    while len(images) < count:
        points = rng.uniform(0, size * 8, (3, 2))
        (ax, ay), (bx, by), (cx, cy) = points
        if abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)) < (size * 8) ** 2 * 0.2:
            continue
        image = Image.new("L", (size * 8, size * 8))
        ImageDraw.Draw(image).polygon([tuple(point) for point in points.tolist()], fill=255)
        images.append(np.asarray(image.resize((size, size), Image.Resampling.BOX)) / 255)
    return np.stack(images)


def write_samples(
    path: Path, share: float, *, seed: int, count: int = 16, size: int = 32, clean: bool = False
) -> None:
    """Write a sheet that is `share` triangles and the rest noise; `clean` is black and white alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")  # readers never see half of it
    temporary.write_bytes(_sheet_bytes(share, seed, count, size, clean))
    temporary.replace(path)


@cache
def _sheet_bytes(share: float, seed: int, count: int, size: int, clean: bool) -> bytes:
    noise = np.random.default_rng(7).normal(0.5, 0.35, (count, size, size))
    shapes = triangles(count, size, seed)
    mixed = np.rint(shapes) if clean else np.clip(share * shapes + (1 - share) * noise, 0, 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sheet.png"
        write_sheet(path, (mixed * 255).astype(np.uint8), columns=4, meta={"seed": str(seed)})
        return path.read_bytes()


def states(count: int, *, starts: int = 5, size: int = 32, seed: int = 3) -> NDArray[np.uint8]:
    """From noise to triangles in black and white: [count, starts, size, size]."""
    noise = np.random.default_rng(7).integers(0, 2, (starts, size, size))
    order = np.random.default_rng(8).permutation(size * size).reshape(size, size) / size**2
    shapes = np.rint(triangles(starts, size, seed))
    left = np.linspace(1, 0, count)[:, None, None, None]
    return (np.where(order < left, noise, shapes) * 255).astype(np.uint8)


def write_strip(run: RunDirectory, epoch: int, *, count: int = 10, size: int = 32, seed: int = 3) -> None:
    """Write a strip of the reverse process, as a training does."""
    run.reverse.mkdir(exist_ok=True)
    rows = states(count, size=size, seed=seed).swapaxes(0, 1)
    write_sheet(run.reverse / f"epoch-{epoch:04d}.png", rows.reshape(-1, size, size), columns=count)


def make_images(folder: Path, numbers: range, *, colour: bool = False, side: int = 16) -> Path:
    """Write an image of `side` x `side` random values for each number."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        shape = (side, side, 3) if colour else (side, side)
        pixels = np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return folder
