"""Figures are distinguishable by every kind of colour vision, sharp, safe with any text, and the same each time."""

import io
import itertools
import re

import numpy as np
import pytest
from PIL import Image

from core.figures import layout, quality, samples, save, style
from core.schedules import SCHEDULE_NAMES
from tests.support.evaluated_runs import figure_bytes, make_run_grid, read_figure_data
from tests.support.fake_images import fake_images

TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
# Machado, Oliveira & Fernandes 2009, severity 1.
VISIONS = {
    "trichromat": np.eye(3),
    "protanope": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranope": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanope": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(color: str, vision: str) -> np.ndarray:
    """CIE Lab of a colour as a kind of eye sees it."""
    srgb = np.array([int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.array(VISIONS[vision]) @ linear, 0, 1) / [0.95047, 1.0, 1.08883]
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISIONS)
def test_the_colours_of_the_five_schedules_stay_apart_for_every_kind_of_eye(vision):
    seen = [lab(style.schedule_style(name).color, vision) for name in SCHEDULE_NAMES]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15
    # And each from the white paper.
    assert max(colour[0] for colour in seen) < 70


def test_colour_is_not_the_only_sign_of_a_schedule():
    looks = [style.schedule_style(name) for name in SCHEDULE_NAMES]
    assert len({look.dashes for look in looks}) == len({look.marker for look in looks}) == len(looks)
    variants = [style.schedule_style("linear", variant) for variant in range(3)]
    assert len({look.color for look in variants}) == 1
    assert len({(look.dashes, look.hollow) for look in variants}) == 3


def test_powers_are_raised_and_nothing_else_is_taken_for_mathematics():
    assert style.typeset("x^1.5, zero SNR") == "$x^{1.5}$, zero SNR"
    assert style.typeset(r"$\frac{1}{$") == r"\$\frac{1}{\$"
    assert style.typeset("prefix^2") == "prefix^2"
    assert style.typeset("\x1b[31mred\n\ud800漢") == "red ??"
    assert len(style.printable_line("a" * 500)) == style.MAX_TEXT_LENGTH


@pytest.mark.parametrize("name", ["$", r"\$x^{", "_^{}%#&~", "漢字 x^2 $y$", "", "x^1.5.5"])
def test_any_text_can_be_drawn_and_measured(name):
    with style.house_style():
        figure = layout.tile_figure([layout.TileRow(name, [fake_images(1)[0]])])
        assert layout.text_width(style.typeset(name)) >= 0
        assert figure_bytes(figure, "svg").startswith(b"<?xml")


def test_the_users_matplotlib_settings_are_neither_used_nor_changed():
    import matplotlib

    with matplotlib.rc_context({"font.size": 30.0}):
        with style.house_style():
            assert matplotlib.rcParams["font.size"] == 8.0
        assert matplotlib.rcParams["font.size"] == 30.0


def test_images_are_laid_on_whole_pixels_so_that_none_is_blurred():
    tiles = fake_images(2, clarity=0.5)
    with style.house_style():
        figure = layout.tile_figure(
            [layout.TileRow("linear", list(tiles)), layout.TileRow("sine", list(tiles))], ["a", "b"]
        )
    image = np.asarray(Image.open(io.BytesIO(figure_bytes(figure, "png"))).convert("L"))
    side = 32 * 6
    top, left = image.shape[0] - 2 * side - 12, image.shape[1] - 2 * side - 12
    expected = tiles[0].repeat(6, axis=0).repeat(6, axis=1)
    np.testing.assert_array_equal(image[top : top + side, left : left + side], expected)
    assert (image[top : top + side, left + side : left + side + 6] == 255).all()


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_same_runs_give_the_same_bytes_and_nothing_tells_the_day(tmp_path, kind):
    make_run_grid(tmp_path, names=("linear",), evaluated=True, epochs=1)

    def draw() -> list[bytes]:
        data = read_figure_data(tmp_path)
        with style.house_style():
            chosen = [
                quality.draw_family(data, quality.metric_families()[0])[0],
                samples.draw_samples(data.on("high"))[0],
            ]
        return [figure_bytes(figure, kind) for figure in chosen]

    first, second = draw(), draw()
    assert first == second
    for data in first:
        assert not re.search(rb"CreationDate|<dc:date>|ModDate", data)
        assert b"ddpm-tui" in data


def test_a_file_says_what_it_shows_and_what_made_it(tmp_path):
    with style.house_style():
        figure = layout.tile_figure([layout.TileRow("linear", list(fake_images(1)))])
    save(figure, tmp_path / "one.png", title="A triangle", caption="After 3 epochs. Not a good one.")
    with Image.open(tmp_path / "one.png") as image:
        notes = image.info
    assert (notes["Title"], notes["Description"]) == ("A triangle", "After 3 epochs. Not a good one.")
    assert re.fullmatch(r"ddpm-tui \S+, matplotlib \S+", notes["Software"])
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]
