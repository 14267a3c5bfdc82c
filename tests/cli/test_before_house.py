"""Files written by the version before the restructuring are read as that version read them.

`tests/fixtures/before-house` holds these files, and `expected` in it the output of commit `before_house.COMMIT`.
Names, numbers, keys and files are compared; the wording of messages may change.
"""

import json
import lzma
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load

from core.training.checkpoint import save_checkpoint
from core.training.inputs import load_images, record_inputs
from core.training.loop import Trainer
from core.training.sample_sheets import write_noise_sheet
from tests.conftest import Core
from tests.support import before_house, before_house_interface
from tests.support.before_house import (
    EXPECTED,
    STATES,
    copy_house,
    core_json,
    core_stdout,
    differences,
    expected,
    run_in,
)
from tests.support.tiny_runs import train_here

Json = Any


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Use one thread, as the expected numbers were computed."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the fixtures shared by the tests that only read."""
    return copy_house(tmp_path_factory.mktemp("before"))


@pytest.fixture
def own_house(tmp_path: Path) -> Path:
    """A copy of the fixtures for a test that writes."""
    return copy_house(tmp_path)


def train(house: Path, run: Any) -> None:
    """Train the run to its end by the current version."""
    with before_house.inside(house):
        assert train_here(run) == 0, run.read_status().error


def begin_as_before(house: Path, run: Any) -> None:
    """Begin a queued run as the version before did, and stop it before its first step."""
    with before_house.inside(house):
        config, images = run.read().config, load_images(run)
        trainer = Trainer(config, images, torch.device("cpu"))
        trainer._seeding = "stream"
        trainer.generator.manual_seed(config.train.seed)
        write_noise_sheet(run, trainer)
        position = trainer.position(elapsed=0.0, metrics_offset=0)
        inputs = record_inputs(config, images, "cpu")
        save_checkpoint(run, trainer.state_dict(), msgspec.structs.replace(position, trained_with=inputs))


def assert_same_end(run: Any, end: Json) -> None:
    """Compare the end of the training: bit for bit on the same kind of processor, approximately on others."""
    tensors, position = before_house.checkpoint_contents(run)
    exact = before_house.same_processor()
    assert differences(position, end["position"]) == []
    assert set(before_house.tensor_norms(tensors)) == set(end["norms"])
    assert before_house.step_losses(run) == pytest.approx(end["losses"], rel=0.02)
    lines = [line for line in before_house.logged_lines(run) if line["k"] == "e"]
    assert differences(lines, end["epochs"], relative=1e-9 if exact else 0.02) == []
    assert (
        differences(before_house.tensor_norms(tensors), end["norms"], relative=1e-9 if exact else 0.02) == []
    )
    if exact:
        assert before_house.tensor_digests(tensors) == end["marks"]


