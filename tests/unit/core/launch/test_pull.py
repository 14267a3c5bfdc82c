"""Pulling of runs: only what changed, consistent at every instant, and nothing of this machine is touched."""

import os
import shutil
import time
from pathlib import Path

import pytest

from core.errors import UserError
from core.launch import control
from core.launch.pull import Puller
from core.launch.rsync import Interrupted, Rsync
from core.runs import MetricsTail, MetricsWriter, NotQueuedError, RunDirectory, RunStore, State
from core.runs.copies import FILE_NAME
from tests.support.pulling import append_epoch, fake_ssh, needs_rsync, puller, remote_run, write


def epochs(run: RunDirectory) -> list[int]:
    tail = MetricsTail(run.metrics_file, epochs_only=True)
    tail.poll()
    assert not tail.damaged
    return [record.epoch for record in tail.epochs]


@needs_rsync
def test_a_pull_over_ssh_copies_runs_and_the_next_one_only_appends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_ssh(tmp_path / "bin", monkeypatch)
    there, here = tmp_path / "there", tmp_path / "here"
    live, ended = remote_run(there, "live", heartbeat=time.time()), remote_run(there, "ended")
    write(ended, state=State.FINISHED)
    pull = puller(f"user@cluster:{there}", here)
    first = pull.pull()
    assert {run.id for run in first.new} == {"live", "ended"}
    copy = RunDirectory(here / "live")
    names = {path.relative_to(copy.path).as_posix() for path in copy.path.rglob("*") if path.is_file()}
    assert names == {
        *("run.toml", "status.json", "metrics.jsonl", FILE_NAME),
        *("samples/epoch-0001.png", "checkpoints/last.safetensors"),
    }
    assert {info.id: info.state for info in RunStore(here).infos()} == {
        "live": State.RUNNING,
        "ended": State.FINISHED,
    }
    inode, untouched = os.stat(copy.metrics_file).st_ino, os.stat(here / "ended" / "status.json")
    append_epoch(live, 2)
    write(live, epoch=2, heartbeat=time.time())
    second = pull.pull()
    assert ([run.id for run in second.changed], second.new) == (["live"], ())
    assert os.stat(copy.metrics_file).st_ino == inode
    assert epochs(copy) == [1, 2]
    assert copy.read_status().epoch == 2
    assert os.stat(here / "ended" / "status.json") == untouched
    assert not pull.pull().changed


