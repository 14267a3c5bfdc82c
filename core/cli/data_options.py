"""Options that change a data recipe, for commands that make or show sets."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_SIDE: Final = click.IntRange(1, 4096)
_SHARE: Final = click.FloatRange(0, 1, min_open=True, max_open=True)


def recipe_options(command: Command) -> Command:
    """Add the options to a command; those that are not given are None. Their names are those of a recipe's keys."""
    for option in reversed(
        (
            click.option("--size", type=_SIDE, metavar="N", help="Pixels per side of the images."),
            click.option(
                "--fit",
                type=click.Choice(["crop", "pad", "squash", "tiles"]),
                help="Make squares by cropping, padding, squashing, or cutting tiles.",
            ),
            click.option(
                "--tile", type=_SIDE, metavar="N", help="Pixels per side of a tile in a photograph."
            ),
            click.option(
                "--background", metavar="COLOUR", help="Behind transparent images: black, white, #rrggbb."
            ),
            click.option("--channels", type=click.Choice(["grey", "colour"])),
            click.option(
                "--heldout-share", type=_SHARE, metavar="X", help="Share that is held out, such as 0.1."
            ),
            click.option("--heldout-by", type=click.Choice(["image", "folder"])),
        )
    ):
        command = option(command)
    return command
