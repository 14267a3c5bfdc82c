"""Sets of pictures, ready to be learnt: looked up, made if they are not there yet, and mapped."""

import os
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.data import cache, folder, triangles
from core.data.recipe import (
    HELDOUT_TRIANGLES,
    TRIANGLES,
    DataRecipe,
    check_recipe,
    default_data_dir,
    find_data_recipe,
)
from core.errors import UserError

Progress = Callable[[int, int], None]
Pixels = NDArray[np.uint8]
Item = TypeVar("Item")
Made = TypeVar("Made")

_CHUNK_PIXELS: Final = 1 << 21


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Pictures to learn and pictures to be tested on: uint8 [N, C, S, S] each, mapped read-only from disk."""

    name: str
    train: Pixels
    heldout: Pixels
    recipe: DataRecipe
    path: Path
    """The folder of the arrays."""
    train_vertices: NDArray[np.float32] | None
    """Corners of the training triangles, [N, 3, 2] as (x, y) in pixels of the picture; None for a folder."""
    heldout_vertices: NDArray[np.float32] | None
    notes: tuple[str, ...] = ()
    """What a person should know of it, in plain words, for example that files were skipped."""

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return int(self.train.shape[1])

    @property
    def size(self) -> int:
        """Pixels a side."""
        return int(self.train.shape[2])

    @cached_property
    def mean_square(self) -> float:
        """Mean of x0 squared over the training pictures scaled to [-1, 1]; what L_T depends on."""
        counts = np.zeros(256, np.int64)
        for part in folder.batch_slices(len(self.train), 1 + _CHUNK_PIXELS // self.train[0].size):
            counts += np.bincount(self.train[part].ravel(), minlength=256)
        return float(counts @ (np.arange(256) / 127.5 - 1) ** 2 / counts.sum())


def load_dataset(
    name_or_path: str | DataRecipe,
    *,
    data_dir: Path | None = None,
    count: int | None = None,
    heldout: int | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> ImageSet:
    """The set of a recipe; made if it is not there yet, which takes seconds.

    Args:
        name_or_path: as for `find_data_recipe`, or a recipe.
        data_dir: where sets are kept; None takes `default_data_dir`.
        count: training pictures; None takes the recipe's own number. Fewer are a prefix of more, and there
            can be more triangles than the recipe says.
        heldout: held-out pictures, at most as many as the recipe has; None takes all of them.
        progress: called with pictures done and pictures in all while the set is made.
        workers: threads that make pictures; None takes one a core. Pictures do not depend on it.

    Raises:
        UserError: no such recipe, a folder without pictures, or a data folder that cannot be written.
    """
    data_dir = data_dir or default_data_dir()
    recipe = (
        name_or_path if isinstance(name_or_path, DataRecipe) else find_data_recipe(name_or_path, data_dir)
    )
    check_recipe(recipe, recipe.name)
    for asked, name in ((count, "count"), (heldout, "heldout")):
        if asked is not None and asked < 1:
            raise UserError(f"{name} = {asked}: expected at least 1 picture")
    ready = (_folder_set if recipe.kind == "folder" else _triangle_set)(
        recipe, data_dir, count, heldout, _WorkerPool(progress, workers or _cpu_count())
    )
    wanted = count or recipe.count
    tested = min(heldout or len(ready.heldout), recipe.heldout or len(ready.heldout))
    return ImageSet(
        name=recipe.name,
        train=ready.train[:wanted],
        heldout=ready.heldout[:tested],
        recipe=recipe,
        path=ready.path,
        train_vertices=None if ready.train_vertices is None else ready.train_vertices[:wanted],
        heldout_vertices=None if ready.heldout_vertices is None else ready.heldout_vertices[:tested],
        notes=tuple(ready.record.notes),
    )


@dataclass(frozen=True)
class _WorkerPool:
    """Who makes pictures, and who hears of it."""

    progress: Progress | None
    workers: int

    def report(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(done, total)

    def map(self, make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
        """Results in order, made by threads that run a little ahead of the reader.

        numpy and Pillow let go of the GIL; and threads, unlike processes, import no main module anew, which
        may be one that imports torch, and start inside a running Textual app.
        """
        pending: deque[Future[Made]] = deque()
        source = iter(items)
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                for item in source:
                    pending.append(pool.submit(make, item))
                    if len(pending) > 2 * self.workers:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()


def _triangle_set(
    recipe: DataRecipe, data_dir: Path, count: int | None, heldout: int | None, crew: _WorkerPool
) -> cache.CachedSet:
    whole = recipe.heldout or HELDOUT_TRIANGLES
    wanted, tested = count or recipe.count or TRIANGLES, min(heldout or whole, whole)
    mark = cache.fingerprint(recipe, [])
    target = cache.set_dir(data_dir, recipe, mark)
    ready = cache.open_set(target, mark, count=wanted, heldout=tested)
    if ready is not None:
        return ready
    # A set that is made for no count in particular is made whole, and none is made smaller than it was: the
    # next reader finds what it needs.
    small = cache.open_set(target, mark, count=1, heldout=1)
    counts = {
        "train": max(wanted, len(small.train) if small else 0),
        "heldout": max(whole if count is None else tested, len(small.heldout) if small else 0),
    }
    make = partial(_make_triangles, recipe, counts, mark, crew)
    return cache.build_set(target, mark, make, count=wanted, heldout=tested)


def _make_triangles(
    recipe: DataRecipe, counts: Mapping[str, int], mark: str, crew: _WorkerPool, scratch: Path
) -> cache.Record:
    channels = recipe.channels or 1
    total, done = sum(counts.values()), 0
    canvas = recipe.canvas or recipe.size
    length = max(1, min(64, _CHUNK_PIXELS // (canvas * recipe.size)))

    def draw(corners: NDArray[np.float64], colours: Pixels | None, part: slice) -> Pixels:
        return triangles.render(recipe, corners[part], None if colours is None else colours[part])

    def counted(chunks: Iterable[Pixels]) -> Iterator[Pixels]:
        nonlocal done
        for chunk in chunks:
            done += len(chunk)
            crew.report(done, total)
            yield chunk

    crew.report(0, total)
    for split, count in counts.items():
        stream = triangles.TRAIN if split == "train" else triangles.HELDOUT
        corners = triangles.draw_corners(count, seed=recipe.seed, split=stream)
        colours = triangles.draw_colours(count, seed=recipe.seed, split=stream) if channels == 3 else None
        chunks = crew.map(partial(draw, corners, colours), folder.batch_slices(count, length))
        shape = (count, channels, recipe.size, recipe.size)
        cache.write_array(scratch / f"{split}.npy", shape, counted(chunks))
        vertices = (corners * recipe.size).astype(np.float32)
        cache.write_array(scratch / f"{split}_vertices.npy", vertices.shape, [vertices])
    return cache.Record(
        fingerprint=mark,
        count=counts["train"],
        heldout=counts["heldout"],
        channels=channels,
        size=recipe.size,
        notes=[],
        recipe=recipe,
    )


def _folder_set(
    recipe: DataRecipe, data_dir: Path, count: int | None, heldout: int | None, crew: _WorkerPool
) -> cache.CachedSet:
    # A folder is always made whole: how many pictures it has is known only when all have been tried.
    files = folder.image_files(Path(recipe.path or "."), leave_out=data_dir)
    mark = cache.fingerprint(recipe, files)
    target = cache.set_dir(data_dir, recipe, mark)
    ready = cache.open_set(target, mark, count=1, heldout=1)
    if ready is not None:
        return ready
    make = partial(_make_folder, recipe, [name for name, _, _ in files], mark, crew)
    return cache.build_set(target, mark, make, count=1, heldout=1)


def _make_folder(
    recipe: DataRecipe, names: list[str], mark: str, crew: _WorkerPool, scratch: Path
) -> cache.Record:
    source = Path(recipe.path or ".")
    spool = scratch / "pictures.raw"
    kept: list[str] = []
    skipped: Counter[str] = Counter()
    any_colour = False

    def load(name: str) -> tuple[Pixels, bool] | str:
        try:
            return folder.load_image(source / name, recipe.size)
        except folder.NotAnImageError as reason:
            return str(reason)

    crew.report(0, len(names))
    with warnings.catch_warnings(), spool.open("xb") as file:
        # Pillow warns of oddities in people's pictures; what cannot be read is counted and said once, below.
        warnings.filterwarnings("ignore", module="PIL")
        for done, (name, loaded) in enumerate(zip(names, crew.map(load, names), strict=True), 1):
            if isinstance(loaded, str):
                skipped[loaded] += 1
            else:
                file.write(loaded[0].tobytes())
                any_colour |= loaded[1]
                kept.append(name)
            crew.report(done, len(names))
    reasons = ", ".join(f"{number} {reason}" for reason, number in skipped.most_common())
    if not kept:
        raise UserError(f"{source}: none of its {len(names)} files can be used ({reasons})")
    channels = recipe.channels or (3 if any_colour else 1)
    images = np.memmap(spool, np.uint8, "r", shape=(len(kept), 3, recipe.size, recipe.size))
    trained, tested = folder.split(kept)
    length = 1 + _CHUNK_PIXELS // images[0].size
    for split, chosen in (("train", trained), ("heldout", tested)):
        parts = (images[chosen[part]] for part in folder.batch_slices(len(chosen), length))
        chunks = (part if channels == 3 else folder.to_grey(part) for part in parts)
        shape = (len(chosen), channels, recipe.size, recipe.size)
        cache.write_array(scratch / f"{split}.npy", shape, chunks)
    del images
    spool.unlink()
    notes = [f"{skipped.total()} of {len(names)} files were skipped: {reasons}"] if skipped else []
    if len(kept) == 1:
        notes.append("there is only one picture: it is both learnt and held out")
    return cache.Record(
        fingerprint=mark,
        count=len(trained),
        heldout=len(tested),
        channels=channels,
        size=recipe.size,
        notes=notes,
        recipe=recipe,
    )


def _cpu_count() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
