"""`core restore` and `core sample --between`, with a run that was never trained."""

import json

import numpy as np
import pytest
from PIL import Image

from core.cli.degradation import read_masks
from core.cli.main import run as run_command
from core.imaging import read_sheet
from tests.cli.test_denoise import make_untrained

SIZE = 8


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("restore")
    make_untrained(root / "runs", size=SIZE, sampler="ddim", steps=2)
    return root / "runs"


@pytest.fixture
def folder(runs, tmp_path, monkeypatch):
    """A folder with a square on black, and a mask without its right half."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    image = np.zeros((SIZE, SIZE), np.uint8)
    image[2:6, 2:6] = 255
    Image.fromarray(image).save("mine.png")
    mask = np.full((SIZE, SIZE), 255, np.uint8)
    mask[:, 4:] = 0
    Image.fromarray(mask).save("mask.png")
    return tmp_path


def restore(runs, *arguments):
    return run_command(["restore", "latest", *arguments, "--runs", str(runs), "--steps", "2", "--count", "2"])


def test_answers_mean_and_spread_stand_beside_each_image(runs, folder, capsys):
    assert restore(runs, "mine.png", "mine.png", "--mask", "mask.png", "--live") == 0
    path = capsys.readouterr().out.strip()
    assert path.startswith("restored-")
    sheet = read_sheet(folder / path)
    assert (len(sheet.images), sheet.columns) == (10, 5)
    assert {"degradation": "mask mask.png", "method": "repaint", "answers": "2"}.items() <= sheet.meta.items()
    assert sheet.meta["calls"] == sheet.meta["of"] == "2"
    shown, first, second, mean, spread = sheet.images[:5]
    image = np.asarray(Image.open("mine.png"))
    for answer in (first, second, mean):
        np.testing.assert_array_equal(answer[:, :4], image[:, :4])
    np.testing.assert_array_equal(shown[:, :4], image[:, :4])
    assert (shown[:, 4:] == 128).all()
    assert (spread[:, :4] == 0).all()
    assert spread[:, 4:].any()
    np.testing.assert_allclose(mean, (first.astype(float) + second) / 2, atol=1)


@pytest.mark.parametrize(
    ("options", "method"),
    [
        (("--mask", "4,0,4,8"), "repaint"),
        (("--mask", "4,0,4,8", "--noise", "0.1"), "pigdm"),
        (("--down", "2", "--noise", "0.1"), "pigdm"),
        (("--down", "2", "--method", "ddnm"), "ddnm"),
        (("--jpeg", "10"), "pigdm"),
        (("--blur", "1"), "pigdm"),
        (("--noise", "auto"), "denoise"),
    ],
)
def test_clean_images_are_degraded_and_measured(runs, folder, capsys, options, method):
    assert restore(runs, "mine.png", *options, "--degrade", "--json", "--out", "r.png") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["method"], found["count"], found["shape"]) == (method, 2, [1, SIZE, SIZE])
    (one,) = found["images"]
    assert len(one["psnr_answers"]) == len(one["ssim_answers"]) == 2
    assert {"psnr_degraded", "psnr_mean", "ssim_mean", "spread", "noise"} <= one.keys()
    sheet = read_sheet(folder / "r.png")
    assert sheet.columns == 6
    np.testing.assert_array_equal(sheet.images[0], np.asarray(Image.open("mine.png")))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ((), "expected --mask, --noise, --down, --blur or --jpeg"),
        (("--down", "2", "--jpeg", "9"), "--down, --jpeg: expected one of them"),
        (("--down", "3"), "--down 3: expected a factor of 2 or more that divides 8"),
        (("--noise", "much"), "--noise much: expected auto, or a standard deviation"),
        (("--noise", "auto", "--down", "2"), "give a number beside --down"),
        (("--mask", "9,0,1,1"), "x,y,w,h of a box inside the 8x8 pixels"),
        (("--mask", "0,0,8,8"), "everything is missing"),
        (("--mask", "no.png"), "--mask no.png: no such file, and no box"),
        (("--mask", "notes.txt"), "--mask notes.txt: not an image"),
        (("--mask", "--1,0,3,3"), "no such file, and no box"),
        (("--mask", "²,0,3,3"), "no such file, and no box"),
        (("--blur", "1e300"), "at most 8, got 1e+300"),
        (("--noise", "0.1", "--out", "mine.png"), "--out mine.png: is mine.png, which would be lost"),
        (("--mask", "mask.png", "--out", "./mask.png"), "is mask.png, which would be lost"),
        (("--jpeg", "0"), "from 1 to 100, got 0"),
        (("--blur", "1", "--method", "repaint"), "missing pixels only"),
    ],
)
def test_a_mistake_is_one_line(runs, folder, capsys, options, text):
    (folder / "notes.txt").write_text("none")
    assert restore(runs, "mine.png", *options) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert text in error[0]


def sample(runs, *arguments):
    return run_command(["sample", "latest", *arguments, "--runs", str(runs), "--steps", "3"])


def test_a_strip_lies_between_two_seeds(runs, folder, capsys):
    assert sample(runs, "--between", "3", "7", "--count", "5", "--out", "b.npy") == 0
    assert sample(runs, "--sampler", "ddim", "--eta", "0", "--spacing", "uniform", "--seed", "7") == 0
    strip = np.load("b.npy")
    assert strip.shape == (5, 1, SIZE, SIZE)
    own = read_sheet(next(folder.glob("samples-*.png"))).images[0]
    np.testing.assert_allclose(strip[-1, 0] * 255, own, atol=0.51)


def test_a_strip_lies_between_an_image_and_a_seed(runs, folder, capsys):
    assert sample(runs, "--between", "mine.png", "7", "--count", "4") == 0
    sheet = read_sheet(folder / capsys.readouterr().out.strip())
    assert (len(sheet.images), sheet.columns) == (4, 4)
    assert sheet.meta["between"] == "mine.png and 7"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--between", "no.png", "7"), "no.png: no such file"),
        (("--between", "1", "7", "--count", "1"), "expected at least 2 images"),
        (("--between", "1", "7", "--sampler", "ddpm"), "draws by ddim without noise"),
        (("--between", "²", "7"), "²: no such file"),
        (("--between", "mine.png", "7", "--out", "mine.png"), "is mine.png, which would be lost"),
        (("--guidance", "nan"), "expected a number, got nan"),
        (("--autoguide", "latest"), "give --guidance too"),
    ],
)
def test_ends_that_do_not_exist_are_refused(runs, folder, capsys, options, text):
    assert sample(runs, *options) == 2
    assert text in capsys.readouterr().err


def test_a_mask_becomes_a_square_as_the_image_does(folder):
    wide = np.full((4, 8), 255, np.uint8)
    wide[:, :2] = 0
    upright = Image.fromarray(wide.T)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: the missing part comes to the right
    upright.save("turned.png", exif=exif)
    Image.fromarray(wide).save("wide.png")
    missing = {fit: ~read_masks(["wide.png"], 8, fit) for fit in ("squash", "pad")}
    assert missing["squash"][:, :2].all()
    assert missing["squash"].sum() == 16
    assert missing["pad"][2:6, :2].all()
    assert missing["pad"].sum() == 8
    turned = ~read_masks(["turned.png"], 8, "squash")
    assert turned[:, 6:].all()
    assert turned.sum() == 16


def test_an_image_for_a_run_on_tiles_is_cropped_to_its_centre(folder, capsys):
    (folder / "tiles.toml").write_text(
        f'kind = "folder"\npath = "."\nsize = {SIZE}\nfit = "tiles"\ntile = 16\n'
    )
    make_untrained(folder / "runs", size=SIZE, dataset="tiles.toml", sampler="ddim", steps=2)
    assert restore(folder / "runs", "mine.png", "--mask", "4,0,4,8", "--degrade", "--out", "t.png") == 0
    np.testing.assert_array_equal(read_sheet(folder / "t.png").images[0], np.asarray(Image.open("mine.png")))
