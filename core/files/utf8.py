"""Paths for libraries that take only UTF-8, such as safetensors."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def utf8_path(path: Path) -> Iterator[Path]:
    """Yield a path that leads to the same file and is valid UTF-8, as long as the block lasts.

    A folder on Linux may have any bytes as its name. It is opened, and reached under the number of its descriptor.

    Args:
        path: a file in an existing folder; its own name is valid UTF-8, and it need not exist.

    Raises:
        OSError: the folder does not exist.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield Path(f"/proc/self/fd/{handle}", path.name)
        finally:
            os.close(handle)
    else:
        yield path
