"""Triangles fitted to images on request, cached beside them, read without torch, and drawn over them."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import EXIT_OK, EXIT_USAGE, UserError
from core.evaluation.triangle_fit.worker import fit_overlay, main
from core.imaging import write_sheet
from core.imaging.outline import draw_outline, filled_triangle
from core.launch.jobs import start_fitting
from core.runs.overlay import overlay_path, pixels_hash, read_overlay, write_overlay
from tests.support.fake_runs import make_run
from tests.support.shapes import real

RED = (200, 20, 30)
DEADLINE = 120.0


def images(count: int = 6, dataset: str = "high") -> NDArray[np.uint8]:
    return (real(count, dataset=dataset)[0][:, 0] * 255).astype(np.uint8)


def by_nearest(corners: Any, wanted: NDArray[np.float64]) -> float:
    """Largest distance of an expected corner to the nearest fitted one, in pixels."""
    found = np.reshape(corners, (3, 2))
    return float(np.linalg.norm(wanted[:, None] - found[None], axis=2).min(axis=1).max())


def test_the_triangle_of_a_image_is_the_one_that_was_drawn() -> None:
    _, corners = real(6)
    overlay = fit_overlay(images())
    assert overlay.edge == "tent"
    fitted = [
        (one, iou, wanted)
        for one, iou, wanted in zip(overlay.corners, overlay.soft_iou, corners, strict=True)
        if one is not None
    ]
    assert len(fitted) >= 4
    for one, iou, wanted in fitted:
        assert iou is not None
        assert iou > 0.98
        assert by_nearest(one, wanted) < 1.0


def test_images_in_colour_are_fitted_and_empty_ones_are_not() -> None:
    some = images(3)
    some[1] = 0
    colour = np.stack([some, np.zeros_like(some), np.zeros_like(some)], axis=3)
    grey, red = fit_overlay(some, "tent"), fit_overlay(colour, "tent")
    assert grey.corners[1] is None
    assert grey.soft_iou[1] is None
    assert red.corners == grey.corners
    assert red.images_hash != grey.images_hash


def test_what_is_no_square_is_refused() -> None:
    with pytest.raises(UserError, match="expected square images, got 16 x 8"):
        fit_overlay(np.zeros((1, 8, 16), np.uint8))


def test_fits_are_kept_beside_their_sheets_and_not_made_again(tmp_path: Path) -> None:
    real_sheet, run = tmp_path / "real.png", make_run(tmp_path, schedule="linear", epoch=1, epochs=1)
    write_sheet(real_sheet, images(6, "array"), columns=3)
    sampled = run.samples / "epoch-0001.png"
    write_sheet(sampled, images(4), columns=2)
    output = overlay_path(run, 1)
    output.parent.mkdir()
    arguments = [str(path) for path in (real_sheet, tmp_path / "real.json", sampled, output)]
    assert main(arguments) == EXIT_OK
    overlay = read_overlay(output, images(4))
    assert overlay is not None
    assert overlay.edge == "area", "as the real ones are drawn, not as the samples happen to be"
    seen = output.stat()
    assert main(arguments) == EXIT_OK
    assert output.stat().st_ino == seen.st_ino
    write_sheet(sampled, images(3), columns=3)
    assert read_overlay(output, images(3)) is None
    assert main(arguments) == EXIT_OK
    assert read_overlay(output, images(3)) is not None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"of": 1}', "\xff"])
def test_what_is_no_overlay_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "epoch-0001.json"
    assert read_overlay(path, images(2)) is None
    path.write_bytes(text.encode("latin-1"))
    assert read_overlay(path, images(2)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"of": "0" * 16},
        {"corners": []},
        {"soft_iou": [0.5]},
        {"soft_iou": [0.5, 1.5]},
        {"soft_iou": [0.5, -1]},
        {"corners": [None, [0, 0, 1, 1, 1e9, 0]]},
        {"corners": [None, [0, 0, 1]]},
        {"edge": "other"},
    ],
    ids=str,
)
def test_an_overlay_of_others_or_with_numbers_that_cannot_be_is_none(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    path, some = tmp_path / "kept.json", images(2)
    write_overlay(path, fit_overlay(some, "tent"))
    assert read_overlay(path, some) is not None
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    assert read_overlay(path, some) is None


def test_a_mark_knows_shape_and_pixels() -> None:
    some = images(2)
    assert pixels_hash(some) == pixels_hash(some.copy())
    assert pixels_hash(some) != pixels_hash(some[::-1])
    assert pixels_hash(some) != pixels_hash(some.reshape(2, 16, 64))


@pytest.mark.parametrize("arguments", [[], ["only-one"]])
def test_without_pairs_of_paths_it_says_how_it_is_used(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == EXIT_USAGE
    assert "usage:" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sheet(tmp_path / "a.png", images(1), columns=1)
    assert main([str(tmp_path / "a.png"), str(tmp_path / "none" / "a.json")]) == EXIT_USAGE
    assert "cannot be written" in capsys.readouterr().err


def test_a_process_of_its_own_fits_and_says_what_went_wrong(tmp_path: Path) -> None:
    sheet, output = tmp_path / "a.png", tmp_path / "new" / "folder" / "a.json"
    write_sheet(sheet, images(2), columns=2)
    good = start_fitting([(sheet, output)])
    bad = start_fitting([(tmp_path / "none.png", tmp_path / "none.json")])
    deadline = time.monotonic() + DEADLINE
    while not (good.ended and bad.ended):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert good.problem == ""
    assert read_overlay(output, images(2)) is not None
    assert bad.problem == f"{tmp_path / 'none.png'}: no such image"
    with pytest.raises(UserError, match="cannot be fitted"):
        start_fitting([(sheet, sheet / "a.json")])


# Drawn


def test_an_outline_is_drawn_over_a_grey_and_over_a_coloured_image() -> None:
    grey = np.full((8, 10), 7, np.uint8)
    drawn = draw_outline(grey, (1.5, 1.5, 8.5, 1.5, 1.5, 6.5), RED)
    assert drawn.shape == (8, 10, 3)
    assert (drawn[1, 1:9] == RED).all()
    assert (drawn[1:7, 1] == RED).all()
    assert (drawn[7] == 7).all()
    assert (drawn[3, 3] == 7).all()
    assert (grey == 7).all()
    assert np.array_equal(
        draw_outline(np.repeat(grey[..., None], 3, 2), (1.5, 1.5, 8.5, 1.5, 1.5, 6.5), RED), drawn
    )


def test_what_lies_outside_is_cut_off() -> None:
    drawn = draw_outline(np.zeros((4, 4), np.uint8), (-1e6, -1e6, 1e6, -1e6, -1e6, 1e6), RED)
    assert drawn.shape == (4, 4, 3)
    partly = draw_outline(np.zeros((4, 4), np.uint8), (-3.0, 2.5, 9.0, 2.5, 9.0, 30.0), RED)
    assert (partly[2] == RED).all()
    assert (partly[:2] == 0).all()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_a_filled_triangle_has_the_area_of_its_corners_whichever_way_they_turn(
    order: tuple[int, ...],
) -> None:
    corners = np.array([(2.0, 3.0), (50.0, 8.0), (20.0, 60.0)])[list(order)]
    white = filled_triangle(corners.ravel().tolist(), 64, 70)
    assert white.shape == (64, 70)
    assert white.sum() / 255 == pytest.approx(1323, abs=3)
    assert white[20, 20] == 255
    assert white[60, 60] == 0


def test_a_sliver_is_a_faint_line_without_gaps() -> None:
    line = filled_triangle((1.0, 1.0, 31.0, 30.0, 30.0, 31.0), 32, 32)
    assert (line.max(axis=0)[3:30] > 0).all()
    assert (line.max(axis=0)[3:10] < 255).all()
