"""Sets of torchvision by name: exported once to a `.npz` file beside their own files, by a subprocess.

Torchvision imports torch, which this process must not; after the export it is needed no more.
"""

import importlib
import importlib.util
import inspect
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from core.errors import UserError
from core.files.sanitize import sanitize

PREFIX: Final = "torchvision:"
_SUFFIX: Final = ".torchvision.npz"
_CODE: Final = "import sys; from core.data.torchvision_set import export; sys.exit(export(*sys.argv[1:]))"
_INSTALL: Final = "{}: torchvision is not installed; run {}"


def export_path(name: str, data_dir: Path) -> Path:
    """Return the file that a set is exported to, which need not exist.

    Args:
        name: `torchvision:MNIST`, with the files of torchvision in the folder `torchvision` of the data folder, or
            `torchvision:FOLDER/MNIST`, with them in another.
        data_dir: the data folder.

    Raises:
        UserError: it has no name.
    """
    root, _, kind = name.removeprefix(PREFIX).rpartition("/")
    if not kind.isidentifier():
        raise UserError(f"data set {name!r}: expected a data set of torchvision, such as {PREFIX}MNIST")
    folder = Path(root).expanduser() if root else data_dir / "torchvision"
    return folder.absolute() / f"{kind}{_SUFFIX}"


def export_if_missing(path: Path) -> None:
    """Export a set if a path is that of `export_path` and does not exist; any other path is left alone.

    Raises:
        UserError: torchvision is not installed or has no such set, its files are not on disk, or the export cannot be
            written.
    """
    if not path.name.endswith(_SUFFIX) or path.is_file():
        return
    name = path.name.removesuffix(_SUFFIX)
    if importlib.util.find_spec("torchvision") is None:
        raise UserError(
            _INSTALL.format(f"{PREFIX}{name}", sanitize(f"{sys.executable} -m pip install torchvision"))
        )
    done = subprocess.run(
        [sys.executable, "-P", "-c", _CODE, name, str(path.parent), str(path)],
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["ended without a word"]
        raise UserError(f"{PREFIX}{name}: {sanitize(lines[-1])}")


def export(name: str, root: str, out: str) -> str | None:
    """Read the training part of a set with torchvision, and write its images, labels and names of classes.

    Args:
        name: of a class of `torchvision.datasets`.
        root: folder of its files.
        out: the `.npz` file.

    Returns:
        None, or why it cannot be exported, in a line.
    """
    try:
        make = getattr(importlib.import_module("torchvision.datasets"), name, None)
    except ImportError as error:
        return f"torchvision cannot be imported ({error})"
    if not inspect.isclass(make):
        return f"torchvision.datasets has no {name}"
    try:
        images = _open(make, root)
        pairs = [images[index] for index in range(len(images))]
    except (RuntimeError, OSError, ValueError, TypeError) as error:
        words = " ".join(str(error).split())
        return (
            f"its files are not in {root} ({words}); expected them as torchvision.datasets.{name}({root!r}, "
            "download=True) writes them"
        )
    arrays = [np.asarray(image) for image, _ in pairs]
    if len({array.shape for array in arrays}) != 1:
        return "its images have different sizes; give the folder of its image files"
    stored: dict[str, Any] = {"images": np.stack(arrays)}
    if all(isinstance(label, int) for _, label in pairs):
        stored["labels"] = np.array([label for _, label in pairs], np.int64)
        stored["classes"] = np.array([str(one) for one in getattr(images, "classes", ())], np.str_)
    scratch = Path(f"{out}.{secrets.token_hex(4)}.tmp")
    try:
        with scratch.open("wb") as file:
            np.savez(file, **stored)
        os.replace(scratch, out)
    except OSError as error:
        return f"{out}: cannot be written ({error.strerror or error})"
    finally:
        scratch.unlink(missing_ok=True)
    return None


def _open(make: Callable[..., Any], root: str) -> Any:
    """Open the training part; classes of torchvision call it `train=True` or `split="train"`."""
    known = inspect.signature(make).parameters
    options: dict[str, Any] = {"download": False} if "download" in known else {}
    if "train" in known:
        options["train"] = True
    elif "split" in known:
        options["split"] = "train"
    return make(root, **options)
