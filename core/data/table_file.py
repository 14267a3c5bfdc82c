"""Parquet and Arrow files of images, as Hugging Face `datasets` writes them. They need pyarrow (the extra `hf`)."""

import functools
import importlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.data.decode import NotAnImageError
from core.errors import UserError
from core.files.sanitize import sanitize
from core.files.untrusted import open_regular

_IMAGE_NAMES: Final = ("image", "img", "png", "jpg")
_LABEL_NAMES: Final = ("label", "labels", "fine_label")
_BATCH: Final = 256
_METADATA: Final = b"huggingface"
_NO_BYTES: Final = "without bytes in the file"
_READ_ERRORS: Final = (OSError, ValueError, KeyError, TypeError, IndexError, NotImplementedError)
"""What the errors of pyarrow derive from; NotImplementedError is that of a column type or codec that it cannot read."""


@dataclass(frozen=True, eq=False)
class TableFile:
    """Images of one file, of which an image is the content of a file of its own.

    Attributes:
        path: the file.
        image: name of the column of images: bytes, or a struct with the field `bytes`.
        label: name of the column of classes; empty without one.
        classes: names of the classes in order of index; empty if the file does not name them.
        first_rows: the first row of each group of rows that is read together, and the number of all rows.
    """

    path: Path
    image: str
    label: str
    classes: tuple[str, ...]
    first_rows: tuple[int, ...]

    def __len__(self) -> int:
        return self.first_rows[-1]


def open_table(path: Path) -> TableFile:
    """Read the columns of a file and its number of rows, without its images.

    Raises:
        UserError: pyarrow is missing, or the file cannot be read or has no column of images.
    """
    try:
        status = path.stat()
        return _open(path, status.st_size, status.st_mtime_ns)
    except _READ_ERRORS as error:
        raise UserError(f"{path}: not a file of images that can be read ({_words(error)})") from error


def list_rows(path: Path) -> list[tuple[str, int, int]]:
    """List the images as `core.data.folder` lists files; names are the numbers of rows.

    Raises:
        UserError: as for `open_table`.
    """
    status = path.stat()
    return [(f"{number:08}", status.st_size, status.st_mtime_ns) for number in range(len(open_table(path)))]


def read_row(path: Path, name: str) -> bytes:
    """Return the content of an image.

    Raises:
        NotAnImageError: it is not in the file.
        UserError: as for `open_table`.
    """
    table, row = open_table(path), int(name)
    status = path.stat()
    group = int(np.searchsorted(table.first_rows, row, side="right")) - 1
    try:
        content = _read_group(path, status.st_size, status.st_mtime_ns, group)[row - table.first_rows[group]]
    except _READ_ERRORS as error:
        raise UserError(f"{path}: cannot be read ({_words(error)})") from error
    if content is None:
        raise NotAnImageError(_NO_BYTES)
    return content


def read_rows(path: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield images in the order of the file; the content of one that is not in the file is empty.

    Raises:
        UserError: as for `open_table`.
    """
    table, wanted = open_table(path), set(names)
    row = 0
    try:
        for batch in _batches(path, table.image):
            for content in _contents(batch):
                name = f"{row:08}"
                row += 1
                if name in wanted:
                    yield name, content or b""
    except _READ_ERRORS as error:
        raise UserError(f"{path}: cannot be read ({_words(error)})") from error


def read_classes(path: Path) -> tuple[NDArray[np.int64], tuple[str, ...]] | None:
    """Return the class of each row, int64 [N], and the names of the classes, empty if unnamed; None without classes.

    Raises:
        UserError: as for `open_table`.
    """
    table = open_table(path)
    if not table.label:
        return None
    try:
        parts = [
            np.asarray(batch.to_pylist(), np.float64)  # None is NaN
            for batch in _batches(path, table.label)
        ]
    except _READ_ERRORS as error:
        raise UserError(f"{path}: cannot be read ({_words(error)})") from error
    values = np.concatenate(parts)
    return None if not np.isfinite(values).all() else (values.astype(np.int64), table.classes)


def _pyarrow(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        install = sanitize(f"{sys.executable} -m pip install 'ddpm-tui[hf]'")
        raise UserError(f"parquet and arrow files need pyarrow; run {install}") from error


@functools.lru_cache(maxsize=4)
def _open(path: Path, size: int, modified: int) -> TableFile:
    open_regular(path).close()
    if path.suffix.lower() == ".parquet":
        file = _pyarrow("pyarrow.parquet").ParquetFile(path)
        schema = file.schema_arrow
        counts = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        file.close()
    else:
        table = _arrow_table(path)
        schema, counts = table.schema, [batch.num_rows for batch in table.to_batches()]
    if not sum(counts):
        raise UserError(f"{path}: it has no rows")
    features = _features(schema.metadata)
    label, classes = _label_column(schema, features)
    first_rows = np.concatenate([[0], np.cumsum(counts)])
    return TableFile(path, _image_column(path, schema), label, classes, tuple(map(int, first_rows)))


def _arrow_table(path: Path) -> Any:
    """Map the table of an Arrow file, which `datasets` writes as a stream, other programs also as a file."""
    pyarrow, ipc = _pyarrow("pyarrow"), _pyarrow("pyarrow.ipc")
    try:
        return ipc.open_stream(pyarrow.memory_map(str(path))).read_all()
    except pyarrow.ArrowInvalid:
        return ipc.open_file(pyarrow.memory_map(str(path))).read_all()


def _features(metadata: dict[bytes, bytes] | None) -> dict[str, Any]:
    try:
        features = json.loads((metadata or {})[_METADATA])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _image_column(path: Path, schema: Any) -> str:
    types = _pyarrow("pyarrow.types")

    def has_bytes(kind: Any) -> bool:
        if types.is_struct(kind):
            return kind.get_field_index("bytes") >= 0 and has_bytes(kind.field("bytes").type)
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    found = [field.name for field in schema if has_bytes(field.type)]
    named = [name for name in _IMAGE_NAMES if name in found]
    if not named and len(found) != 1:
        columns = sanitize(", ".join(schema.names))
        raise UserError(
            f"{path}: expected a column image with the bytes of image files; its columns: {columns}"
        )
    return (named or found)[0]


def _label_column(schema: Any, features: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    types = _pyarrow("pyarrow.types")
    whole = [field.name for field in schema if types.is_integer(field.type)]
    for name in whole:
        feature = features.get(name)
        if isinstance(feature, dict) and isinstance(names := feature.get("names"), list):
            return name, tuple(sanitize(str(one)) for one in names)
    return next((name for name in _LABEL_NAMES if name in whole), ""), ()


def _batches(path: Path, column: str, group: int | None = None) -> Iterator[Any]:
    """Yield the arrays of a column, of all groups of rows or of one."""
    if path.suffix.lower() != ".parquet":
        batches = _arrow_table(path).to_batches()
        for batch in batches if group is None else batches[group : group + 1]:
            yield batch.column(column)
        return
    groups = None if group is None else [group]
    with _pyarrow("pyarrow.parquet").ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH, row_groups=groups, columns=[column]):
            yield batch.column(column)


def _contents(array: Any) -> Iterator[bytes | None]:
    values = array.field("bytes") if _pyarrow("pyarrow.types").is_struct(array.type) else array
    for value in values:
        yield value.as_py()


@functools.lru_cache(maxsize=2)
def _read_group(path: Path, size: int, modified: int, group: int) -> list[bytes | None]:
    column = open_table(path).image
    return [content for batch in _batches(path, column, group) for content in _contents(batch)]


def _words(error: Exception) -> str:
    return sanitize(" ".join(str(error).split()))[:200] or type(error).__name__
