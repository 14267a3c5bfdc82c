"""`core report`: a one-page HTML report of runs."""

from pathlib import Path

import click

from core.cli.options import GivenPath, all_option, image_option, json_option, runs_argument, runs_option
from core.cli.output import emit, emit_json, make_out_folder, note, note_library_messages, writing_out
from core.cli.run_selection import select_runs
from core.runs import RunStore


@click.command("report")
@runs_argument
@runs_option
@all_option
@click.option(
    "--out",
    type=GivenPath(file_okay=False, path_type=Path),
    default=Path("report"),
    show_default=True,
    metavar="DIR",
    help="Folder of index.html; made if missing.",
)
@image_option
@json_option
def command(
    selectors: tuple[str, ...],
    root: Path,
    everything: bool,
    out: Path,
    image: Path | None,
    as_json: bool,
) -> None:
    """Write a one-page HTML report with figures, tables and provenance of any runs.

    RUN is as for core figures. Without one, the newest group is reported. The page needs no other file
    and no network. Its name is written to stdout.
    """
    infos = select_runs(RunStore(root), selectors, everything=everything)
    make_out_folder(out)
    note_library_messages()
    from core.figures import draw_all, load_figure_data, write_report  # matplotlib takes a second to import

    data = load_figure_data(infos)
    for problem in data.problems:
        note(problem)
    with writing_out(out):
        path = write_report(out, data, draw_all(data, image))
    if as_json:
        emit_json({"runs": [info.directory.id for info in infos], "path": str(path)})
    else:
        emit(str(path))
