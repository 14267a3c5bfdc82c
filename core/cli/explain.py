"""`core explain`: why runs are worse than the best, or than real images."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from core.cli.describe import run_labels
from core.cli.evaluation_session import EvaluationSession
from core.cli.options import COUNT, SEED, device_option, json_option, runs_argument, runs_option
from core.cli.output import emit, emit_json_object, format_table, note, print_error, stdout_width
from core.cli.run_selection import select_runs
from core.errors import UserError
from core.files.sanitize import sanitize
from core.runs import MetricsTail, RunInfo, RunStore
from core.runs.interventions import Interventions, read_interventions, write_interventions
from core.runs.progress import reporting_evaluation

if TYPE_CHECKING:
    from core.comparison.explain import Explanation, RunExplanation, Subject

DEFAULT_COUNT = 192
MAX_WIDTH = 120
UNWRAPPED = 1 << 20
"""Width of lines that go to a file or another program."""


@click.command("explain")
@runs_argument
@runs_option
@click.option(
    "--count",
    type=COUNT,
    default=DEFAULT_COUNT,
    show_default=True,
    metavar="N",
    help="Number of samples in each way; at most as many as there are held-out images.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, metavar="N")
@click.option("--again", is_flag=True, help="Draw samples again, even if those of an earlier call fit.")
@device_option
@json_option
def command(
    selectors: tuple[str, ...], root: Path, count: int, seed: int, again: bool, device: str, as_json: bool
) -> None:
    """Explain why runs are worse than the best of them.

    Each checkpoint is sampled in several ways: as its settings say, from real noised images, with more network
    calls, and without added noise. What each improves, and the noise error of the network, name the causes. The
    kinds of the samples are kept with the run, so that a second call takes no time.

    RUN is an id, an unambiguous prefix of one, the path of a run's folder, latest, the name of a group, or a
    folder of runs. Without one, the newest group is explained.
    """
    infos = select_runs(RunStore(root), selectors, everything=False)
    _check_data(infos)
    labels = run_labels(infos)
    session = EvaluationSession(None, seed, (), explicit=False, checkpoint="last")
    session.prepare(device, [info.directory for info in infos])
    from core.comparison.explain import explain

    subjects: list[Subject] = []
    for info in infos:
        session.label = labels[info.id]
        try:
            found = _interventions(info, session, count, seed, device, again=again)
        except UserError as error:
            if len(infos) == 1:
                raise
            print_error(str(error))
            continue
        subjects.append(_subject(info, labels[info.id], found))
    if not subjects:
        raise UserError("no run could be explained")
    explanation = explain(subjects)
    if as_json:
        emit_json_object(_json(explanation, subjects))
        return
    emit(_text(explanation))
    if not session.evaluator_for(infos[0].directory).has_triangles:
        note(
            "note: these images are no triangles, so their kinds are deciles of brightness; blur and wrong colours are "
            "not among what is missed, but in the KID of core evaluate"
        )
    if len(subjects) < len(infos):
        note(f"note: {len(infos) - len(subjects)} of {len(infos)} runs are left out")


def _check_data(infos: list[RunInfo]) -> None:
    names = sorted({info.file.config.data.dataset for info in infos})
    if len(names) > 1:
        shown = ", ".join(sanitize(name) for name in names)
        raise UserError(f"expected runs on the same data, got runs on {shown}: name runs of one of them")


def _interventions(
    info: RunInfo, session: EvaluationSession, count: int, seed: int, device: str, *, again: bool
) -> Interventions:
    from core.evaluation.interventions import intervene, is_current

    # The progress of a run that a dashboard has launched ends here, however short it is.
    with reporting_evaluation(info.directory) as session.report:
        evaluator = session.evaluator_for(info.directory)
        kept = None if again else read_interventions(info.directory)
        if kept is not None and is_current(kept, info.directory, evaluator, count=count, seed=seed):
            return kept
        found = intervene(info.directory, evaluator, count=count, seed=seed, device=session.device)
    write_interventions(info.directory, found)
    return found


def _subject(info: RunInfo, label: str, interventions: Interventions) -> "Subject":
    from core.comparison.explain import Subject

    tail = MetricsTail(info.directory.metrics_file)
    tail.poll()
    return Subject(label, info.file.config, tuple(tail.epochs), interventions)


def _text(explanation: "Explanation") -> str:
    width = min(stdout_width(), MAX_WIDTH) or UNWRAPPED
    rows = []
    for run in explanation.runs:
        parts = run.decomposition.parts
        rows.append(
            [
                run.label,
                f"{run.distance.value:.2f} [{run.distance.low:.2f}, {run.distance.high:.2f}]",
                *(f"{parts[part].value:+.2f}" for part in ("start", "steps", "network")),
                run.versus or "real images",
            ]
        )
    lines = format_table(["run", "missed", "start", "steps", "network", "more than"], rows, "lrrrrl")
    texts = [lines, ""]
    for run in explanation.runs:
        texts.append(textwrap.fill(run.text, width))
        for number, cause in enumerate(run.causes, start=1):
            texts.append(
                textwrap.fill(cause.text, width, initial_indent=f"  {number}. ", subsequent_indent="     ")
            )
    return "\n".join(texts)


def _json(explanation: "Explanation", subjects: list["Subject"]) -> dict[str, Any]:
    return {
        "count": subjects[0].interventions.count,
        "real": explanation.real,
        "runs": [_run_json(run) for run in explanation.runs],
    }


def _run_json(run: "RunExplanation") -> dict[str, Any]:
    return {
        "label": run.label,
        "versus": run.versus or None,
        "distinguishable": run.decomposition.is_distinguishable,
        "text": run.text,
        "distance": run.distance,
        "difference": run.decomposition.total,
        "parts": dict(run.decomposition.parts),
        "shares": dict(run.decomposition.shares),
        "variants": run.variants,
        "causes": [msgspec.to_builtins(cause) for cause in run.causes],
    }
