"""`core evaluate`: of runs and of files, what is printed and kept, and what is wrong in one line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from core.cli.main import run as run_command
from core.data import load_dataset
from core.diffusion.models.registry import build_network
from core.figures.figure_data import load_figure_data
from core.figures.nearest import draw_nearest
from core.imaging import read_sheet
from core.runs import RunStore, latest_evaluation, read_evaluations
from core.runs.metric_definitions import GROUPS
from core.training.checkpoint import Position, save_checkpoint
from tests.support.fake_runs import TRIANGLE_METRICS, make_run
from tests.support.untrained_runs import untrained_run

RECIPE = """
count = 60
heldout = 60
size = 16
canvas = 64
antialias = true
"""
IMAGES = [name for group in ("shape", "grey", "distribution", "novelty") for name in GROUPS[group]]
Command = Callable[..., int]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the recipe `small_number`, made."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "small.toml").write_text(RECIPE)
    load_dataset("small", data_dir=folder)
    return folder


@pytest.fixture
def command(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """``command(*arguments)``: core evaluate in an empty folder, in this process, which has torch already."""
    monkeypatch.setenv("DDPM_DATA", str(data))
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run_command(["evaluate", *arguments])


def save_real(data: Path, count: int = 40) -> np.ndarray:
    images = np.asarray(load_dataset("small", data_dir=data).train[:count])
    np.save("real.npy", images)
    return images


def test_a_run_is_evaluated_by_everything_and_the_numbers_are_kept(command, capsys):
    run = untrained_run(Path("runs"))
    assert command("latest", "--count", "20") == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    heading = "run-0: epoch 1, 20 samples by ddim with eta 0 in 2 steps against 60 held-out images of small"
    assert lines[0] == heading
    assert lines[2].split("  ")[-1] == "better"
    kept = latest_evaluation(run)
    assert kept is not None
    assert set(kept.metrics) == set(TRIANGLE_METRICS)
    assert (kept.epoch, kept.step, kept.count, kept.heldout) == (1, 2, 20, 60)
    assert (kept.dataset, kept.sampler, kept.steps, kept.seed) == ("small", "ddim", 2, 0)
    assert set(kept.real) == {*IMAGES} - {"copy_z"}
    assert {"bound_by_timestep", "reconstruction_psnr", "pass_by_decile"} <= set(kept.curves)
    blocks = output.out.split("\n\n")
    names = [[name for name in group if name in TRIANGLE_METRICS] for group in GROUPS.values()]
    lengths = [len(group) for group in names if group]
    assert [len(block.strip().splitlines()) for block in blocks[2 : 2 + len(lengths)]] == lengths
    for stage in ("sampling", "fitting samples", "likelihood", "noise errors", "reconstruction"):
        assert f"linear: {stage}: " in output.err
    assert all(text in output.out for text in ("Worse than a linear denoiser", "The bound in bits"))


def test_one_timestep_is_enough(command, capsys):
    untrained_run(Path("runs"), timesteps=1)
    assert command("latest", "--count", "3", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["steps"] == 1
    assert found["metrics"]["middle_bits"]["value"] == 0.0
    assert set(found["metrics"]) == set(TRIANGLE_METRICS)


def test_coloured_triangles_are_evaluated_by_their_shape_too(command, data, capsys):
    (data / "colour.toml").write_text(RECIPE + "channels = 3\n")
    untrained_run(Path("runs"), dataset="colour", channels=3)
    assert command("latest", "--count", "3", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert set(found["metrics"]) == set(TRIANGLE_METRICS)


def test_some_groups_alone_are_quick_and_leave_the_numbers_of_the_others(command, capsys):
    run = untrained_run(Path("runs"))
    assert command("latest", "--count", "5", "--only", "grey, shape", "--json") == 0
    (first,) = json.loads(capsys.readouterr().out)
    assert set(first["metrics"]) == {*GROUPS["shape"], *GROUPS["grey"]}
    assert command("latest", "--count", "5", "--only", "likelihood") == 0
    output = capsys.readouterr()
    assert "sampling" not in output.err
    (kept,) = read_evaluations(run)
    assert set(kept.metrics) == {*GROUPS["shape"], *GROUPS["grey"], *GROUPS["likelihood"]}


def test_json_has_the_documented_keys_for_runs_and_files(command, data, capsys):
    untrained_run(Path("runs"))
    save_real(data)
    assert (
        command("real.npy", "latest", "--dataset", "small", "--count", "10", "--only", "novelty", "--json")
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    keys = [
        *("run", "file", "created", "epoch", "step", "dataset", "count", "heldout"),
        *("sampler", "steps", "eta", "spacing", "levels", "clip", "start", "seed"),
        *("guidance", "guidance_interval", "classes", "metrics", "real", "curves", "noise"),
    ]
    assert [list(one) for one in found] == [keys, keys]
    assert [(one["run"], one["file"]) for one in found] == [(None, "real.npy"), ("run-0", None)]
    assert [one["sampler"] for one in found] == ["", "ddim"]
    assert [(one["levels"], one["guidance_interval"], one["classes"]) for one in found] == 2 * [
        (None, None, [])
    ]
    assert {one["count"] for one in found} == {10}
    assert set(found[0]["metrics"]["copies"]) == {"value", "low", "high"}


def test_evaluating_again_with_new_is_left_out_until_an_option_or_the_checkpoint_changes(command, capsys):
    run = untrained_run(Path("runs"))
    options = ("latest", "--count", "5", "--only", "novelty")
    assert command(*options) == 0
    first = latest_evaluation(run)
    for change, repeated in (((), True), (("--seed", "1"), False), (("--only", "novelty,grey"), False)):
        capsys.readouterr()
        assert command(*options, "--new", *change) == 0
        output = capsys.readouterr()
        assert ("was evaluated with these options before" in output.err) is repeated
        assert "copying z" in output.out
    assert first is not None
    kept = {one.seed: one.metrics for one in read_evaluations(run)}
    assert set(kept) == {0, 1}
    assert set(kept[0]) == {*first.metrics, *GROUPS["grey"]}
    position = {"epoch": 2, "batch": 0, "step": 4, "losses": [], "elapsed": 1.0, "metrics_offset": 0}
    network = build_network("lean", channels=1, width=16)
    tensors = {f"model.{name}": value for name, value in network.state_dict().items()}
    save_checkpoint(run, tensors, Position(**position, channels=1, size=16))
    assert command(*options, "--new") == 0
    assert latest_evaluation(run).step == 4


def test_evaluations_of_samples_drawn_in_other_ways_are_kept_apart(command, capsys):
    run = untrained_run(Path("runs"))
    options = ("latest", "--count", "5", "--only", "novelty", "--json")
    options_of_sampling = ((), ("--eta", "1"), ("--spacing", "karras"), ("--clip", "none"))
    for changed in options_of_sampling:
        assert command(*options, *changed) == 0
    kept = read_evaluations(run)
    assert [(one.eta, one.spacing, one.clip) for one in kept] == [
        (0.0, "uniform", "static"),
        (1.0, "uniform", "static"),
        (0.0, "karras", "static"),
        (0.0, "uniform", "none"),
    ]
    assert len({one.protocol for one in kept}) == len(options_of_sampling)
    capsys.readouterr()
    assert command(*options, "--new", "--clip", "none") == 0
    output = capsys.readouterr()
    assert "was evaluated with these options before" in output.err
    assert json.loads(output.out)[0]["clip"] == "none"
    assert command(*options, "--sampler", "ddpm", "--eta", "1") == 2
    assert "the sampler ddpm takes none" in capsys.readouterr().err


def test_several_runs_share_what_is_known_of_the_data(command, capsys):
    for seed in range(2):
        untrained_run(Path("runs"), seed=seed)
    assert command("--count", "5", "--only", "shape,grey", "--json") == 0
    output = capsys.readouterr()
    assert [one["run"] for one in json.loads(output.out)] == ["run-0", "run-1"]
    assert output.err.count("fitting held-out images: 60 of 60") <= 1
    assert output.err.count("fitting real images: 5 of 5") <= 1
    assert output.err.count("fitting samples: 5 of 5") == 2


def test_one_of_several_runs_that_cannot_be_evaluated_does_not_keep_the_others_from_it(command, capsys):
    untrained_run(Path("runs"), seed=0)
    make_run(Path("runs"), run_id="run-1", epoch=0, images=False)
    untrained_run(Path("runs"), seed=2)
    assert command("--all", "--count", "5", "--only", "novelty") == 2
    output = capsys.readouterr()
    assert [line for line in output.out.splitlines() if line.startswith("run-")] == [
        "run-0: epoch 1, 5 samples by ddim with eta 0 in 2 steps against 60 held-out images of small",
        "run-2: epoch 1, 5 samples by ddim with eta 0 in 2 steps against 60 held-out images of small",
    ]
    errors = [line for line in output.err.splitlines() if line.startswith("error:")]
    assert errors == ["error: run-1: has no checkpoint yet; train it for at least one epoch"]


def test_a_network_that_has_diverged_is_one_line(command, capsys):
    run = untrained_run(Path("runs"))
    network = build_network("lean", channels=1, width=16)
    tensors = {
        f"model.{name}": torch.full_like(value, torch.nan) for name, value in network.state_dict().items()
    }
    position = Position(
        epoch=1, batch=0, step=2, losses=[], elapsed=0.2, metrics_offset=0, channels=1, size=16
    )
    save_checkpoint(run, tensors, position)
    assert command("latest", "--count", "5") == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert (
        "run-0: its samples cannot be evaluated: 5 of 5 images have numbers that are not finite" in output.err
    )
    assert read_evaluations(run) == []


def test_real_images_in_a_file_score_as_real_and_noise_does_not(command, data, capsys):
    real = save_real(data)
    np.save("noise.npy", np.random.default_rng(0).random((40, 16, 16), dtype=np.float32))
    assert command("real.npy", "noise.npy", "--dataset", "small", "--json") == 0
    good, bad = json.loads(capsys.readouterr().out)
    assert good["count"] == len(real)
    assert set(good["metrics"]) == {*IMAGES}
    assert good["metrics"]["pass_rate"]["high"] >= 0.95
    assert good["metrics"]["pass_rate"]["value"] > 0.8
    assert bad["metrics"]["pass_rate"]["value"] < 0.05
    assert bad["metrics"]["stray_grey"]["value"] > 10 * good["metrics"]["stray_grey"]["value"]


def test_fewer_images_than_were_asked_for_and_a_recipe_that_hides_a_folder_are_said(command, data, capsys):
    save_real(data)
    Path("small").mkdir()
    options = ("--dataset", "small", "--only", "novelty")
    assert command("real.npy", *options, "--count", "50", "--heldout", "70") == 0
    errors = capsys.readouterr().err
    for part in ("real.npy: 50 images", "small: 70 held-out images", "small is the data recipe of that name"):
        assert part in errors


def test_a_table_of_a_file_names_no_sampler(command, data, capsys):
    save_real(data)
    assert command("real.npy", "--dataset", "small", "--heldout", "30", "--only", "novelty") == 0
    first, _, _, blank, *table = capsys.readouterr().out.splitlines()
    assert first == "real.npy: 40 samples against 30 held-out images of small"
    assert blank == ""
    assert [line.split("  ")[0] for line in table if line] == ["copying z", "copies %"]


def test_evaluating_a_file_loads_no_torch(data, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 16, 16), np.float32))
    program = (
        "import sys; from core.cli.main import run; "
        "code = run(['evaluate', 'a.npy', '--dataset', 'small', '--only', 'novelty']); "
        "assert code == 0 and 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "DDPM_DATA": str(data)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_images_of_a_folder_are_evaluated_without_shape(command, tmp_path, capsys):
    folder = tmp_path / "holiday"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(40):
        Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(folder / f"{number}.png")
    untrained_run(Path("runs"), dataset=str(folder), size=32)
    assert command("latest", "--count", "6", "--json") == 0
    told = capsys.readouterr()
    assert "holiday: shape and grey are left out, because they are for triangles" in told.err
    (found,) = json.loads(told.out)
    assert set(found["metrics"]) == {
        *("density", "coverage", "mmd", "sliced_wasserstein", "copy_z", "copies"),
        *GROUPS["features"],
        *("brightness", "contrast", "sharpness"),
        *GROUPS["likelihood"],
        *GROUPS["noise"],
        "reconstruction_psnr",
    }
    assert "beside their nearest training images" in told.err
    (run,) = RunStore("runs").infos()
    sheet = read_sheet(run.directory.nearest_sheet)
    assert (len(sheet.images), sheet.columns, sheet.meta["count"]) == (16, 8, "6")
    figure, _ = draw_nearest(load_figure_data([run]).series)
    assert figure.axes
    assert command("latest", "--count", "6", "--only", "shape") == 2
    assert "--only shape: holiday" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((3, 1, 16, 16), np.nan), "3 of 3 images have numbers that are not finite"),
        (np.full((3, 1, 16, 16), 1.5), "expected numbers from 0 to 1, got 1.5 to 1.5"),
        (np.full((3, 1, 16, 16), -1.0), "expected numbers from 0 to 1, got -1 to -1"),
        (
            np.zeros((3, 1, 32, 32)),
            "expected images like those of small, [N, 1, 16, 16], got [3, 1, 32, 32]",
        ),
        (np.zeros((3, 16)), "expected an array [N, C, H, W] or [N, H, W]"),
        (np.zeros((3, 16, 16), dtype=np.int32), "got int32"),
    ],
)
def test_an_array_that_cannot_be_evaluated_is_one_line(command, capsys, array, message):
    np.save("a.npy", array)
    assert command("a.npy", "--dataset", "small") == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines()[-1].startswith("error: a.npy: ")
    assert message in output.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.npy"], "a.npy: name the data to compare its images with, for example --dataset high"),
        (["missing.npy", "--dataset", "small"], "missing.npy: no such file"),
        (["notes.txt", "--dataset", "small"], "notes.txt: not a .npy file"),
        (["a.npy", "--dataset", "smal"], "no data set called 'smal'; did you mean small?"),
        (["a.npy", "--dataset", "small", "--steps", "3"], "--guidance-interval, --start are for runs"),
        (["a.npy", "--dataset", "small", "--only", "likelihood,noise"], "need a run"),
        (["latest", "--dataset", "small"], "--dataset small: is for files"),
        (["latest", "--only", "weather"], "unknown group 'weather'; expected some of shape, labels, grey"),
        (["latest", "--only", ""], "unknown group ''"),
        (["latest", "--steps", "7"], "expected from 1 to 6 sampling steps"),
        (["latest", "--device", "cuda:7"], "not on this machine"),
        (["nobody"], "no run in runs has this name"),
        (["latest", "--all"], "give either runs or --all, not both"),
    ],
)
def test_a_mistake_is_one_line(command, capsys, arguments, message):
    untrained_run(Path("runs"))
    Path("notes.txt").write_text("hello")
    np.save("a.npy", np.zeros((3, 16, 16), np.float32))
    assert command(*arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert message in output.err.splitlines()[-1]


def test_a_run_without_a_checkpoint_is_one_line_before_any_data_is_made(command, capsys):
    make_run(Path("runs"), epoch=0, dataset="nowhere", images=False)
    assert command("latest") == 2
    assert capsys.readouterr().err.startswith("error: 20261124")


def test_a_run_whose_data_are_gone_is_named(command, capsys):
    untrained_run(Path("runs"), dataset="nowhere")
    assert command("latest", "--count", "5") == 2
    assert "error: run-0: no data set called 'nowhere'" in capsys.readouterr().err


def test_data_of_another_size_than_the_run_was_trained_on_is_an_error(command, capsys):
    untrained_run(Path("runs"), size=32)
    assert command("latest", "--count", "5") == 2
    assert (
        "was trained on images of [1, 32, 32], but those of small are [1, 16, 16] by now"
        in capsys.readouterr().err
    )


def test_a_run_is_compared_by_what_was_evaluated(command, capsys):
    run = untrained_run(Path("runs"))
    assert command("latest", "--count", "5", "--only", "novelty") == 0
    capsys.readouterr()
    assert run_command(["compare", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (kept := latest_evaluation(run)) is not None
    assert row["metrics"]["copies"] == msgspec.to_builtins(kept.metrics["copies"])
    assert RunStore("runs").runs() == [run]
