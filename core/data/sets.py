"""Data sets for training: looked up, built if they are not cached, and memory-mapped."""

import hashlib
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
from core.data.array_file import open_images
from core.data.decode import Decoded, NotAnImageError, Reading
from core.data.labels import NO_TRIANGLE_LABELS, label_stamp, labels_if_any, read_labels
from core.data.recipe import (
    HELDOUT_TRIANGLES,
    TRIANGLES,
    DataRecipe,
    check_recipe,
    default_data_dir,
    find_data_recipe,
    is_array_file,
)
from core.data.survey import Survey, pixel_notes
from core.data.triangle_kinds import KINDS, draw_kinds
from core.data.walk import OUTPUTS, is_output
from core.errors import UserError

Progress = Callable[[int, int], None]
Pixels = NDArray[np.uint8]
Item = TypeVar("Item")
Made = TypeVar("Made")

_CHUNK_PIXELS: Final = 1 << 21


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Training and held-out images: uint8 [N, C, S, S] each, mapped read-only from disk."""

    name: str
    train: Pixels
    heldout: Pixels
    recipe: DataRecipe
    path: Path
    """The folder of the arrays."""
    train_vertices: NDArray[np.float32] | None
    """Corners of the training triangles, [N, 3, 2] as (x, y) in pixels of the image; None for a folder."""
    heldout_vertices: NDArray[np.float32] | None
    notes: tuple[str, ...] = ()
    """Notes for the user, for example that files were skipped."""
    fingerprint: str = ""
    """Hash of all settings and files that the images were made from; it names the set in the cache."""
    train_labels: NDArray[np.int64] | None = None
    """Class of each training image, [N]; None without labels."""
    heldout_labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    """Names of the classes in order of index; empty without labels."""

    @classmethod
    def from_cached(
        cls, cached: cache.CachedSet, recipe: DataRecipe, *, train: int | None, heldout: int | None
    ) -> "ImageSet":
        """Take the first `train` and `heldout` images of a cached set; None takes all."""
        vertices = cached.train_vertices, cached.heldout_vertices
        labels = cached.train_labels, cached.heldout_labels
        return cls(
            name=recipe.name,
            train=cached.train[:train],
            heldout=cached.heldout[:heldout],
            recipe=recipe,
            path=cached.path,
            train_vertices=None if vertices[0] is None else vertices[0][:train],
            heldout_vertices=None if vertices[1] is None else vertices[1][:heldout],
            notes=tuple(cached.record.notes),
            fingerprint=cached.record.fingerprint,
            train_labels=None if labels[0] is None else labels[0][:train].astype(np.int64),
            heldout_labels=None if labels[1] is None else labels[1][:heldout].astype(np.int64),
            classes=tuple(cached.record.classes),
        )

    @cached_property
    def pixels_digest(self) -> str:
        """SHA-256 of all images, in hexadecimal."""
        digest = hashlib.sha256()
        for images in (self.train, self.heldout):
            for part in folder.batch_slices(len(images), 1 + _CHUNK_PIXELS // images[0].size):
                digest.update(images[part].tobytes())
        return digest.hexdigest()

    @property
    def labels_digest(self) -> str:
        """SHA-256 of all labels and the names of the classes, in hexadecimal; empty without labels."""
        if self.train_labels is None or self.heldout_labels is None:
            return ""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for labels in (self.train_labels, self.heldout_labels):
            digest.update(labels.astype("<i8").tobytes())
        return digest.hexdigest()

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return int(self.train.shape[1])

    @property
    def size(self) -> int:
        """Pixels per side."""
        return int(self.train.shape[2])

    @cached_property
    def mean_square(self) -> float:
        """Mean of x0 squared over the training images scaled to [-1, 1], which L_T depends on."""
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
    labels: bool = False,
) -> ImageSet:
    """Load the set of a recipe. It is built first if it is not cached, which takes seconds.

    Args:
        name_or_path: as for `find_data_recipe`, or a recipe.
        data_dir: folder of the sets; None takes `default_data_dir`.
        count: training images; None takes the recipe's count. Fewer images are a prefix of more, and there can be
            more triangles than in the recipe.
        heldout: held-out images, at most the recipe's number; None takes all of them.
        progress: called with the number of images done and the total while the set is built.
        workers: threads that make images; None takes one per core. The images do not depend on it.
        labels: require labels. A set that was made without them is made once more. Without this the set has labels
            if it was made with them.

    Raises:
        UserError: no such recipe, a folder without images, a data folder that cannot be written, or labels that are
            required and not there.
    """
    data_dir = data_dir or default_data_dir()
    recipe = (
        name_or_path if isinstance(name_or_path, DataRecipe) else find_data_recipe(name_or_path, data_dir)
    )
    check_recipe(recipe, recipe.name)
    for value, name in ((count, "count"), (heldout, "heldout")):
        if value is not None and value < 1:
            raise UserError(f"{name} = {value}: expected at least 1 image")
    cached = (_folder_set if recipe.kind == "folder" else _triangle_set)(
        recipe, data_dir, count, heldout, _WorkerPool(progress, workers or _cpu_count()), labels
    )
    n_train = count or recipe.count
    if n_train is not None and n_train > len(cached.train):
        text = f"{n_train:,} training images were asked for; there are {len(cached.train):,}"
        cached = cached.with_notes([text])
    n_heldout = min(heldout or len(cached.heldout), recipe.heldout or len(cached.heldout))
    return ImageSet.from_cached(cached, recipe, train=n_train, heldout=n_heldout)


@dataclass(frozen=True)
class _WorkerPool:
    """Threads that make images, and the callback for their progress."""

    progress: Progress | None
    workers: int

    def report(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(done, total)

    def map(self, make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
        """Yield results in order, from threads that run slightly ahead of the consumer.

        Threads suffice because numpy and Pillow release the GIL. Unlike processes, threads do not import the main
        module again, which may import torch, and they can start inside a running Textual app.
        """
        pending: deque[Future[Made]] = deque()
        source = iter(items)
        with ThreadPoolExecutor(self.workers) as executor:
            try:
                for item in source:
                    pending.append(executor.submit(make, item))
                    if len(pending) > 2 * self.workers:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()


def _triangle_set(
    recipe: DataRecipe,
    data_dir: Path,
    count: int | None,
    heldout: int | None,
    pool: _WorkerPool,
    labelled: bool,
) -> cache.CachedSet:
    if labelled and recipe.labels is None:
        raise UserError(NO_TRIANGLE_LABELS.format(recipe.name))
    all_heldout = recipe.heldout or HELDOUT_TRIANGLES
    n_train, n_heldout = count or recipe.count or TRIANGLES, min(heldout or all_heldout, all_heldout)
    digest = cache.fingerprint(recipe, [])
    target = cache.set_dir(data_dir, recipe, digest)
    cached = cache.open_set(target, digest, count=n_train, heldout=n_heldout)
    if cached is not None:
        return cached
    # Without a count the whole set is built, and a set never becomes smaller, so that the next reader can use it.
    existing = cache.open_set(target, digest, count=1, heldout=1)
    counts = {
        "train": max(n_train, len(existing.train) if existing else 0),
        "heldout": max(all_heldout if count is None else n_heldout, len(existing.heldout) if existing else 0),
    }
    make = partial(_make_triangles, recipe, counts, digest, pool)
    return cache.build_set(target, digest, make, count=n_train, heldout=n_heldout)


def _make_triangles(
    recipe: DataRecipe, counts: Mapping[str, int], digest: str, pool: _WorkerPool, scratch: Path
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
            pool.report(done, total)
            yield chunk

    pool.report(0, total)
    for split, count in counts.items():
        stream = triangles.TRAIN if split == "train" else triangles.HELDOUT
        if recipe.labels == "angles":
            corners, kinds = draw_kinds(count, seed=recipe.seed, split=stream)
            cache.write_array(scratch / f"{split}_labels.npy", kinds.shape, [kinds.astype(np.uint16)])
        else:
            corners = triangles.draw_corners(count, seed=recipe.seed, split=stream)
        colours = triangles.draw_colours(count, seed=recipe.seed, split=stream) if channels == 3 else None
        chunks = pool.map(partial(draw, corners, colours), folder.batch_slices(count, length))
        shape = (count, channels, recipe.size, recipe.size)
        cache.write_array(scratch / f"{split}.npy", shape, counted(chunks))
        vertices = (corners * recipe.size).astype(np.float32)
        cache.write_array(scratch / f"{split}_vertices.npy", vertices.shape, [vertices])
    return cache.Record(
        fingerprint=digest,
        count=counts["train"],
        heldout=counts["heldout"],
        channels=channels,
        size=recipe.size,
        notes=[],
        recipe=recipe,
        classes=list(KINDS) if recipe.labels == "angles" else [],
    )


def _folder_set(
    recipe: DataRecipe,
    data_dir: Path,
    count: int | None,
    heldout: int | None,
    pool: _WorkerPool,
    labelled: bool,
) -> cache.CachedSet:
    # A folder is always built whole, because its number of images is known only after loading all files.
    listing = folder.list_folder(Path(recipe.path or "."), leave_out=data_dir)
    digest = cache.fingerprint(recipe, listing.files)
    target = cache.set_dir(data_dir, recipe, digest)
    stamp = label_stamp(Path(recipe.path or ".")) if labelled else None
    cached = cache.open_set(target, digest, count=1, heldout=1, label_stamp=stamp)
    if cached is None:
        names = [name for name, _, _ in listing.files]
        make = partial(_make_folder, recipe, names, digest, pool, labelled)
        cached = cache.build_set(target, digest, make, count=1, heldout=1, label_stamp=stamp)
    return cached.with_notes(listing.notes)


def _make_folder(
    recipe: DataRecipe, names: list[str], digest: str, pool: _WorkerPool, labelled: bool, scratch: Path
) -> cache.Record:
    source = Path(recipe.path or ".")
    stamp = label_stamp(source)
    spool = scratch / "pictures.raw"
    kept: list[str] = []
    skipped: Counter[str] = Counter()
    survey = Survey(recipe)

    def load(name: str, reading: Reading) -> Decoded | str:
        try:
            if is_output(source / name):
                raise NotAnImageError(OUTPUTS)
            return folder.decode_entry(source, name, recipe.size, reading)
        except NotAnImageError as reason:
            return str(reason)

    pool.report(0, len(names))
    with warnings.catch_warnings(), spool.open("xb") as file:
        # Pillow warns about oddities of images; files that cannot be read are counted and reported once, below.
        warnings.filterwarnings("ignore", module="PIL")
        first = partial(load, reading=survey.first_reading)
        for done, (name, loaded) in enumerate(zip(names, pool.map(first, names), strict=True), 1):
            if isinstance(loaded, str):
                skipped[loaded] += 1
            else:
                file.write(loaded.pixels.tobytes())
                survey.add(loaded)
                kept.append(name)
            pool.report(done, len(names))
        again = survey.to_decode_again()
        second = partial(load, reading=survey.reading)
        for index, loaded in zip(again, pool.map(second, [kept[index] for index in again]), strict=True):
            if isinstance(loaded, str):
                raise UserError(
                    f"{source / kept[index]}: changed while the set was made ({loaded}); try again"
                )
            file.seek(index * loaded.pixels.nbytes)
            file.write(loaded.pixels.tobytes())
            survey.update(loaded)
    reasons = ", ".join(f"{number} {reason}" for reason, number in skipped.most_common())
    if not kept:
        raise UserError(f"{source}: none of its {len(names)} files can be used ({reasons})")
    channels = recipe.channels or (3 if survey.any_colour else 1)
    images = np.memmap(spool, np.uint8, "r", shape=(len(kept), 3, recipe.size, recipe.size))
    train, heldout = folder.split(kept)
    labels = read_labels(source, kept) if labelled else labels_if_any(source, kept)
    length = 1 + _CHUNK_PIXELS // images[0].size
    for split, indices in (("train", train), ("heldout", heldout)):
        parts = (images[indices[part]] for part in folder.batch_slices(len(indices), length))
        chunks = (part if channels == 3 else folder.to_grey(part) for part in parts)
        shape = (len(indices), channels, recipe.size, recipe.size)
        cache.write_array(scratch / f"{split}.npy", shape, chunks)
        if labels is not None:
            values = labels.indices[indices].astype(np.uint16)
            cache.write_array(scratch / f"{split}_labels.npy", values.shape, [values])
    notes = [f"{skipped.total()} of {len(names)} files were skipped: {reasons}"] if skipped else []
    if is_array_file(source):
        notes += open_images(source).notes(recipe.size)
    notes += [*survey.notes, *pixel_notes(images, train, heldout)]
    del images
    spool.unlink()
    if len(kept) == 1:
        notes.append("there is only one image: it is both trained on and held out")
    return cache.Record(
        fingerprint=digest,
        count=len(train),
        heldout=len(heldout),
        channels=channels,
        size=recipe.size,
        notes=notes,
        recipe=recipe,
        classes=list(labels.classes) if labels else [],
        label_stamp=stamp if labels else "",
    )


def _cpu_count() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
