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
    assert "pictures" in done.stderr
    again = core("data", "make", "low", "--count", "20")
    assert (again.stdout, again.stderr) == (done.stdout, "")


def test_json_describes_the_set(core):
    done = core("data", "make", "array", "--count", "5", "--json")
    found = json.loads(done.stdout)
    assert set(found) == {
        *("name", "path", "train", "heldout", "channels", "size", "mean_square", "notes", "recipe")
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


def test_a_folder_of_images_is_a_set_and_what_was_skipped_is_said(core, tmp_path):
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


def test_the_recipes_are_listed(core):
    names = [recipe["name"] for recipe in json.loads(core("data", "list", "--json").stdout)]
    assert names == ["array", "high", "low"]
    assert core("data", "list").stdout.splitlines()[1].startswith("array")


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
