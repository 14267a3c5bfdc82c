"""Creation of many runs at once."""

import os
from datetime import datetime, tzinfo
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.config import RunConfig, TrainConfig
from core.errors import UserError
from core.runs import RunStore, State, creation, naming
from core.runs.creation import create_runs


def _configs(count: int) -> list[RunConfig]:
    return [RunConfig(train=TrainConfig(seed=seed)) for seed in range(count)]


def test_runs_are_queued_in_their_order_and_each_file_and_folder_is_flushed_before_its_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[str, str]] = []
    fsync, rename = os.fsync, os.rename

    def record_fsync(handle: int) -> None:
        events.append(("fsync", os.readlink(f"/proc/self/fd/{handle}")))
        fsync(handle)

    def record_rename(source: Path, target: Path) -> None:
        events.append(("rename", str(target)))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "rename", record_rename)
    runs = create_runs(tmp_path, _configs(3), group="g", tags=("t",), engine="slurm")
    infos = RunStore(tmp_path).infos()
    assert [info.file.config.train.seed for info in infos] == [0, 1, 2]
    assert [info.directory.id for info in infos] == [run.id for run in runs]
    assert {(info.state, info.status.engine, info.file.group) for info in infos} == {
        (State.QUEUED, "slurm", "g")
    }
    for run in runs:
        published = events.index(("rename", str(run.path)))
        flushed = [path for kind, path in events[:published] if kind == "fsync" and run.id in path]
        assert sorted(path.rpartition("/")[2] for path in flushed) == [run.id, "run.toml", "status.json"]
    assert events[-1] == ("fsync", str(tmp_path))
    assert not list(tmp_path.glob(".*"))


def test_a_failure_midway_leaves_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def fail_late(source: Path, target: Path) -> None:
        is_public = target.parent == tmp_path and not target.name.startswith(".")
        if is_public and "-s1-" in target.name:
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_late)
    with pytest.raises(UserError, match=r"cannot make a run there .No space left on device"):
        create_runs(tmp_path, _configs(3), group="g")
    assert not list(tmp_path.iterdir())


def test_of_runs_that_are_alike_each_gets_an_id_that_neither_the_group_nor_the_folder_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Noon(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Noon":
            return cls(2026, 1, 1, 12, tzinfo=tz)

    monkeypatch.setattr(creation, "datetime", Noon)
    digits = iter(["aaaa", "aaaa", "bbbb", "bbbb", "aaaa", "cccc"])
    monkeypatch.setattr(naming, "secrets", SimpleNamespace(token_hex=lambda _: next(digits)))
    alike = [RunConfig(), RunConfig()]
    first = create_runs(tmp_path, alike, group="g")
    second = create_runs(tmp_path, alike[:1], group="h")
    assert [run.id[-4:] for run in first + second] == ["aaaa", "bbbb", "cccc"]
    assert len(RunStore(tmp_path).infos()) == 3
