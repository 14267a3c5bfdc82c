"""`core data`."""

import json
import os

import numpy as np
import pytest
from PIL import Image


def test_making_a_set_writes_its_folder_to_stdout_and_progress_to_stderr(core, tmp_path):
    done = core("data", "make", "low", "--count", "20")
    assert done.returncode == 0
    folder = tmp_path / done.stdout.strip()
    assert np.load(folder / "train.npy").shape == (20, 1, 32, 32)
    assert "images" in done.stderr
    again = core("data", "make", "low", "--count", "20")
    assert (again.stdout, again.stderr) == (done.stdout, "")


def test_json_describes_the_set(core):
    done = core("data", "make", "array", "--count", "5", "--json")
    found = json.loads(done.stdout)
    assert set(found) == {
        *("name", "path", "train", "heldout", "channels", "size", "mean_square", "notes", "classes", "recipe")
    }
    assert (found["name"], found["train"], found["channels"], found["size"]) == ("array", 5, 1, 32)
    assert found["mean_square"] == 1.0


def test_images_are_shown_as_letters_in_a_pipe(core):
    done = core("data", "show", "array", "--count", "2")
    lines = done.stdout.splitlines()
    assert len(lines) == 16
    assert {len(line) for line in lines} == {32 + 1 + 32}
    assert "\x1b" not in done.stdout
    assert set(done.stdout) <= set(" .:-=+*#%@\n")


def test_many_images_continue_below(core):
    lines = core("data", "show", "array", "--count", "3").stdout.splitlines()
    assert [len(line) for line in lines] == [65] * 16 + [32] * 16


def test_a_folder_of_images_is_a_set_and_skipped_files_are_reported(core, tmp_path):
    folder = tmp_path / "holiday"
    folder.mkdir()
    for index in range(12):
        Image.new("RGB", (40, 30), (index * 20, 0, 0)).save(folder / f"{index}.png")
    (folder / "notes.txt").write_text("no picture")
    done = core("data", "make", "holiday", "--json")
    found = json.loads(done.stdout)
    assert (found["name"], found["channels"]) == ("holiday", 3)
    assert found["notes"]
    assert found["notes"][0] in done.stderr


def test_a_folder_called_like_a_recipe_is_not_replaced_by_triangles_in_silence(core, tmp_path):
    folder = tmp_path / "low"
    folder.mkdir()
    for index in range(4):
        noise = np.random.default_rng(index).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{index}.png")
    line = "low is the data recipe of that name, not the folder here; for the folder give ./low\n"
    for arguments in (("make", "low", "--count", "5"), ("show", "low"), ("make", "low", "--count", "5")):
        assert line in core("data", *arguments).stderr
    done = core("data", "make", "./low", "--json")
    assert (json.loads(done.stdout)["recipe"]["kind"], line in done.stderr) == ("folder", False)
    runs = tmp_path / "runs"
    settings = ("--no-start", "--set", "schedule.name=linear", "--runs", str(runs))
    assert line in core("train", "quick", *settings, "--set", "data.dataset=low").stderr
    done = core("train", "quick", *settings, "--set", "data.dataset=./low")
    assert line not in done.stderr
    assert f'dataset = "{folder}"' in (runs / done.stdout.strip() / "run.toml").read_text()


def test_more_images_than_there_are_is_said(core, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for index in range(6):
        noise = np.random.default_rng(index).integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{index}.png")
    done = core("data", "make", "mine", "--count", "999", "--json")
    found = json.loads(done.stdout)
    assert found["notes"] == [f"999 training images were asked for; there are {found['train']}"]
    assert found["notes"][0] in done.stderr
    assert core("data", "make", "mine", "--count", str(found["train"])).stderr == ""
    shown = core("data", "show", "mine", "--count", "99", "--heldout").stderr
    assert f"mine: 99 held-out images were asked for; there are {found['heldout']}" in shown
    (tmp_path / "many.toml").write_text('kind = "folder"\npath = "mine"\ncount = 4000\n')
    assert "4,000 training images were asked for" in core("data", "make", "many.toml").stderr
    assert core("data", "make", "array", "--count", "10020").stderr.count("asked") == 0


def test_the_recipes_are_listed(core):
    names = [recipe["name"] for recipe in json.loads(core("data", "list", "--json").stdout)]
    assert names == ["array", "high", "kinds", "low"]
    assert core("data", "list").stdout.splitlines()[1].startswith("array")


def test_made_sets_are_listed_with_sizes_and_removed(core, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    Image.new("L", (8, 8), 9).save(folder / "a.png")
    old = core("data", "make", "mine").stdout.strip().removeprefix("datasets/")
    os.utime(folder / "a.png", (1e9, 1e9))
    new = core("data", "make", "mine").stdout.strip().removeprefix("datasets/")
    triangles = core("data", "make", "array", "--count", "5").stdout.strip().removeprefix("datasets/")
    text = core("data", "list").stdout
    assert "B  its images have changed; from" in next(line for line in text.splitlines() if old in line)
    assert "B  current; from" in next(line for line in text.splitlines() if new in line)
    assert core("data", "list", "--made").stdout == text.split("\n\n")[1]
    found = {one["name"]: one for one in json.loads(core("data", "list", "--made", "--json").stdout)}
    assert set(found) == {old, new, triangles}
    assert (found[old]["state"], found[old]["outdated"]) == ("folder_changed", True)
    assert (found[triangles]["state"], found[triangles]["train"]) == ("current", 5)
    assert found[new]["bytes"] > 512

    refused = core("data", "rm", "--outdated")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "no terminal to ask in; give --yes" in refused.stderr
    done = core("data", "rm", "--outdated", "--yes")
    assert (done.returncode, done.stdout) == (0, f"{old}\n")
    assert f"{old}: removed, " in done.stderr
    assert json.loads(core("data", "rm", "mine", triangles, "-y", "--json").stdout) == [new, triangles]
    assert core("data", "rm", "--all").stdout == ""
    for wrong in ((), ("--all", "--outdated"), ("mine", "--all"), ("mine",)):
        assert core("data", "rm", *wrong).returncode == 2
    assert (folder / "a.png").exists()


def test_sets_are_kept_where_the_variable_says(core, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    done = core("data", "make", "array", "--count", "5", env={"DDPM_DATA": str(elsewhere)})
    assert done.stdout.startswith(str(elsewhere))
    assert os.listdir(tmp_path) == ["elsewhere"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_folder_that_cannot_be_written_is_one_line(core, tmp_path):
    tmp_path.chmod(0o500)
    done = core("data", "make", "array", "--count", "5")
    tmp_path.chmod(0o700)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: datasets: the images cannot be saved here")
