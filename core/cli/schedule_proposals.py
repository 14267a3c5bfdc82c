"""`core schedules propose`: noise levels to sample at, or a noise schedule to train with, by one of several rules."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from core.cli.options import GivenPath, json_option, runs_option
from core.cli.output import emit, emit_json, format_table, number_text, stdout_width, writing_out
from core.cli.proposal_source import LOWEST_LOG_SNR, ProposalSource, find_source
from core.errors import UserError
from core.files.sanitize import sanitize

RULE_NAMES: Final = (
    "entropic",
    "rescaled",
    "bound",
    "shape",
    "tangent",
    "gaussian",
    "score",
    "constant-rate",
)
"""Keys of `core.statistics.proposals.rules.RULES`, which takes a moment to import."""
_SPACINGS: Final = ("decay", "cosine", "uniform")


@click.command("propose")
@click.argument("source", metavar="RUN|DATA")
@click.option("--rule", type=click.Choice(RULE_NAMES), help="The rule; by default, all are compared.")
@click.option(
    "--calls", type=click.IntRange(1, 1000), metavar="K", help="Network calls to sample with; 10 by default."
)
@click.option(
    "--timesteps",
    type=click.IntRange(2, 100_000),
    metavar="T",
    help="Propose a training schedule of T betas instead.",
)
@click.option(
    "--zero-terminal-snr", is_flag=True, help="With --timesteps: make the last timestep pure noise."
)
@click.option(
    "--start", type=float, metavar="L", help="Log SNR of the noisy end; by default, the schedule's."
)
@click.option("--end", type=float, metavar="L", help="Log SNR of the clean end; by default, the schedule's.")
@click.option(
    "--out",
    type=GivenPath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="With --rule: write levels or betas to a new text file.",
)
@runs_option
@json_option
def command(
    source: str,
    rule: str | None,
    calls: int | None,
    timesteps: int | None,
    zero_terminal_snr: bool,
    start: float | None,
    end: float | None,
    out: Path | None,
    root: Path,
    as_json: bool,
) -> None:
    """Propose noise levels to sample at, or a noise schedule to train with.

    RUN is an id, an unambiguous prefix of one, the path of a run's folder, or latest. DATA is a data set.
    Without --rule all rules are compared with the spacings decay, cosine and uniform.

    entropic gives each step the same information, rescaled that times the noise. bound is the lowest
    variational bound, and shape the lowest part of it where shapes are decided. These four need the errors by
    noise level that core evaluate measures for a run; without, they take those of the linear denoiser. tangent,
    gaussian, score and constant-rate need the data's covariance only.

    BITS is the bound that is predicted, in bits per dimension without its two ends. W2 is the error that the
    steps alone cause on a Gaussian with the data's mean and covariance, relative to the data's spread. Neither
    knows shapes.
    """
    _check(rule, calls, timesteps, zero_terminal_snr, out)
    found = find_source(source, root, start=start, end=end)
    if timesteps is not None:
        _propose_schedule(found, rule or "", timesteps, zero_terminal_snr, out, as_json)
    else:
        _propose_levels(found, rule, calls or 10, out, as_json)


def _check(
    rule: str | None, calls: int | None, timesteps: int | None, zero_terminal_snr: bool, out: Path | None
) -> None:
    if timesteps is not None and calls is not None:
        raise UserError("--calls and --timesteps: levels to sample at or a schedule to train with; give one")
    if zero_terminal_snr and timesteps is None:
        raise UserError("--zero-terminal-snr: is for a schedule to train with; give --timesteps T too")
    if rule is None and (timesteps is not None or out is not None):
        given = "--timesteps" if out is None else "--out"
        raise UserError(f"{given}: needs one rule; give --rule with one of {', '.join(RULE_NAMES)}")
    if out is not None:
        if out.exists():
            raise UserError(f"--out {out}: exists already; give another name, or remove it first")
        if not out.absolute().parent.is_dir():
            raise UserError(f"--out {out}: there is no folder {out.parent}; make it first")


def _propose_levels(
    found: ProposalSource, rule: str | None, calls: int, out: Path | None, as_json: bool
) -> None:
    from core.statistics.proposals.rules import propose_levels

    rows = [
        _row(found, name, propose_levels(name, found.inputs, calls).tolist())
        for name in ([rule] if rule else RULE_NAMES)
    ]
    if out is not None:
        (row,) = rows
        lines = [
            f"# levels for {calls} network calls: log SNR, noisiest first",
            *_provenance(found, rule or ""),
        ]
        _write(out, [*lines, *(f"{level:.6f}" for level in row.levels)])
    if rule is None:
        rows += _spaced_rows(found, calls)
    if as_json:
        emit_json(
            {
                "source": found.name,
                "curve": found.curve,
                "start": found.inputs.ends.noisy,
                "end": found.inputs.ends.clean,
                "calls": calls,
                "proposals": [
                    {"name": row.name, "bits_per_dim": row.bits, "w2": row.w2, "levels": row.levels}
                    for row in rows
                ],
                "path": None if out is None else str(out),
            }
        )
        return
    if out is not None:
        emit(str(out))
        return
    cells = [
        [row.name, number_text(row.bits), f"{row.w2:.1%}", " ".join(f"{level:.1f}" for level in row.levels)]
        for row in rows
    ]
    emit(format_table(["rule", "bits", "w2", "levels (log SNR)"], cells, "lrrl", width=stdout_width()))


def _propose_schedule(
    found: ProposalSource, rule: str, timesteps: int, zero_terminal_snr: bool, out: Path | None, as_json: bool
) -> None:
    from core.schedules import Schedule
    from core.statistics.proposals.rules import propose_betas

    betas = propose_betas(rule, found.inputs, timesteps, zero_terminal_snr=zero_terminal_snr)
    schedule = Schedule(f"proposed by {rule}", betas)
    if out is not None:
        lines = [
            f"# betas of {timesteps} timesteps; schedule.name = custom, schedule.timesteps = {timesteps}",
            *_provenance(found, rule),
        ]
        _write(out, [*lines, *(repr(float(beta)) for beta in betas)])
    if as_json:
        emit_json(
            {
                "source": found.name,
                "curve": found.curve,
                "rule": rule,
                "timesteps": timesteps,
                "terminal_alpha_bar": schedule.terminal_alpha_bar,
                "betas": betas.tolist(),
                "path": None if out is None else str(out),
            }
        )
    elif out is not None:
        emit(str(out))
    else:
        rows = []
        for share in range(0, 101, 10):
            t = round(share / 100 * (timesteps - 1))
            rows.append([f"{t + 1}", number_text(float(betas[t])), number_text(float(schedule.log_snr[t]))])
        emit(format_table(["t", "beta", "log SNR"], rows, "rrr"))


@dataclass(frozen=True)
class _Row:
    """Levels and what they are predicted to cost."""

    name: str
    levels: list[float]
    bits: float
    w2: float


def _row(found: ProposalSource, name: str, levels: Sequence[float]) -> _Row:
    import numpy as np

    from core.statistics.proposals.bound_optimum import bound_bits
    from core.statistics.proposals.gaussian_optimum import step_error

    inputs = found.inputs
    steps = np.append(levels, inputs.ends.clean)
    return _Row(name, list(levels), bound_bits(inputs.curve, steps), step_error(inputs.data, steps))


def _spaced_rows(found: ProposalSource, calls: int) -> list[_Row]:
    """Rows of the spacings, on the timesteps of the source's own schedule."""
    import numpy as np

    from core.spacing import inference_timesteps

    schedule, rows = found.schedule, []
    for spacing in _SPACINGS:
        with contextlib.suppress(UserError):  # more calls than timesteps
            timesteps = inference_timesteps(
                schedule.timesteps, calls, spacing=spacing, log_snr=schedule.log_snr
            )
            levels = np.maximum(schedule.log_snr[timesteps], LOWEST_LOG_SNR)
            if levels[-1] < found.inputs.ends.clean:
                rows.append(_row(found, spacing, levels.tolist()))
    return rows


def _provenance(found: ProposalSource, rule: str) -> list[str]:
    ends = found.inputs.ends
    return [
        f"# rule: {rule}",
        f"# source: {sanitize(found.name)}; noise errors: {found.curve}",
        f"# between log SNR {ends.noisy:g} and {ends.clean:g}",
    ]


def _write(out: Path, lines: Sequence[str]) -> None:
    with writing_out(out), out.open("x", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
