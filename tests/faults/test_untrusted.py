"""Guarantees of docs/reliability.md about malicious images and settings that need no worker."""

import ast
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from core.cli.main import run as core_run
from core.config import DataConfig, RunConfig, apply_overrides, decode
from core.data.decode import MAX_PIXELS, NotAnImageError
from core.data.folder import image_files
from core.data.survey import load_image
from core.errors import UserError
from core.imaging import read_sheet, write_sheet
from core.launch.queue import ensure_runner
from core.runs import (
    RunDirectory,
    State,
    Status,
)
from core.training.checkpoint import load_model
from tests.support import ROOT
from tests.support.fake_runs import make_run
from tests.support.queueing import wait_for
from tui.web import Address, serve


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return make_run(tmp_path / "runs", state=State.QUEUED, epoch=0, images=False)


# --- images


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims a huge size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(10_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, width: int, height: int
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(width, height))
    with pytest.raises(UserError, match="pixels"):
        read_sheet(path)
    with pytest.raises(NotAnImageError, match="too large"):
        load_image(path, 8)


def test_a_second_header_does_not_smuggle_a_bomb_past_the_first(tmp_path: Path) -> None:
    small, large = bomb(4, 4), bomb(12_000, 12_000)
    path = tmp_path / "bomb.png"
    path.write_bytes(small[:33] + large[8:])  # signature and small header, then all of the large one
    with pytest.raises(UserError, match="more pixels than a sheet may have"):
        read_sheet(path)
    with pytest.raises(NotAnImageError):
        load_image(path, 8)
    assert MAX_PIXELS < 12_000**2


def test_links_in_circles_in_a_folder_of_images_are_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "round").symlink_to(folder)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / "a.png")
    assert [name for name, _, _ in image_files(folder, leave_out=tmp_path / "data")] == ["a.png"]


def test_a_sheet_is_on_the_disk_before_it_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append("fsync"), sync(handle))[1])
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("replace"), replace(*paths))[1])
    write_sheet(tmp_path / "a.png", np.zeros((1, 4, 4), np.uint8), columns=1)
    assert done == ["fsync", "replace", "fsync"], "the file, then its name, then the folder"


# --- code and escape sequences


def calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("core/**/*.py"), *ROOT.glob("tui/**/*.py")]), ids=lambda p: p.stem
)
def test_nothing_unpickles_evaluates_or_runs_a_shell_on_what_it_read(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & {
        "pickle",
        "cPickle",
        "dill",
        "cloudpickle",
        "joblib",
        "shelve",
        "marshal",
        "tempfile",
    }
    for name, call in calls(tree):
        assert name not in (
            "eval",
            "exec",
            "os.system",
            "torch.load",
            "yaml.load",
            "pickle.load",
            "pickle.loads",
        ), name
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert keywords.get("shell", "False") == "False"
        if name in ("np.load", "numpy.load"):
            assert keywords.get("allow_pickle") == "False"


def plant_modules(folder: Path) -> None:
    """Put modules into a folder that fail when they are imported, as a stranger's folder may have them."""
    for name in ("random", "json", "torch", "numpy", "core/__init__", "tui/__init__", "textual/__init__"):
        path = folder / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f"import os\nos.open({str(folder / 'executed')!r}, os.O_CREAT)\nraise SystemExit(9)\n"
        )


def test_modules_of_the_working_directory_are_not_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.reconfigure", lambda **_: None, raising=False)
    commands = []

    class Server:
        def __init__(self, command: str, *_: object, **__: object) -> None:
            commands.append(command)

        def serve(self) -> None:
            pass

    fakes = {"aiohttp": SimpleNamespace(web=SimpleNamespace(middleware=lambda guard: guard))}
    fakes |= {"textual_serve": SimpleNamespace(), "textual_serve.server": SimpleNamespace(Server=Server)}
    for name, fake in fakes.items():
        monkeypatch.setitem(sys.modules, name, fake)
    monkeypatch.setattr("tui.web.add_middleware", lambda *_: None)
    plant_modules(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert core_run(["doctor", "--deep"]) == 0
    serve(Address("localhost", 8000), ["--version"])
    (command,) = commands
    assert subprocess.run(["/bin/sh", "-c", command], env=os.environ, check=False).returncode == 0
    assert "ddpm-tui" in capfd.readouterr().out
    ensure_runner(tmp_path / "runs")
    log = tmp_path / "runs" / ".queue.log"
    wait_for(lambda: log.exists() and " ends" in log.read_text(), "the end of the runner")
    assert not (tmp_path / "executed").exists()


def test_a_checkpoint_that_is_a_pickle_is_refused_unopened(run: RunDirectory) -> None:
    run.checkpoint.parent.mkdir(exist_ok=True)
    torch.save({"model.a": torch.zeros(3)}, run.checkpoint)
    with pytest.raises(UserError, match="not a checkpoint that can be read"):
        load_model(run)


def test_a_data_set_name_cannot_leave_its_folder(tmp_path: Path) -> None:
    config = RunConfig(data=DataConfig(dataset="../../../etc/passwd"), recipe="../../x")
    made = RunDirectory.create(tmp_path / "runs", config, group="g")
    assert made.path.parent == tmp_path / "runs"
    for name in ("../x", "..", "a/b", "a\0b"):
        with pytest.raises(UserError, match="expected a plain name"):
            RunDirectory.create(tmp_path / "runs", config, group="g", run_id=name)


def test_escape_codes_reach_the_terminal_neither_in_errors_nor_in_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.reconfigure", lambda **_: None, raising=False)
    evil = "\x1b]0;owned\x07\x1b[2J\u202e"
    root = tmp_path / "runs"
    config = RunConfig(recipe=evil, data=DataConfig(dataset=evil))
    RunDirectory.create(root, config, group=evil, tags=(evil,), provenance={evil: evil})
    bad = make_run(root, images=False, run_id=f"19991124-101502-{evil}")
    bad.status_file.write_text('{"state": "' + evil.encode("unicode_escape").decode() + '"}')
    commands = [["runs", "list", "--runs", str(root)], ["runs", "show", "latest", "--runs", str(root)]]
    commands += [["runs", "show", evil, "--runs", str(root)], ["train", evil], ["data", evil], [evil]]
    for command in commands:
        core_run(command)
        shown = capsys.readouterr()
        for text in (shown.out, shown.err):
            found = set(text) & set("\x1b\x07\u202e")
            assert not found, (command, found)


def test_a_status_whose_error_names_a_file_that_is_not_text_can_be_written(run: RunDirectory) -> None:
    run.write_status(Status(state=State.FAILED, error="no data set called '\udcff'"))
    assert run.read_status().error == "no data set called '?'"


def test_settings_that_are_not_text_are_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must be UTF-8 text"):
        RunDirectory.create(tmp_path, RunConfig(recipe="\udcff"), group="g")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match=r"--set: '\\udcff': expected UTF-8 text"):
        decode(apply_overrides({}, ["data.count=\udcff"]), RunConfig, source="--set")
