"""Texts of strangers' files reach the terminal without control characters, whatever the command."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.cli.main import run as core_run
from core.runs import RunDirectory
from tests.support.hostile import FORBIDDEN, NAME, hostile_folder, hostile_recipes, hostile_runs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("core.launch.engines.start.ensure_runner", lambda *_: 0)
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.reconfigure", lambda **_: None, raising=False)
    return tmp_path


@pytest.fixture
def runs(folder: Path) -> list[RunDirectory]:
    hostile_recipes(folder / "datasets")
    hostile_folder(folder / f"images{NAME}")
    return hostile_runs(folder / "runs")


def check(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    core_run(list(words))
    out, err = capsys.readouterr()
    for text in (out, err):
        assert not FORBIDDEN.findall(text), (words, text)
    assert max(map(len, err.splitlines()), default=0) < 600, words
    return out, err


def commands(runs: Sequence[RunDirectory]) -> list[list[str]]:
    images, first = f"images{NAME}", runs[0].id
    return [
        *(
            ["runs", "list"],
            ["runs", "show"],
            ["runs", "show", first],
            ["runs", "show", NAME],
            ["runs", "stop", first],
        ),
        *(
            ["runs", "stop", NAME],
            ["runs", "resume", first],
            ["runs", "resume", NAME],
            ["runs", "clone", NAME],
        ),
        *(["runs", "clone", first, "--set", NAME], ["runs", "rm", NAME], ["runs", "rm", first]),
        *(
            ["data", "list"],
            ["data", "make", images],
            ["data", "show", images],
            ["data", "make", f"file{NAME}"],
        ),
        *(["data", "make", NAME], ["data", "show", NAME], ["data", NAME]),
        *(
            ["compare"],
            ["compare", "--csv"],
            ["compare", "--markdown"],
            ["compare", NAME],
            ["compare", "--all"],
        ),
        *(
            ["schedules", NAME],
            ["schedules", "--set", NAME],
            ["doctor", "--runs", f"r{NAME}"],
            [NAME],
            ["runs", NAME],
        ),
        *(
            ["train", NAME],
            ["train", "quick", "--set", f"data.dataset={NAME}"],
            ["train", "quick", "--set", NAME],
        ),
        *(
            ["runs", "list", "--runs", f"none{NAME}"],
            ["runs", "list", f"--{NAME}"],
            ["runs", "list", "--state", NAME],
        ),
        *(["evaluate", NAME], ["evaluate", first], ["evaluate", f"a{NAME}.npy", "--dataset", NAME]),
        *(["evaluate", "--only", NAME], ["evaluate", "--device", NAME], ["evaluate"]),
        *(
            ["sample", first],
            ["sample", NAME],
            ["sample", first, "--out", f"{NAME}.png"],
            ["sample", first, "--out", NAME],
        ),
        *(
            ["denoise", first, NAME],
            ["denoise", first, f"{images}/0.png"],
            ["denoise", NAME, f"{images}/0.png"],
        ),
        *(["denoise", first, f"{images}/broken{NAME}.png"],),
    ]


def test_no_command_writes_control_characters(
    runs: list[RunDirectory], capsys: pytest.CaptureFixture[str]
) -> None:
    for words in commands(runs):
        check(words, capsys)
        check([*words, "--json"], capsys)


@pytest.mark.slow
def test_figures_and_report_write_no_control_characters(
    runs: list[RunDirectory], capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        ["figures", "--out", f"out{NAME}"],
        ["report", "--out", f"page{NAME}"],
        ["report", "--picture", NAME],
    ):
        check(words, capsys)
        check([*words, "--json"], capsys)


def test_commands_that_change_runs_write_no_control_characters(
    runs: list[RunDirectory], capsys: pytest.CaptureFixture[str]
) -> None:
    finished, stopped, failed, crashed, queued = (run.id for run in runs)
    check(["runs", "stop", queued], capsys)
    check(["runs", "resume", stopped, crashed], capsys)
    check(["runs", "resume", finished, "--epochs", "9", "--json"], capsys)
    check(["runs", "clone", failed, "--json"], capsys)
    check(["runs", "rm", failed], capsys)
    out, err = check(["runs", "rm", failed, "--yes"], capsys)
    assert out.startswith("20261122-101502-run")
    assert "removed" in err


def test_json_carries_what_is_on_disk(runs: list[RunDirectory], capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(check(["runs", "list", "--json"], capsys)[0])
    for run, shown in zip(runs, found, strict=True):
        file = run.read()
        assert shown["id"] == run.id == os.path.basename(shown["path"])
        assert (shown["group"], shown["created"], shown["tags"]) == (
            file.group,
            file.created,
            list(file.tags),
        )
        assert (shown["recipe"], shown["dataset"]) == (file.config.recipe, file.config.data.dataset)
        assert shown["device"] == run.read_status().device
    shown = json.loads(check(["runs", "show", runs[0].id, "--json"], capsys)[0])
    assert shown["provenance"] == runs[0].read().provenance
    shown = json.loads(check(["data", "make", f"images{NAME}", "--json"], capsys)[0])
    assert shown["name"] == f"images{NAME}"
    shown = json.loads(check(["runs", "rm", runs[0].id, "--yes", "--json"], capsys)[0])
    assert shown == [runs[0].id]


def test_a_warning_of_a_library_is_one_line_without_control_characters() -> None:
    script = (
        "import sys, warnings; from core.cli.options import prepare_torch; prepare_torch('cpu');"
        "import logging; logging.getLogger('x').warning('read %s', sys.argv[1]); warnings.warn('odd' + sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", script, NAME], capture_output=True, text=True, check=True)
    assert not FORBIDDEN.findall(done.stderr)
    assert [line[:13] for line in done.stderr.splitlines()] == ["warning: read", "warning: oddl"]
