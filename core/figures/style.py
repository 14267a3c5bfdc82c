"""The style of all figures: sizes in inches, fonts, and a fixed colour, line and marker for each schedule.

Colours are those of Okabe and Ito, which are distinguishable for every kind of colour vision, in the dashboard's order
of hues. Black replaces its yellow, which cannot be read on paper. Dashes and markers distinguish schedules too, so that
figures can be printed in grey.
"""

import contextlib
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, Literal, NamedTuple

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

import core
from core.files.atomic import atomic_path
from core.files.sanitize import sanitize

Format = Literal["png", "svg", "pdf"]

PAGE_WIDTH: Final = 6.7
"""Inches: A4 with margins of 2 cm."""
DPI: Final = 240
INK: Final = "#222222"
FAINT: Final = "#8C8C8C"
HAIRLINE: Final = "#DDDDDD"
MAX_TEXT_LENGTH: Final = 80

_FONT: Final = "DejaVu Sans"
_RC: Final[dict[Any, Any]] = {
    "font.family": _FONT,
    "font.size": 8.0,
    "mathtext.fontset": "dejavusans",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": HAIRLINE,
    "grid.linewidth": 0.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.0,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "legend.handlelength": 2.8,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    # Glyphs as outlines look the same everywhere. Ids come from this salt, not from a random one.
    "svg.fonttype": "path",
    "svg.hashsalt": "ddpm-tui",
    "pdf.fonttype": 42,
}
_POWER: Final = re.compile(r"(?<!\w)x\^(\d+(?:\.\d+)?)(?![\w.^])")


class SeriesStyle(NamedTuple):
    """Colour, marker and dashes (lengths on and off; none for a solid line) of a series.

    `hollow` markers distinguish variants of one schedule.
    """

    color: str
    marker: str
    dashes: tuple[float, ...]
    hollow: bool = False

    @property
    def line_kwargs(self) -> dict[str, Any]:
        """Keyword arguments for a line without markers."""
        return {"color": self.color, "linestyle": (0, self.dashes) if self.dashes else "-"}

    @property
    def marker_kwargs(self) -> dict[str, Any]:
        """Keyword arguments for markers without a line."""
        return {
            "color": self.color,
            "marker": self.marker,
            "linestyle": "none",
            "markerfacecolor": "white" if self.hollow else self.color,
            "markeredgecolor": self.color,
        }

    @property
    def line_and_marker_kwargs(self) -> dict[str, Any]:
        """Keyword arguments for a line with markers."""
        return {**self.marker_kwargs, **self.line_kwargs}


_DASHES: Final[tuple[tuple[float, ...], ...]] = (
    (),
    (5.0, 1.6),
    (6.0, 1.4, 1.2, 1.4),
    (1.3, 1.3),
    (9.0, 1.6),
)
_STYLES: Final = {
    "linear": SeriesStyle("#0072B2", "o", _DASHES[0]),
    "sine": SeriesStyle("#D27D00", "s", _DASHES[1]),
    "x^1.5": SeriesStyle("#009E73", "^", _DASHES[2]),
    "x^2": SeriesStyle("#CC79A7", "D", _DASHES[3]),
    "x^10": SeriesStyle("#1A1A1A", "X", _DASHES[4]),
    "cosine": SeriesStyle("#56B4E9", "v", _DASHES[1]),
    "sigmoid": SeriesStyle("#D55E00", "P", _DASHES[2]),
    "flow": SeriesStyle("#8C6D00", "<", _DASHES[3]),
    "edm": SeriesStyle("#5E3C99", ">", _DASHES[4]),
}
_OTHER: Final = SeriesStyle("#7F7F7F", "h", _DASHES[3])


def schedule_style(schedule: str, variant: int = 0) -> SeriesStyle:
    """Return the style of a schedule, which is the same in every figure.

    Args:
        schedule: its name; all but the built-in ones are grey.
        variant: index among the series of this schedule that differ in another setting.
    """
    style = _STYLES.get(schedule, _OTHER)
    if not variant:
        return style
    dashes = _DASHES[(_DASHES.index(style.dashes) + 2 * variant) % len(_DASHES)]
    return style._replace(dashes=dashes, hollow=bool(variant % 2))


@contextlib.contextmanager
def house_style() -> Iterator[None]:
    """Set matplotlib's parameters for these figures, independent of the user's matplotlibrc; restored at the end."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def printable_line(text: str) -> str:
    """Make untrusted text drawable: one line of at most `MAX_TEXT_LENGTH`, only characters of the font."""
    shown = _printable(text)
    return shown if len(shown) <= MAX_TEXT_LENGTH else shown[: MAX_TEXT_LENGTH - 1] + "…"


def typeset(text: str) -> str:
    r"""Format text as matplotlib's markup, after `printable_line`: powers are raised, all else is literal.

    >>> typeset("x^1.5"), typeset("$x")
    ('$x^{1.5}$', '\\$x')
    """
    # matplotlib reads \$ as a literal dollar in text with and without mathematics.
    return _POWER.sub(r"$x^{\1}$", printable_line(text).replace("$", r"\$"))


def save(figure: Figure, path: Path, *, title: str, caption: str = "") -> None:
    """Write a figure in the format of the path's suffix, atomically replacing the file; see `write`.

    Raises:
        OSError: the file cannot be written.
    """
    kind = path.suffix.lower().lstrip(".")
    with atomic_path(path, fsync=False) as temporary, temporary.open("wb") as file:
        write(figure, file, kind, title=title, caption=caption)


def write(figure: Figure, file: IO[bytes], kind: str, *, title: str, caption: str = "") -> None:
    """Write a figure with title, caption and program versions as metadata.

    The same figure gives the same bytes each time, because no date is written.

    Args:
        figure: the figure.
        file: binary stream to write to.
        kind: ``png``, ``svg`` or ``pdf``.
        title: metadata of the file.
        caption: metadata of the file.
    """
    made_by = f"ddpm-tui {core.__version__}, matplotlib {matplotlib.__version__}"
    title, caption = _printable(title), _printable(caption)
    metadata: dict[str, dict[str, str | None]] = {
        "png": {"Title": title, "Description": caption, "Software": made_by},
        "svg": {"Title": title, "Description": caption, "Creator": made_by, "Date": None},
        "pdf": {"Title": title, "Subject": caption, "Creator": made_by, "CreationDate": None},
    }
    with house_style():
        figure.savefig(file, format=kind, metadata=metadata[kind])


@functools.cache
def _font_code_points() -> frozenset[int]:
    """Return the code points of the font of all figures."""
    return frozenset(FT2Font(font_manager.findfont(_FONT)).get_charmap())


def _printable(text: str) -> str:
    known = _font_code_points()
    return "".join(letter if ord(letter) in known else "?" for letter in sanitize(text))
