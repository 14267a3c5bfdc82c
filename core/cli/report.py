"""`core report`: one page of HTML about some runs."""

from pathlib import Path

import click

from core.cli.figures import everything_option, image_option, make_folder, selectors
from core.cli.options import json_option, runs_option
from core.cli.output import emit, emit_json, note
from core.cli.run_selection import select_runs
from core.errors import UserError
from core.runs import RunStore


@click.command("report")
@selectors
@runs_option
@everything_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("report"),
    show_default=True,
    metavar="DIR",
    help="Where index.html goes; made when missing.",
)
@image_option
@json_option
def command(
    selectors: tuple[str, ...],
    root: Path,
    everything: bool,
    out: Path,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Write one page of HTML with figures, tables and provenance of any runs.

    RUN is as for core figures; without one, the newest group is reported. The page needs no other file
    and no network. Its name goes to stdout.
    """
    infos = select_runs(RunStore(root), selectors, everything=everything)
    make_folder(out)
    from core.figures import draw_all, load_figure_data, write_report  # matplotlib takes a second to import

    data = load_figure_data(infos)
    for problem in data.problems:
        note(problem)
    try:
        path = write_report(out, data, draw_all(data, picture))
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror or error})") from error
    if as_json:
        emit_json({"runs": [info.id for info in infos], "path": str(path)})
    else:
        emit(str(path))