def modified(folder: Path) -> dict[str, int]:
    """Return the modification time of each file."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and ".locks" not in path.parts
    }


# Runs


def test_the_command_line_lists_and_shows_the_runs_as_before(core: Core, own_house: Path) -> None:
    listed = core("runs", "list", "--json", cwd=own_house)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert differences(json.loads(listed.stdout), expected("runs-list.json")) == []
    run = run_in(own_house, "finished")
    shown = core("runs", "show", run.id, "--json", cwd=own_house)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert differences(json.loads(shown.stdout), expected("runs-show-finished.json")) == []


@pytest.mark.parametrize("state", STATES)
def test_all_that_is_known_of_a_run_is_what_it_was(house: Path, state: str) -> None:
    run = run_in(house, state).id
    assert differences(core_json(house, "runs", "show", run), expected(f"runs-show-{state}.json")) == []
    text, before = (
        core_stdout(house, "runs", "show", run),
        (EXPECTED / f"runs-show-{state}.txt").read_text("utf-8"),
    )
    head, settings = text.split("\n\n", 1)
    head_before, settings_before = before.split("\n\n", 1)
    assert [line for line in settings.splitlines() if line in settings_before.splitlines()] == (
        settings_before.splitlines()
    )  # newer settings stand between them
    lines = [line for line in head.splitlines() if line.split()[0] not in ("best", "weights")]  # newer too
    assert before_house.numbers_in("\n".join(lines)) == before_house.numbers_in(head_before)


def test_runs_are_found_by_the_beginnings_of_their_names_and_as_the_latest(house: Path) -> None:
    queued, stopped = run_in(house, "queued").id, run_in(house, "stopped").id
    assert core_json(house, "runs", "show")["id"] == queued
    assert core_json(house, "runs", "show", stopped[:-1])["id"] == stopped
    assert core_json(house, "runs", "show", f"runs/{stopped}")["id"] == stopped
    only = core_json(house, "runs", "list", "--state", "stopped")
    assert [one["id"] for one in only] == [stopped]


@pytest.mark.parametrize("state", STATES)
def test_images_fitted_triangles_and_trajectories_are_read_as_before(house: Path, state: str) -> None:
    found = before_house.images_of(run_in(house, state))
    assert differences(found, expected(f"pictures-{state}.json")) == []


def test_the_dashboard_sees_the_same_runs(house: Path) -> None:
    assert differences(before_house.dashboard_runs(house), expected("dashboard.json")) == []


def test_runs_compare_as_before(house: Path) -> None:
    assert differences(core_json(house, "compare", "--all"), expected("compare.json")) == []


@pytest.mark.parametrize(("state", "evaluations"), [("finished", 2), ("stopped", 1)])
def test_every_number_of_an_evaluation_is_kept(house: Path, state: str, evaluations: int) -> None:
    written = json.loads((run_in(house, state).path / "evaluation.json").read_text(encoding="utf-8"))
    assert len(written) == evaluations
    assert differences(before_house.stored_evaluations(house, state), written, relative=0.0) == []


def test_an_evaluation_of_before_is_recognised_by_its_options(own_house: Path) -> None:
    file = run_in(own_house, "stopped").path / "evaluation.json"
    (wanted,) = json.loads(file.read_text(encoding="utf-8"))
    before = modified(own_house)
    del wanted["format_version"]
    assert differences(before_house.repeated_evaluation(own_house), wanted, relative=0.0) == []
    assert modified(own_house) == before


def test_a_new_evaluation_gives_the_same_numbers_and_needs_no_new_fits_of_the_data(own_house: Path) -> None:
    before = modified(own_house / "datasets")
    found, wanted = before_house.new_evaluation(own_house), expected("judged-anew.json")
    found["curves"] = [name for name in found["curves"] if "_error" not in name]  # the noise errors are newer
    if before_house.same_processor():
        assert differences(found, wanted) == []
    assert before_house.key_paths(wanted) <= before_house.key_paths(found)
    now = modified(own_house / "datasets")
    assert {name: now[name] for name in before} == before
    assert len(before_house.stored_evaluations(own_house, "stopped")) == 2


def test_a_checkpoint_of_before_draws_the_same_images(own_house: Path) -> None:
    found, wanted = before_house.sampled_and_denoised(own_house), expected("drawn.json")
    assert differences(found["sample"], wanted["sample"]) == []
    assert differences(found["denoise"], wanted["denoise"], relative=1e-3) == []
    assert torch.allclose(torch.tensor(found["rows"]), torch.tensor(wanted["rows"]), atol=1e-3)
    if before_house.same_processor():
        assert found["pictures"] == wanted["pictures"]


# Trainings


def test_a_run_that_was_stopped_ends_with_the_weights_of_one_that_was_not(
    core: Core, own_house: Path
) -> None:
    run = run_in(own_house, "stopped")
    asked, data = run.run_file.read_bytes(), modified(own_house / "datasets")
    keys = json.loads(run.status_file.read_text(encoding="utf-8")).keys()
    resumed = core("runs", "resume", run.id, "--no-start", cwd=own_house)
    assert (resumed.returncode, resumed.stdout) == (0, f"runs/{run.id}\n")
    train(own_house, run)
    end = expected("end.json")
    assert_same_end(run, end)
    weights = load(lzma.decompress((EXPECTED / "end.safetensors.xz").read_bytes()))
    tensors, _ = before_house.checkpoint_contents(run)
    for name, value in weights.items():
        if value.is_floating_point():
            torch.testing.assert_close(tensors[name].bfloat16(), value, rtol=0.01, atol=2e-3, msg=name)
            assert not before_house.same_processor() or torch.equal(tensors[name].bfloat16(), value)
    assert run.run_file.read_bytes() == asked
    assert modified(own_house / "datasets") == data
    of_dashboard = re.compile("overlays/|trajectories/")
    assert before_house.files_of(run.path) == [name for name in end["files"] if not of_dashboard.match(name)]
    if before_house.same_processor():
        images, wanted = before_house.images_of(run), expected("pictures-finished.json")
        assert (images["samples"], images["reverse"]) == (wanted["samples"], wanted["reverse"])
    status = json.loads(run.status_file.read_text(encoding="utf-8"))
    assert (status["state"], status["format_version"], status["attempt"]) == ("finished", 1, 2)
    assert status.keys() >= keys


def test_a_run_that_waited_in_the_queue_is_trained_to_the_same_files_and_position(own_house: Path) -> None:
    """Its steps draw other random numbers than before, so its weights and samples differ."""
    run, end = run_in(own_house, "queued"), expected("queued-end.json")
    train(own_house, run)
    tensors, position = before_house.checkpoint_contents(run)
    assert differences(position, end["position"]) == []
    assert position["seeding"] == "step"
    assert "rng" not in tensors
    assert set(before_house.tensor_norms(tensors)) == set(end["norms"])
    assert len(before_house.step_losses(run)) == len(end["losses"])
    assert before_house.files_of(run.path) == end["files"]


def test_a_run_that_had_begun_ends_as_it_would_have(own_house: Path) -> None:
    run, end = run_in(own_house, "queued"), expected("queued-end.json")
    begin_as_before(own_house, run)
    train(own_house, run)
    assert_same_end(run, end)
    assert before_house.files_of(run.path) == end["files"]
    if before_house.same_processor():
        assert before_house.images_of(run) == end["pictures"]


# Data sets and recipes


def test_data_sets_are_found_where_they_were_and_not_made_again(own_house: Path) -> None:
    before = modified(own_house)
    assert differences(core_json(own_house, "data", "make", "tiny"), expected("data-make.json")) == []
    assert modified(own_house) == before
    assert before_house.dataset_folders(own_house) == expected("sets.json")["folders"]


def test_a_set_that_is_lost_is_made_again_the_same(own_house: Path) -> None:
    folder = own_house / "datasets" / expected("sets.json")["folders"]["tiny"]
    assert before_house.array_digests(folder) == expected("sets.json")["arrays"]
    record = (folder / "recipe.toml").read_bytes()
    shutil.rmtree(folder)
    core_stdout(own_house, "data", "make", "tiny")
    assert before_house.array_digests(folder) == expected("sets.json")["arrays"]
    assert (folder / "recipe.toml").read_bytes() == record


def test_a_recipe_with_a_base_a_grid_and_an_old_switch_makes_the_same_runs(house: Path) -> None:
    assert differences(before_house.recipe_runs(house, "mine"), expected("recipe.json")) == []


# Settings and keys of the user


def test_settings_and_keys_are_read_as_before(house: Path) -> None:
    found, wanted = before_house_interface.user_settings(house), expected("settings.json")
    problems = wanted.pop("troubles")
    assert differences(found, wanted) == []
    assert len(found["troubles"]) == len(problems) == 3
    for line, key in zip(found["troubles"], ("speed", "bell", "plans"), strict=True):
        assert line.startswith("HOUSE/home/state/ddpm-tui/settings.toml: ")
        assert re.search(rf"\b{key}\b", line)


def test_a_change_leaves_all_else_in_the_files_byte_for_byte(own_house: Path) -> None:
    settings, keys = before_house_interface.change_settings(own_house)
    assert settings == (EXPECTED / "settings-after-change.toml").read_bytes()
    assert keys == (EXPECTED / "keys-after-change.toml").read_bytes()


def test_a_key_for_no_command_is_refused_with_the_nearest_one(own_house: Path) -> None:
    message = before_house_interface.keys_file_error(own_house, '"run.stopp" = "s"\n')
    assert message.startswith("HOUSE/home/config/ddpm-tui/keys.toml: ")
    assert "run.stopp" in message
    assert message.endswith("run.stop?")


# Commands, options and settings


def test_every_command_of_the_dashboard_has_its_name_and_keys() -> None:
    wanted = {
        section: {name: keys for name, (keys, _) in commands.items()}
        for section, commands in expected("commands.json").items()
    }
    # Page keys of a comparison scroll its tables now.
    wanted["compare"] |= {"compare.down": "down,j", "compare.up": "up,k"}
    assert differences(before_house_interface.commands(), wanted) == []


def test_every_setting_has_its_name_and_its_default() -> None:
    assert differences(before_house_interface.defaults(), expected("defaults.json")) == []


def test_files_have_the_same_keys_types_bounds_and_defaults() -> None:
    wanted = expected("stored.json")
    found = before_house_interface.without_new_values(before_house_interface.file_schemas(), wanted)
    assert differences(found, wanted) == []


@pytest.mark.parametrize("program", ["core", "ddpm-tui"])
def test_every_option_is_called_and_takes_what_it_did(program: str) -> None:
    found = (
        before_house_interface.core_options()
        if program == "core"
        else {"": before_house_interface.dashboard_arguments()}
    )
    wanted = expected("options.json")[program]
    wanted = wanted if program == "core" else {"": wanted}
    for command, options in wanted.items():
        assert command in found
        for name, option in options.items():
            now = found[command].get(name)
            if (
                isinstance(now, dict)
                and "range" in option
                and None in option["range"][1:]
                and now["range"][1]
            ):
                # Without a bound before. Numbers that no machine can count to are refused now.
                assert now["range"][1] >= 10_000
                now = now | {"range": [now["range"][0], None]}
            assert now == option, f"{command} {name}"
        added = found[command].keys() - options.keys()
        assert not [name for name in added if program == "core" and found[command][name].get("required")]


def test_help_lists_all_commands_options_and_choices_that_it_did() -> None:
    before = json.loads(lzma.decompress((EXPECTED / "helps.json.xz").read_bytes()))
    found = before_house_interface.help_texts()
    for name, text in before.items():
        assert listed_in(text)
        assert listed_in(text) <= listed_in(found[name]), f"{name} --help"


def listed_in(text: str) -> set[str]:
    """Options and commands at the beginnings of lines, and choices; wrapped lines of prose have neither."""
    options = re.findall(r"^  (?:-\w, )?(--[a-z-]+)(?=\s|$)", text, re.MULTILINE)
    commands = re.findall(r"^  ([a-z]+)  ", text, re.MULTILINE)
    choices = re.findall(r"[\[{][\w+-]+(?:[|,][\w+-]+)+[\]}]", text)
    return {*options, *commands, *choices}


def test_commands_end_with_the_codes_they_did(own_house: Path) -> None:
    assert before_house.exit_codes(own_house) == expected("exit-codes.json")


def test_json_has_the_keys_and_numbers_it_had(house: Path) -> None:
    found, wanted = before_house.schedules(house), expected("schedules.json")
    known = {one["name"] for one in wanted[""]}
    found[""] = [one for one in found[""] if one["name"] in known]  # flow and edm are newer
    assert differences(found, wanted) == []
    recipes, wanted = core_json(house, "data", "list"), expected("data-list.json")
    recipes = [one for one in recipes if one["name"] in {old["name"] for old in wanted}]  # kinds is newer
    assert differences(recipes, wanted) == []
    assert set(expected("doctor-keys.json")) <= before_house.key_paths(core_json(house, "doctor"))
