"""Details of runs on the board: what they say, and that it fits."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from core.config.trained_with import TrainedWith
from core.schedules import make_schedule
from tests.support.fake_runs import dashboard_run
from tests.unit.tui.screens.test_board_parts import read
from tui.screens.board.details import RunDetails, broad_lines, narrow_lines
from tui.state.snapshot import RunSnapshot


def details_of(run: RunSnapshot, **keywords: object) -> RunDetails:
    return RunDetails(run=run, label=run.label, marker="1", color="#56B4E9", **keywords)  # type: ignore[arg-type]  # as given


@pytest.mark.parametrize("schedule", ["linear", "x^2", "x^10", "nonsense"])
def test_details_fit_their_panel(tmp_path: Path, schedule: str) -> None:
    run = dashboard_run(tmp_path, "linear", epoch=3)
    file = run.read()
    config = msgspec.structs.replace(
        file.config, schedule=msgspec.structs.replace(file.config.schedule, name=schedule)
    )
    run.write_run_file(msgspec.structs.replace(file, config=config))
    details = details_of(read(tmp_path)[0], epochs=(1, 2, 3), shown_epoch=3, requested_epoch=3)
    for width in range(13, 44):
        assert all(line.cell_length <= width for line in narrow_lines(details, width, 99))
    for width in range(44, 200, 7):
        assert all(line.cell_length <= width for line in broad_lines(details, width, 9))


def test_details_name_abar_t_and_what_it_means(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "x^10", epoch=3)
    text = "\n".join(line.plain for line in broad_lines(details_of(read(tmp_path)[0]), 160, 9))
    assert f"abar_T {make_schedule('x^10').terminal_alpha_bar:.2g}" in text
    assert "bad:" in text


@pytest.mark.parametrize(("width", "height"), [(95, 4), (95, 9), (60, 4), (44, 5), (20, 20), (14, 16)])
def test_details_say_that_images_were_skipped_beside_the_verdict(
    tmp_path: Path, width: int, height: int
) -> None:
    run = dashboard_run(tmp_path, "linear", epoch=3)
    notes = ("8 of 16 files were skipped: 5 not an image, 3 damaged", "\x1b]0;owned\x07two are alike")
    trained_with = TrainedWith(train=7, heldout=1, channels=3, size=32, notes=notes)
    run.write_status(msgspec.structs.replace(run.read_status(), trained_with=trained_with))
    details = details_of(read(tmp_path)[0], epochs=(1, 2, 3), shown_epoch=3, requested_epoch=3)
    lines = (narrow_lines if width < 44 else broad_lines)(details, width, height)
    assert (len(lines) <= height, max(line.cell_length for line in lines) <= width) == (True, True)
    text = " ".join(" ".join(line.plain for line in lines).split())
    assert ("8 of 16" in text, "\x1b" in text) == (True, False)
    assert "ends in noise" in text or "good: " in text
    assert ("7 training images" in text) == (width >= 44 and height >= 6)


def test_details_show_what_fits_rather_than_half_of_a_sentence(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "x^10", epoch=3)
    details = details_of(read(tmp_path)[0], epochs=(1, 2, 3), shown_epoch=3, requested_epoch=3)
    for height in (4, 5, 9):
        lines = [line.plain.strip() for line in broad_lines(details, 60, height)]
        assert len(lines) <= height
        assert lines[-1].endswith("of the image left at T" if height < 9 else "or more timesteps")


def test_details_say_since_when_a_run_has_become_no_better(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", epoch=7)
    run = read(tmp_path)[0]
    first = run.epochs[0]
    epochs = tuple(
        msgspec.structs.replace(first, epoch=number, heldout=loss)
        for number, loss in enumerate((0.5, 0.2, 0.3, 0.31, 0.3, 0.31, 0.3), start=1)
    )
    details = details_of(replace(run, epochs=epochs))
    for lines in (narrow_lines(details, 40, 30), broad_lines(details, 100, 9)):
        text = " ".join(" ".join(line.plain for line in lines).split())
        assert "no better since epoch 2, worse beyond noise" in text
    assert "no better" not in str(broad_lines(details_of(replace(run, epochs=epochs[:3])), 100, 9))
