"""`core denoise` in this process, which has torch already, with runs that were never trained."""

import json
import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.cli.main import run as run_command
from core.config.schema import (
    DataConfig,
    DiffusionConfig,
    ModelConfig,
    RunConfig,
    SampleConfig,
    ScheduleConfig,
)
from core.diffusion.models.registry import build_network
from core.evaluation.metrics.denoising import reconstruct
from core.imaging import read_sheet, to_pixels
from core.runs import RunDirectory
from core.training.checkpoint import Position, load_model, save_checkpoint
from tests.support.fake_runs import make_run
from tests.unit.test_contracts import loaded_after

Denoise = Callable[..., int]
SIZE = 16


def make_untrained(
    root: Path,
    *,
    channels: int = 1,
    size: int = SIZE,
    timesteps: int = 8,
    dataset: str = "high",
    **sample: object,
) -> RunDirectory:
    """A run with a checkpoint of the weights that a network begins with."""
    config = RunConfig(
        data=DataConfig(dataset=dataset),
        schedule=ScheduleConfig(timesteps=timesteps, beta_end=0.3),
        diffusion=DiffusionConfig(prediction_type="v_prediction"),
        model=ModelConfig(width=16),
        sample=SampleConfig(**sample),  # type: ignore[arg-type]  # whatever the test names
    )
    run = make_run(root, epoch=0, images=False, config=config)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("lean", channels=channels, width=16)
    position = Position(
        epoch=3, batch=0, step=9, losses=[], elapsed=1.0, metrics_offset=0, channels=channels, size=size
    )
    save_checkpoint(run, {f"model.{name}": value for name, value in network.state_dict().items()}, position)
    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run of grey images and a colour image, wider than high, of red on blue."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    make_untrained(tmp_path / "runs", sampler="ddim", steps=4)
    image = np.zeros((60, 100, 3), np.uint8)
    image[:] = (0, 0, 255)
    image[20:40, 40:60] = (255, 0, 0)
    Image.fromarray(image).save(tmp_path / "mine.png")
    return tmp_path


def denoise(*arguments: str) -> int:
    return run_command(["denoise", *arguments])


def strip(name: str) -> np.ndarray:
    sheet = read_sheet(Path(name))
    assert (len(sheet.images), sheet.columns) == (3, 3)
    return sheet.images


def test_before_noised_and_after_are_one_sheet(folder, capsys):
    assert denoise("latest", "mine.png", "--seed", "5") == 0
    output = capsys.readouterr()
    run = next((folder / "runs").iterdir())
    assert output.out == f"denoised-{run.name}.png\n"
    assert "denoising: 2 of 2 network calls" in output.err
    images = strip(output.out.strip())
    assert images.shape == (3, SIZE, SIZE)
    meta = read_sheet(Path(output.out.strip())).meta
    assert meta == {"run": run.name, "epoch": "3", "t": "4", "sampler": "ddim", "seed": "5"}

    # The middle square of the image, in grey: blue is 29, red is 76.
    before, noised, after = images
    assert before[0, 0] == 29
    assert before[8, 8] == 76
    loaded = load_model(RunDirectory(run))
    abar = loaded.diffusion.schedule.alphas_cumprod[3]
    generator = torch.Generator().manual_seed(5)
    eps = torch.randn(1, 1, SIZE, SIZE, generator=generator)[0, 0].numpy()
    expected = np.sqrt(abar) * (before / 127.5 - 1) + np.sqrt(1 - abar) * eps
    np.testing.assert_allclose(noised, to_pixels(expected), atol=1)
    again = reconstruct(loaded, before[None, None], 3, seed=5)[0, 0]
    np.testing.assert_allclose(after, again * 255, atol=0.51)


def test_a_run_of_images_that_its_network_pads_keeps_their_size(folder, capsys):
    padded = make_untrained(folder / "padded", size=13, sampler="ddim", steps=2)
    assert denoise(str(padded.path), "mine.png", "--out", "d.png") == 0
    assert strip("d.png").shape == (3, 13, 13)
    assert run_command(["sample", str(padded.path), "--count", "3", "--out", "s.npy"]) == 0
    assert np.load("s.npy").shape == (3, 1, 13, 13)


def test_a_run_of_colour_images_is_shown_the_colours(folder, capsys):
    colour = make_untrained(folder / "colours", channels=3)
    assert denoise(str(colour.path), "mine.png", "--out", "c.png") == 0
    images = strip("c.png")
    assert images.shape == (3, SIZE, SIZE, 3)
    assert images[0, 0, 0].tolist() == [0, 0, 255]
    assert images[0, 8, 8].tolist() == [255, 0, 0]


def test_a_transparent_image_has_the_background_that_the_run_was_trained_with(folder, capsys):
    (folder / "icons.toml").write_text('kind = "folder"\npath = "icons"\nbackground = "#ff8000"\n')
    run = make_untrained(folder / "icons-runs", channels=3, dataset=str(folder / "icons.toml"))
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save("clear.png")
    assert denoise(str(run.path), "clear.png", "--out", "c.png") == 0
    assert strip("c.png")[0, 3, 3].tolist() == [255, 128, 0]


