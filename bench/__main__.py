"""Entry point of the benchmarks, ``python -m bench NAME``: see docs/speed.md."""

import sys

from core.errors import UserError


def main() -> None:
    """Run the command line with this process's arguments; ``gpu`` needs no click, which a machine may lack."""
    if sys.argv[1:2] == ["gpu"]:
        from bench.cases.gpu import main as check_gpu

        sys.exit(check_gpu(sys.argv[2:]))
    from bench.cases.menu import main as menu

    menu()


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
