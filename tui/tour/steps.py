"""Steps of the guided tour, with their texts."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from tui.commands import ALL, Command

COMMANDS: Final = {command.id: command for command in ALL}


@dataclass(frozen=True, slots=True)
class Step:
    """One command to run, and the reason.

    Attributes:
        command: id of the command.
        title: the subject, in few words.
        text: the reason, in two lines of 76 cells at most; `{id}` stands for the key of another command.
        needs_runs: whether the step needs runs.
    """

    command: str
    title: str
    text: str
    needs_runs: bool = True


STEPS: Final = (
    Step(
        "board.down",
        "The board",
        "A row is a run: its state, its loss, its losses as a curve. Below, each run has images that all "
        "begin with the same noise, so what differs is the model.",
    ),
    Step(
        "board.earlier",
        "Back in time",
        "Images are kept as training goes on. Go back, and see images after less training; "
        "{board.follow} follows the newest again.",
    ),
    Step(
        "run.compare",
        "Which is better?",
        "The board shows the progress of runs, the comparison which is better. Mark runs for it with {run.mark}; "
        "without marks, all that are shown are compared.",
    ),
    Step(
        "compare.log_y",
        "Curves and numbers",
        "A table has what was measured of the samples, the best with a *. Late losses are close together, so "
        "their axis is logarithmic: compare a linear one.",
    ),
    Step(
        "compare.play",
        "All runs, one slider",
        "One slider moves the images of all runs through their epochs together, so you see which learns first; "
        "{compare.log_y} brings the logarithmic axis back.",
    ),
    Step(
        "compare.denoise",
        "From noise to image",
        "A diffusion model begins with noise alone, and takes a little of it away, again and again. "
        "See how, for the same runs.",
    ),
    Step(
        "denoise.play",
        "Watch it happen",
        "Each column is a run, from the noise x_T to the image x_0; {denoise.compute} computes what the "
        "training did not keep.",
    ),
    Step(
        "board.schedules",
        "Noise schedules",
        "To learn this, a model sees images with noise added. How much at each step is its noise schedule, "
        "which is what the quick comparison compares.",
        needs_runs=False,
    ),
    Step(
        "schedules.play",
        "Noise covers an image",
        "The curves show what is left of an image at each step t; here you see it. A schedule that leaves too "
        "much at the end samples badly; a warning says so.",
        needs_runs=False,
    ),
    Step(
        "board.datasets",
        "Datasets",
        "No model is better than what it learns from. Look at the triangles, made in three ways, or at images "
        "of your own.",
        needs_runs=False,
    ),
    Step(
        "datasets.view",
        "A closer look",
        "Images, the triangles that fit them best, and their greys: samples are evaluated by these later.",
        needs_runs=False,
    ),
    Step(
        "run.new",
        "Your own run",
        "A form shows mistakes at once. Nothing starts before you press {new.start}; {new.cancel} leaves it.",
        needs_runs=False,
    ),
    Step(
        "tour.end",
        "That was the tour",
        "{app.help} lists the keys of a screen, {app.palette} finds a command by its name. {tour.go} starts the "
        "tour again.",
        needs_runs=False,
    ),
)


def steps(*, runs: bool, refused: Collection[str]) -> tuple[Step, ...]:
    """The steps that are possible here.

    Args:
        runs: whether there are any runs.
        refused: actions that the app refuses, as in a replay.
    """
    return tuple(
        step
        for step in STEPS
        if (runs or not step.needs_runs) and COMMANDS[step.command].action not in refused
    )


def with_keys(text: str, key: Callable[[Command], str]) -> str:
    """Replace each `{id}` in a text with the key of that command."""
    return re.sub(r"\{([a-z_.]+)\}", lambda found: key(COMMANDS[found[1]]), text)
