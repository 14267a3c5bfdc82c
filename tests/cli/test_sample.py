"""`core train` with the real worker, and `core sample` on what it leaves."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from core.cli.main import run as run_command
from core.config.sampling_levels import visited_timesteps
from core.imaging import read_sheet
from core.runs import RunDirectory, RunStore
from core.schedules import make_schedule
from tests.support.fake_runs import make_run

TINY = """
recipe = "tiny"
[data]
dataset = "array"
count = 24
heldout = 8
[schedule]
timesteps = 8
[diffusion]
prediction_type = "v_prediction"
[model]
preset = "lean"
width = 16
[train]
epochs = 1
batch_size = 8
ema_decay = 0.9
[sample]
count = 3
sampler = "ddim"
steps = 2
reverse_count = 2
reverse_states = 3
[grid]
"schedule.name" = ["linear", "x^2"]
"""
SETTINGS = ("--count", "3", "--seed", "5")
Trained = tuple[Path, "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A folder in which a tiny recipe with two schedules was trained, and how the command ended."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.toml").write_text(TINY)
    command = [sys.executable, "-m", "core", "train", "tiny.toml", "--device", "cpu"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    return folder, done


@pytest.fixture
def sample(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``sample(*arguments)``: the command in this process, which has torch already, in the trained folder."""
    monkeypatch.chdir(trained[0])
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    return lambda *arguments: run_command(["sample", *arguments])


def test_training_leaves_the_documented_files_of_each_schedule(trained):
    folder, done = trained
    assert done.returncode == 0, done.stderr
    names = done.stdout.split()
    assert [str(run.path.relative_to(folder)) for run in RunStore(folder / "runs").runs()] == names
    assert len(names) == 2
    for name in names:
        expected = ("run.toml", "status.json", "metrics.jsonl", "worker.log", "samples/epoch-0001.png")
        for file in (*expected, "reverse/epoch-0001.png", "checkpoints/last.safetensors"):
            assert (folder / name / file).stat().st_size > 0, file
    assert "linear: epoch 1 of 1, loss " in done.stderr


def test_the_same_seed_gives_the_same_array_in_another_process_too(core, sample, trained):
    folder, _ = trained
    assert sample("latest", *SETTINGS, "--out", "here.npy") == 0
    done = core("sample", "latest", *SETTINGS, "--out", "there.npy", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "there.npy\n"), done.stderr
    np.testing.assert_array_equal(np.load(folder / "here.npy"), np.load(folder / "there.npy"))


def test_an_array_is_float32_between_0_and_1_for_each_schedule(sample, trained):
    folder, _ = trained
    for run in RunStore(folder / "runs").runs():
        assert sample(run.id, *SETTINGS, "--out", "a.npy") == 0
        array = np.load(folder / "a.npy")
        assert array.dtype == np.float32
        assert array.shape == (3, 1, 32, 32)
        assert 0 <= array.min() < array.max() <= 1


def test_another_seed_sampler_or_number_of_steps_gives_other_images(sample, trained):
    folder, _ = trained
    arrays = []
    changes = "--seed 6", "--sampler ddpm", "--steps 1", "--spacing karras", "--eta 1", "--clip none"
    for change in ([], *map(str.split, changes)):
        assert sample("latest", *SETTINGS, *change, "--out", "c.npy") == 0
        arrays.append(np.load(folder / "c.npy"))
    for other in arrays[1:]:
        assert np.abs(arrays[0] - other).max() > 1e-4


def test_a_sheet_has_the_images_of_the_array_and_can_be_shown(sample, trained, capsys):
    folder, _ = trained
    assert sample("latest", *SETTINGS, "--out", "d.npy") == 0
    capsys.readouterr()
    assert sample("latest", *SETTINGS, "--show") == 0
    name, *shown = capsys.readouterr().out.splitlines()
    run = RunStore(folder / "runs").find("latest")
    assert name == f"samples-{run.id}.png"
    sheet = read_sheet(folder / name)
    assert (sheet.meta["run"], sheet.meta["epoch"]) == (run.id, "1")
    np.testing.assert_allclose(sheet.images / 255, np.load(folder / "d.npy")[:, 0], atol=0.51 / 255)
    assert {len(line) for line in shown} == {65, 32}


def test_images_of_an_older_checkpoint_than_the_run_shows_say_so(sample, trained, tmp_path, capsys):
    """Checkpoints are written by time, so a run that trains or was killed has often trained further."""
    run = RunStore(trained[0] / "runs").find("latest")
    assert sample("latest", *SETTINGS, "--out", "f.npy") == 0
    assert "checkpoint" not in capsys.readouterr().err
    killed = RunDirectory(Path(shutil.copytree(run.path, tmp_path / run.id)))
    with killed.lock():
        status = killed.read_status()
        killed.write_status(msgspec.structs.replace(status, epoch=3, step=3 * status.step))
    assert sample(str(killed.path), *SETTINGS, "--out", "f.png") == 0
    assert (
        f"{run.id}: has trained 3 epochs; its last checkpoint, which is used, is of epoch 1\n"
        in capsys.readouterr().err
    )
    assert read_sheet(trained[0] / "f.png").meta["epoch"] == "1"


