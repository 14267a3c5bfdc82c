"""Command line of the benchmarks, ``python -m bench NAME``: see docs/speed.md."""

import importlib
import sys
from typing import Final

import click

from core.errors import UserError

BENCHMARKS: Final = {
    "throughput": "Images per second in training, our loop against other libraries.",
    "quality": "Sample quality after a given time of training, ours against other libraries.",
    "sampling": "Sample quality of a trained run against the number of network calls.",
    "concurrency": "Five runs at once against five in turn.",
    "scaling": "Cost of batch, image size, width and T, with exponents.",
    "limit": "Training speed against the limits of the device, and a profile of the rest.",
    "gpu": "Check a GPU in under 8 minutes: correctness against float64 on the CPU, and training speed.",
    "dashboard": "Latency and cost of the dashboard, against their targets.",
    "all": "All benchmarks but gpu and quality, one after another; sampling if there is a finished run.",
}

MODULE_NAMES: Final = {"limit": "roofline"}
"""Modules of `bench.cases` that differ in name from their benchmark."""


class Benchmarks(click.Group):
    """Lists the benchmarks by name, and imports one only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in their order."""
        return list(BENCHMARKS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the benchmark of a name."""
        if cmd_name not in BENCHMARKS:
            return None
        module = importlib.import_module(f"bench.cases.{MODULE_NAMES.get(cmd_name, cmd_name)}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of benchmarks without importing any."""
        with formatter.section("Benchmarks"):
            formatter.write_dl(list(BENCHMARKS.items()))


@click.command(cls=Benchmarks, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure speed and quality on this machine. Each result is printed and saved in bench/results/."""


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
