"""Denoise screen: the reverse process of several runs, state by state, from the same starting noises."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from tui.commands import DENOISE, bindings
from tui.screens.denoise.model import SAMPLERS, DenoiseModel
from tui.screens.live import RunsScreen
from tui.settings.series_colors import series_style
from tui.state.formatting import pluralize, run_indices, run_labels
from tui.state.run_controller import RunController
from tui.state.snapshot import RunSnapshot
from tui.state.trajectories import next_steps, trajectory_spec
from tui.textual_ext.playback import Player
from tui.widgets.epoch_slider import step_epoch
from tui.widgets.images.image_wall import ImageWall, plan_wall
from tui.widgets.images.render_mode import current_render_mode
from tui.widgets.key_bar import KeyBar, KeyHint, refused_actions
from tui.widgets.key_hints import keys_by_command, screen_hints
from tui.widgets.scrubber import Scrubber
from tui.widgets.title_bar import title_and_tabs, update_static

if TYPE_CHECKING:
    from tui.export.item import ExportItem

VIEWS: Final = ("images", "strips")
SPEEDS: Final = (40.0, 20.0, 10.0, 5.0, 2.0)
"""Seconds from noise to image."""
FRAME_SECONDS: Final = 0.1
POLL_SECONDS: Final = 0.5
EMPTY_LINES: Final = 3


class DenoiseScreen(RunsScreen):
    """Player of the reverse process of several runs at once.

    Where a run has no trajectory with the chosen sampler and number of steps, the user can have it computed.

    Args:
        control: of the runs folder.
        run_ids: the runs, in their order.
    """

    CSS_PATH = "screen.tcss"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(DENOISE)]

    def __init__(self, control: RunController, run_ids: Sequence[str]) -> None:
        super().__init__(control, run_ids)
        self.view = VIEWS[0]
        self.model = DenoiseModel()
        self.speed = 3
        self._player = Player(self, self._advance)

    def compose(self) -> ComposeResult:
        yield Static(id="top")
        yield Static(id="description")
        with Container(id="body"):
            yield ImageWall(id="wall")
            with VerticalScroll(id="strips", can_focus=False):
                for _ in self.run_ids:
                    yield ImageWall()
            yield Static("these runs are no longer here", id="gone")
        yield Scrubber(id="slider")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self.set_interval(POLL_SECONDS, self.update)

    def on_scrubber_index_requested(self, message: Scrubber.IndexRequested) -> None:
        self._seek(message.index)

    def update(self) -> None:
        """Bring the screen in line with the runs, the state shown and the size; draw only what changed."""
        if not self.is_mounted or not self.is_current:
            return
        runs = self.runs
        for one in VIEWS:
            self.set_class(self.view == one, f"-{one}")
        self.set_class(not runs, "-gone")
        self._update_bars(runs)
        if not runs:
            return
        names, at = run_labels(runs, short=True), run_indices(self.snapshot, runs)
        styles = [series_style(at[run.id], self.app.theme_variables) for run in runs]
        named = [
            (run, f"{style.marker} {names[run.id]}", style.color)
            for run, style in zip(runs, styles, strict=True)
        ]
        if self.view == "strips":
            self._update_strips(named)
            return
        key = self._compute_key()
        columns = [column for one in named for column in self.model.columns(*one, compute_key=key)]
        self.query_one("#wall", ImageWall).show(columns)

    def _update_strips(self, named: Sequence[tuple[RunSnapshot, str, str]]) -> None:
        """One wall for each run, as high as its images; with the predicted x0 if there is room in all of them."""
        key, width = self._compute_key(), self.size.width
        for both in (True, False):
            strips = [self.model.strip_columns(*one, width, compute_key=key, both=both) for one in named]
            rows = [max(0 if one.images is None else len(one.images) for one in strip) for strip in strips]
            lines = [
                count * plan_wall(one, width, current_render_mode(self).zoom).lines
                for one, count in zip(strips, rows, strict=True)
            ]
            heights = [1 + one if one else EMPTY_LINES for one in lines]
            if sum(heights) <= self.query_one("#strips").size.height:
                break
        for index, wall in enumerate(self.query("#strips > ImageWall").results(ImageWall)):
            wall.display = index < len(strips)
            if wall.display:
                wall.show(strips[index], first_row=0)
                wall.styles.height = heights[index]

    def _update_bars(self, runs: Sequence[RunSnapshot]) -> None:
        datasets = ", ".join(dict.fromkeys(run.data_title for run in runs))
        subtitle = f"{pluralize(len(runs), 'run')} · {datasets}" if runs else ""
        tabs = [(str(number), name) for number, name in enumerate(VIEWS, start=1)]
        width, playing = self.size.width, self._player.playing
        update_static(
            self.query_one("#top", Static), title_and_tabs("denoise", subtitle, tabs, self.view, width)
        )
        description = self.model.description(
            runs, strips=self.view == "strips", compute_key=self._compute_key()
        )
        update_static(self.query_one("#description", Static), description.truncate(width, ellipsis=True))
        self.query_one(KeyBar).show(denoise_hints(self, playing=playing))
        slider, longest = self.query_one(Scrubber), self.model.longest_trajectory(runs)
        if longest is None:
            slider.show_index(0, 0, head="nothing to play yet")
            return
        index, largest = self.model.state_index(longest), longest.timesteps[0]
        head = f"t {str(longest.timesteps[index]).rjust(len(str(largest)))} of {largest}"
        tail = f"{'▶' if playing else ' '} in {SPEEDS[self.speed]:g} s"
        slider.show_index(index, len(longest.timesteps), head=head, tail=f"{tail:10}", lit=playing)

    def _compute_key(self) -> str:
        """The key that computes trajectories; empty where the app refuses to."""
        if "compute" in refused_actions(self.app):
            return ""
        return keys_by_command(self).get("denoise.compute", ["enter"])[0]

    def exports(self) -> "list[ExportItem]":
        """The strips and the animation of all runs."""
        from tui.screens.denoise.export import process_items

        names = run_labels(self.runs)
        return process_items(self.model, self.runs, labels=names, compute_key=self._compute_key())

    def action_close(self) -> None:
        self.dismiss()

    def action_view(self, view: str) -> None:
        self.view = view
        self.update()

    def action_next_view(self) -> None:
        self.action_view(VIEWS[(VIEWS.index(self.view) + 1) % len(VIEWS)])

    def action_scrub(self, states: int) -> None:
        self._seek(round(self.model.fraction * (self.model.frame_count(self.runs) - 1)) + states)

    def action_jump(self, tenths: int) -> None:
        self._seek(round((self.model.fraction + tenths / 10) * (self.model.frame_count(self.runs) - 1)))

    def action_go(self, fraction: int) -> None:
        self._player.pause()
        self.model.fraction = float(fraction)
        self.update()

    def action_play(self) -> None:
        """Pause, or play from the state shown; from the noise when at the end."""
        if self._player.playing:
            self._player.pause()
        elif self.model.frame_count(self.runs) < 2:
            self.notify("there is nothing to play yet")
        else:
            if self.model.fraction >= 1.0:
                self.model.fraction = 0.0
            self._play()
        self.update()

    def action_speed(self, faster: int) -> None:
        self.speed = min(max(0, self.speed + faster), len(SPEEDS) - 1)
        if self._player.playing:
            self._play()
        self.update()

    def action_start(self, steps: int) -> None:
        """Show other starting noises: scroll the wall, or choose the noise of the strips."""
        if self.view == "images":
            self.query_one("#wall", ImageWall).scroll_rows(steps)
            return
        self.model.noise_index = min(
            max(0, self.model.noise_index + steps), max(0, self.model.noise_count(self.runs) - 1)
        )
        self.update()

    def action_further(self, runs: int) -> None:
        """Scroll to other runs where not all fit."""
        if self.view == "images":
            self.query_one("#wall", ImageWall).scroll_columns(runs)
        else:
            strips = self.query_one("#strips", VerticalScroll)
            strips.scroll_relative(
                y=runs * self.query("#strips > ImageWall").first().size.height, animate=False
            )

    def action_epoch(self, steps: int) -> None:
        if self.model.sampler:
            self.notify(
                "only the last checkpoint can be sampled; strips saved during training have more epochs (m)"
            )
            return
        epochs = sorted({epoch for run in self.runs for epoch, _ in run.strips})
        self.model.epoch = step_epoch(epochs, self.model.epoch, steps)
        self.update()

    def action_sampler(self) -> None:
        self.model.sampler = SAMPLERS[(SAMPLERS.index(self.model.sampler) + 1) % len(SAMPLERS)]
        self.update()

    def action_steps(self, more: int) -> None:
        """Choose another number of steps, with the runs' own sampler where none was chosen yet."""
        if self.runs:
            self._choose_sampler()
            steps = next_steps(self.runs, self.model.sampler, self.model.steps, more)
            if steps == self.model.steps:
                self.notify(f"these runs take no {'more' if more > 0 else 'fewer'} steps", timeout=2)
            self.model.steps = steps
            self.update()

    def action_predicted(self) -> None:
        self.model.predicted = not self.model.predicted
        if not self.model.sampler:
            self.notify("training saves x_t only; enter computes predicted x_0")
        self.update()

    def action_compute(self) -> None:
        """Compute the trajectories that are missing or out of date."""
        runs = self.runs
        if not runs:
            return
        self._choose_sampler()
        stale = self.model.stale_runs(runs)
        missing = [run for run in runs if self.model.trajectory(run) is None or run in stale]
        ready = [run for run in missing if run.run.checkpoint.exists()]
        if ready:
            specs = [trajectory_spec(run, self.model.sampler, self.model.steps) for run in ready]
            self.run_in_background(lambda: self.control.denoise(ready, specs))
        else:
            self.notify("no run has a checkpoint yet" if missing else "all trajectories are computed")
        self.update()

    def action_restore(self) -> None:
        """Open the restore screen with the first run."""
        if runs := self.runs:
            from tui.screens.restore.screen import RestoreScreen

            self.app.push_screen(RestoreScreen(self.control, runs[0].id))

    def _choose_sampler(self) -> None:
        if not self.model.sampler:
            self.model.sampler = self.runs[0].file.config.sample.sampler

    def _play(self) -> None:
        self._player.play(self._frame_seconds)

    @property
    def _frame_seconds(self) -> float:
        """Seconds of a frame: one frame for each state, but not faster than `FRAME_SECONDS`."""
        return max(FRAME_SECONDS, SPEEDS[self.speed] / max(1, self.model.frame_count(self.runs) - 1))

    def _advance(self) -> None:
        self.model.fraction = min(1.0, self.model.fraction + self._frame_seconds / SPEEDS[self.speed])
        if self.model.fraction >= 1.0 - 1e-9:
            self.model.fraction = 1.0
            self._player.pause()
        self.update()

    def _seek(self, index: int) -> None:
        self._player.pause()
        self.model.seek(self.runs, index)
        self.update()


def denoise_hints(screen: Screen[Any], *, playing: bool) -> list[KeyHint]:
    """Return the hints of the key bar, with the keys as they are bound now."""
    words = {
        "denoise.play": "pause" if playing else "play",
        "denoise.forward": "state",
        "denoise.next_view": "view",
        "denoise.later": "epoch",
        "denoise.sampler": "sampler",
        "denoise.steps": "steps",
        "denoise.compute": "compute",
        "denoise.foreseen": "predicted",
        "denoise.restore": "restore",
        "denoise.down": "noises",
        "denoise.faster": "speed",
        "denoise.close": "back",
    }
    return screen_hints(screen, DENOISE, words)
