"""Entry point of `core` and `python -m core`, the headless command line."""

import sys

from core.cli.main import run
from core.files.environment import open_closed_streams


def main() -> None:
    """Run the command line with this process's arguments, and exit with its code."""
    open_closed_streams()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
