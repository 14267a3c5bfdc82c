"""Command line of the benchmarks: a group that imports one of them only when it is called."""

import importlib
import sys
from typing import Final

import click

BENCHMARKS: Final = {
    "throughput": "Images per second in training, our loop against other libraries.",
    "quality": "Sample quality after a given time of training, ours against other libraries.",
    "sampling": "Sample quality of a trained run against the number of network calls.",
    "concurrency": "Five runs at once against five in turn.",
    "scaling": "Cost of batch, image size, width and T, with exponents.",
    "limit": "Training speed against the limits of the device, and a profile of the rest.",
    "gpu": "Check a GPU in at most 8 minutes: correctness against float64 on the CPU, and training speed.",
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
        if cmd_name == "gpu":
            return gpu
        module = importlib.import_module(f"bench.cases.{MODULE_NAMES.get(cmd_name, cmd_name)}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of benchmarks without importing any."""
        with formatter.section("Benchmarks"):
            formatter.write_dl(list(BENCHMARKS.items()))


@click.command("gpu", add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def gpu(arguments: tuple[str, ...]) -> None:
    """Run the one benchmark that has no click command, because it also runs without click."""
    from bench.cases.gpu import main as check_gpu

    sys.exit(check_gpu(arguments))


@click.command(cls=Benchmarks, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure speed and quality on this machine. Each result is printed and saved in bench/results/."""
