"""`core figures`: the thesis's figures, and more, drawn from run folders."""

from pathlib import Path

import click

from core.cli.options import GivenPath, all_option, image_option, json_option, runs_argument, runs_option
from core.cli.output import emit, emit_json, make_out_folder, note, note_library_messages, writing_out
from core.cli.run_selection import select_runs
from core.files.sanitize import sanitize
from core.runs import RunStore

FORMATS = ("png", "svg", "pdf")


@click.command("figures")
@runs_argument
@runs_option
@all_option
@click.option(
    "--out",
    type=GivenPath(file_okay=False, path_type=Path),
    default=Path("figures"),
    show_default=True,
    metavar="DIR",
    help="Output folder; made if missing.",
)
@click.option("--format", "kind", type=click.Choice(FORMATS), default="png", show_default=True)
@image_option
@json_option
def command(
    selectors: tuple[str, ...],
    root: Path,
    everything: bool,
    out: Path,
    kind: str,
    image: Path | None,
    as_json: bool,
) -> None:
    """Draw the thesis's figures, and more, from any runs.

    RUN is an id, an unambiguous prefix of one, the path of a run's folder, latest, the name of a group, or a
    folder of runs. Without one, the newest group is drawn. Runs that differ only in their seed
    are pooled. The names of the files go to stdout; figures that cannot be drawn, and the reasons, go to
    stderr.
    """
    infos = select_runs(RunStore(root), selectors, everything=everything)
    make_out_folder(out)
    note_library_messages()
    from core.figures import (  # matplotlib takes a second to import
        DrawnFigure,
        MissingFigure,
        draw_all,
        load_figure_data,
        save,
    )

    data = load_figure_data(infos)
    for problem in data.problems:
        note(problem)
    written: list[dict[str, str]] = []
    missing: list[MissingFigure] = []
    for figure in draw_all(data, image):
        if isinstance(figure, DrawnFigure):
            path = out / f"{figure.key}.{kind}"
            with writing_out(path):
                save(figure.figure, path, title=figure.title, caption=figure.caption)
            written.append(
                {
                    "figure": figure.key,
                    "title": figure.title,
                    "caption": figure.caption,
                    "path": str(path),
                }
            )
            if not as_json:
                emit(str(path))
        else:
            missing.append(figure)
    for reason in dict.fromkeys(one.reason for one in missing):
        keys = ", ".join(one.key for one in missing if one.reason == reason)
        note(f"left out: {keys} ({sanitize(reason)})")
    if as_json:
        emit_json(
            {
                "runs": [info.directory.id for info in infos],
                "figures": written,
                "missing": [{"figure": one.key, "title": one.title, "reason": one.reason} for one in missing],
            }
        )
