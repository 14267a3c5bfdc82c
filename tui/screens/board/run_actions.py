"""What keys do to the selected run, to the marked ones, or to all that are shown."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from core.runs.status import State
from tui.state.formatting import pluralize
from tui.state.run_controller import RunController, matching_group
from tui.state.selection import RunSelection
from tui.state.snapshot import RunSnapshot, Snapshot
from tui.textual_ext.background import BackgroundScreen

if TYPE_CHECKING:
    from core.config import RunConfig
    from core.recipes import Recipe


class RunActions(BackgroundScreen):
    """A screen on which a run is selected and can be acted on.

    Args:
        control: of the runs folder.
        choice: what is shown, selected and marked.
    """

    def __init__(self, control: RunController, choice: RunSelection) -> None:
        super().__init__()
        self.control = control
        self.choice = choice

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not self.choice.runs if action == "start_quick" else True

    def action_start_quick(self) -> None:
        from core.recipes import load_recipe

        self.queue(load_recipe("quick"))

    def begin(self, recipe: "Recipe", snapshot: Snapshot, *, start: bool) -> None:
        """Come back to a recipe's group where there is one already; otherwise, or when asked to, queue it.

        Args:
            recipe: what to train.
            snapshot: what there is.
            start: whether anything may be queued; otherwise the group is only shown.
        """
        self.choice.update(snapshot)
        group = matching_group(snapshot, recipe)
        if group is not None:
            self.choice.show_group(group)
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
            self._offer(recipe, runs)

    def queue(self, recipe: "Recipe") -> None:
        """Queue a recipe's runs; the board goes to them once they are there."""
        snapshot = self.choice.snapshot
        taken = snapshot.groups if snapshot is not None else ()

        def start() -> str:
            runs = self.control.queue(recipe.configs, recipe.name, taken=taken)
            return f"{pluralize(len(runs), 'run')} queued"

        self.choice.follow_newest()
        self.run_in_background(start)

    def _offer(self, recipe: "Recipe", runs: Sequence[RunSnapshot]) -> None:
        """A group of this recipe has ended: ask whether to go on with it or to train it anew."""
        from tui.dialogs.confirm import Choice, ConfirmScreen

        unfinished = [run for run in runs if run.state is not State.FINISHED]
        went_on = Choice("resume", "r", f"resume {pluralize(len(unfinished), 'run')}")
        choices = [went_on] if unfinished else []
        choices += [Choice("new", "n", "train it anew"), Choice("look", "l", "just look")]
        if unfinished:
            said = f"{pluralize(len(unfinished), 'run')} of {len(runs)} stopped before the end."
        else:
            said = f"All {pluralize(len(runs), 'run')} have finished."

        def decided(choice: str | None) -> None:
            if choice == "resume":
                self.run_in_background(lambda: self.control.resume(unfinished))
            elif choice == "new":
                self.queue(recipe)

        self.app.push_screen(ConfirmScreen(f"{recipe.name} is here already", said, choices), decided)

    def action_stop(self) -> None:
        if run := self._need_selected():
            self.run_in_background(lambda: self.control.stop([run]))

    def action_stop_all(self) -> None:
        runs = [run for run in self.choice.runs if not run.state.is_ended]
        if len(runs) < 2:
            self.run_in_background(lambda: self.control.stop(runs or self.choice.runs))
            return
        self._confirm(
            f"Stop {pluralize(len(runs), 'run')}?",
            "Each finishes its step and keeps a checkpoint; R resumes them.",
            "stop them",
            lambda: self.control.stop(runs),
        )

    def action_resume(self) -> None:
        run = self._need_selected()
        if run is None:
            return
        if run.state is State.FINISHED:
            self._ask_for_more_epochs(run)
        else:
            self.run_in_background(lambda: self.control.resume([run]))

    def action_resume_all(self) -> None:
        runs = self.choice.runs
        self.run_in_background(lambda: self.control.resume(runs))

    def action_delete(self) -> None:
        run = self._need_selected()
        if run is None:
            return
        if run.state.is_live:
            self.notify(f"{run.label} is {run.state}: stop it first (x)", severity="warning", markup=False)
            return
        self._confirm(
            f"Delete {run.label}?",
            f"{run.id}\nIts losses, pictures and checkpoint are gone for good.",
            "delete it",
            lambda: self.control.delete(run),
        )

    def action_mark(self) -> None:
        if run := self._need_selected():
            self.choice.toggle_mark(run.id)

    def action_log(self) -> None:
        if run := self._need_selected():
            from tui.screens.log.screen import LogScreen

            self.app.push_screen(LogScreen(run))

    def action_compare(self) -> None:
        if runs := self.choice.compared:
            from tui.screens.compare.screen import CompareScreen

            self.app.push_screen(CompareScreen(self.control, [run.id for run in runs]))

    def action_denoise(self) -> None:
        if runs := self.choice.compared:
            from tui.screens.denoise.screen import DenoiseScreen

            self.app.push_screen(DenoiseScreen(self.control, [run.id for run in runs]))

    def action_new(self) -> None:
        from tui.screens.new_run.screen import NewRunScreen

        self.app.push_screen(NewRunScreen(), self._queue_configs)

    def action_clone(self) -> None:
        if run := self._need_selected():
            from core.launch.provenance import with_absolute_paths
            from tui.screens.new_run.screen import NewRunScreen
            from tui.state.run_draft import RunDraft

            draft = RunDraft.from_configs([with_absolute_paths(run.file)])
            self.app.push_screen(NewRunScreen(draft), self._queue_configs)

    def action_schedules(self) -> None:
        from core.launch.provenance import with_absolute_paths
        from tui.screens.schedules.screen import SchedulesScreen

        configs = [with_absolute_paths(run.file) for run in self.choice.compared]
        self.app.push_screen(SchedulesScreen(configs), self._queue_configs)

    def action_datasets(self) -> None:
        from core.launch.provenance import with_absolute_paths
        from tui.screens.datasets.screen import DatasetsScreen

        run = self.choice.selected
        start = with_absolute_paths(run.file).data.dataset if run is not None else ""
        self.app.push_screen(DatasetsScreen(self.control, start), self._queue_configs)

    def _queue_configs(self, configs: "list[RunConfig] | None") -> None:
        if configs:
            from core.recipes import Recipe

            self.queue(Recipe(configs[0].recipe, "", tuple(configs)))

    def _need_selected(self) -> RunSnapshot | None:
        run = self.choice.selected
        if run is None:
            self.notify("there is no run here yet")
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
