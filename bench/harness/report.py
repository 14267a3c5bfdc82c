"""Report of a benchmark: a table on stdout, and JSON in bench/results."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.harness.environment import MAX_OTHER_LOAD, Machine
from bench.harness.interleaved import Spread, summarize
from core.files.atomic import atomic_write

RESULTS: Final = Path(__file__).parents[1] / "results"
RESULTS_VARIABLE: Final = "BENCH_RESULTS"
"""Environment variable with another folder of results, for benchmarks that another benchmark starts."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a result: the median of n measurements, and their quartiles."""

    name: str
    unit: str
    n: int
    median: float
    low: float
    high: float
    note: str = ""
    values: tuple[float, ...] = ()
    """The measurements, in the order of the rounds."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one benchmark."""

    benchmark: str
    command: str
    created: str
    machine: Machine
    others: float
    """Share of the cores that other programs took during the benchmark."""
    quiet: bool
    """True if that share was small enough for a valid measurement."""
    settings: dict[str, Any]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def make_row(name: str, unit: str, values: Sequence[float], note: str = "") -> Row:
    """A row from measurements."""
    return row_from_spread(name, unit, summarize(values), note, values)


def row_from_spread(name: str, unit: str, found: Spread, note: str = "", values: Sequence[float] = ()) -> Row:
    """A row from a median and its quartiles."""
    return Row(
        name=name,
        unit=unit,
        n=found.n,
        median=found.median,
        low=found.low,
        high=found.high,
        note=note,
        values=tuple(values),
    )


def format_table(rows: Sequence[Row]) -> list[str]:
    """Rows in columns: name, median, quartiles, unit, n, note."""
    cells = [("", "median", "quartiles", "", "n", "")]
    for one in rows:
        quartiles = f"{format_number(one.low)} to {format_number(one.high)}" if one.n > 1 else ""
        cells.append((one.name, format_number(one.median), quartiles, one.unit, str(one.n), one.note))
    widths = [max(len(line[column]) for line in cells) for column in range(6)]
    lines = []
    for name, median, quartiles, unit, n, note in cells:
        left, right = name.ljust(widths[0]), median.rjust(widths[1])
        middle = f"{quartiles.ljust(widths[2])}  {unit.ljust(widths[3])}  {n.rjust(widths[4])}"
        lines.append(f"{left}  {right}  {middle}  {note}".rstrip())
    return lines


def format_number(value: float) -> str:
    """Format a number with three significant digits, or as a whole number from 100 on.

    >>> format_number(1234.5), format_number(12.345), format_number(0.012345)
    ('1,234', '12.3', '0.0123')
    """
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def print_result(result: Result) -> None:
    """Print a result to stdout."""
    for line in result.machine.lines():
        print(line)
    print(", ".join(f"{key} {value}" for key, value in result.settings.items()))
    print()
    for line in format_table(result.rows):
        print(line)
    for note in result.notes:
        print(f"\n{note}")
    if not result.quiet:
        print(
            f"\nOther programs took {result.others:.0%} of the cores meanwhile (more than {MAX_OTHER_LOAD:.0%}): "
            "these numbers are no measurement."
        )


def report_result(
    benchmark: str,
    rows: Sequence[Row],
    *,
    machine: Machine,
    others: float,
    settings: dict[str, Any],
    notes: Sequence[str] = (),
    folder: Path | None = None,
    variant: str = "",
) -> Path:
    """Print a result and save it.

    Args:
        benchmark: its name.
        rows: the measurements.
        machine: the machine.
        others: see `Result.others`.
        settings: settings of the benchmark.
        notes: sentences below the table.
        folder: the folder of results; `results_folder` unless given.
        variant: distinguishes results of one benchmark on one machine, for example by the network.

    Returns:
        The file: ``BENCHMARK-VARIANT-MACHINE.json``, or ``.busy.json``, which git ignores, if it was not quiet.
    """
    result = Result(
        benchmark=benchmark,
        command=shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine,
        others=others,
        quiet=others <= MAX_OTHER_LOAD,
        settings=settings,
        rows=tuple(rows),
        notes=tuple(notes),
    )
    print_result(result)
    folder = folder or results_folder()
    folder.mkdir(parents=True, exist_ok=True)
    stem = "-".join(filter(None, (benchmark, variant, machine.slug())))
    path = folder / f"{stem}{'' if result.quiet else '.busy'}.json"
    atomic_write(path, msgspec.json.format(msgspec.json.encode(result), indent=1).decode() + "\n")
    print(f"\n{path}")
    return path


def results_folder() -> Path:
    """The folder of results."""
    return Path(os.environ.get(RESULTS_VARIABLE) or RESULTS)


def failure_notes(failures: Mapping[str, str]) -> list[str]:
    """A sentence for each contender that failed; see `run_interleaved`."""
    return [f"{name} failed: {error}." for name, error in failures.items()]


def log_progress(line: str) -> None:
    """Print a line of progress to stderr."""
    print(f"  {line}", file=sys.stderr, flush=True)
