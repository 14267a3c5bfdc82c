"""`core runs`, on runs that look as if they had trained."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from core.cli.follow import Follower
from core.cli.main import run as run_command
from core.config import ModelConfig
from core.config.trained_with import TrainedWith
from core.errors import UserError
from core.runs import RunDirectory, RunStore, State
from core.runs.process import host_name
from tests.support.fake_groups import make_group
from tests.support.fake_runs import LIVE_PROCESS, make_run

RUN_KEYS = {
    *("id", "path", "group", "created", "recipe", "dataset", "schedule", "seed", "tags"),
    *("state", "epoch", "epochs", "step", "steps", "loss", "heldout", "images_per_second", "elapsed"),
    *("device", "threads", "precision", "images", "best", "ended_by", "ending", "message", "error"),
    *("engine", "job", "queue", "copy_of"),
}


@pytest.fixture
def runs(tmp_path) -> list[RunDirectory]:
    """Finished, crashed, queued, stopped and failed, in the folder `runs`."""
    states = (State.FINISHED, State.CRASHED, State.QUEUED, State.STOPPED, State.FAILED)
    return make_group(tmp_path / "runs", states, images=False)


def state(run: RunDirectory) -> State:
    return RunStore(run.path.parent).info(run).state


def test_an_empty_folder_has_no_runs_and_is_not_made(core, tmp_path):
    done = core("runs", "list")
    assert (done.returncode, done.stdout) == (0, "")
    assert "core train" in done.stderr
    assert core("runs", "list", "--json").stdout == "[]\n"
    assert os.listdir(tmp_path) == []


def test_the_list_has_a_row_a_run_oldest_first(core, runs):
    header, *rows = core("runs", "list").stdout.splitlines()
    assert header.split()[:4] == ["run", "state", "epoch", "loss"]
    assert [row.split()[0] for row in rows] == [run.id for run in runs]
    assert [row.split()[1] for row in rows] == ["finished", "crashed", "queued", "stopped", "failed"]
    assert rows[4].endswith("loss became NaN")


def test_the_list_as_json_has_the_documented_keys(core, runs):
    found = json.loads(core("runs", "list", "--json").stdout)
    assert [set(run) for run in found] == [RUN_KEYS] * 5
    assert [run["state"] for run in found] == ["finished", "crashed", "queued", "stopped", "failed"]
    assert found[0]["epoch"] == found[0]["epochs"] == 10
    assert 0 < found[0]["loss"] < found[0]["heldout"] < 1
    assert found[2]["loss"] is None


def test_losses_that_are_not_numbers_are_null_in_json(core, tmp_path):
    make_run(tmp_path / "runs", state=State.FAILED, nan_from=1, images=False)
    (run,) = json.loads(core("runs", "list", "--json").stdout)
    assert run["loss"] is None
    assert core("runs", "list").stdout.splitlines()[1].split()[3] == "–"


def test_the_list_can_be_narrowed_to_states(core, runs):
    done = core("runs", "list", "--state", "failed", "--state", "stopped", "--json")
    assert [run["state"] for run in json.loads(done.stdout)] == ["stopped", "failed"]


def test_a_damaged_run_is_reported_beside_the_others(core, runs):
    runs[0].run_file.write_text("[[[")
    done = core("runs", "list", "--json")
    assert done.returncode == 0
    assert len(json.loads(done.stdout)) == 4
    assert done.stderr.startswith(f"{runs[0].id}: ")
    assert "not valid TOML" in done.stderr


@pytest.mark.parametrize("columns", [80, 100, 160])
def test_the_list_fits_the_terminal(runs, tmp_path, columns):
    leader, follower = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "core", "runs", "list"],
        stdout=follower,
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": str(columns), "LINES": "24"},
    )
    os.close(follower)
    text = b""
    while chunk := read(leader):
        text += chunk
    os.close(leader)
    assert done.wait() == 0
    lines = text.decode().splitlines()
    assert max(map(len, lines)) <= columns + 16 * (
        columns == 80
    )  # the error, which is not wrapped into nothing
    assert "state" in lines[0]


def read(leader: int) -> bytes:
    try:
        return os.read(leader, 65536)
    except OSError:  # how Linux says that the other side is closed
        return b""


def test_a_run_is_shown_with_its_files_and_its_configuration(core, tmp_path):
    run = make_run(tmp_path / "runs", schedule="x^2", epoch=10)
    done = core("runs", "show")
    assert done.stdout.startswith(f"{run.id}\n")
    assert f"runs/{run.id}/samples/epoch-0010.png" in done.stdout
    assert 'name = "x^2"' in done.stdout


def test_a_run_as_json_has_its_history_and_files(core, tmp_path):
    run = make_run(tmp_path / "runs", epochs=3)
    found = json.loads(core("runs", "show", run.id[:10], "--json").stdout)
    assert set(found) == RUN_KEYS | {"config", "provenance", "history", "files"}
    assert found["config"]["train"]["epochs"] == 3
    assert [record["epoch"] for record in found["history"]] == [1, 2, 3]
    assert set(found["history"][0]) == {
        *("epoch", "step", "elapsed", "mean", "min", "max", "heldout", "images_per_second", "learning_rate"),
        "noise_error",
    }
    assert set(found["files"]) == {"samples", "reverse", "checkpoint", "best_checkpoint", "metrics", "log"}
    assert [sheet["epoch"] for sheet in found["files"]["samples"]] == [1, 2, 3]


def with_images(run: RunDirectory, *notes: str) -> None:
    """Write what a worker writes at its first start."""
    record = TrainedWith(fingerprint="f", train=108, heldout=12, channels=3, size=32, notes=notes)
    run.write_status(msgspec.structs.replace(run.read_status(), trained_with=record))


def test_counts_and_notes_of_a_runs_images_are_shown_and_in_its_json(core, tmp_path):
    run = make_run(tmp_path / "runs", epochs=3)
    assert json.loads(core("runs", "show", "--json").stdout)["images"] is None
    with_images(run, "7 of 127 files were skipped: 7 damaged", "\x1b]0;owned\x07two are alike")
    images = json.loads(core("runs", "show", "--json").stdout)["images"]
    first, second = images.pop("notes")
    assert first == "7 of 127 files were skipped: 7 damaged"
    assert second.endswith("two are alike")
    assert images == {"train": 108, "heldout": 12, "channels": 3, "size": 32, "fingerprint": "f"}
    shown = core("runs", "show").stdout
    assert "images      108 training images and 12 held-out ones, 32x32 in colour" in shown
    assert "note        7 of 127 files were skipped: 7 damaged" in shown
    assert "\x1b" not in shown


def test_following_runs_says_once_what_they_are_trained_on(tmp_path, capsys):
    runs = [make_run(tmp_path / "runs", schedule=name, epochs=1) for name in ("linear", "x^2")]
    for run in runs:
        with_images(run, "7 of 127 files were skipped: 7 damaged")
    Follower(RunStore(tmp_path / "runs"), runs).wait_until_ended(as_json=False)
    lines = capsys.readouterr().err.splitlines()
    assert lines.count("high: 108 training images and 12 held-out ones, 32x32 in colour") == 1
    assert lines.count("high: 7 of 127 files were skipped: 7 damaged") == 1


def test_following_a_finished_run_that_could_not_be_resumed_ends_with_the_reason(tmp_path, capsys):
    run = make_run(tmp_path / "runs", epochs=1)
    run.write_status(msgspec.structs.replace(run.read_status(), error="now it has 10 files"))
    with pytest.raises(UserError, match="1 of 1 runs could not be resumed; they stay finished"):
        Follower(RunStore(tmp_path / "runs"), [run]).wait_until_ended(as_json=False)
    assert "not resumed: now it has 10 files" in capsys.readouterr().err


def test_what_a_file_of_a_run_says_cannot_reach_into_the_terminal(core, tmp_path):
    make_run(tmp_path / "runs", state=State.FAILED, images=False, error="\x1b]0;owned\x07\x1b[2Jboom")
    for arguments in (["list"], ["show"]):
        done = core("runs", *arguments)
        assert "\x1b" not in done.stdout
        assert "boom" in done.stdout


def test_stopping_takes_a_queued_run_out_of_the_queue(core, runs):
    done = core("runs", "stop", runs[2].id)
    assert (done.returncode, done.stdout) == (0, f"runs/{runs[2].id}\n")
    assert "taken from the queue" in done.stderr
    assert state(runs[2]) is State.STOPPED


def test_stopping_all_leaves_alone_what_has_ended(core, runs):
    found = json.loads(core("runs", "stop", "--all", "--json").stdout)
    assert [run["id"] for run in found] == [runs[2].id]
    assert [state(run) for run in runs][3:] == [State.STOPPED, State.FAILED]


@pytest.mark.parametrize("host", ["elsewhere", host_name()])
def test_stopping_a_run_without_a_worker_returns(core, tmp_path, host):
    identity = msgspec.to_builtins(LIVE_PROCESS) | {"host": host}
    run = make_run(tmp_path / "runs", state=State.RUNNING, images=False, now=4e9, **identity)
    done = core("runs", "stop", run.id, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)[0]["state"] == ("crashed" if host == "elsewhere" else "stopped")


def test_a_finished_run_can_only_be_resumed_with_more_epochs(core, runs):
    done = core("runs", "resume", runs[0].id)
    assert done.returncode == 2
    assert "--epochs 15" in done.stderr
    assert state(runs[0]) is State.FINISHED


def test_a_run_can_be_queued_again_without_starting_it(runs, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(
        "core.launch.engines.start.ensure_runner", lambda *asked: pytest.fail("a runner was asked for")
    )
    monkeypatch.chdir(tmp_path)
    assert run_command(["runs", "resume", runs[3].id, "--no-start"]) == 0
    assert capsys.readouterr().out == f"runs/{runs[3].id}\n"
    assert state(runs[3]) is State.QUEUED
    assert run_command(["runs", "resume", runs[4].id, "--no-start", "--follow"]) == 2
    assert "give either --follow or --no-start" in capsys.readouterr().err
    assert state(runs[4]) is State.FAILED


@pytest.mark.parametrize("word", ["start", "resume"])
def test_a_run_whose_runner_was_killed_is_started(runs, monkeypatch, capsys, tmp_path, word):
    woken = []
    monkeypatch.setattr("core.launch.engines.start.ensure_runner", lambda *asked: woken.append(asked))
    monkeypatch.chdir(tmp_path)
    assert run_command(["runs", word, runs[2].id]) == 0
    assert capsys.readouterr().out == f"runs/{runs[2].id}\n"
    assert woken == [(Path("runs"), "auto", None)]
    assert state(runs[2]) is State.QUEUED


def test_starting_all_starts_what_is_queued_and_refuses_what_has_ended(runs, monkeypatch, capsys, tmp_path):
    woken = []
    monkeypatch.setattr("core.launch.engines.start.ensure_runner", lambda *asked: woken.append(asked))
    monkeypatch.chdir(tmp_path)
    assert run_command(["runs", "start", "--all", "--slots", "2"]) == 0
    assert capsys.readouterr().out == f"runs/{runs[2].id}\n"
    assert woken == [(Path("runs"), "auto", 2)]
    assert run_command(["runs", "start", runs[3].id]) == 2
    assert f"core runs resume {runs[3].id}" in capsys.readouterr().err
    assert len(woken) == 1


def test_a_clone_is_queued_beside_its_run_with_what_was_changed(runs, monkeypatch, capsys, tmp_path):
    woken = []
    monkeypatch.setattr("core.launch.engines.start.ensure_runner", lambda *asked: woken.append(asked))
    monkeypatch.chdir(tmp_path)
    words = ["runs", "clone", runs[0].id, "--set", "train.seed=7", "--set", "model.preset=thesis", "--json"]
    assert run_command(words) == 0
    output = capsys.readouterr()
    (row,) = json.loads(output.out)
    new = RunStore("runs").find(row["id"])
    assert (row["state"], row["seed"], new.path.parent) == ("queued", 7, Path("runs"))
    assert new.read().config.model == ModelConfig(preset="thesis", width=64)
    assert output.err == f"{new.id}: queued, with the settings of {runs[0].id}\n"
    assert woken == [(Path("runs"), "auto", None)]
    (tmp_path / "low").mkdir()
    assert run_command(["runs", "clone", runs[0].id, "--set", "data.dataset=low", "--json"]) == 0
    assert "low is the data recipe of that name, not the folder here" in capsys.readouterr().err
    assert run_command(["runs", "clone", runs[0].id, "--set", "train.epoch=3"]) == 2
    assert "did you mean train.epochs?" in capsys.readouterr().err
    assert len(RunStore("runs").runs()) == 7


def test_deleting_without_a_terminal_needs_yes(core, runs):
    done = core("runs", "rm", runs[0].id)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert runs[0].path.exists()
    done = core("runs", "rm", runs[0].id, "--yes")
    assert (done.returncode, done.stdout) == (0, f"{runs[0].id}\n")
    assert not runs[0].path.exists()


@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, 0), (b"n\n", 130, 1), (b"\x04", 130, 1)])
def test_deleting_a_run_asks_for_confirmation(tmp_path, answer, code, left):
    run = make_run(tmp_path / "runs", images=False)
    leader, follower = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "core", "runs", "rm", "latest"],
        stdin=follower,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    os.close(follower)
    os.write(leader, answer)
    _, errors = done.communicate(timeout=60)
    os.close(leader)
    assert done.returncode == code, errors
    assert run.id in errors.decode()
    assert len(RunStore(tmp_path / "runs").runs()) == left


def test_a_run_that_is_training_is_not_deleted(core, tmp_path):
    run = make_run(tmp_path / "runs", state=State.RUNNING, images=False)
    done = core("runs", "rm", run.id, "--yes")
    assert done.returncode == 2
    assert "stop it" in done.stderr
    assert run.path.exists()


def test_deleting_all_spares_what_is_queued_or_training(core, runs, tmp_path):
    live = make_run(tmp_path / "runs", state=State.RUNNING, seed=1, images=False)
    done = core("runs", "rm", "--all", "--yes")
    assert done.returncode == 0
    assert [run.id for run in RunStore(tmp_path / "runs").runs()] == sorted([live.id, runs[2].id])


@pytest.mark.parametrize("command", ["stop", "resume", "rm"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which run?"),
        (["latest", "--all"], "not both"),
        (["2026"], "matches 5 runs"),
        (["1999"], "no run in"),
    ],
)
def test_a_run_must_be_named_and_named_clearly(core, runs, command, arguments, message):
    done = core("runs", command, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert len([run for run in runs if run.path.exists()]) == 5
