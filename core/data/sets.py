"""Data sets for training: looked up, built if they are not cached, and memory-mapped."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.data import cache, folder, triangles
from core.data.labels import NO_TRIANGLE_LABELS, label_stamp
from core.data.making import Progress, WorkerPool, cpu_count, make_folder, set_fingerprint
from core.data.recipe import (
    HELDOUT_TRIANGLES,
    TRIANGLES,
    DataRecipe,
    check_recipe,
    default_data_dir,
    find_data_recipe,
)
from core.data.triangle_kinds import KINDS, draw_kinds
from core.errors import UserError
from core.files.mapped import release_pages

Pixels = NDArray[np.uint8]


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
            for part in folder.image_slices(len(images), images[0].size):
                digest.update(images[part].tobytes())
                release_pages(images)
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
        for part in folder.image_slices(len(self.train), self.train[0].size):
            counts += np.bincount(self.train[part].ravel(), minlength=256)
            release_pages(self.train)
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
        recipe, data_dir, count, heldout, WorkerPool(progress, workers or cpu_count()), labels
    )
    n_train = count or recipe.count
    if n_train is not None and n_train > len(cached.train):
        text = f"{n_train:,} training images were asked for; there are {len(cached.train):,}"
        cached = cached.with_notes([text])
    n_heldout = min(heldout or len(cached.heldout), recipe.heldout or len(cached.heldout))
    return ImageSet.from_cached(cached, recipe, train=n_train, heldout=n_heldout)


def _triangle_set(
    recipe: DataRecipe,
    data_dir: Path,
    count: int | None,
    heldout: int | None,
    pool: WorkerPool,
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
    recipe: DataRecipe, counts: Mapping[str, int], digest: str, pool: WorkerPool, scratch: Path
) -> cache.Record:
    channels = recipe.channels or 1
    total, done = sum(counts.values()), 0
    canvas = recipe.canvas or recipe.side
    length = max(1, min(64, folder.CHUNK_PIXELS // (canvas * recipe.side)))

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
        drawn = pool.map(partial(draw, corners, colours), folder.batch_slices(count, length))
        chunks = (chunk for _, chunk in drawn)
        shape = (count, channels, recipe.side, recipe.side)
        cache.write_array(scratch / f"{split}.npy", shape, counted(chunks))
        vertices = (corners * recipe.side).astype(np.float32)
        cache.write_array(scratch / f"{split}_vertices.npy", vertices.shape, [vertices])
    return cache.Record(
        fingerprint=digest,
        count=counts["train"],
        heldout=counts["heldout"],
        channels=channels,
        size=recipe.side,
        notes=[],
        recipe=recipe,
        classes=list(KINDS) if recipe.labels == "angles" else [],
    )


def _folder_set(
    recipe: DataRecipe,
    data_dir: Path,
    count: int | None,
    heldout: int | None,
    pool: WorkerPool,
    labelled: bool,
) -> cache.CachedSet:
    # A folder is always built whole, because its number of images is known only after loading all files.
    listing = folder.list_folder(Path(recipe.path or "."), leave_out=data_dir)
    digest = set_fingerprint(recipe, listing.files)
    target = cache.set_dir(data_dir, recipe, digest)
    stamp = label_stamp(Path(recipe.path or ".")) if labelled else None
    cached = cache.open_set(target, digest, count=1, heldout=1, label_stamp=stamp)
    if cached is None:
        names = [name for name, _, _ in listing.files]
        make = partial(make_folder, recipe, names, digest, pool, labelled)
        cached = cache.build_set(target, digest, make, count=1, heldout=1, label_stamp=stamp)
    return cached.with_notes(listing.notes)