def test_json_says_how_the_images_were_drawn(sample, trained, capsys):
    folder, _ = trained
    assert sample("latest", "--count", "65", "--json", "--out", "e.npy") == 0
    output = capsys.readouterr()
    run = RunStore(folder / "runs").find("latest")
    assert json.loads(output.out) == {
        "run": run.id,
        "path": "e.npy",
        "count": 65,
        "sampler": "ddim",
        "steps": 2,
        "eta": 0.0,
        "spacing": "uniform",
        "levels": None,
        "clip": "static",
        "start": "noise",
        "seed": 0,
        "guidance": 1.0,
        "guidance_interval": None,
        "labels": [],
        "between": None,
        "epoch": 1,
        "shape": [65, 1, 32, 32],
    }
    assert np.load(folder / "e.npy").shape == (65, 1, 32, 32)
    assert "sampling: 4 of 4 network calls" in output.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "pictures.jpg"], "ends in .png or .npy"),
        (["--out", "nowhere/a.npy"], "there is no folder nowhere"),
        (["--sampler", "ddpm", "--eta", "1"], "the sampler ddpm takes none; expected one of ddim"),
        (["--steps", "9"], "expected from 1 to 8 sampling steps"),
        (["--device", "cuda:7"], "not on this machine"),
    ],
)
def test_what_cannot_be_sampled_is_one_line(sample, trained, capsys, arguments, message):
    folder, _ = trained
    before = sorted(os.listdir(folder))
    assert sample("latest", *arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert message in output.err.splitlines()[-1]
    assert sorted(os.listdir(folder)) == before


def test_a_run_without_a_checkpoint_cannot_be_sampled(sample, tmp_path, capsys):
    run = make_run(tmp_path / "runs", epoch=0, images=False)
    assert sample(str(run.path)) == 2
    assert "has no checkpoint yet" in capsys.readouterr().err


def test_a_finished_run_is_carried_on_with_more_epochs(core, trained):
    folder, _ = trained
    done = core("runs", "resume", "latest", "--epochs", "2", "--follow", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(done.stdout)
    assert (run["state"], run["epoch"], run["epochs"]) == ("finished", 2, 2)
    assert "epoch 2 of 2" in done.stderr
    assert "x^2: epoch 1 of" not in done.stderr


def test_the_levels_of_all_timesteps_draw_the_samples_of_all_timesteps(sample, trained, tmp_path):
    run = RunStore(trained[0] / "runs").runs()[0]
    levels = make_schedule("linear", timesteps=8).log_snr
    (tmp_path / "levels.json").write_text(json.dumps(levels.tolist()))
    files = [tmp_path / f"{name}.npy" for name in ("all", "listed", "own")]
    for file, options in zip(
        files,
        (["--steps", "8"], ["--levels", str(tmp_path / "levels.json")], ["--levels-of", "linear"]),
        strict=True,
    ):
        assert sample(run.id, *SETTINGS, "--out", str(file), *options) == 0
    drawn = [np.load(file) for file in files]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])  # two calls, as of the run


def test_a_crossing_has_the_runs_own_sampling_on_its_diagonal_and_continues_where_it_was(
    trained, capfd, monkeypatch
):
    monkeypatch.chdir(trained[0])
    command = ["evaluate", "--all", "--cross", "--count", "2", "--heldout", "4", "--json"]
    assert run_command(command) == 0
    first = json.loads(capfd.readouterr().out)
    runs = RunStore(Path("runs")).runs()
    assert [[cell["schedule"] for cell in row["cells"]] for row in first["rows"]] == [["linear", "x^2"]] * 2
    assert {tuple(row["cells"][0]["metrics"]) for row in first["rows"]} == {
        ("balanced_pass_rate", "area_distance")
    }
    own = visited_timesteps(runs[0].read().config)
    log_snr = make_schedule("linear", timesteps=8).log_snr
    np.testing.assert_allclose(first["columns"][0]["levels"], log_snr[own], atol=1e-6)
    written = [(run.path / "cross.json").stat().st_mtime_ns for run in runs]
    assert run_command(command) == 0
    assert json.loads(capfd.readouterr().out) == first
    assert [(run.path / "cross.json").stat().st_mtime_ns for run in runs] == written
    assert run_command([*command, "--levels", "1,2"]) == 2
    assert "expected no --levels" in capfd.readouterr().err
