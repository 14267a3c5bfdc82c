"""`core compare`: runs side by side, and the differences that are more than noise."""

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from core.cli.options import all_option, json_option, runs_argument, runs_option
from core.cli.output import emit, emit_json_object, note, stdout_width
from core.cli.run_selection import select_runs
from core.errors import UserError
from core.runs import METRICS, RunStore

if TYPE_CHECKING:
    from core.comparison.compare import Comparison, ComparisonRow
    from core.comparison.grouping import Member
    from core.comparison.pairs import PairwiseDifference


@click.command("compare")
@runs_argument
@all_option
@runs_option
@click.option(
    "--by",
    metavar="NAME,...",
    help="Pool all runs that are equal in these: dataset, schedule, seed, or any setting such as model.preset.",
)
@click.option(
    "--sort",
    default="",
    metavar="METRIC",
    help="Sort, best first, by a metric's name in the JSON, loss or heldout.",
)
@click.option(
    "--sweep",
    "setting",
    metavar="KEY",
    help="Show a metric against a setting, pooled over seeds; auto takes the only setting that differs.",
)
@click.option("--metric", metavar="METRIC", help="With --sweep: the metric, by its name in the JSON.")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV, one line per column of the table.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Write Markdown tables.")
def command(
    selectors: tuple[str, ...],
    everything: bool,
    root: Path,
    by: str | None,
    sort: str,
    setting: str | None,
    metric: str | None,
    as_json: bool,
    as_csv: bool,
    as_markdown: bool,
) -> None:
    """Compare evaluated runs, and show which differences are more than noise.

    RUN is an id, an unambiguous prefix of one, the path of a run's folder, latest, the name of a group, or a
    folder of runs. Without one, the newest group is compared. With --by dataset,schedule
    runs that differ only in their seed are pooled, and intervals then cover the seeds too.
    """
    if as_json + as_csv + as_markdown > 1:
        raise UserError("give one of --json, --csv and --markdown")
    if setting is None and metric is not None:
        raise UserError("--metric needs --sweep KEY, for example --sweep train.learning_rate")
    if setting is not None and (by is not None or sort):
        raise UserError("--sweep pools over seeds by itself; give it without --by and --sort")
    names = [name.strip() for name in by.split(",")] if by is not None else []
    if by is not None and not all(names):
        raise UserError(f"--by {by}: expected names separated by commas, for example --by dataset,schedule")
    infos = select_runs(RunStore(root), selectors, everything=everything)
    from core.comparison.compare import compare
    from core.comparison.grouping import read_members

    members, problems = read_members(infos)
    if setting is not None:
        _emit_sweep(members, setting, metric or "", problems, (as_json, as_csv, as_markdown))
        return
    comparison = compare(members, by=names, sort=sort)
    notes = [*problems, *comparison.notes]
    if as_json:
        emit_json_object(_comparison_json(comparison, names, notes))
        return
    if as_csv:
        emit(_comparison_csv(comparison))
    else:
        from core.cli.compare_text import comparison_markdown, comparison_text

        if as_markdown:
            emit(comparison_markdown(comparison))
        else:
            curves = "utf" in (sys.stdout.encoding or "").lower()
            emit(comparison_text(comparison, width=stdout_width(), curves=curves))
    for text in notes:
        note(f"note: {text}")


def _emit_sweep(
    members: "Sequence[Member]",
    setting: str,
    metric: str,
    problems: list[str],
    formats: tuple[bool, bool, bool],
) -> None:
    """Write a sweep as JSON, CSV, Markdown or text."""
    from core.cli.sweep_text import sweep_csv, sweep_json, sweep_markdown, sweep_text
    from core.comparison.sweep import sweep

    found = sweep(members, setting, metric)
    notes = [*problems, *found.notes]
    as_json, as_csv, as_markdown = formats
    if as_json:
        emit_json_object(sweep_json(found, notes))
        return
    if as_csv:
        emit(sweep_csv(found))
    elif as_markdown:
        emit(sweep_markdown(found))
    else:
        curves = "utf" in (sys.stdout.encoding or "").lower()
        emit(sweep_text(found, width=stdout_width(), curves=curves))
    for text in notes:
        note(f"note: {text}")


def _comparison_json(comparison: "Comparison", by: Sequence[str], notes: Sequence[str]) -> dict[str, Any]:
    return {
        "by": list(by),
        "rows": [_row_json(row) for row in comparison.rows],
        "differences": {key: list(values) for key, values in comparison.differences.items()},
        "best": {
            dataset: {name: best for name in METRICS if (best := comparison.best(dataset, name))}
            for dataset in comparison.datasets
        },
        "pairs": map(_pair_json, comparison.pairs),
        "notes": list(notes),
    }


def _pair_json(pair: "PairwiseDifference") -> dict[str, Any]:
    return {
        "dataset": pair.dataset,
        "metric": pair.metric,
        "better": pair.better,
        "worse": pair.worse,
        **msgspec.structs.asdict(pair.difference),
        "p": pair.p,
        "p_adjusted": pair.adjusted,
        "clear": pair.is_significant,
    }


def _row_json(row: "ComparisonRow") -> dict[str, Any]:
    terminal = row.terminal
    return {
        "label": row.label,
        "dataset": row.dataset,
        "schedule": row.schedule,
        "seeds": list(row.seeds),
        "runs": [member.info.directory.id for member in row.members],
        "judged": len(row.evaluations),
        "epochs": [len(member.epochs) for member in row.members],
        "terminal_alpha_bar": terminal.alpha_bar if terminal else None,
        "terminal_snr": terminal.snr if terminal else None,
        "prior_bits_per_dim": terminal.prior_bits if terminal else None,
        "metrics": {name: score.estimate for name, score in row.scores.items()},
    }


def _comparison_csv(comparison: "Comparison") -> str:
    """Write one line per row: its description, then each measured metric followed by its two bounds."""
    names = [
        name for name in ("loss", "heldout", *METRICS) if any(name in row.scores for row in comparison.rows)
    ]
    headers = ["label", "dataset", "schedule", "seeds", "runs", "judged"]
    headers += ["terminal_alpha_bar", "terminal_snr", "prior_bits_per_dim"]
    headers += [name + ending for name in names for ending in ("", "_low", "_high")]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(headers)
    for row in comparison.rows:
        line: list[object] = [row.label, row.dataset, row.schedule, " ".join(map(str, row.seeds))]
        line += [" ".join(member.info.id for member in row.members), len(row.evaluations)]
        line += (
            [row.terminal.alpha_bar, row.terminal.snr, row.terminal.prior_bits] if row.terminal else [""] * 3
        )
        for name in names:
            score = row.scores.get(name)
            line += msgspec.structs.astuple(score.estimate) if score else ("", "", "")
        writer.writerow(["" if cell is None else cell for cell in line])
    return out.getvalue().rstrip("\n")
