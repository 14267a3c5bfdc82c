"""Files below a folder of images: links are followed once, and outputs of this program are left out and counted."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data import ImageSet, load_dataset
from core.data.folder import image_files, list_folder
from core.data.walk import BROKEN_LINKS, CIRCULAR_LINKS, OUTPUTS, is_output
from core.errors import UserError
from core.figures.style import save
from core.imaging import write_sheet
from core.runs import RunDirectory
from tests.support.fake_runs import make_run
from tui.export import image_files as exports
from tui.widgets.images.image_wall import WallColumn


def names(folder: Path) -> set[str]:
    return {name for name, _, _ in image_files(folder, leave_out=folder / "datasets")}


def left_out(folder: Path) -> dict[str, int]:
    return dict(list_folder(folder, leave_out=folder / "datasets").left_out)


def images_in(folder: Path, count: int = 3) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def sheet(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_sheet(path, np.zeros((2, 8, 8), np.uint8), columns=2)
    return path


def test_class_folders_that_are_links_are_followed(tmp_path: Path) -> None:
    images = images_in(tmp_path / "images")
    images_in(tmp_path / "elsewhere" / "cats")
    (images / "cats").symlink_to(tmp_path / "elsewhere" / "cats")
    (images / "link.png").symlink_to(tmp_path / "elsewhere" / "cats" / "0.png")
    assert names(images) == {"0.png", "1.png", "2.png", "link.png", "cats/0.png", "cats/1.png", "cats/2.png"}
    assert left_out(images) == {}


def test_links_that_lead_back_are_counted_and_end_no_walk(tmp_path: Path) -> None:
    images = images_in(tmp_path / "images")
    images_in(images / "real", 1)
    for name, target in {"self": images, "above": tmp_path, "again": images / "real"}.items():
        (images / name).symlink_to(target)
    (images / "real" / "up").symlink_to("..")
    (images / "gone").symlink_to(images / "nowhere")
    assert names(images) == {"0.png", "1.png", "2.png", "real/0.png"}
    assert left_out(images) == {CIRCULAR_LINKS: 4, BROKEN_LINKS: 1}


def test_a_real_folder_keeps_its_name_beside_a_link_to_it(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images_in(images / "z", 1)
    (images / "a").symlink_to("z")
    assert names(images) == {"z/0.png"}


def test_the_data_folder_is_left_out_behind_a_link_too(tmp_path: Path) -> None:
    images = images_in(tmp_path / "images", 1)
    images_in(tmp_path / "made", 2)
    (images / "datasets").symlink_to(tmp_path / "made")
    assert names(images) == {"0.png"}


def test_outputs_of_this_program_are_left_out_and_counted(tmp_path: Path) -> None:
    images = images_in(tmp_path / "images")
    run = make_run(images / "runs", epochs=2)
    assert isinstance(run, RunDirectory)
    in_run = sum(len(list(folder.iterdir())) for folder in (run.samples, run.reverse) if folder.exists())
    others = [
        sheet(images / "samples-x.png"),
        sheet(images / "denoised-x.png"),
        sheet(images / "old" / "epoch-1.png"),
    ]
    wall = np.zeros((1, 8, 8), np.uint8)
    (images / "exports" / "compare-1").mkdir(parents=True)
    for name, data in {
        "wall.png": exports.png(wall[0]),
        "wall.gif": exports.gif(lambda _: [[WallColumn("", wall)]], [0, 1]),
    }.items():
        others.append(images / "exports" / "compare-1" / name)
        others[-1].write_bytes(data)
    assert names(images) == {"0.png", "1.png", "2.png"}
    assert left_out(images)[OUTPUTS] >= in_run + len(others)


def test_figures_are_left_out_and_images_of_the_users_in_such_folders_are_not(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    images = images_in(tmp_path / "images")
    images_in(images / "figures", 1)
    save(Figure(figsize=(1, 1)), images / "figures" / "6.7-losses.png", title="Losses", caption="c" * 5000)
    assert names(images) == {"0.png", "1.png", "2.png", "figures/0.png"}
    assert left_out(images) == {OUTPUTS: 1}


def test_exports_of_older_versions_are_known_by_their_screenshots(tmp_path: Path) -> None:
    images = images_in(tmp_path / "images")
    old = images_in(images / "exports" / "board-1", 1)
    (old / "screen.svg").write_text("<svg/>")
    (old / "screen.png").write_bytes((old / "0.png").read_bytes())
    assert names(images) == {"0.png", "1.png", "2.png"}
    assert left_out(images) == {OUTPUTS: 3}


def test_a_sheet_of_any_name_is_skipped_when_the_images_are_loaded(tmp_path: Path) -> None:
    images = images_in(tmp_path / "images", 5)
    sheet(images / "my best.png")
    made = load_dataset(str(images), data_dir=tmp_path / "data")
    assert len(made.train) + len(made.heldout) == 5
    assert made.notes[0] == f"1 of 6 files were skipped: 1 {OUTPUTS}"


def test_own_outputs_do_not_change_the_set_of_a_folder_one_works_in(tmp_path: Path) -> None:
    images = images_in(tmp_path / "images", 5)
    before = load_dataset(str(images), data_dir=images / "datasets")
    make_run(images / "runs", epochs=1)
    sheet(images / "samples-x.png")
    after: ImageSet = load_dataset(str(images), data_dir=images / "datasets")
    assert (after.path, after.fingerprint) == (before.path, before.fingerprint)
    assert before.notes == ("all images are 8x8, which is kept; size in a data recipe sets another size",)
    assert any(OUTPUTS in note for note in after.notes)


def test_a_folder_of_nothing_but_outputs_is_refused_with_the_reason(tmp_path: Path) -> None:
    sheet(tmp_path / "samples" / "epoch-0001.png")
    with pytest.raises(UserError, match="none of its files can be used; 1 file is left out: outputs of runs"):
        image_files(tmp_path / "samples", leave_out=tmp_path / "data")


@pytest.mark.parametrize(
    "data", [b"", b"GIF8", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n\xff\xff\xff\xfftEXt"]
)
def test_damaged_files_are_no_outputs(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.png").write_bytes(data)
    assert not is_output(tmp_path / "x.png")
    assert not is_output(tmp_path / "missing.png")


@pytest.mark.skipif(sys.platform == "darwin", reason="names on macOS are always Unicode")
def test_names_that_are_not_text_are_listed(tmp_path: Path) -> None:
    images = images_in(tmp_path / "images", 1)
    (images / "a\udcff.png").write_bytes((images / "0.png").read_bytes())
    assert len(names(images)) == 2
    assert Counter(left_out(images)) == Counter()