def test_json_says_what_was_done(folder, capsys):
    assert denoise("latest", "mine.png", "--t", "6", "--json", "--out", "j.png") == 0
    found = json.loads(capsys.readouterr().out)
    images = strip("j.png").astype(float)
    assert found.pop("alpha_bar") == pytest.approx(
        load_model(RunDirectory(folder / "runs" / found["run"])).diffusion.schedule.alphas_cumprod[5]
    )
    for key, image in (("psnr_noised", images[1]), ("psnr", images[2])):
        error = np.square((images[0] - image) / 255).mean()
        assert found.pop(key) == pytest.approx(-10 * np.log10(error))
    assert found == {
        "run": next((folder / "runs").iterdir()).name,
        "picture": "mine.png",
        "path": "j.png",
        "t": 6,
        "strength": 0.75,
        "sampler": "ddim",
        "steps": 3,
        "eta": 0.0,
        "spacing": "uniform",
        "levels": None,
        "clip": "static",
        "seed": 0,
        "epoch": 3,
        "shape": [1, SIZE, SIZE],
    }


@pytest.mark.parametrize(
    ("arguments", "t", "steps"),
    [
        ([], 4, 2),
        (["--strength", "1"], 8, 4),
        (["--strength", "0.001"], 1, 1),
        (["--t", "8", "--steps", "8"], 8, 8),
        (["--t", "1"], 1, 1),
    ],
)
def test_the_noise_is_asked_for_as_a_timestep_or_as_a_share(folder, capsys, arguments, t, steps):
    assert denoise("latest", "mine.png", "--json", *arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["t"], found["steps"]) == (t, steps)


def test_the_same_seed_gives_the_same_image_and_another_sampler_another(folder, capsys):
    sheets = []
    for change in ([], [], ["--seed", "1"], ["--sampler", "ddpm"], ["--steps", "4"], ["--eta", "1"]):
        assert denoise("latest", "mine.png", "--out", "s.png", *change) == 0
        sheets.append(strip("s.png"))
    first, again, *others = sheets
    np.testing.assert_array_equal(first, again)
    assert all((first[2] != other[2]).any() for other in others)


def test_the_three_are_shown_side_by_side_when_asked_for(folder, capsys):
    assert denoise("latest", "mine.png", "--show") == 0
    name, *shown = capsys.readouterr().out.splitlines()
    assert name.endswith(".png")
    assert [len(line) for line in shown] == [3 * SIZE + 2] * (SIZE // 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["mine.png", "--t", "3", "--strength", "0.5"],
            "--t and --strength set the same value; give one of them",
        ),
        (["mine.png", "--t", "9"], "--t 9: expected from 1 to 8, the timesteps of "),
        (["mine.png", "--t", "0"], "0 is not in the range 1<=x<="),
        (["mine.png", "--strength", "0"], "--strength 0.0: expected a share above 0 and at most 1"),
        (["mine.png", "--strength", "1.5"], "--strength 1.5: expected a share above 0 and at most 1"),
        (["mine.png", "--strength", "nan"], "--strength nan: expected a share above 0 and at most 1"),
        (["mine.png", "--t", "3", "--steps", "4"], "expected from 1 to 3 sampling steps"),
        (["mine.png", "--sampler", "euler"], "'euler' is not one of"),
        (["mine.png", "--out", "a.jpg"], "--out a.jpg: expected a name that ends in .png"),
        (["mine.png", "--out", "nowhere/a.png"], "there is no folder nowhere"),
        (["mine.png", "--device", "cuda:7"], "not on this machine"),
        (["none.png"], "none.png: no such file"),
        (["."], ".: not a file"),
        ([], "Missing argument 'PICTURE'"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_denoised_is_one_line(folder, capsys, arguments, message):
    before = sorted(os.listdir(folder))
    assert denoise("latest", *arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1
    assert message in output.err
    assert sorted(os.listdir(folder)) == before


def test_a_file_that_is_no_image_or_a_damaged_or_a_huge_one_is_one_line(folder, capsys):
    (folder / "words.png").write_text("no picture")
    (folder / "empty.png").touch()
    whole = (folder / "mine.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[:60])
    header = b"IHDR" + (100_000).to_bytes(4) * 2 + whole[24:29]
    (folder / "bomb.png").write_bytes(whole[:12] + header + zlib.crc32(header).to_bytes(4) + whole[33:])
    for name, reason in (
        ("words.png", "not an image"),
        ("empty.png", "not an image"),
        ("cut.png", "damaged"),
        ("bomb.png", "too large"),
    ):
        assert denoise("latest", name) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert re.fullmatch(
            rf"error: {name}: {reason}; expected an image \(PNG, JPEG, .*\)", output.err.strip()
        )


def test_a_run_without_a_checkpoint_cannot_denoise(folder, capsys):
    run = make_run(folder / "others", epoch=0, images=False)
    assert denoise(str(run.path), "mine.png") == 2
    assert "has no checkpoint yet" in capsys.readouterr().err


def test_help_does_not_wait_for_torch(tmp_path):
    code = "from core.cli.main import run\nassert run(['denoise', '--help']) == 0"
    loaded = loaded_after(code, cwd=tmp_path)
    assert "core.cli.denoise" in loaded
    assert not loaded & {"torch", "scipy", "cv2", "matplotlib", "textual"}
