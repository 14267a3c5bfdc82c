"""Options that several commands share."""

from pathlib import Path

import click

runs_option = click.option(
    "--runs",
    "root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    metavar="DIR",
    help="The folder of the runs.",
)
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="DEVICE",
    help="auto (all GPUs, else Apple's, else the CPU), cpu, cuda, cuda:N or mps.",
)
slots_option = click.option(
    "--slots",
    type=click.IntRange(1),
    metavar="N",
    help="Runs at once; decided by cores and GPUs unless given.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Write JSON, with the keys of docs/cli.md."
)
