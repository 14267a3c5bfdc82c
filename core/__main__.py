"""Entry point of `core` and `python -m core`, the headless command line."""

import sys

from core.cli.main import run


def main() -> None:
    """Run the command line with this process's arguments, and exit with its code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
