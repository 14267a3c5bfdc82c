"""From noise to picture, alive: the same noises under each run, state by state."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from tui.commands import DENOISE, bindings
from tui.messages import SnapshotTaken
from tui.screens.denoise.model import SAMPLERS, DenoiseModel
from tui.settings.series_colors import series_style
from tui.state.formatting import pluralize, run_indices, run_labels
from tui.state.run_controller import RunController
from tui.state.snapshot import RunSnapshot, Snapshot
from tui.state.trajectories import step_choices, trajectory_spec
from tui.textual_ext.background import BackgroundScreen
from tui.textual_ext.playback import Player
from tui.textual_ext.signals import subscribe_weakly
from tui.widgets.epoch_slider import moved
from tui.widgets.images.image_wall import ImageWall, plan
from tui.widgets.images.render_mode import on_keymap_changed, on_render_mode_changed, render_mode_of
from tui.widgets.key_bar import Hint, KeyBar
from tui.widgets.key_hints import keys_of, screen_hints
from tui.widgets.scrubber import Scrubber
from tui.widgets.title_bar import say, title_and_tabs

if TYPE_CHECKING:
    from tui.export.item import ExportItem

VIEWS: Final = ("pictures", "strips")
SPEEDS: Final = (40.0, 20.0, 10.0, 5.0, 2.0)
"""Seconds from noise to picture."""
FRAME_SECONDS: Final = 0.1
POLL_SECONDS: Final = 0.5
EMPTY_LINES: Final = 3


class DenoiseScreen(BackgroundScreen):
    """Plays the reverse process of several runs at the same time, from the same starting noises.

    Where a run has no trajectory of the sampler and the number of steps that are asked for, it can be computed.

    Args:
        control: of the runs folder.
        run_ids: the runs, in their order.
    """

    CSS_PATH = "screen.tcss"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(DENOISE)]

    def __init__(self, control: RunController, run_ids: Sequence[str]) -> None:
        super().__init__()
        self.control = control
        self.run_ids = tuple(run_ids)
        self.snapshot = Snapshot()
        self.view = VIEWS[0]
        self.shown = DenoiseModel()
        self.speed = 3
        self._player = Player(self, self._advance)

    def compose(self) -> ComposeResult:
        yield Static(id="top")
        yield Static(id="facts")
        with Container(id="body"):
            yield ImageWall(id="wall")
            with VerticalScroll(id="strips", can_focus=False):
                for _ in self.run_ids:
                    yield ImageWall()
            yield Static("these runs are no longer here", id="gone")
        yield Scrubber(id="slider")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self.snapshot = getattr(self.app, "snapshot", None) or Snapshot()
        subscribe_weakly(self, self.app.theme_changed_signal, self.update)
        on_render_mode_changed(self, self.update)
        on_keymap_changed(self, self.update)
        self.set_interval(POLL_SECONDS, self.update)
        self.update()

    def on_resize(self, event: events.Resize) -> None:
        self.update()

    def on_screen_resume(self) -> None:
        self.update()

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        self.snapshot = message.snapshot

    def on_scrubber_sought(self, message: Scrubber.Sought) -> None:
        self._go(message.place)

    @property
    def runs(self) -> list[RunSnapshot]:
        """The runs that are still there."""
        found = (self.snapshot.find(run_id) for run_id in self.run_ids)
        return [run for run in found if run is not None]

    def update(self) -> None:
        """Bring the screen in line with the runs, the place and the size; draws only what changed."""
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
        columns = [column for one in named for column in self.shown.beside(*one, compute_key=key)]
        self.query_one("#wall", ImageWall).show(columns)

    def _update_strips(self, named: Sequence[tuple[RunSnapshot, str, str]]) -> None:
        """One wall a run, each as high as its pictures; with what was foreseen where there is room for all."""
        key, width = self._compute_key(), self.size.width
        for both in (True, False):
            strips = [self.shown.strip(*one, width, compute_key=key, both=both) for one in named]
            rows = [max(0 if one.images is None else len(one.images) for one in strip) for strip in strips]
            lines = [
                count * plan(one, width, render_mode_of(self).zoom).lines
                for one, count in zip(strips, rows, strict=True)
            ]
            heights = [1 + one if one else EMPTY_LINES for one in lines]
            if sum(heights) <= self.query_one("#strips").size.height:
                break
        for place, wall in enumerate(self.query("#strips > ImageWall").results(ImageWall)):
            wall.display = place < len(strips)
            if wall.display:
                wall.show(strips[place], first_row=0)
                wall.styles.height = heights[place]

    def _update_bars(self, runs: Sequence[RunSnapshot]) -> None:
        datasets = ", ".join(dict.fromkeys(run.data_title for run in runs))
        told = f"{pluralize(len(runs), 'run')} · {datasets}" if runs else ""
        tabs = [(str(place), name) for place, name in enumerate(VIEWS, start=1)]
        width, playing = self.size.width, self._player.playing
        say(self.query_one("#top", Static), title_and_tabs("denoise", told, tabs, self.view, width))
        facts = self.shown.facts(runs, strips=self.view == "strips", compute_key=self._compute_key())
        say(self.query_one("#facts", Static), facts.truncate(width, ellipsis=True))
        self.query_one(KeyBar).show(denoise_hints(self, playing=playing))
        slider, longest = self.query_one(Scrubber), self.shown.longest(runs)
        if longest is None:
            slider.put(0, 0, head="nothing to play yet")
            return
        place, most = self.shown.place(longest), longest.timesteps[0]
        head = f"t {str(longest.timesteps[place]).rjust(len(str(most)))} of {most}"
        tail = f"{'▶' if playing else ' '} in {SPEEDS[self.speed]:g} s"
        slider.put(place, len(longest.timesteps), head=head, tail=f"{tail:10}", lit=playing)

    def _compute_key(self) -> str:
        return keys_of(self).get("denoise.compute", ["enter"])[0]

    def exports(self) -> "list[ExportItem]":
        """The process of all runs."""
        from tui.screens.denoise.export import process_items

        names = run_labels(self.runs)
        return process_items(self.shown, self.runs, labels=names, compute_key=self._compute_key())

    def action_close(self) -> None:
        self.dismiss()

    def action_view(self, view: str) -> None:
        self.view = view
        self.update()

    def action_next_view(self) -> None:
        self.action_view(VIEWS[(VIEWS.index(self.view) + 1) % len(VIEWS)])

    def action_scrub(self, states: int) -> None:
        self._go(round(self.shown.share * (self.shown.frames(self.runs) - 1)) + states)

    def action_jump(self, tenths: int) -> None:
        self._go(round((self.shown.share + tenths / 10) * (self.shown.frames(self.runs) - 1)))

    def action_go(self, share: int) -> None:
        self._player.pause()
        self.shown.share = float(share)
        self.update()

    def action_play(self) -> None:
        """Play from where it stands, from the noise when at the end; or pause."""
        if self._player.playing:
            self._player.pause()
        elif self.shown.frames(self.runs) < 2:
            self.notify("there is nothing to play yet")
        else:
            if self.shown.share >= 1.0:
                self.shown.share = 0.0
            self._play()
        self.update()

    def action_speed(self, faster: int) -> None:
        self.speed = min(max(0, self.speed + faster), len(SPEEDS) - 1)
        if self._player.playing:
            self._play()
        self.update()

    def action_start(self, further: int) -> None:
        """Other starting noises: scrolled side by side, chosen for the strips."""
        if self.view == "pictures":
            self.query_one("#wall", ImageWall).scroll_rows(further)
            return
        self.shown.start = min(max(0, self.shown.start + further), max(0, self.shown.starts(self.runs) - 1))
        self.update()

    def action_further(self, runs: int) -> None:
        """Other runs, where not all have room."""
        if self.view == "pictures":
            self.query_one("#wall", ImageWall).scroll_columns(runs)
        else:
            strips = self.query_one("#strips", VerticalScroll)
            strips.scroll_relative(
                y=runs * self.query("#strips > ImageWall").first().size.height, animate=False
            )

    def action_epoch(self, further: int) -> None:
        if self.shown.sampler:
            self.notify("only the last checkpoint can be computed; what the training kept has more (m)")
            return
        epochs = sorted({epoch for run in self.runs for epoch, _ in run.strips})
        self.shown.epoch = moved(epochs, self.shown.epoch, further)
        self.update()

    def action_sampler(self) -> None:
        self.shown.sampler = SAMPLERS[(SAMPLERS.index(self.shown.sampler) + 1) % len(SAMPLERS)]
        self.update()

    def action_steps(self, more: int) -> None:
        """Another number of steps, of the runs' own sampler where none was chosen yet."""
        if self.runs:
            self._choose_sampler()
            choices = step_choices(self.runs)
            at = choices.index(self.shown.steps) if self.shown.steps in choices else 0
            self.shown.steps = choices[(at + more) % len(choices)]
            self.update()

    def action_predicted(self) -> None:
        self.shown.predicted = not self.shown.predicted
        if not self.shown.sampler:
            self.notify("a training keeps x_t alone; enter computes the rest")
        self.update()

    def action_compute(self) -> None:
        """Have computed what is missing or out of date."""
        runs = self.runs
        if not runs:
            return
        self._choose_sampler()
        stale = self.shown.stale(runs)
        wanted = [run for run in runs if self.shown.trajectory(run) is None or run in stale]
        able = [run for run in wanted if run.run.checkpoint.exists()]
        if able:
            specs = [trajectory_spec(run, self.shown.sampler, self.shown.steps) for run in able]
            self.run_in_background(lambda: self.control.denoise(able, specs))
        else:
            self.notify("no run has a checkpoint yet" if wanted else "all of it is computed")
        self.update()

    def _choose_sampler(self) -> None:
        if not self.shown.sampler:
            self.shown.sampler = self.runs[0].file.config.sample.sampler

    def _play(self) -> None:
        self._player.play(self._frame_seconds)

    @property
    def _frame_seconds(self) -> float:
        """A frame a state, where that is not too fast."""
        return max(FRAME_SECONDS, SPEEDS[self.speed] / max(1, self.shown.frames(self.runs) - 1))

    def _advance(self) -> None:
        self.shown.share = min(1.0, self.shown.share + self._frame_seconds / SPEEDS[self.speed])
        if self.shown.share >= 1.0 - 1e-9:
            self.shown.share = 1.0
            self._player.pause()
        self.update()

    def _go(self, place: int) -> None:
        self._player.pause()
        self.shown.go(self.runs, place)
        self.update()


def denoise_hints(screen: Screen[Any], *, playing: bool) -> list[Hint]:
    """The key bar, with the keys as they are bound now."""
    words = {
        "denoise.play": "pause" if playing else "play",
        "denoise.forward": "state",
        "denoise.next_view": "view",
        "denoise.later": "epoch",
        "denoise.sampler": "sampler",
        "denoise.steps": "steps",
        "denoise.compute": "compute",
        "denoise.foreseen": "foreseen",
        "denoise.down": "noises",
        "denoise.faster": "speed",
        "denoise.close": "back",
    }
    return screen_hints(screen, DENOISE, words)
