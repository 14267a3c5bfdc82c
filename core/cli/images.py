"""Images on stdout, in the best rendering that the terminal supports."""

import os
import sys

import numpy as np
from numpy.typing import NDArray

from core.cli.output import PIPE_WIDTH, emit_colored, is_terminal, stdout_width
from core.files.environment import claims_truecolor
from core.imaging import ColorMode, side_by_side, to_ansi


def color_mode() -> ColorMode:
    """Return the colours that stdout supports; ``ascii`` letters with NO_COLOR, in a pipe or without UTF-8."""
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "").replace("_", "")
    if os.environ.get("NO_COLOR") or not is_terminal(sys.stdout) or not encoding.startswith("utf"):
        return "ascii"
    if claims_truecolor(os.environ):
        return "truecolor"
    return "256" if "256color" in os.environ.get("TERM", "") else "16"


def emit_images(tiles: NDArray[np.uint8]) -> None:
    """Write images to stdout as half-blocks, as many per line as fit the terminal's width.

    Args:
        tiles: uint8 [N, H, W] or [N, H, W, 3].
    """
    columns = max(1, ((stdout_width() or PIPE_WIDTH) + 1) // (tiles.shape[2] + 1))
    for first in range(0, len(tiles), columns):
        emit_colored(to_ansi(side_by_side(list(tiles[first : first + columns])), color=color_mode()))
