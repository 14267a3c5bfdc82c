"""Why a figure is left out."""


class CannotDrawError(Exception):
    """The runs lack what a figure shows; the message says what, in a few words. The other figures go on."""
