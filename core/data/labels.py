"""Labels of a source of images: classes by sub-folder, or by the numbers in a file beside a file of many images.

Labels are optional. A source without them, or with unusable ones, is a set of images all the same; the error is
only for those who ask for labels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.data.array_file import open_images, read_idx
from core.data.recipe import DataRecipe, is_array_file, is_table_file
from core.data.table_file import read_classes
from core.errors import UserError
from core.files.untrusted import NPZ_ERRORS, read_npy

NO_TRIANGLE_LABELS: Final = "{}: triangles without labels; take the data set kinds, which has them"
MIN_CLASSES: Final = 2
MAX_CLASSES: Final = 1000
_MAX_LABELS: Final = 10_000_000
_EXPECTED: Final = (
    "expected images in 2 to 1,000 sub-folders, one a class; or whole numbers, one an image: "
    "in a .npz file, in NAME_labels.npy beside NAME.npy, or in ...-labels-idx1-ubyte beside ...-images-idx3-ubyte"
)


@dataclass(frozen=True, eq=False)
class Labels:
    """Classes of images.

    Attributes:
        classes: names in order of index.
        indices: int64 [N], the class of each image.
    """

    classes: tuple[str, ...]
    indices: NDArray[np.int64]


def read_labels(source: Path, names: Sequence[str]) -> Labels:
    """Read the classes of images of a source.

    Args:
        source: a folder of images or a file of many.
        names: names of its images, as `core.data.folder.list_folder` lists them.

    Returns:
        the classes; each has at least one of the images in a folder, or one of the file's.

    Raises:
        UserError: the source has no labels, or they do not fit its images.
    """
    if is_table_file(source):
        return _of_table(source, names)
    if not is_array_file(source):
        return _by_folder(source, names)
    path = label_file(source)
    if path is None:
        raise UserError(f"{source}: it has no labels; {_EXPECTED}")
    count = len(open_images(source))
    values, classes = _read_values(path, count)
    if len(values) != count:
        raise UserError(f"{path}: {len(values):,} labels for {count:,} images; expected one for each")
    return _numbered(path, values, classes, names)


def labels_if_any(source: Path, names: Sequence[str]) -> Labels | None:
    """Read the classes as `read_labels` does; None where it raises."""
    try:
        return read_labels(source, names)
    except UserError:
        return None


def label_notes(
    source: Path, names: Sequence[str], labels: Labels | None, train: Sequence[int]
) -> Iterator[str]:
    """Yield notes for the user: why a file of labels is left out, and classes without a training image.

    Args:
        source: as for `read_labels`.
        names: as for `read_labels`.
        labels: as `labels_if_any` returned them.
        train: indices of the training images.
    """
    if labels is not None:
        present = set(labels.indices[list(train)].tolist())
        missing = [name for index, name in enumerate(labels.classes) if index not in present]
        if missing:
            yield f"{len(missing)} of {len(labels.classes)} classes have no training image, such as {missing[0]}"
    elif is_array_file(source) and label_file(source) not in (None, source):
        try:
            read_labels(source, names)
        except UserError as error:
            yield f"labels are left out: {error}"


def check_labels(recipe: DataRecipe) -> None:
    """Refuse a data set that has no labels, without reading its images; folders are checked whole when they are made.

    Raises:
        UserError: it has none, or those of a file do not fit its images.
    """
    source = Path(recipe.path or ".")
    if recipe.kind == "triangles":
        if recipe.labels is None:
            raise UserError(NO_TRIANGLE_LABELS.format(recipe.name))
    elif is_array_file(source):
        read_labels(source, [])
    elif source.is_dir():
        folders = [entry for entry in source.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
        if len(folders) < MIN_CLASSES:
            raise UserError(f"{source}: it has no labels; {_EXPECTED}")


def label_file(source: Path) -> Path | None:
    """Return the file that holds the labels of a file of many images, which may be itself; None if there is none."""
    return next((path for path in _label_files(source) if path.is_file()), None)


def label_stamp(source: Path) -> str:
    """Return size and modification time of the file of labels beside a file of images; empty without one.

    A fingerprint of images does not include the labels, so that a set can be used without them.
    """
    path = label_file(source) if is_array_file(source) else None
    if path is None or path == source:
        return ""
    status = path.stat()
    return f"{status.st_size}:{status.st_mtime_ns}"


def _of_table(source: Path, names: Sequence[str]) -> Labels:
    found = read_classes(source)
    if found is None:
        raise UserError(
            f"{source}: it has no labels; expected a column label with a whole number in each row"
        )
    return _numbered(source, *found, names)


def _numbered(path: Path, values: NDArray[Any], classes: Sequence[str], names: Sequence[str]) -> Labels:
    """Return the labels of images by their numbers; values that `classes` does not name are their own names."""
    if not classes or not 0 <= values.min() <= values.max() < len(classes):
        present, values = np.unique(values, return_inverse=True)
        classes = [str(value) for value in present.tolist()]
    numbers = np.array([int(name) for name in names], np.int64)
    return Labels(_checked(path, classes), values.astype(np.int64)[numbers])


def _by_folder(source: Path, names: Sequence[str]) -> Labels:
    folders = [parts[0] if len(parts := PurePosixPath(name).parts) > 1 else "" for name in names]
    if "" in folders:
        loose = names[folders.index("")]
        raise UserError(f"{source}: it has no labels, because {loose} is in no sub-folder; {_EXPECTED}")
    found, indices = np.unique(np.array(folders), return_inverse=True)
    return Labels(_checked(source, found.tolist()), indices.astype(np.int64))


def _checked(path: Path, classes: Sequence[str]) -> tuple[str, ...]:
    if not MIN_CLASSES <= len(classes) <= MAX_CLASSES:
        number = f"{len(classes):,} class{'es' * (len(classes) != 1)}"
        raise UserError(f"{path}: {number}; expected {MIN_CLASSES} to {MAX_CLASSES:,} of them")
    printable = (name.encode(errors="surrogateescape").decode(errors="replace") for name in classes)
    return tuple(printable)


def _label_files(source: Path) -> Iterator[Path]:
    """Yield where the labels of a file of images may be, the likeliest first."""
    name = source.name
    lower = name.lower()
    if lower.endswith(".npz"):
        yield source
    elif lower.endswith(".npy"):
        for mark in ("_labels", "-labels"):
            yield source.with_name(f"{name[:-4]}{mark}.npy")
    elif "images" in lower:
        start = lower.rindex("images")
        for dimensions in ("idx3", "idx4"):
            other = name[:start] + "labels" + name[start + len("images") :].replace(dimensions, "idx1")
            if other != name[:start] + "labels" + name[start + len("images") :]:
                plain = other.removesuffix(".gz")
                yield from (source.with_name(each) for each in (other, plain, f"{plain}.gz"))


def _read_values(path: Path, images: int) -> tuple[NDArray[Any], list[str]]:
    """Read whole numbers [N] of a file of labels for so many images, and the names of classes that it gives."""
    classes: list[str] = []
    try:
        if path.suffix.lower() == ".npy":
            values = np.array(read_npy(path))
        elif path.suffix.lower() == ".npz":
            values, classes = _read_npz(path, images)
        else:
            values = read_idx(path, (1,), "not an IDX file of labels", _MAX_LABELS)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if values.ndim != 1 or values.dtype.kind not in "iu":
        shape = "x".join(map(str, values.shape))
        raise UserError(f"{path}: {values.dtype} of {shape}; expected labels as whole numbers, one an image")
    return values, classes


def _read_npz(path: Path, images: int) -> tuple[NDArray[Any], list[str]]:
    """Read the only array of whole numbers that is as long as the images, and the names in `classes`, if any."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            flat = {name: values for name in arrays.files if (values := arrays[name]).ndim == 1}
    except NPZ_ERRORS as error:
        raise UserError(f"not a .npz file of numbers ({' '.join(str(error).split())})") from error
    found = [values for values in flat.values() if values.dtype.kind in "iu" and len(values) == images]
    if len(found) != 1:
        raise UserError(f"{len(found)} arrays of labels; {_EXPECTED}")
    names = flat.get("classes", np.empty(0))
    return found[0], [str(name) for name in names] if names.dtype.kind == "U" else []
