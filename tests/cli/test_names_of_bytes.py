"""Runs and images below folders whose names are not UTF-8."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.cli.main import run as core_run
from core.files.utf8 import utf8_path
from core.runs import RunStore, State
from tests.cli.test_sample import TINY
from tests.support.fake_runs import make_run

BYTES = os.fsdecode(b"b\xe9d")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name is not UTF-8."""
    try:
        (tmp_path / BYTES).mkdir()
    except OSError:
        pytest.skip("this file system has only names that are UTF-8")
    return tmp_path / BYTES


def test_one_folder_that_is_not_utf8_does_not_break_the_list(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.reconfigure", lambda **_: None, raising=False)
    root = folder.parent / "runs"
    runs = [make_run(root, run_id="a"), make_run(root, run_id="c")]
    shutil.copytree(runs[0].path, root / BYTES)
    assert core_run(["runs", "list", "--runs", str(root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {run["id"] for run in found} == {"a", "c", BYTES}
    assert os.path.isdir(next(run["path"] for run in found if run["id"] == BYTES))
    for words in (
        ["runs", "list"],
        ["runs", "show", BYTES],
        ["runs", "show", BYTES, "--json"],
        ["compare", "--json"],
    ):
        assert core_run([*words, "--runs", str(root)]) == 0
        assert capsys.readouterr().out.isprintable() is False  # lines of printable text


def test_a_file_below_it_has_a_name_in_utf8_while_it_is_needed(folder: Path) -> None:
    (folder / "a").write_text("x", encoding="utf-8")
    with utf8_path(folder / "a") as named:
        str(named).encode()
        assert named.read_text(encoding="utf-8") == "x"
        (named.parent / "b").write_text("y", encoding="utf-8")
    assert (folder / "b").read_text(encoding="utf-8") == "y"
    assert not named.exists()
    with utf8_path(folder.parent / "c") as named:
        assert named == folder.parent / "c"


@pytest.mark.slow
def test_a_run_below_it_is_resumed_and_sampled(folder: Path, tmp_path: Path) -> None:
    def core(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "core", *words, "--runs", str(folder / "runs")],
            cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    (tmp_path / "tiny.toml").write_text(TINY.partition("[grid]")[0], encoding="utf-8")
    done = core("train", "tiny.toml", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    done = core("runs", "resume", "latest", "--epochs", "2", "--follow", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    (info,) = RunStore(folder / "runs").infos()
    assert (info.state, info.status.epoch) == (State.FINISHED, 2)
    done = core("sample", "latest", "--count", "2", "--out", "a.png")
    assert done.returncode == 0, done.stderr
