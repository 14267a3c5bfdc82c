"""Texts that say what to do: how many epochs to give a finished run, and which file to remove."""

from pathlib import Path

import msgspec
import pytest

from core.errors import UserError, os_error_text
from core.files.outputs import open_output
from core.launch import control
from core.runs.status import State
from tests.support.fake_runs import dashboard_run


def test_a_finished_run_whose_file_names_fewer_epochs_is_told_to_exceed_those_that_it_has(
    tmp_path: Path,
) -> None:
    run = dashboard_run(tmp_path, "linear", state=State.FINISHED, epochs=6, epoch=6)
    file = run.read()
    train = msgspec.structs.replace(file.config.train, epochs=2)
    run.write_run_file(
        msgspec.structs.replace(file, config=msgspec.structs.replace(file.config, train=train))
    )
    with pytest.raises(UserError, match="has finished its 6 epochs; give it more, say --epochs 9"):
        control.resume(run)


def test_an_error_of_the_system_names_the_file_that_has_to_be_removed(tmp_path: Path) -> None:
    link = tmp_path / "worker.log"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="link") as caught:
        open_output(link)
    assert os_error_text(caught.value) == f"{link}: is a link, and a link is not written through: remove it"
    assert os_error_text(OSError(28, "No space left on device")) == "No space left on device"
