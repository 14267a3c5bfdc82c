"""The command line as a whole: help, exit codes, errors in one line, pipes that close."""

import errno
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from core.cli.main import COMMANDS, LazyGroup, cli, run
from tests.support import ROOT


def leaves(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    """All commands that take arguments of their own, with how they are called."""
    if not isinstance(command, click.Group):
        return [(path, command)]
    found = []
    for name in command.list_commands(click.Context(command)):
        child = command.get_command(click.Context(command), name)
        assert child is not None
        found += leaves(child, f"{path} {name}")
    return found


def test_help_lists_all_commands_and_the_exit_codes(core):
    done = core("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", done.stdout, re.MULTILINE)
    assert "130" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_in_the_list_is_the_first_sentence_of_the_commands_own_help(name):
    command = importlib.import_module(f"core.cli.{name}").command
    assert command.help.splitlines()[0] == COMMANDS[name]


def test_without_a_command_the_help_goes_to_stderr_and_the_code_is_2(core):
    done = core()
    assert (done.returncode, done.stdout) == (2, "")
    assert "schedules" in done.stderr


def test_the_version_is_that_of_the_package(core):
    from core import __version__

    assert core("--version").stdout == f"core {__version__}\n"
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shedules"], "error: no command 'shedules'; did you mean schedules?; see `core --help`"),
        (["schedules", "--tmesteps", "3"], "'--timesteps'"),
        (["schedules", "--timesteps", "three"], "'three' is not a valid integer"),
        (["schedules", "--timesteps", "0"], "0 is not in the range"),
        (["schedules", "x^y"], "error: schedule x^y: expected x^P with a positive number P, such as x^1.5"),
        (["abc"], "error: no command 'abc'; expected one of schedules, data, train, "),
        (["data", "show", "hihg"], "did you mean high?"),
        (
            ["data", "show", "nosuch"],
            "no data set called 'nosuch'; Known: array, high, kinds, low; or give a folder",
        ),
        (["train", "--set", "foo.x=1"], "unknown key foo = {'x': 1}; expected one of "),
        (["train", "quik"], "did you mean quick?"),
        (["train", "holiday"], "no recipe called 'holiday'; Known: edm, flow, images, quick, "),
        (["train", "--set", "train.epohs=3"], "unknown key train.epohs = 3; did you mean train.epochs?"),
        (["train", "--set", "data.dataset=hihg"], "did you mean high?"),
        (["train", "--device", "gpu"], "expected auto, cpu, cuda, cuda:N or mps"),
        (["runs", "show", "nothing"], "there are no runs here"),
        (["sample", "latest"], "there are no runs here"),
        (["train", "--runs", ""], "'--runs': expected a path, got an empty one; give . for the working"),
        (["runs", "list", "--runs", ""], "'--runs': expected a path, got an empty one"),
        (["sample", "latest", "--out", ""], "'--out': expected a path, got an empty one; see"),
        (["report", "--out", ""], "'--out': expected a path, got an empty one"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_on_stderr_and_code_2(core, tmp_path, arguments, message):
    done = core(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert message.lower() in done.stderr.lower()
    assert os.listdir(tmp_path) == []


def test_without_a_descriptor_left_the_error_is_one_line(monkeypatch, capsys):
    def open_too_many(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "a file")

    monkeypatch.setattr("core.cli.main.cli.invoke", open_too_many)
    monkeypatch.setattr("core.cli.main.silence", lambda stream: None)
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.reconfigure", lambda **_: None, raising=False)
    assert run(["doctor"]) == 2
    assert capsys.readouterr().err == (
        "error: too many open files; allow more with ulimit -n, or close other programs\n"
    )


def test_a_reader_that_closes_the_pipe_early_is_no_error(tmp_path):
    script = f"'{sys.executable}' -m core schedules --timesteps 10 | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which only Linux has")
def test_a_full_disk_is_one_line_and_not_silence(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "core", "schedules"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            check=False,
        )
    assert (done.returncode, done.stderr) == (2, "error: No space left on device\n")


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")]
)
def test_what_needs_too_much_memory_is_one_line_that_says_what_to_ask_for(monkeypatch, capsys, error):
    def greedy():
        raise error

    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.reconfigure", lambda **_: None, raising=False)
    command = click.Command("sample", callback=greedy)
    monkeypatch.setattr(LazyGroup, "get_command", lambda *_: command)
    assert run(["sample"]) == 2
    assert capsys.readouterr().err.startswith("error: out of memory; ask for fewer images")


def test_any_other_error_of_ours_is_not_hidden(monkeypatch):
    def wrong():
        raise RuntimeError("a bug")

    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.reconfigure", lambda **_: None, raising=False)
    monkeypatch.setattr(LazyGroup, "get_command", lambda *_: click.Command("sample", callback=wrong))
    with pytest.raises(RuntimeError, match="a bug"):
        run(["sample"])


def test_a_terminal_that_knows_only_ascii_gets_escapes_instead_of_a_traceback(core, tmp_path):
    done = core("data", "show", "nosuchthing–", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2
    assert "nosuchthing" in done.stderr
    assert "Traceback" not in done.stderr


def test_shells_are_helped_to_complete_commands(core):
    words = {"_CORE_COMPLETE": "bash_complete", "COMP_WORDS": "core sch", "COMP_CWORD": "1"}
    assert core(env=words).stdout == "plain,schedules\n"


def test_every_command_and_option_is_in_the_documentation():
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    sections = dict(
        re.findall(r"^## `(core[^`\[]*?)(?: \[?[A-Z-].*?)?`\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    )
    for path, command in leaves(cli, "core"):
        assert path in sections, f"{path} has no section"
        options = {
            option for parameter in command.params for option in parameter.opts if option.startswith("--")
        }
        for option in options - {"--json", "--runs", "--help"}:
            assert f"`{option}" in sections[path], f"{path}: {option} is not described"