@needs_rsync
def test_metrics_and_sheets_of_a_resumed_run_are_replaced_not_joined(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    run = remote_run(there, "run")
    append_epoch(run, 2)
    (run.samples / "epoch-0002.png").write_bytes(b"sheet")
    write(run, epoch=2)
    pull = puller(there, here)
    pull.pull()
    copy = RunDirectory(here / "run")
    with MetricsWriter(run.metrics_file) as metrics:
        metrics.truncate_to(0)
        metrics.append_steps(1, 1, 1.0, [0.123456] * 300)  # longer than before, with another content
    append_epoch(run, 1)
    (run.samples / "epoch-0002.png").unlink()
    write(run, attempt=2, epoch=1, heartbeat=time.time())
    pull.pull()
    assert copy.metrics_file.read_bytes() == run.metrics_file.read_bytes()
    assert [epoch for epoch, _ in copy.sample_sheets()] == [1]


@needs_rsync
def test_a_pull_that_is_interrupted_anywhere_leaves_consistent_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    run = remote_run(there, "old")
    pull = puller(there, here)
    pull.pull()
    remote_run(there, "new")
    append_epoch(run, 2)
    write(run, epoch=2)
    calls, copied = [0], Rsync.copy

    def copy(self: Rsync, *arguments: object, **options: object) -> None:
        calls[0] -= 1
        if calls[0] == 0:
            append_epoch(run, 3)  # the run goes on meanwhile, and ends
            write(run, epoch=3, state=State.FINISHED)
            raise Interrupted
        copied(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Rsync, "copy", copy)
    for interrupted in (1, 2, 3, 4):
        calls[0] = interrupted
        with pytest.raises(Interrupted):
            pull.pull()
        scan = RunStore(here).scan()
        assert not scan.problems
        for info in scan.infos:
            assert len(epochs(info.directory)) >= info.status.epoch
    calls[0] = 0
    pull.pull()
    assert {info.id for info in RunStore(here).infos()} == {"old", "new"}
    assert RunDirectory(here / "old").read_status().state is State.FINISHED


@needs_rsync
def test_a_run_of_this_machine_is_never_overwritten_and_a_removed_one_is_kept(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    remote_run(there, "same")
    gone = remote_run(there, "gone", heartbeat=time.time())
    own = RunDirectory.create(here, remote_run(tmp_path / "x", "x").read().config, group="g", run_id="same")
    before = own.status_file.read_bytes()
    pull = puller(there, here)
    (note,) = pull.pull().notes
    assert note.startswith("same: left alone")
    assert own.status_file.read_bytes() == before
    assert not (own.path / FILE_NAME).exists()
    gone.move_to_trash()
    (note,) = pull.pull().notes
    assert note == f"gone: was removed in {there}; its copy is kept"
    assert not pull.pull().notes
    copy = RunDirectory(here / "gone")
    assert RunStore(here).info(copy).state is State.CRASHED
    control.remove(copy)
    assert not copy.path.exists()


@needs_rsync
def test_a_copy_is_neither_started_nor_stopped_nor_deleted_here(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    remote_run(there, "run", state=State.QUEUED)
    puller(there, here).pull()
    copy = RunDirectory(here / "run")
    for act in (control.check_startable, control.stop, control.resume, control.remove):
        with pytest.raises(UserError, match=rf"run: is a copy .*core runs \w+ run --runs {there}"):
            act(copy)
    with pytest.raises(UserError, match="is a copy") as refused, copy.claim(device="cpu", threads=1):
        pass
    assert not isinstance(refused.value, NotQueuedError)
    (copy.path / FILE_NAME).unlink()
    assert control.stop(copy) == "run: taken from the queue"


@needs_rsync
def test_a_heartbeat_is_compared_with_the_clock_of_its_own_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here, ahead = tmp_path / "there", tmp_path / "here", 7200.0
    fake_ssh(tmp_path / "bin", monkeypatch, date=f"echo {time.time() + ahead:.0f}")
    remote_run(there, "live", heartbeat=time.time() + ahead)
    remote_run(there, "dead", heartbeat=time.time())
    puller(f"cluster:{there}", here).pull()
    found = {info.id: info for info in RunStore(here).infos(now=time.time() + 100)}
    dead, live = found["dead"], found["live"]
    assert (dead.state, live.state, live.warning) == (State.CRASHED, State.RUNNING, "")
    assert "last pulled from cluster" in RunStore(here).info(live.directory, now=time.time() + 1000).warning


@needs_rsync
def test_errors_of_ssh_and_of_the_folder_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_ssh(tmp_path / "bin", monkeypatch)
    with pytest.raises(UserError, match=r"^cluster:/nowhere: there is no such folder on cluster$"):
        puller("cluster:/nowhere", tmp_path / "here").pull()
    fake_ssh(tmp_path / "bin", monkeypatch, failure="ssh: Could not resolve hostname cluster")
    with pytest.raises(UserError, match=r"^cluster:/x: ssh: Could not resolve hostname cluster; try: ssh"):
        puller("cluster:/x", tmp_path / "here").pull()
    with pytest.raises(UserError, match="is this runs folder itself"):
        puller(tmp_path / "here", tmp_path / "here")


@needs_rsync
def test_a_shell_that_greets_is_named_as_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote_run(tmp_path / "there", "old")
    fake_ssh(tmp_path / "bin", monkeypatch)
    script = (tmp_path / "bin/ssh").read_text()
    (tmp_path / "bin/ssh").write_text(script.replace("exec sh", "echo Welcome to cluster 7\nexec sh"))
    with pytest.raises(UserError, match="the shell of h writes text of its own") as refused:
        puller(f"h:{tmp_path}/there", tmp_path / "here").pull()
    assert "\n" not in str(refused.value)


@needs_rsync
def test_a_run_that_is_removed_while_it_is_copied_for_the_first_time_does_not_appear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    remote_run(there, "kept")
    removed, copied = remote_run(there, "removed"), Rsync.copy

    def copy(self: Rsync, target: Path, *options: str, partly: bool = False) -> None:
        if target.name == "new":
            shutil.rmtree(removed.path)
        copied(self, target, *options, partly=partly)

    with monkeypatch.context() as patch:
        patch.setattr(Rsync, "copy", copy)
        assert [run.id for run in puller(there, here).pull().new] == ["kept"]
    assert puller(there, here).pull().notes == ()
    assert [info.id for info in RunStore(here).infos()] == ["kept"]


@needs_rsync
def test_checkpoints_can_be_left_there(tmp_path: Path) -> None:
    remote_run(tmp_path / "there", "run")
    pull: Puller = puller(tmp_path / "there", tmp_path / "here", checkpoints=False)
    pull.pull()
    assert not list((tmp_path / "here" / "run").rglob("*.safetensors"))
