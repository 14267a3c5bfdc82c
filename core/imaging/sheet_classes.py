"""Classes of the images of a sheet, kept in its metadata, so that readers can name and order them."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

CLASSES_KEY: Final = "classes"
MAX_COLUMNS: Final = 16
"""Classes up to which each has a column of its own in a sheet."""


def cycled_classes(count: int, names: Sequence[str]) -> dict[str, str]:
    """Return metadata for a sheet whose image i is of class i mod K; none without classes.

    Args:
        count: number of images.
        names: names of the K classes.
    """
    return {CLASSES_KEY: json.dumps(list(names[:count]))} if names else {}


def class_columns(classes: int, otherwise: int) -> int:
    """Return the columns of a sheet: one a class if these are not too many, else `otherwise`."""
    return classes if 0 < classes <= MAX_COLUMNS else otherwise


def sheet_classes(meta: Mapping[str, str]) -> tuple[str, ...]:
    """Return the classes that the images of a sheet take in turn, from its metadata; empty without classes."""
    try:
        names = json.loads(meta.get(CLASSES_KEY, "[]"))
    except (ValueError, RecursionError):
        return ()
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names) if is_list else ()
