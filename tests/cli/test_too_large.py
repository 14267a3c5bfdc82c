"""Numbers that are too large end in one line and exit code 2."""

import os
from pathlib import Path

import msgspec
import pytest

from core.cli.main import run as core_run
from core.runs import RunDirectory, RunStore, State
from core.training.checkpoint import Position, read_checkpoint, save_checkpoint
from tests.cli.test_denoise import make_untrained
from tests.support.fake_runs import make_run
from tests.support.hostile import FORBIDDEN, NAME

HUGE = "99999999999999999999"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.reconfigure", lambda **_: None, raising=False)
    return make_untrained(tmp_path / "runs", sampler="ddim", steps=4)


@pytest.mark.parametrize(
    "words",
    [
        *("sample latest --seed 18446744073709551616", f"sample latest --count {HUGE}"),
        *("sample latest --count 1000000000000", "sample latest --count 1000000", f"sample latest --steps {HUGE}"),
        "sample latest --count 9000000 --out a.npy",
        *("denoise latest a.png --seed 18446744073709551616", f"denoise latest a.png --t {HUGE}"),
        *(f"denoise latest a.png --steps {HUGE}", "denoise latest a.png --strength 1e999"),
        *(f"evaluate --seed {HUGE}", f"evaluate --count {HUGE}", f"evaluate --heldout {HUGE}"),
        *(f"data make low --count {HUGE}", f"data show low --count {HUGE}"),
        *(f"runs resume latest --epochs {HUGE}", f"runs resume latest --slots {HUGE}", f"train quick --slots {HUGE}"),
        *(f"train quick --set train.seed={HUGE}", f"train quick --set data.count={HUGE}"),
        *(f"schedules --timesteps {HUGE}", "schedules --beta-end 1e999", "schedules --periods 1e999"),
    ],
)  # fmt: skip
def test_a_number_that_is_too_large_is_one_line_and_code_2(
    run: RunDirectory, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (run.path.parent.parent / "a.png").write_bytes(b"")
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"total": 16 << 30}))
    before = run.read_status(), run.run_file.read_bytes()
    assert core_run(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert (run.read_status(), run.run_file.read_bytes()) == before


@pytest.mark.parametrize(
    "changes", [{"size": 2**31}, {"channels": 2**40}, {"size": 0}, {"step": -1}, {"epoch": 1e99}]
)
def test_a_checkpoint_with_an_impossible_position_is_refused_in_a_line(
    run: RunDirectory, changes: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    tensors, position = read_checkpoint(run)
    run.checkpoint.unlink()
    save_checkpoint(run, tensors, msgspec.structs.replace(position, **changes))
    assert core_run(["sample", "latest"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "not a checkpoint that can be read" in err


def test_sheets_have_hostile_names_only_without_their_codes(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    os.rename(run.path, run.path.with_name(f"20991124-101502{NAME}"))
    assert core_run(["sample", "latest", "--count", "2", "--device", "cpu"]) == 0
    out, _ = capsys.readouterr()
    assert not FORBIDDEN.search(out)
    assert Path(out.removesuffix("\n")).is_file()
    assert not [name for name in os.listdir() if FORBIDDEN.search(name)]


def test_resuming_with_the_most_epochs_leaves_a_run_that_can_be_read(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", state=State.STOPPED)
    assert core_run(["runs", "resume", str(run.path), "--epochs", "10000000", "--no-start"]) == 0
    assert RunStore(tmp_path / "runs").info(run).file.config.train.epochs == 10_000_000


def test_an_old_checkpoint_of_the_largest_images_can_still_be_read() -> None:
    old = b'{"epoch":1,"batch":0,"step":5,"losses":[],"elapsed":1.0,"metrics_offset":9,"channels":3,"size":4096}'
    assert msgspec.json.decode(old, type=Position).size == 4096
