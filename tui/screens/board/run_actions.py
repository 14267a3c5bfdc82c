"""Actions on the selected run, on the marked runs, or on all listed runs."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual import work

from core.errors import UserError
from core.runs.status import State
from tui.screens.board.layout import is_too_small
from tui.state.formatting import pluralize
from tui.state.run_controller import RunController, matching_group
from tui.state.selection import RunSelection
from tui.state.snapshot import RunSnapshot, Snapshot
from tui.textual_ext.background import BackgroundScreen

if TYPE_CHECKING:
    from core.config import RunConfig
    from core.recipes import Recipe
    from core.runs.directory import RunDirectory


class RunActionsMixin(BackgroundScreen):
    """Actions on the runs of a `RunSelection`.

    Attributes:
        control: of the runs folder.
        selection: which runs are listed, selected and marked.
    """

    control: RunController
    selection: RunSelection
    _devices_noted = False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Refuse all actions while the board is too small to show what they act on, and a start beside other runs."""
        if is_too_small(*self.size):
            return False
        return self.selection.is_empty if action == "start_quick" else True

    def action_start_quick(self) -> None:
        from core.recipes import load_recipe

        self.queue(load_recipe("quick"))

    def attach(self, recipe: "Recipe", snapshot: Snapshot, *, start: bool) -> None:
        """Show a recipe's group where it exists already; otherwise queue the recipe.

        Args:
            recipe: to train.
            snapshot: of the runs folder.
            start: whether runs may be queued or resumed; otherwise the group is only shown.
        """
        self.selection.update(snapshot)
        group = matching_group(snapshot, recipe)
        if group is not None:
            self.selection.show_group(group)
        if not start:
            return
        runs = snapshot.runs_in_group(group) if group is not None else ()
        if group is None:
            self.queue(recipe)
        elif any(run.state.is_live for run in runs):
            return
        elif any(run.state is State.QUEUED for run in runs):
            self.run_in_background(lambda: self.control.resume(runs))
        else:
            self._ask_resume_or_retrain(recipe, runs)

    def queue(self, recipe: "Recipe", clone_of: "RunDirectory | None" = None) -> None:
        """Queue a recipe's runs; the selection moves to them once they exist. Clones of a run have its engine."""

        def start() -> str:
            runs = self.control.queue(recipe.configs, recipe.name, recipe.launch, clone_of=clone_of)
            return f"{pluralize(len(runs), 'run')} queued"

        self.selection.follow_newest()
        self.run_in_background(start)
        self._note_devices()

    @work
    async def _note_devices(self) -> None:
        """Notify of GPUs that are not used, once; the first check of a GPU takes seconds."""
        if self._devices_noted:
            return
        self._devices_noted = True
        with contextlib.suppress(UserError):  # which starting the runs reports
            if note := await asyncio.to_thread(self.control.device_note):
                self.notify(note, title="GPU not used", severity="warning", markup=False, timeout=15)

    def _ask_resume_or_retrain(self, recipe: "Recipe", runs: Sequence[RunSnapshot]) -> None:
        """Ask whether to resume this recipe's ended group or to train the recipe again."""
        from tui.dialogs.confirm import Choice, ConfirmScreen

        unfinished = [run for run in runs if run.state is not State.FINISHED]
        resume = Choice("resume", "r", f"resume {pluralize(len(unfinished), 'run')}")
        choices = [resume] if unfinished else []
        choices += [Choice("new", "n", "train it again"), Choice("look", "l", "just look")]
        if unfinished:
            detail = f"{pluralize(len(unfinished), 'run')} of {len(runs)} stopped before the end."
        else:
            detail = f"All {pluralize(len(runs), 'run')} have finished."

        def decided(choice: str | None) -> None:
            if choice == "resume":
                self.run_in_background(lambda: self.control.resume(unfinished))
            elif choice == "new":
                self.queue(recipe)

        self.app.push_screen(ConfirmScreen(f"{recipe.name} is here already", detail, choices), decided)

    def action_stop(self) -> None:
        if run := self._require_selected():
            self.run_in_background(lambda: self.control.stop([run]))

    def action_stop_all(self) -> None:
        runs = [run for run in self.selection.runs if not run.state.is_ended]
        if len(runs) < 2:
            self.run_in_background(lambda: self.control.stop(runs or self.selection.runs))
            return
        self._confirm(
            f"Stop {pluralize(len(runs), 'run')}?",
            "Each finishes its step and keeps a checkpoint; R resumes them.",
            "stop them",
            lambda: self.control.stop(runs),
        )

    def action_resume(self) -> None:
        run = self._require_selected()
        if run is None:
            return
        if run.state is State.FINISHED:
            self._ask_for_more_epochs(run)
        else:
            self.run_in_background(lambda: self.control.resume([run]))

    def action_resume_all(self) -> None:
        runs = self.selection.runs
        self.run_in_background(lambda: self.control.resume(runs))

    def action_delete(self) -> None:
        run = self._require_selected()
        if run is None:
            return
        if run.state.is_live:
            self.notify(f"{run.label} is {run.state}: stop it first (x)", severity="warning", markup=False)
            return
        self._confirm(
            f"Delete {run.label}?",
            f"{run.id}\nIts losses, images and checkpoint are gone for good.",
            "delete it",
            lambda: self.control.delete(run),
        )

    def action_mark(self) -> None:
        if run := self._require_selected():
            self.selection.toggle_mark(run.id)

    def action_log(self) -> None:
        if run := self._require_selected():
            from tui.screens.log.screen import LogScreen

            self.app.push_screen(LogScreen(run))

    def action_compare(self) -> None:
        if runs := self.selection.compared:
            from tui.screens.compare.screen import CompareScreen

            run = self.selection.selected
            self.app.push_screen(
                CompareScreen(
                    self.control,
                    [run.id for run in runs],
                    selected=run.id if run else "",
                    swept=[one.id for one in self.selection.swept],
                )
            )

    def action_denoise(self) -> None:
        if runs := self.selection.compared:
            from tui.screens.denoise.screen import DenoiseScreen

            self.app.push_screen(DenoiseScreen(self.control, [run.id for run in runs]))

    def action_new(self) -> None:
        from tui.screens.new_run.screen import NewRunScreen

        self.app.push_screen(NewRunScreen(), self._queue_configs)

    def action_clone(self) -> None:
        if run := self._require_selected():
            from core.launch.provenance import config_with_absolute_paths
            from tui.screens.new_run.screen import NewRunScreen
            from tui.state.run_draft import RunDraft

            draft = RunDraft.from_configs([config_with_absolute_paths(run.file)])
            self.app.push_screen(
                NewRunScreen(draft), lambda configs: self._queue_configs(configs, clone_of=run.run)
            )

    def action_schedules(self) -> None:
        from core.launch.provenance import config_with_absolute_paths
        from tui.screens.schedules.screen import SchedulesScreen

        configs = [config_with_absolute_paths(run.file) for run in self.selection.compared]
        self.app.push_screen(SchedulesScreen(configs), self._queue_configs)

    def action_datasets(self) -> None:
        from core.launch.provenance import config_with_absolute_paths
        from tui.screens.datasets.screen import DatasetsScreen

        run = self.selection.selected
        start = config_with_absolute_paths(run.file).data.dataset if run is not None else ""
        self.app.push_screen(DatasetsScreen(self.control, start), self._queue_configs)

    def _queue_configs(
        self, configs: "list[RunConfig] | None", clone_of: "RunDirectory | None" = None
    ) -> None:
        if configs:
            from core.recipes import Recipe

            self.queue(Recipe(configs[0].recipe, "", tuple(configs)), clone_of)

    def _require_selected(self) -> RunSnapshot | None:
        """The selected run, on which the cursor stays from now on; None, with a notice, if there is none."""
        run = self.selection.selected
        if run is None:
            self.notify("there is no run here yet")
        self.selection.pin()
        return run

    def _confirm(self, question: str, detail: str, yes: str, act: Callable[[], str]) -> None:
        from tui.dialogs.confirm import Choice, ConfirmScreen

        def decided(choice: str | None) -> None:
            if choice == "yes":
                self.run_in_background(act)

        choices = (Choice("yes", "y", yes), Choice("no", "n", "leave it"))
        self.app.push_screen(ConfirmScreen(question, detail, choices), decided)

    def _ask_for_more_epochs(self, run: RunSnapshot) -> None:
        from tui.dialogs.confirm import NumberScreen

        def decided(epochs: int | None) -> None:
            if epochs is not None:
                self.run_in_background(lambda: self.control.resume([run], epochs=epochs))

        done = run.file.config.train.epochs
        question = f"{run.label} has finished its {pluralize(done, 'epoch')}. Train on to how many in all?"
        self.app.push_screen(
            NumberScreen(question, minimum=done + 1, initial=done + max(1, done // 2)), decided
        )
