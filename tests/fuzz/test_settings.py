"""Nonsense settings of all kinds: an error of one line, or settings that work."""

import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from core.cli.main import run
from core.config import RunConfig, apply_overrides, decode, encode_toml, flatten, read_toml
from core.data.recipe import DataRecipe, find_data_recipe
from core.errors import UserError
from core.recipes import load_recipe
from core.runs import RunDirectory
from core.schedules import Schedule, make_schedule
from tests.support import ROOT
from tests.support.fuzzing import (
    error_message,
    fuzzed,
    mutated,
    odd_number,
    odd_text,
    odd_value,
    slowly_fuzzed,
)

KEYS = sorted(flatten(msgspec.to_builtins(RunConfig())))
VALID = (ROOT / "core" / "recipes" / "quick.toml").read_bytes()
DATA = b'name = "mine"\nkind = "triangles"\ncount = 10\nsize = 32\nstorage = "jpeg"\nquality = 75\n'


@fuzzed
@given(st.dictionaries(st.sampled_from(KEYS) | odd_text.filter(bool), odd_value, max_size=4))
def test_any_table_is_settings_that_survive_a_round_trip_or_a_line_of_words(table: dict[str, Any]) -> None:
    nested: dict[str, Any] = {}
    for key, value in table.items():
        section, _, name = key.partition(".")
        if name and isinstance(nested.setdefault(section, {}), dict):
            nested[section][name] = value
        elif not name:
            nested[key] = value
    if words := error_message(lambda: decode(nested, RunConfig, source="here")):
        assert words.startswith("here: ")
        return
    config = decode(nested, RunConfig, source="here")
    with contextlib.suppress(UnicodeEncodeError):  # a lone surrogate, which no TOML file can hold
        text = encode_toml(config).encode().decode()
        again = decode(msgspec.toml.decode(text), RunConfig, source="again")
        assert again == config


@fuzzed
@given(mutated((VALID, DATA, b"a = 1\n")))
def test_any_bytes_are_a_recipe_or_a_line_of_words(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(data)
    for read in (read_toml, load_recipe, lambda path: find_data_recipe(str(path), tmp_path)):
        assert str(file) in (error_message(lambda read=read: read(file)) or str(file))


@fuzzed
@given(st.dictionaries(st.sampled_from(DataRecipe.__struct_fields__), odd_value, max_size=4))
def test_any_data_recipe_is_one_or_a_line_of_words(tmp_path: Path, table: dict[str, Any]) -> None:
    file = tmp_path / "mine.toml"
    try:
        file.write_text(tomli_w.dumps(table), encoding="utf-8")
    except (UnicodeEncodeError, TypeError, ValueError):
        return
    with contextlib.suppress(UserError):
        assert find_data_recipe(str(file), tmp_path).name


@fuzzed
@given(st.lists(st.tuples(st.sampled_from(KEYS) | odd_text, odd_text | odd_number.map(str)), max_size=3))
def test_any_override_is_taken_or_explained(pairs: list[tuple[str, str]]) -> None:
    assignments = [f"{key}={value}" for key, value in pairs]
    with contextlib.suppress(UserError):
        decode(apply_overrides({}, assignments), RunConfig, source="--set")
    if not error_message(lambda: load_recipe("quick", assignments)):
        assert 1 <= len(load_recipe("quick", assignments).configs) <= 10_000


@fuzzed
@given(
    st.sampled_from(["linear", "sine", "cosine", "sigmoid", "x^2", "x^1e3", "custom"]) | odd_text,
    st.integers(-3, 300) | st.sampled_from([0, 1, 10_000]),
    odd_number.filter(lambda n: n != n or abs(n) < 1e300),
    odd_number.filter(lambda n: n != n or abs(n) < 1e300),
    st.floats(),
    st.booleans(),
)
@pytest.mark.filterwarnings("error")
def test_any_schedule_has_betas_in_bounds_or_is_refused(
    name: str, timesteps: int, start: float, end: float, periods: float, rescaled: bool
) -> None:
    def make() -> Schedule:
        return make_schedule(
            name,
            timesteps=timesteps,
            beta_start=float(start),
            beta_end=float(end),
            periods=periods,
            zero_terminal_snr=rescaled,
        )

    if error_message(make):
        return
    schedule = make()
    assert ((schedule.betas > 0) & (schedule.betas <= 1)).all()
    assert 0 <= schedule.terminal_alpha_bar < 1
    assert schedule.diagnosis().text


@slowly_fuzzed
@given(st.binary(max_size=200) | mutated((b"0.1 0.2\n0.3, 0.4 # four\n",)), st.sampled_from([".txt", ".npy"]))
def test_any_file_of_betas_is_one_or_a_line_of_words(tmp_path: Path, data: bytes, suffix: str) -> None:
    file = tmp_path / f"betas{suffix}"
    file.write_bytes(data)
    with contextlib.suppress(UserError):
        make_schedule("custom", timesteps=4, file=str(file))


@fuzzed
@given(odd_text, odd_text, st.integers(0, 2**32 - 1))
def test_no_name_makes_a_run_outside_the_runs_folder(
    tmp_path: Path, recipe: str, schedule: str, seed: int
) -> None:
    root = tmp_path / "runs"
    table = {
        "recipe": recipe,
        "data": {"dataset": recipe},
        "schedule": {"name": schedule},
        "train": {"seed": seed},
    }
    with contextlib.suppress(UserError):
        made = RunDirectory.create(root, decode(table, RunConfig, source="x"), group="g")
        assert made.path.parent == root
        assert made.id.isascii()
        assert made.id.isprintable()
    with contextlib.suppress(UserError):
        assert RunDirectory.create(root, RunConfig(), group="g", run_id=schedule).path.parent == root
    assert {path.name for path in tmp_path.iterdir()} <= {"runs"}


@slowly_fuzzed
@given(
    st.lists(
        st.sampled_from(
            ["schedules", "runs", "list", "show", "stop", "resume", "rm", "data", "sample", "--json", "--set"]
        )
        | st.sampled_from(
            [
                "--runs",
                "--count",
                "--slots",
                "--device",
                "--all",
                "--yes",
                "--out",
                "--epochs",
                "--help",
                "-1",
            ]
        )
        | odd_text.filter(lambda text: text not in ("", ".", "..") and "/" not in text and "\0" not in text),
        max_size=5,
    )
)
def test_no_command_line_ends_in_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdout.reconfigure", lambda **_: None, raising=False)
    monkeypatch.setattr("sys.stderr.reconfigure", lambda **_: None, raising=False)
    assert run(arguments) in (0, 2, 3, 130)
    assert "Traceback" not in capsys.readouterr().err
