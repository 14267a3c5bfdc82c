"""Themes: dark, light, one for every kind of colour vision, and one without colour."""

from dataclasses import replace
from typing import Final

from textual.theme import Theme

from tui.settings.schema import THEME_NAMES, ThemeName
from tui.settings.series_colors import ON_DARK, ON_LIGHT, series_variables

PREFIX: Final = "ddpm-"


def _muted_variables(muted: str, disabled: str, bar: str, background: str) -> dict[str, str]:
    """Theme variables of what should not attract attention: small print and scroll bars.

    Textual's own muted text is a share of the foreground, which needs a background to be mixed with.
    """
    return {
        "text-muted": muted,
        "text-disabled": disabled,
        "scrollbar": bar,
        "scrollbar-hover": muted,
        "scrollbar-active": muted,
        "scrollbar-background": background,
        "scrollbar-background-hover": background,
        "scrollbar-background-active": background,
        "scrollbar-corner-color": background,
    }


DARK: Final = Theme(
    name="ddpm-dark",
    primary="#56B4E9",
    secondary="#8FA7BF",
    accent="#E69F00",
    warning="#E8B339",
    error="#F0764A",
    success="#2BC295",
    foreground="#D5DCE4",
    background="#0E1116",
    surface="#151A21",
    panel="#222A34",
    dark=True,
    variables={**series_variables(ON_DARK), **_muted_variables("#8792A0", "#59636F", "#364250", "#0E1116")},
)

LIGHT: Final = Theme(
    name="ddpm-light",
    primary="#0068A8",
    secondary="#55677A",
    accent="#A85800",
    warning="#8A6100",
    error="#B8380A",
    success="#007A59",
    foreground="#1E252D",
    background="#FBFAF6",
    surface="#F3F1EA",
    panel="#E2DFD4",
    dark=False,
    variables={**series_variables(ON_LIGHT), **_muted_variables("#6A7178", "#85887F", "#C4C1B4", "#FBFAF6")},
)

COLOR_BLIND: Final = Theme(
    name="ddpm-colour-blind",
    primary="#56B4E9",
    secondary="#9AA5B1",
    accent="#F0E442",
    warning="#F0E442",
    error="#FF9A3C",
    success="#4C9BE0",
    foreground="#F2F4F7",
    background="#0B0D10",
    surface="#14181D",
    panel="#27303A",
    dark=True,
    variables={
        **_muted_variables("#9AA5B1", "#66717D", "#3A4652", "#0B0D10"),
        **series_variables(("#56B4E9", "#E69F00", "#F0E442", "#CC79A7", "#F2F4F7", "#D55E00", "#19B98A")),
    },
)
"""No meaning depends on telling red from green: success is blue, errors are orange."""

MONOCHROME: Final = Theme(
    name="ddpm-monochrome",
    primary="#FFFFFF",
    secondary="#B0B0B0",
    accent="#FFFFFF",
    warning="#E0E0E0",
    error="#FFFFFF",
    success="#D0D0D0",
    foreground="#D8D8D8",
    background="#0C0C0C",
    surface="#161616",
    panel="#2A2A2A",
    dark=True,
    variables={
        **_muted_variables("#929292", "#626262", "#444444", "#0C0C0C"),
        **series_variables(("#FFFFFF", "#A0A0A0", "#D0D0D0", "#808080", "#E8E8E8", "#909090", "#BCBCBC")),
    },
)

THEMES: Final = (DARK, LIGHT, COLOR_BLIND, MONOCHROME)
"""All themes, in the order in which the key `t` switches to them."""

_BLACK, _RED, _BLUE, _MAGENTA = "#000000", "#AA0000", "#0000AA", "#AA00AA"
_GREY, _SILVER, _BRIGHT_RED, _BRIGHT_BLUE = "#555555", "#AAAAAA", "#FF5555", "#5555FF"
"""Colours of a terminal with sixteen; yellow, green and cyan are not legible on white."""


def for_sixteen_colors(theme: Theme) -> Theme:
    """A theme for terminals with sixteen colours, where text keeps its contrast.

    The nearest of these colours to a brown or an ochre is yellow, which is not legible on white, and nearest to the
    background of a selected row is a grey of the same brightness as some text. Its row is then bold only.
    """
    if theme.dark:
        return replace(theme, panel=_BLACK, variables={**theme.variables, "text-disabled": _SILVER})
    words = {"primary": _BLUE, "success": _BLUE, "accent": _MAGENTA, "warning": _MAGENTA, "error": _RED}
    return replace(
        theme,
        primary=words["primary"],
        secondary=_GREY,
        accent=words["accent"],
        warning=words["warning"],
        error=words["error"],
        success=words["success"],
        variables={
            **theme.variables,
            **series_variables((_BLUE, _RED, _GREY, _MAGENTA, _BLACK, _BRIGHT_RED, _BRIGHT_BLUE)),
            **{f"text-{name}": color for name, color in words.items()},
            "text-muted": _GREY,
            "text-disabled": _GREY,
        },
    )


def full_name(name: ThemeName) -> str:
    """Textual's name of one of these themes.

    >>> full_name("light")
    'ddpm-light'
    """
    return f"{PREFIX}{name}"


def short_name(full: str) -> ThemeName:
    """Name of a theme as the setting has it; the first theme's for any theme that is not in `THEMES`."""
    return next((name for name in THEME_NAMES if full == full_name(name)), THEME_NAMES[0])


def next_theme(full: str) -> ThemeName:
    """The theme that follows another in `THEMES`; the first one after any theme that is not there."""
    ours = [theme.name for theme in THEMES]
    return THEME_NAMES[(ours.index(full) + 1) % len(ours) if full in ours else 0]
