"""Making of a set from the user's images: decoded by threads, split, and written as arrays."""

import contextlib
import os
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.data import cache, folder
from core.data.array_file import ArrayFile, open_images
from core.data.decode import Decoded, NotAnImageError, Reading
from core.data.folder import Entry, decode_entry, read_entries
from core.data.labels import label_notes, label_stamp, labels_if_any, read_labels
from core.data.recipe import MAX_OWN_SIZE, DataRecipe, is_array_file
from core.data.splitting import Tile, split_images
from core.data.survey import Survey, pixel_notes
from core.errors import UserError
from core.files.mapped import release_pages

Progress = Callable[[int, int], None]
Pixels = NDArray[np.uint8]
Item = TypeVar("Item")
Made = TypeVar("Made")

_FIRST: Final = 16
"""Entries that are tried to find the files' own size."""


@dataclass(frozen=True)
class WorkerPool:
    """Threads that make images, and the callback for their progress."""

    progress: Progress | None
    workers: int

    def report(self, done: int, total: int) -> None:
        """Report the number of images done."""
        if self.progress is not None:
            self.progress(done, total)

    def map(self, make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[tuple[Item, Made]]:
        """Yield items with their results in order, from threads that run slightly ahead of the consumer.

        Threads suffice because numpy and Pillow release the GIL. Unlike processes, threads do not import the main
        module again, which may import torch, and they can start inside a running Textual app.
        """
        pending: deque[tuple[Item, Future[Made]]] = deque()
        with ThreadPoolExecutor(self.workers) as executor:
            try:
                for item in items:
                    pending.append((item, executor.submit(make, item)))
                    if len(pending) > 2 * self.workers:
                        first, future = pending.popleft()
                        yield first, future.result()
                while pending:
                    first, future = pending.popleft()
                    yield first, future.result()
            finally:
                for _, future in pending:
                    future.cancel()


@dataclass(eq=False)
class _Found:
    """Images of a source, in the order in which they were read.

    Attributes:
        size: pixels per side.
        survey: findings in the files.
        names: of the images; tiles have the name of their photograph.
        tiles: positions of tiles; empty for whole images.
        skipped: numbers of files that are not used, by reason.
        any_resized: whether an image has another size in its file.
    """

    size: int
    survey: Survey
    names: list[str] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    any_resized: bool = False


class _OtherSizesError(Exception):
    """The images do not all have the size of the first."""


def make_folder(
    recipe: DataRecipe, names: list[str], digest: str, pool: WorkerPool, labelled: bool, scratch: Path
) -> cache.Record:
    """Decode the images of a folder or of a file of images, and write their arrays into a folder.

    Args:
        recipe: recipe of the set.
        names: of the images, see `core.data.folder.list_folder`.
        digest: fingerprint of the set.
        pool: threads and progress.
        labelled: require labels.
        scratch: folder of the arrays.

    Returns:
        The description of the set.

    Raises:
        UserError: no image can be used, or the machine cannot read one.
    """
    source = Path(recipe.path or ".")
    stamp = label_stamp(source)
    spool = scratch / "pictures.raw"
    size = recipe.size or own_size(recipe, names) or recipe.side
    plain = plain_array(recipe, size)
    if plain is not None:
        found, images = _take_array(recipe, plain, names, size)
    else:
        found = _decode_all(recipe, names, size, pool, spool)
        images = np.memmap(spool, np.uint8, "r", shape=(len(found.names), 3, found.size, found.size))
    size = found.size
    channels = recipe.channels or (3 if found.survey.any_colour else 1)
    train, heldout = split_images(found.names, recipe, found.tiles or None)
    labels = (read_labels if labelled else labels_if_any)(source, found.names)
    for split, indices in (("train", train), ("heldout", heldout)):
        shape = (len(indices), channels, size, size)
        cache.write_array(scratch / f"{split}.npy", shape, _chunks(images, indices, channels))
        if labels is not None:
            values = labels.indices[indices].astype(np.uint16)
            cache.write_array(scratch / f"{split}_labels.npy", values.shape, [values])
    notes = [*_notes(recipe, found, len(names)), *pixel_notes(images, train, heldout)]
    notes += label_notes(source, found.names, labels, train)
    del images
    spool.unlink(missing_ok=True)
    if len(found.names) == 1:
        notes.append("there is only one image: it is both trained on and held out")
    if plain is not None:
        pool.report(len(names), len(names))
    return cache.Record(
        fingerprint=digest,
        count=len(train),
        heldout=len(heldout),
        channels=channels,
        size=size,
        notes=notes,
        recipe=recipe,
        classes=list(labels.classes) if labels else [],
        label_stamp=stamp if labels else "",
    )


def set_fingerprint(recipe: DataRecipe, files: cache.FileList) -> str:
    """Return the fingerprint of a set, which names it in the cache.

    A folder without a size has that of the default size if its first image does not have a size that is kept. So sets
    that older versions made are found.

    Args:
        recipe: recipe of the set.
        files: of the folder, see `core.data.folder.list_folder`; none for triangles.
    """
    if recipe.kind == "folder" and recipe.size is None:
        own = own_size(recipe, [name for name, _, _ in files])
        if own in (None, recipe.side):
            recipe = msgspec.structs.replace(recipe, size=recipe.side)
    return cache.fingerprint(recipe, files)


def own_size(recipe: DataRecipe, names: Sequence[str]) -> int | None:
    """Return the size of the first image that can be read, if images of that size may keep it; else None.

    Args:
        recipe: recipe of a folder.
        names: of its images.
    """
    source = Path(recipe.path or ".")
    if recipe.fit == "tiles":
        return None
    if is_array_file(source):
        return _may_keep(open_images(source).values.shape[1:3])
    reading = Survey(recipe).first_reading
    for start, name in enumerate(names[:_FIRST], 1):
        with contextlib.suppress(NotAnImageError):
            image = decode_entry(source, Entry(name), 1, reading, following=names[start:_FIRST])
            return _may_keep(image.sides)
    return None


def plain_array(recipe: DataRecipe, size: int) -> ArrayFile | None:
    """Return the file of a recipe if its bytes are the pixels of the set; None if its images have to be converted."""
    source = Path(recipe.path or ".")
    if not is_array_file(source) or recipe.fit == "tiles":
        return None
    images = open_images(source)
    is_plain = images.values.dtype == np.uint8 and images.scale == 1 and images.values.shape[3] in (1, 3)
    return images if is_plain and images.values.shape[1:3] == (size, size) else None


def cpu_count() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _may_keep(sides: tuple[int, ...]) -> int | None:
    return sides[0] if sides[0] == sides[1] <= MAX_OWN_SIZE else None


def _take_array(recipe: DataRecipe, file: ArrayFile, names: list[str], size: int) -> tuple[_Found, Pixels]:
    """Return the images of a file as they are, [N, C, S, S] in the order of the file, mapped if the file is."""
    found = _Found(size, Survey(recipe), sorted(names))
    values = file.values
    if values.shape[3] == 3:
        for part in folder.image_slices(len(values), values[0].size):
            chunk = values[part]
            found.survey.any_colour |= bool((chunk != chunk[..., :1]).any())
            release_pages(values)
    return found, values.transpose(0, 3, 1, 2)


def _decode_all(recipe: DataRecipe, names: list[str], size: int, pool: WorkerPool, spool: Path) -> _Found:
    """Decode all images into a file of pixels, uint8 [N, 3, S, S]; at the default size if theirs are different."""
    try:
        return _decode_at(recipe, names, size, pool, spool)
    except _OtherSizesError:
        return _decode_at(recipe, names, recipe.side, pool, spool)


def _decode_at(recipe: DataRecipe, names: list[str], size: int, pool: WorkerPool, spool: Path) -> _Found:
    source = Path(recipe.path or ".")
    found = _Found(size, Survey(recipe))
    keeps_own = recipe.size is None and recipe.fit != "tiles" and size != recipe.side
    starts: list[int] = []
    files: list[str] = []

    def load(entry: Entry, reading: Reading) -> Decoded | str:
        try:
            return decode_entry(source, entry, size, reading)
        except NotAnImageError as reason:
            return str(reason)

    pool.report(0, len(names))
    with warnings.catch_warnings(), spool.open("wb") as file:
        # Pillow warns about oddities of images; files that cannot be read are counted and reported once.
        warnings.filterwarnings("ignore", module="PIL")
        first = partial(load, reading=found.survey.first_reading)
        for done, (entry, loaded) in enumerate(pool.map(first, read_entries(source, names)), 1):
            if isinstance(loaded, str):
                found.skipped[loaded] += 1
            else:
                if loaded.sides != (size, size):
                    if keeps_own:
                        raise _OtherSizesError
                    found.any_resized = True
                starts.append(file.tell())
                files.append(entry.name)
                file.write(loaded.pixels.tobytes())
                found.survey.add(loaded)
                _add_names(found, entry.name, loaded)
            pool.report(done, len(names))
        again = {files[index]: starts[index] for index in found.survey.to_decode_again()}
        second = partial(load, reading=found.survey.reading)
        for entry, loaded in pool.map(second, read_entries(source, list(again))):
            if isinstance(loaded, str):
                raise UserError(
                    f"{source / entry.name}: changed while the set was made ({loaded}); try again"
                )
            file.seek(again[entry.name])
            file.write(loaded.pixels.tobytes())
            found.survey.update(loaded)
    if not found.names:
        raise UserError(f"{source}: none of its {len(names)} files can be used ({_reasons(found.skipped)})")
    return found


def _add_names(found: _Found, name: str, image: Decoded) -> None:
    if image.pixels.ndim == 3:
        found.names.append(name)
        return
    found.names += [name] * len(image.pixels)
    found.tiles += [Tile(index, *image.grid) for index in range(len(image.pixels))]


def _chunks(images: Pixels, indices: Sequence[int], channels: int) -> Iterator[Pixels]:
    for part in folder.image_slices(len(indices), images[0].size):
        chunk = images[indices[part]]
        if channels == 3:
            yield np.broadcast_to(chunk, (len(chunk), 3, *chunk.shape[2:]))
        else:
            yield folder.to_grey(chunk) if chunk.shape[1] == 3 else chunk
        release_pages(images)


def _notes(recipe: DataRecipe, found: _Found, files: int) -> Iterator[str]:
    source, size = Path(recipe.path or "."), found.size
    if found.skipped:
        number = found.skipped.total()
        yield f"{number} of {files} files were skipped: {_reasons(found.skipped)}"
    if found.tiles:
        photographs = len(set(found.names))
        yield f"{len(found.names):,} tiles of {recipe.tile or recipe.side} pixels from {photographs:,} images"
    if is_array_file(source):
        yield from open_images(source).notes(size)
    elif recipe.size is None and not found.tiles and found.any_resized:
        yield f"images of other sizes are resized to {size}x{size}; size in a data recipe sets another size"
    if recipe.size is None and not found.any_resized and size != recipe.side:
        yield f"all images are {size}x{size}, which is kept; size in a data recipe sets another size"
    yield from found.survey.notes


def _reasons(skipped: Counter[str]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in skipped.most_common())
