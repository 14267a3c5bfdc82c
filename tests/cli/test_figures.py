"""`core figures` and `core report`."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from core.cli.main import run as run_command
from core.runs import State
from tests.support.evaluated_runs import make_run_grid
from tests.support.fake_runs import CREATED, make_run
from tests.unit.test_contracts import loaded_after

TWO = {"5.1-schedules", "5.2-noising"}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two groups of queued runs, of which only schedules can be drawn, in the current folder."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "runs"
    for index, group in enumerate(("old", "old", "new")):
        make_run(
            root,
            state=State.QUEUED,
            images=False,
            schedule=("linear", "sine", "x^2")[index],
            group=group,
            created=CREATED + timedelta(seconds=index),
            run_id=f"{group}-{index}",
        )
    return root


def drawn(capsys, *arguments: str) -> dict:
    assert run_command(["figures", *arguments, "--json"]) == 0
    output = capsys.readouterr()
    return json.loads(output.out)


def test_names_of_files_go_to_stdout_and_what_is_left_out_to_stderr(runs, tmp_path, capsys):
    assert run_command(["figures"]) == 0
    output = capsys.readouterr()
    assert set(output.out.splitlines()) == {f"figures/{key}.png" for key in TWO}
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == TWO
    reasons = output.err.splitlines()
    assert all(line.startswith("left out: ") for line in reasons)
    assert any("quality, shape" in line and "core evaluate" in line for line in reasons)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["new-2"]),
        (["old"], ["old-0", "old-1"]),
        (["--all"], ["old-0", "old-1", "new-2"]),
        (["latest", "old-0", "runs/new-2", "old-0"], ["new-2", "old-0"]),
    ],
    ids=" ".join,
)
def test_runs_are_chosen_by_group_or_one_by_one_or_all(runs, capsys, arguments, expected):
    assert drawn(capsys, *arguments)["runs"] == expected


@pytest.mark.parametrize(("kind", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89PNG")])
def test_figures_come_in_the_format_that_is_asked_for(runs, tmp_path, capsys, kind, start):
    for figure in drawn(capsys, "--format", kind, "--out", "there/new")["figures"]:
        path = tmp_path / figure["path"]
        assert path.suffix == f".{kind}"
        assert path.read_bytes().startswith(start)


def test_json_says_what_each_figure_shows_and_why_others_are_missing(runs, capsys):
    found = drawn(capsys)
    assert set(found) == {"runs", "figures", "missing"}
    assert [set(one) for one in found["figures"]] == [{"figure", "title", "caption", "path"}] * 2
    assert {one["figure"] for one in found["figures"]} == TWO
    reasons = {one["figure"]: one["reason"] for one in found["missing"]}
    assert reasons["6.1-reverse-low"] == "none of these runs was trained on low"


def test_the_users_image_replaces_the_default_one(runs, tmp_path, capsys):
    Image.new("RGB", (64, 64), (0, 90, 200)).save(tmp_path / "own.png")
    captions = {one["figure"]: one["caption"] for one in drawn(capsys, "--picture", "own.png")["figures"]}
    assert captions["5.2-noising"].startswith("x_t of your image")


@pytest.mark.parametrize("command", ["figures", "report"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runs", "nowhere"], "nowhere: there are no runs here; start one with core train, or give --runs"),
        (["nothing"], "nothing: no run in runs has this name; the newest are old-0, old-1, new-2"),
        (["old-0", "--all"], "give either runs or --all, not both"),
        (["--out", "file"], "file"),
        (["--out", "file/below"], "--out file/below: cannot be made (Not a directory)"),
        (["--picture", "none.png"], "--picture none.png: no such file"),
        (["--picture", "file"], "--picture file: cannot be used (not an image)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_code_2(runs, tmp_path, capsys, command, arguments, message):
    (tmp_path / "file").write_text("text")
    assert run_command([command, *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert output.err.startswith("error: ")
    assert message in output.err


def test_a_damaged_run_is_reported_and_the_others_are_drawn(runs, capsys):
    (runs / "new-2" / "status.json").write_text("{")
    assert run_command(["figures", "--all"]) == 0
    assert "new-2: " in capsys.readouterr().err
    assert run_command(["figures", "new-2"]) == 2


def test_a_report_is_one_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_run_grid(tmp_path / "runs", names=("linear",), evaluated=True)
    assert run_command(["report", "--out", "here"]) == 0
    assert capsys.readouterr().out == "here/index.html\n"
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["index.html"]
    text = (tmp_path / "here" / "index.html").read_text(encoding="utf-8")
    assert "Figure 6.4. Five samples from five starting noises, high." in text
    assert "balanced pass" in text


def test_a_report_in_json_names_its_runs_and_its_file(runs, capsys):
    assert run_command(["report", "old-0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"runs": ["old-0"], "path": "report/index.html"}


def test_a_folder_that_cannot_be_written_is_one_line(runs, tmp_path, capsys):
    (tmp_path / "out" / "5.1-schedules.png").mkdir(parents=True)
    assert run_command(["figures", "--out", "out"]) == 2
    assert capsys.readouterr().err.startswith("error: --out out/5.1-schedules.png: cannot be written")
    (tmp_path / "page" / "index.html").mkdir(parents=True)
    assert run_command(["report", "--out", "page"]) == 2
    assert "error: --out page: cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["figures", "report"])
def test_help_and_mistakes_do_not_wait_for_matplotlib(command, tmp_path):
    code = f"from core.cli.main import run\nassert run([{command!r}, '--help']) == 0\nassert run([{command!r}]) == 2"
    loaded = loaded_after(code, cwd=tmp_path)
    assert not loaded & {"matplotlib", "scipy", "cv2", "torch"}
