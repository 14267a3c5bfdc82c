"""`core schedules propose`."""

import json

import numpy as np
import pytest
from PIL import Image

from core.cli.main import run
from core.schedules import make_schedule

TINY = 'count = 60\nheldout = 8\nsize = 8\nstorage = "array"\n'


@pytest.fixture
def core(tmp_path, monkeypatch, capsys):
    """Run the command in this process, in an empty folder, and return its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = run(["schedules", "propose", *words])
        return code, *capsys.readouterr()

    return call


def test_levels_and_schedules_are_proposed_for_a_data_set_and_written(core, tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    found = json.loads(core("tiny.toml", "--json")[1])
    assert set(found) == {"source", "curve", "start", "end", "calls", "proposals", "path"}
    assert (found["source"], found["curve"], found["calls"]) == ("tiny", "linear denoiser", 10)
    names = [one["name"] for one in found["proposals"]]
    assert names[-3:] == ["decay", "cosine", "uniform"]
    best = {key: min(found["proposals"], key=lambda one: one[key])["name"] for key in ("bits_per_dim", "w2")}
    assert best == {"bits_per_dim": "bound", "w2": "gaussian"}

    words = ("tiny.toml", "--rule", "rescaled")
    assert core(*words, "--calls", "6", "--end", "5", "--out", "levels.txt")[:2] == (0, "levels.txt\n")
    comments = [line for line in (tmp_path / "levels.txt").read_text().splitlines() if line.startswith("#")]
    assert comments[1] == "# rule: rescaled"
    levels = np.loadtxt(tmp_path / "levels.txt")
    assert len(levels) == 6
    assert (np.diff(np.append(levels, 5.0)) > 0).all()
    code, out, error = core(*words, "--out", "levels.txt")
    assert (code, out) == (2, "")
    assert "levels.txt: exists already" in error

    found_betas = core(*words, "--timesteps", "40", "--zero-terminal-snr", "--out", "betas.txt")
    assert found_betas[:2] == (0, "betas.txt\n")
    schedule = make_schedule("custom", timesteps=40, file=str(tmp_path / "betas.txt"))
    assert schedule.terminal_alpha_bar == 0.0
    assert schedule.log_snr[0] == pytest.approx(found["end"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nosuch",), "nosuch: neither a run in runs nor a data set"),
        (("high", "--out", "a.txt"), "--out: needs one rule"),
        (("high", "--timesteps", "9", "--calls", "3"), "give one"),
        (("high", "--rule", "bound", "--out", "no/a.txt"), "there is no folder no"),
        (("high", "--rule", "bound", "--zero-terminal-snr"), "give --timesteps T too"),
        (("high", "--start", "-1e9"), "--start -1e+09: expected a log SNR from -100 to 100"),
    ],
)
def test_a_mistake_is_one_line(core, words, message):
    code, out, error = core(*words)
    assert (code, out) == (2, "")
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_images_that_are_all_the_same_are_refused(core, tmp_path, monkeypatch):
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "sets"))
    (tmp_path / "flat").mkdir()
    for name in "abcdefghij":
        Image.new("L", (8, 8), 77).save(tmp_path / "flat" / f"{name}.png")
    code, out, error = core("flat")
    assert (code, out) == (2, "")
    assert "error: flat: all training images are the same" in error.splitlines()[-1]
