"""The view of a comparison that says why runs are worse, and the key that explains runs."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.runs import ProcessIdentity, RunDirectory
from core.runs.interventions import write_interventions
from core.runs.progress import EvaluationProgress, write_evaluation_progress
from tests.support.fake_groups import comparison
from tests.support.tui_pilot import dashboard, make_app
from tests.tui.test_compare import compare, compared
from tests.tui.test_evaluations import read
from tests.unit.core.comparison.test_explain import subject
from tui.screens.compare.screen import CompareScreen
from tui.state.explanations import Explanations
from tui.terminal.encoding import ASCII_SUBSTITUTES

WAYS: tuple[dict[str, float], ...] = (
    {},
    {"own": 0.88},
    {"own": 0.4, "images": 0.43},
    {"own": 0.2, "finer": 0.25},
)
"""The best run, one like it, one sampled in too few steps, and one with a broken start."""


def keep(run: RunDirectory, variants: dict[str, float] | None = None, **changes: Any) -> None:
    """Keep interventions with a run, as they are after its last epoch."""
    config = run.read().config
    sampling = msgspec.json.decode(msgspec.json.encode(config.sample))
    made = subject(config.schedule.name, variants).interventions  # type: ignore[arg-type]  # names
    write_interventions(run, msgspec.structs.replace(made, **{"epoch": 40, "sampling": sampling} | changes))


def explained(root: Path) -> list[RunDirectory]:
    """Five runs with checkpoints, of which the last one is not explained."""
    runs = comparison(root, "finished", clean=True)
    for run in runs:
        run.checkpoint.parent.mkdir(exist_ok=True)
        run.checkpoint.touch()
    for run, variants in zip(runs, WAYS, strict=False):
        keep(run, variants)
    return runs


def is_loaded(screen: CompareScreen) -> bool:
    return bool(screen.explanations.explained.labels) and not screen.why_changed()


async def test_the_view_names_causes_and_enter_explains_the_runs_that_lack_them(tmp_path: Path) -> None:
    runs = explained(tmp_path)
    keep(runs[1], WAYS[1], epoch=30)
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await compare(driven)
        await driven.press("5")
        await driven.until(lambda: "5 x^10: not explained yet" in driven.text())
        text = driven.text()
        assert "2 sine: explained at epoch 30, trained to epoch 40" in text
        assert "⏎ explains 2 runs" in text
        assert "4 x^2: misses" in text
        assert not screen.query_one("#slider").display
        rows = [line.split() for line in text.splitlines()[2:6]]
        assert [row[1] for row in rows] == ["linear", "sine", "x^1.5", "x^2"]
        bars = [row[-1] for row in rows[2:]]
        assert bars[0].count("═") > len(bars[0]) * 0.8
        assert bars[1].count("█") > len(bars[1]) * 0.8
        await driven.press("pagedown")
        await driven.until(lambda: "is the start of sampling" in driven.text())
        await driven.press("enter")
        await driven.until(lambda: driven.control.explained)
        ((labels, like),) = driven.control.explained
        assert labels == ["sine", "x^10"]
        assert like is not None
        assert like.count == 256
        assert driven.control.evaluated == []
        progress = EvaluationProgress(identity=ProcessIdentity.current(), doing="sampling", done=1, total=4)
        write_evaluation_progress(runs[4], progress)
        await driven.press("pageup")
        await driven.until(lambda: "at work:  5 sampling 25%" in driven.text())
        assert "explains 1 run," in driven.text()
        keep(runs[1], WAYS[1])
        keep(runs[4], {"own": 0.05})
        (runs[4].path / "evaluating.json").unlink()
        await driven.until(lambda: "5 x^10" in driven.text().splitlines()[6] and is_loaded(screen))
        await driven.press("enter")
        assert any("all runs are explained" in message for message in driven.notifications())


def test_only_runs_sampled_alike_are_compared_and_the_others_are_said(tmp_path: Path) -> None:
    runs = explained(tmp_path)
    keep(runs[0], seed=3, created="2025-01-01T00:00:00Z")
    keep(runs[1], sampling={"steps": 7})
    keep(runs[4], epoch=41)
    runs[2].checkpoint.unlink()
    (runs[2].path / "interventions.json").write_text("{")
    found, explanations = read(tmp_path), Explanations()
    labels = {run.id: run.label for run in found}
    assert not explanations.is_current(found, labels)
    explanations.load(found, labels)
    assert explanations.is_current(found, labels)
    (explanation,) = explanations.explained.explanations.values()
    assert {run.label for run in explanation.runs} == {"sine", "x^2", "x^10"}
    assert [explanations.explained.reasons.get(run.id, "") for run in found] == [
        "explained from 256 samples of seed 3, others from 256 of seed 0",
        "explained with other settings of its sampling",
        "has no checkpoint yet",
        "",
        "",
    ]
    ((members, like),) = explanations.missing(found, {found[1].id})
    assert [run.label for run in members] == ["linear"]
    assert like is not None
    assert like.seed == 0


@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
def test_explained_runs_look_as_they_did(
    snap_compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    explained(tmp_path)

    async def until_explained(pilot: Any) -> None:
        await compared("5")(pilot)
        while not is_loaded(pilot.app.screen):
            await pilot.pause(0.01)
        pilot.app.screen.update()
        await pilot.pause()

    assert snap_compare(make_app(tmp_path), terminal_size=size, run_before=until_explained)


def test_the_parts_of_a_bar_differ_in_ascii_too() -> None:
    from tui.screens.compare.why_panel import PART_SIGNS

    assert len({sign.translate(ASCII_SUBSTITUTES) for sign, _ in PART_SIGNS.values()}) == 3
