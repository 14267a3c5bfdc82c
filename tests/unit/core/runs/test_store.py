"""Finding runs, reading them cheaply, and explaining those that cannot be read."""

import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import msgspec
import psutil
import pytest

from core.errors import UserError
from core.runs import RunDirectory, RunStore, State, Status
from core.runs import directory as directory_module
from core.runs import store as module
from tests.support import fake_groups, fake_runs


def test_no_folder_is_an_empty_store(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    assert store.runs() == store.infos() == []
    with pytest.raises(UserError, match="there are no runs here; start one"):
        store.find("latest")
    assert not (tmp_path / "runs").exists()


def test_runs_come_in_the_order_in_which_they_were_queued(tmp_path: Path) -> None:
    made = fake_groups.make_group(tmp_path, images=False)
    assert [run.id for run in made] != sorted(run.id for run in made)
    assert RunStore(tmp_path).runs() == made


def test_the_state_of_each_run_is_the_effective_one(tmp_path: Path) -> None:
    for number, state in enumerate(State):
        fake_runs.make_run(
            tmp_path, state=state, seed=number, created=fake_runs.CREATED + timedelta(seconds=number)
        )
    infos = RunStore(tmp_path).infos()
    assert [info.state for info in infos] == list(State)
    assert infos[-1].status.state is State.RUNNING


def test_folders_that_are_no_runs_are_skipped(tmp_path: Path) -> None:
    run = fake_runs.make_run(tmp_path, images=False)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").touch()
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    hidden = RunDirectory.create(tmp_path, run.read().config, group="g", run_id=".new-half")
    assert hidden.path.exists()
    scan = RunStore(tmp_path).scan()
    assert [info.directory for info in scan.infos] == [run]
    assert scan.problems == ()


def test_an_unreadable_run_is_reported_in_one_printable_line(tmp_path: Path) -> None:
    good = fake_runs.make_run(tmp_path, images=False)
    for seed, break_it in enumerate(
        (
            lambda run: run.run_file.unlink(),
            lambda run: run.status_file.unlink(),
            lambda run: run.run_file.write_text("\x1b[31m = 1"),
            lambda run: run.status_file.write_text('{"state": "\x1b[31m"}'),
            lambda run: run.status_file.write_text('{"format_version": 99}'),
        ),
        start=1,
    ):
        break_it(fake_runs.make_run(tmp_path, seed=seed, images=False))
    scan = RunStore(tmp_path).scan()
    assert [info.directory for info in scan.infos] == [good]
    assert len(scan.problems) == 5
    for problem in scan.problems:
        assert problem.text.isprintable()
        assert problem.id in problem.text
    assert sum("newer ddpm-tui" in problem.text for problem in scan.problems) == 1


def test_a_folders_name_cannot_carry_escape_codes_to_the_terminal(tmp_path: Path) -> None:
    fake_runs.make_run(tmp_path, run_id="evil\x1b[2Jname", images=False)
    store = RunStore(tmp_path)
    assert store.infos()[0].id == "evilname"
    with pytest.raises(UserError, match="evilname") as caught:
        store.find("nothing\x1b[2J")
    assert str(caught.value).isprintable()


def test_files_are_read_again_only_when_they_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = fake_groups.make_group(tmp_path, images=False)
    reads: list[str] = []
    real_file, real_status = RunDirectory.read, RunDirectory.read_status

    def read(run: RunDirectory) -> object:
        reads.append(f"file {run.id}")
        return real_file(run)

    def read_status(run: RunDirectory) -> object:
        reads.append(f"status {run.id}")
        return real_status(run)

    monkeypatch.setattr(RunDirectory, "read", read)
    monkeypatch.setattr(RunDirectory, "read_status", read_status)
    store = RunStore(tmp_path)
    store.infos()
    assert len(reads) == 10
    store.infos()
    assert len(reads) == 10
    status = real_status(runs[1])
    runs[1].write_status(msgspec.structs.replace(status, step=status.step + 1))
    assert store.infos()[1].status.step == status.step + 1
    assert reads[10:] == [f"status {runs[1].id}"]


def test_an_unreadable_file_is_read_again_when_it_changed(tmp_path: Path) -> None:
    run = fake_runs.make_run(tmp_path, images=False)
    whole = run.status_file.read_bytes()
    run.status_file.write_bytes(whole[:20])
    store = RunStore(tmp_path)
    assert [store.scan().problems[0].text for _ in range(2)] == [store.scan().problems[0].text] * 2
    run.status_file.write_bytes(whole)
    assert len(store.infos()) == 1
    run.status_file.unlink()
    assert len(store.scan().problems) == 1


def test_a_removed_run_is_forgotten(tmp_path: Path) -> None:
    run = fake_runs.make_run(tmp_path, images=False)
    store = RunStore(tmp_path)
    assert len(store.infos()) == 1
    run.move_to_trash()
    assert store.scan() == module.Scan((), ())


def test_a_run_that_ended_between_two_checks_has_not_crashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker writes `finished` and leaves after the status was read and before its pid is looked for."""
    run = fake_runs.make_run(tmp_path, state=State.RUNNING, images=False)
    real = directory_module.effective_state
    looks = 0

    def leave_just_before(status: Status, *, now: float, lock: Path) -> State:
        nonlocal looks
        looks += 1
        if looks == 1:
            run.write_status(msgspec.structs.replace(status, state=State.FINISHED))
            gone = msgspec.to_builtins(fake_runs.DEAD_PROCESS)
            return real(msgspec.structs.replace(status, **gone), now=now)
        return real(status, now=now)

    monkeypatch.setattr(directory_module, "effective_state", leave_just_before)
    info = RunStore(tmp_path).info(run)
    assert (info.state, info.status.state) == (State.FINISHED, State.FINISHED)


def test_a_killed_worker_is_crashed_at_the_next_scan(tmp_path: Path) -> None:
    run = fake_runs.make_run(tmp_path, state=State.QUEUED, images=False)
    program = (
        "import sys\nfrom core.runs import RunDirectory\n"
        "with RunDirectory(sys.argv[1]).claim(device='cpu', threads=1):\n"
        "    print('claimed', flush=True)\n    input()\n"
    )
    command = [sys.executable, "-c", program, str(run.path)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"claimed\n"
    store = RunStore(tmp_path)
    assert store.info(run).state is State.STARTING
    worker.send_signal(signal.SIGKILL)
    while psutil.Process(worker.pid).status() != psutil.STATUS_ZOMBIE:  # dead, but not buried
        time.sleep(0.005)
    assert store.info(run).state is State.CRASHED
    worker.communicate()
    assert store.info(run).state is State.CRASHED


def test_a_run_is_found_by_id_prefix_path_and_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = fake_groups.make_group(tmp_path / "runs", images=False)
    elsewhere = fake_runs.make_run(tmp_path / "other", seed=9, images=False)
    store = RunStore(tmp_path / "runs")
    assert store.find(runs[1].id) == runs[1]
    assert store.find("20261124-101502-high-si") == runs[1]
    assert store.find("latest") == runs[-1]
    assert store.find(str(elsewhere.path)) == elsewhere
    assert store.find(f"{elsewhere.path}/").id == elsewhere.id
    monkeypatch.chdir(elsewhere.path)
    assert store.find(".") == elsewhere
    monkeypatch.chdir(elsewhere.path.parent)
    assert store.find(elsewhere.id) == elsewhere


def test_an_id_that_begins_another_is_found_all_the_same(tmp_path: Path) -> None:
    for name in ("one", "one-more", "latest"):
        fake_runs.make_run(tmp_path, run_id=name, images=False)
    store = RunStore(tmp_path)
    assert store.find("one").id == "one"
    assert store.find("latest").id == "latest"


def test_an_unreadable_run_can_be_found_so_that_it_can_be_removed(tmp_path: Path) -> None:
    run = fake_runs.make_run(tmp_path, images=False)
    run.run_file.write_text("broken")
    assert RunStore(tmp_path).find(run.id) == run


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        ("2026", r"2026: matches 5 runs .*x10-s0-0000.*; give more of the name"),
        ("1999", r"1999: no run in .* has this name; the newest are .*x10-s0-0000"),
        ("", "no run in .* has this name"),
        ("a\x00b", "no run in .* has this name"),
        ("../..", "no run in .* has this name"),
    ],
)
def test_a_selector_that_fits_none_or_several_says_so(tmp_path: Path, selector: str, words: str) -> None:
    fake_groups.make_group(tmp_path, images=False)
    with pytest.raises(UserError, match=words):
        RunStore(tmp_path).find(selector)


def test_an_unreadable_run_is_ordered_by_the_time_in_its_name(tmp_path: Path) -> None:
    old, broken, new = (
        fake_runs.make_run(
            tmp_path, seed=seed, created=fake_runs.CREATED + timedelta(days=seed), images=False
        )
        for seed in (0, 1, 2)
    )
    broken.run_file.write_text("broken")
    nameless = fake_runs.make_run(tmp_path, run_id="aaa", images=False)
    nameless.run_file.unlink()
    assert RunStore(tmp_path).runs() == [nameless, old, broken, new]
