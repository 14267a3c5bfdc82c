"""Actions of the dashboard on runs: queue, stop, resume, evaluate, delete.

Every method may block for a moment, so screens call them in a thread. The first frame waits for the import of this
module, so its dependencies are imported inside the methods.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from core.config import RunConfig
    from core.launch.jobs import Job
    from core.recipes import Recipe
    from core.runs import Evaluation
    from core.runs.directory import RunDirectory
    from core.runs.interventions import Interventions
    from core.runs.trajectory import TrajectorySpec
    from tui.state.snapshot import RunSnapshot, Snapshot


@dataclass(frozen=True, slots=True)
class RunController:
    """Queues, stops, resumes and deletes the runs of one folder.

    Args:
        root: the runs folder.
        device: the device that the queue runner trains on.
        slots: the number of runs that train at once; None leaves it to the runner.
        now: the wall clock.
    """

    root: Path
    device: str = "auto"
    slots: int | None = None
    now: Callable[[], float] = time.time

    def queue(
        self,
        configs: "Sequence[RunConfig]",
        name: str,
        launch: "Mapping[str, Any] | None" = None,
        *,
        clone_of: "RunDirectory | None" = None,
    ) -> "list[RunDirectory]":
        """Queue runs as one new group and have their engine start them.

        Args:
            configs: one per run.
            name: the prefix of the group's name.
            launch: the recipe's `[launch]`, which overrides the user's file; see `core.launch.engines.settings`.
            clone_of: a run whose engine starts these, if they are set up from it.

        Raises:
            UserError: the runs folder cannot be written, or the engine is not there or refuses; the runs stay queued
                if it has refused.
        """
        from core.launch.engines.registry import check_engine
        from core.launch.engines.settings import clone_settings, launch_settings
        from core.launch.engines.start import start
        from core.launch.queue import enqueue
        from core.runs.directory import make_group

        settings = clone_settings(clone_of) if clone_of else launch_settings(launch or {})
        check_engine(settings)
        runs = enqueue(self.root, configs, group=make_group(name), launch=settings)
        start(runs, wake=lambda root: self.wake())
        return runs

    def wake(self) -> None:
        """Make sure that a queue runner starts the queued runs."""
        from core.launch.queue import ensure_runner

        ensure_runner(self.root, self.device, self.slots)

    def device_note(self) -> str:
        """A sentence about GPUs that are not used because torch cannot compute on them, or an empty one.

        Raises:
            UserError: there is no such device.
        """
        from core.launch.devices import make_plan

        return make_plan(self.device, self.slots).note

    def stop(self, runs: "Sequence[RunSnapshot]") -> str:
        """Stop runs that are queued or live; return a message about the result.

        Raises:
            UserError: a run cannot be stopped; the others are.
        """
        from core.launch.engines.start import stop
        from core.runs.status import State
        from tui.state.formatting import pluralize

        stoppable = [run for run in runs if not run.state.is_ended]
        if not stoppable:
            return _nothing_text(runs, "to stop")
        stop([run.run for run in stoppable])
        waiting = [run for run in stoppable if run.state is State.QUEUED]
        if len(stoppable) == 1:
            return (
                f"{stoppable[0].label}: {'taken from the queue' if waiting else 'stops after a checkpoint'}"
            )
        return f"{pluralize(len(stoppable), 'run')} stop; each keeps a checkpoint"

    def resume(self, runs: "Sequence[RunSnapshot]", *, epochs: int | None = None) -> str:
        """Put ended runs back into the queue; return a message about the result.

        Args:
            runs: the runs; finished ones are skipped unless `epochs` is given.
            epochs: the total number of epochs to train; None keeps each run's own.

        Raises:
            UserError: a run cannot be resumed; the others are.
        """
        from core.launch.control import resume
        from core.launch.engines.start import start
        from core.runs.status import State
        from tui.state.formatting import pluralize

        ended = [run for run in runs if run.state.is_ended and (epochs or run.state is not State.FINISHED)]
        try:
            _for_each(ended, lambda run: resume(run.run, epochs=epochs))
        finally:
            waiting = [run.run for run in runs if run in ended or run.state is State.QUEUED]
            if waiting:
                start(waiting, wake=lambda root: self.wake())
        if len(ended) == 1:
            return f"{ended[0].label}: queued again"
        if ended:
            return f"{pluralize(len(ended), 'run')} queued again"
        if any(run.state is State.QUEUED for run in runs):
            return "already queued; the queue has been woken"
        return _nothing_text(runs, "to resume")

    def denoise(self, runs: "Sequence[RunSnapshot]", specs: "Sequence[TrajectorySpec]") -> str:
        """Start computing trajectories in another process; return a message about the result.

        Args:
            runs: runs with checkpoints.
            specs: the trajectory of each run.

        Raises:
            UserError: there is no such device, or a run cannot be written.
        """
        from core.launch.devices import make_plan
        from core.launch.jobs import start_trajectories
        from tui.state.formatting import pluralize

        plan = make_plan(self.device)
        started = 0
        for spec in dict.fromkeys(specs):
            started += start_trajectories(
                [run.run for run, one in zip(runs, specs, strict=True) if one == spec], spec, plan
            )
        return (
            f"computing trajectories for {pluralize(started, 'run')}"
            if started
            else "is being computed already"
        )

    def restore(
        self, run: "RunSnapshot", image: "NDArray[np.uint8]", known: "NDArray[np.bool_]", *, seed: int
    ) -> "tuple[Job, Path]":
        """Start filling in missing pixels in another process.

        Args:
            run: a run with a checkpoint.
            image: uint8 [H, W] or [H, W, 3].
            known: bool [H, W], False where a pixel is missing.
            seed: of the noise.

        Returns:
            The job, and the sheet that it rewrites until it ends; see `core restore --live`.

        Raises:
            UserError: there is no such device, or the run cannot be written.
        """
        from core.launch.devices import make_plan
        from core.launch.jobs import start_restoration

        return start_restoration(run.run, image, known, make_plan(self.device), seed=seed)

    def fit(self, images: "NDArray[np.uint8]", overlay: Path, samples: Sequence[tuple[Path, Path]]) -> "Job":
        """Start fitting triangles to real images and to samples in another process.

        Args:
            images: real images, uint8 [N, H, W] or [N, H, W, 3].
            overlay: the file for their fits.
            samples: sheets of samples, each with the file for its fits.

        Raises:
            UserError: a folder cannot be written, or the process cannot be started.
        """
        from core.imaging.sheet import write_sheet
        from core.launch.jobs import start_fitting

        sheet = overlay.with_suffix(".png")
        try:
            overlay.parent.mkdir(parents=True, exist_ok=True)
            write_sheet(sheet, images, columns=16)
        except OSError as error:
            raise UserError(f"{overlay.parent}: cannot be written ({error.strerror or error})") from error
        return start_fitting([(sheet, overlay), *samples])

    def evaluate(self, groups: "Sequence[tuple[Sequence[RunSnapshot], Evaluation | None]]") -> str:
        """Start evaluating runs in another process; return a message about the result.

        Args:
            groups: runs with checkpoints, each group with the evaluation that theirs should be comparable with.

        Raises:
            UserError: there is no such device, or a run cannot be written.
        """
        from core.launch.devices import make_plan
        from core.launch.jobs import start_evaluation
        from tui.state.formatting import pluralize

        plan = make_plan(self.device)
        started = sum(start_evaluation([run.run for run in runs], plan, like=like) for runs, like in groups)
        return (
            f"evaluating {pluralize(started, 'run')}, which takes minutes"
            if started
            else "is being evaluated already"
        )

    def explain(self, groups: "Sequence[tuple[Sequence[RunSnapshot], Interventions | None]]") -> str:
        """Start explaining runs in another process; return a message about the result.

        Args:
            groups: runs with checkpoints, on one data set each, with the interventions that theirs should go with.

        Raises:
            UserError: there is no such device, or a run cannot be written.
        """
        from core.launch.devices import make_plan
        from core.launch.jobs import start_explanation
        from tui.state.formatting import pluralize

        plan = make_plan(self.device)
        started = sum(start_explanation([run.run for run in runs], plan, like=like) for runs, like in groups)
        return (
            f"sampling {pluralize(started, 'run')} in several ways, which takes minutes"
            if started
            else "is being evaluated already"
        )

    def delete(self, run: "RunSnapshot") -> str:
        """Delete a run and all its files; return a message about the result.

        Raises:
            UserError: the run is live, or cannot be deleted.
        """
        from core.launch.control import remove

        remove(run.run)
        return f"{run.label}: deleted"


def _for_each(runs: "Sequence[RunSnapshot]", act: "Callable[[RunSnapshot], object]") -> None:
    """Act on every run, then raise one `UserError` with all errors."""
    errors = []
    for run in runs:
        try:
            act(run)
        except UserError as error:
            errors.append(str(error))
    if errors:
        raise UserError("\n".join(errors))


def _nothing_text(runs: "Sequence[RunSnapshot]", what: str) -> str:
    if len(runs) == 1:
        return f"{runs[0].label} is {runs[0].state}: nothing {what}"
    return f"nothing {what} here"


def matching_group(snapshot: "Snapshot", recipe: "Recipe") -> str | None:
    """The newest group whose runs match a recipe; its runs may train for more epochs than the recipe asks for."""
    import msgspec

    from core.launch.provenance import config_with_absolute_paths, with_absolute_paths

    def without_epochs(config: "RunConfig") -> bytes:
        config = config.resolved()
        train = msgspec.structs.replace(config.train, epochs=1)
        return msgspec.json.encode(msgspec.structs.replace(config, train=train))

    for group in reversed(snapshot.groups):
        runs = snapshot.runs_in_group(group)
        if len(runs) != len(recipe.configs):
            continue
        pairs = zip(
            sorted(
                (without_epochs(config_with_absolute_paths(run.file)), run.file.config.train.epochs)
                for run in runs
            ),
            sorted(
                (without_epochs(with_absolute_paths(config)), config.train.epochs)
                for config in recipe.configs
            ),
            strict=True,
        )
        if all(run[0] == config[0] and run[1] >= config[1] for run, config in pairs):
            return group
    return None
