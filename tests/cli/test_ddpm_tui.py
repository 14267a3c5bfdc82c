"""`ddpm-tui` before it takes over the screen: what it refuses, in one line, with exit code 2."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest


def call(*arguments: str, cwd: Path, terminal: bool = False, **environment: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the real program, in a terminal or without one."""
    master, slave = pty.openpty() if terminal else (-1, subprocess.DEVNULL)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tui", *arguments],
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=slave,
            stdout=slave if terminal else subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        if terminal:
            os.close(master)
            os.close(slave)
    return done.returncode, (done.stdout or b"").decode(), done.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["quick", "extra"], "unrecognized arguments: extra"),
        (["--slots", "many"], "--slots"),
        (["--slots", "0"], "--slots 0: expected a number from 1 to 10,000"),
        (["quik"], "no recipe called 'quik'; did you mean quick?"),
        (["nowhere.toml"], "no such recipe file"),
        (["quick", "--set", "train.epoch=3"], "did you mean train.epochs?"),
        (["quick", "--set", "train.epochs=0"], "train.epochs = 0"),
        (["--set", "train.epochs=3"], "no RECIPE was given"),
        (["--runs", "a-file"], "is a file, expected a folder"),
        (["--device", "abacus"], "abacus"),
        (["--runs", ""], "--runs: expected a path, got an empty one"),
        (["--exports", ""], "--exports: expected a path, got an empty one"),
        ([], "needs a terminal"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "a-file").write_text("", encoding="utf-8")
    code, out, err = call(*arguments, cwd=tmp_path)
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]


def in_shell(commands: str, cwd: Path) -> tuple[int, str]:
    """Exit code and stderr of shell commands whose stdin and stdout are a terminal."""
    master, slave = pty.openpty()
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", commands],
            cwd=cwd,
            env={**os.environ, "PYTHON": sys.executable},
            stdin=slave,
            stdout=slave,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(master)
        os.close(slave)
    return done.returncode, done.stderr.decode()


def test_too_few_descriptors_are_one_line_and_a_low_soft_limit_is_raised(tmp_path: Path) -> None:
    code, err = in_shell('ulimit -n 32 && "$PYTHON" -P -m tui', tmp_path)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: 32 files may be open at once here, but the dashboard needs 64")
    code, err = in_shell('ulimit -S -n 32 && TERM=dumb "$PYTHON" -P -m tui', tmp_path)
    assert (code, err.count("\n")) == (2, 1)
    assert "TERM=dumb" in err


def test_a_terminal_that_cannot_place_text_is_refused(tmp_path: Path) -> None:
    code, _, err = call(cwd=tmp_path, terminal=True, TERM="dumb")
    assert code == 2
    assert "TERM=dumb" in err


def test_a_wrong_keys_toml_is_reported_before_the_screen_is_taken_over(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "ddpm-tui"
    folder.mkdir(parents=True)
    (folder / "keys.toml").write_text('"run.stpo" = "s"', encoding="utf-8")
    homes = dict.fromkeys(("XDG_CONFIG_HOME", "XDG_STATE_HOME"), str(tmp_path / "config"))
    code, _, err = call(cwd=tmp_path, terminal=True, TERM="xterm", **homes)
    assert code == 2
    assert "did you mean run.stop?" in err


def test_escape_codes_of_a_file_do_not_reach_the_terminal_in_an_error(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('"\\u001b]0;owned\\u0007\\u202e" = 1', encoding="utf-8")
    code, _, err = call("mine.toml", cwd=tmp_path, terminal=True, TERM="xterm")
    assert code == 2
    assert "mine.toml" in err
    assert not set(err) & set("\x1b\x07\u202e")


def test_help_and_version_need_no_terminal(tmp_path: Path) -> None:
    code, out, _ = call("--help", cwd=tmp_path)
    assert code == 0
    for option in ("RECIPE", "--runs", "--set", "--device", "--slots", "--no-start"):
        assert option in out
    code, out, _ = call("--version", cwd=tmp_path)
    assert code == 0
    assert out.startswith("ddpm-tui")


@pytest.mark.parametrize("content", ['"{}" = "s"', '"run.stop" = ["{}", 1]', "{}"])
def test_an_error_about_a_very_long_text_is_a_line_that_can_be_read(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "config" / "ddpm-tui"
    folder.mkdir(parents=True)
    (folder / "keys.toml").write_text(content.format("x" * 2000), encoding="utf-8")
    homes = dict.fromkeys(("XDG_CONFIG_HOME", "XDG_STATE_HOME"), str(tmp_path / "config"))
    code, _, err = call(cwd=tmp_path, terminal=True, TERM="xterm", **homes)
    assert code == 2
    assert err.count("\n") == 1
    assert len(err) < 520
    assert "keys.toml" in err


def test_an_argument_of_thousands_of_letters_is_not_repeated_whole(tmp_path: Path) -> None:
    for words in (["x" * 4000], ["--" + "x" * 4000], ["--device", "x" * 4000], ["--runs", "x" * 4000]):
        code, _, err = call(*words, cwd=tmp_path)
        assert code == 2
        assert len(err) < 520
